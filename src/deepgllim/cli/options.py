"""Options that several commands share, and what their text stands for."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from deepgllim.errors import ConfigurationError, DataError, DeepGLLiMError

if TYPE_CHECKING:
    from deepgllim.data import Manifest

SOURCES = {
    "pointing04": "DIR",
    "biwi": "DIR",
    "300w-lp": "DIR",
    "aflw2000": "DIR",
    "manifest": "FILE",
    "folder": "DIR",
    "text": "FILE",
}
"""What follows the name of a reader. The names are those of `deepgllim.data.READERS`, which help does without: it
imports pandas."""

_KINDS = [f"`{name}:{path}`" for name, path in SOURCES.items()]

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]
ModelPath = Annotated[Path, Parameter(env_var="DEEPGLLIM_MODEL")]
Probability = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
Source = Annotated[str, Parameter(help=f"Where the pictures and labels are: {', '.join(_KINDS[:-1])} or {_KINDS[-1]}.")]
Switch = Annotated[bool, Parameter(negative=())]
Text = Annotated[str | None, Parameter(show_default=False)]


class UsageError(DeepGLLiMError):
    """Options that do not go together: a wrong call, as an unknown option is."""


def faces(source: str, targets: Sequence[str] | None, subjects: str | None) -> "Manifest":
    """The data set of `--data`, or the part of it that `--subjects` names."""
    from deepgllim.data import load_data, select_subjects

    manifest = load_data(source, targets)
    return manifest if subjects is None else select_subjects(manifest, names(subjects))


def faces_with_any(source: str, targets: Sequence[str], subjects: str | None) -> "Manifest":
    """The data set with whatever labels it has: pitch, yaw and roll, or some of a model's own targets.

    Raises:
        DataError: it has none of them, or cannot be read.
    """
    refused: DataError | None = None
    for wanted in (None, tuple(targets), *((name,) for name in targets)):
        try:
            return faces(source, wanted, subjects)
        except DataError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def names(text: str) -> list[str]:
    """The entries of a list with commas.

    Example:
        >>> names("01, 02,")
        ['01', '02']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def settings(entries: Sequence[str]) -> dict[str, Any]:
    """Values by dotted name of "section.option=value" entries; a value that is not TOML is a text.

    Raises:
        ConfigurationError: an entry without "=".

    Example:
        >>> settings(["network.backbone=vgg16", "network.frozen_depths=[0, 3]", "augmentation.mirror=false"])
        {'network.backbone': 'vgg16', 'network.frozen_depths': [0, 3], 'augmentation.mirror': False}
    """
    values: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {entry}: no value; write --set section.option=value")
        try:
            values[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except ValueError:  # of TOML, or of a number of thousands of digits
            values[name.strip()] = text.strip()
        except RecursionError:
            raise ConfigurationError(f"--set {name}: its value is nested too deeply") from None
    return values


def refuse_existing(path: Path | None, overwrite: bool) -> None:
    """Keep an earlier file, or a folder with something in it.

    Raises:
        DataError: there is one, and `overwrite` is false.
    """
    if path is None or overwrite:
        return
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise DataError(f"{path} exists already: give another path, or --overwrite to replace it")
