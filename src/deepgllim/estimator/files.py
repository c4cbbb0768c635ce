"""The file of a fitted mixture: safetensors with a JSON header."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from deepgllim.errors import ModelError
from deepgllim.gllim import Parameters
from deepgllim.storage import read_header, read_tensors, write_tensors

FORMAT_VERSION = 1
HEADER = "deepgllim-mixture"


def write_mixture(path: Path | str, parameters: Parameters, header: dict[str, Any]) -> None:
    """The parameters and what else must be known, whole or not at all.

    Raises:
        ModelError: if it cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, default=_plain)
    write_tensors(path, parameters.tensors, {HEADER: text})


def read_mixture(path: Path | str) -> tuple[Parameters, dict[str, Any]]:
    """What `write_mixture` wrote.

    Raises:
        ModelError: if the file is missing, cut short, foreign, of a newer version, or does not hold a mixture.
    """
    tensors, metadata = read_tensors(path)
    header = read_header(path, metadata, HEADER, FORMAT_VERSION, "save one with `GLLiMRegressor.save`")
    try:
        return Parameters(**tensors), header
    except TypeError as error:
        raise not_a_mixture(path, error) from None


def not_a_mixture(path: Path | str, cause: Exception) -> ModelError:
    """The refusal of a file whose content does not fit together."""
    return ModelError(f"{path}: does not hold a fitted mixture ({cause}): save it again")


def _plain(value: object) -> object:
    """A NumPy scalar, as a grid search leaves among the options, as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no number, text or list")
