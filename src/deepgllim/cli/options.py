"""Options that several commands share, and functions that parse them."""

import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token, validators

from deepgllim.errors import ConfigurationError, DataError, DeepGLLiMError

if TYPE_CHECKING:
    from deepgllim.data import Manifest

SOURCES = {
    "pointing04": "DIR",
    "pointing04-head": "DIR",
    "biwi": "DIR",
    "300w-lp": "DIR",
    "aflw2000": "DIR",
    "manifest": "FILE",
    "folder": "DIR",
    "text": "FILE",
}
"""The kind of path after the name of each reader of `deepgllim.data.READERS`, which is not imported here because it
imports pandas."""

_KINDS = [f"`{name}:{path}`" for name, path in SOURCES.items()]


def whole_number(kind: Any, tokens: Sequence[Token]) -> int:
    """Return the number in a token, such as 1000 or 1e3; cyclopts rounds numbers with a fraction.

    Raises:
        ValueError: it is no whole number.
    """
    text = tokens[0].value
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        if float(text).is_integer():
            return int(float(text))
    raise ValueError(f"{text[:40]!r} is no whole number")


Whole = Annotated[int, Parameter(converter=whole_number)]
Count = Annotated[int, Parameter(converter=whole_number, validator=validators.Number(gte=1))]
Probability = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
Source = Annotated[str, Parameter(help=f"Images and labels: {', '.join(_KINDS[:-1])} or {_KINDS[-1]}.")]
Switch = Annotated[bool, Parameter(negative=())]
Text = Annotated[str | None, Parameter(show_default=False)]


class UsageError(DeepGLLiMError):
    """Options that contradict each other."""


def faces(source: str, targets: Sequence[str] | None, subjects: str | None) -> "Manifest":
    """Return the data set of `--data`, or the part of it that `--subjects` selects."""
    from deepgllim.data import load_data, select_subjects

    manifest = load_data(source, targets)
    return manifest if subjects is None else select_subjects(manifest, names(subjects))


def faces_with_any(source: str, targets: Sequence[str], subjects: str | None) -> "Manifest":
    """Return the data set with the labels that it has: pitch, yaw and roll, or some of the targets of a model.

    Raises:
        DataError: the data set has none of them or cannot be read.
    """
    refused: DataError | None = None
    for wanted in (None, tuple(targets), *((name,) for name in targets)):
        try:
            return faces(source, wanted, subjects)
        except DataError as error:
            refused = refused or error
    assert refused is not None
    raise refused


PACKAGED = "packaged"
"""The word that stands for the model in the package."""


def exported_model(model: Path | None) -> Path:
    """Return the path of an exported model: the one in the package for None or the word "packaged".

    A file of that name is given as ./packaged.

    Raises:
        ModelError: the package has no model.
    """
    from deepgllim.pose.predictor import default_model

    return default_model() if model is None or str(model) == PACKAGED else model


def names(text: str) -> list[str]:
    """Return the entries of a comma-separated list.

    Example:
        >>> names("01, 02,")
        ['01', '02']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def settings(entries: Sequence[str]) -> dict[str, Any]:
    """Return the values of "section.option=value" entries by dotted name; a value that is not TOML is a string.

    Raises:
        ConfigurationError: an entry has no "=".

    Example:
        >>> settings(["network.backbone=vgg16", "network.frozen_depths=[0, 3]", "augmentation.mirror=false"])
        {'network.backbone': 'vgg16', 'network.frozen_depths': [0, 3], 'augmentation.mirror': False}
    """
    values: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {entry}: no value: write --set section.option=value")
        try:
            values[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except ValueError:  # of TOML, or of a number of thousands of digits
            values[name.strip()] = text.strip()
        except RecursionError:
            raise ConfigurationError(f"--set {name}: the value is nested too deeply: give a simple value") from None
    return values


def refuse_existing(path: Path | None, overwrite: bool) -> None:
    """Refuse to replace an existing file or to write into a folder that is not empty.

    Raises:
        DataError: the path exists, and `overwrite` is false.
    """
    if path is None or overwrite:
        return
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise DataError(f"{path} exists already: give another path, or --overwrite to replace it")
