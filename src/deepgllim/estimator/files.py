"""Files of a fitted mixture: safetensors with a JSON header."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepgllim.errors import ModelError, NumericalError
from deepgllim.gllim import Centred, Parameters, centre
from deepgllim.storage import read_header, read_tensors, write_tensors

FORMAT_VERSION = 3
"""Format 1 has no origins; formats 1 and 2 have the option names in `OLD_OPTIONS`."""
OLD_OPTIONS = {"noise": "covariance_type", "variance_floor": "covariance_floor"}
HEADER = "deepgllim-mixture"
ORIGINS = ("c_centred", "b_centred", "feature_origin", "target_origin")
INVALID = (TypeError, KeyError, ValueError, RuntimeError, IndexError, AttributeError, NumericalError)
"""The exceptions that tensors and headers raise if they do not describe a mixture."""


def write_mixture(path: Path | str, parameters: Parameters, about: Centred, header: dict[str, Any]) -> None:
    """Write the parameters, absolute and about an origin, and the header, atomically.

    Raises:
        ModelError: if the file cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, default=_plain)
    centred = (about.parameters.c, about.parameters.b, about.feature_origin, about.target_origin)
    write_tensors(path, {**parameters.tensors, **dict(zip(ORIGINS, centred, strict=True))}, {HEADER: text})


def read_mixture(path: Path | str) -> tuple[Parameters, Centred, dict[str, Any]]:
    """Read what `write_mixture` wrote; the options of earlier formats get their present names.

    Raises:
        ModelError: if the file is missing, cut short, of another kind or of a newer version, or is not a mixture.
    """
    tensors, metadata = read_tensors(path)
    header = read_header(path, metadata, HEADER, FORMAT_VERSION, "save one with `GLLiMRegressor.save`")
    try:
        if header["format_version"] < 3:
            header["options"] = {OLD_OPTIONS.get(name, name): value for name, value in header["options"].items()}
        return *_parameters(tensors, header["format_version"]), header
    except INVALID as error:
        raise not_a_mixture(path, error) from None


def not_a_mixture(path: Path | str, cause: Exception) -> ModelError:
    """Return the error for a file whose content is inconsistent."""
    return ModelError(f"{path}: does not contain a fitted mixture ({cause}): save it again")


def _parameters(tensors: dict[str, torch.Tensor], version: int) -> tuple[Parameters, Centred]:
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} has values that are not finite")
    origins = [tensors.pop(name) for name in ORIGINS if name in tensors]
    parameters = Parameters(**tensors)
    if version < 2:
        return parameters, centre(parameters)
    c, b, *origin = origins
    if c.shape != parameters.c.shape or b.shape != parameters.b.shape:
        raise ValueError("c and b have another shape about the origin")
    return parameters, Centred(parameters._replace(c=c, b=b), *origin)


def _plain(value: object) -> object:
    """Convert a NumPy scalar, which a grid search leaves among the options, to a Python number for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is not a number, text or list")
