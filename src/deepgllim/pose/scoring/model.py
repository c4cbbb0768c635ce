"""The digest of a model file, which identifies the model of a scoring."""

import hashlib
from pathlib import Path

from deepgllim.errors import ModelError
from deepgllim.pose.predictor import default_model


def model_digest(model: str | None) -> str:
    """Return the SHA-256 of the file of a model; of the model in the package for None.

    Raises:
        ModelError: the file cannot be read.
    """
    path = default_model() if model is None else Path(model)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}): give the path of an exported model") from error


def check_digest(model: str | None, expected: str) -> None:
    """Raise an error if the file of a model is not the one that the run was started with.

    Raises:
        ModelError: the digest differs, or the file cannot be read.
    """
    found = model_digest(model)
    if found != expected:
        raise ModelError(
            f"{model or 'the model in the package'}: its digest is {found[:16]} on this machine, and {expected[:16]} "
            "where the run was started: copy the same file to all machines"
        )
