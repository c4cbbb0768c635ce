"""The file of a fitted mixture: safetensors with a JSON header."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepgllim.errors import ModelError, NumericalError
from deepgllim.gllim import Centred, Parameters, centre
from deepgllim.storage import read_header, read_tensors, write_tensors

FORMAT_VERSION = 2  # 1 had no origins: their digits are those of c and b
HEADER = "deepgllim-mixture"


ORIGINS = ("c_centred", "b_centred", "feature_origin", "target_origin")
MISFITS = (TypeError, KeyError, ValueError, RuntimeError, IndexError, AttributeError, NumericalError)
"""What tensors and headers raise that do not belong together."""


def write_mixture(path: Path | str, parameters: Parameters, about: Centred, header: dict[str, Any]) -> None:
    """The parameters, absolute and about an origin, and what else must be known, whole or not at all.

    Raises:
        ModelError: if it cannot be written.
    """
    text = json.dumps({"format_version": FORMAT_VERSION, **header}, default=_plain)
    centred = (about.parameters.c, about.parameters.b, about.feature_origin, about.target_origin)
    write_tensors(path, {**parameters.tensors, **dict(zip(ORIGINS, centred, strict=True))}, {HEADER: text})


def read_mixture(path: Path | str) -> tuple[Parameters, Centred, dict[str, Any]]:
    """What `write_mixture` wrote.

    Raises:
        ModelError: if the file is missing, cut short, foreign, of a newer version, or does not hold a mixture.
    """
    tensors, metadata = read_tensors(path)
    header = read_header(path, metadata, HEADER, FORMAT_VERSION, "save one with `GLLiMRegressor.save`")
    try:
        _require_finite(tensors)
        origins = [tensors.pop(name) for name in ORIGINS if name in tensors]
        parameters = Parameters(**tensors)
        if header["format_version"] < 2:
            return parameters, centre(parameters), header
        c, b, *origin = origins
        if c.shape != parameters.c.shape or b.shape != parameters.b.shape:
            raise ValueError("c and b have another shape about the origin")
        return parameters, Centred(parameters._replace(c=c, b=b), *origin), header
    except MISFITS as error:
        raise not_a_mixture(path, error) from None


def _require_finite(tensors: dict[str, torch.Tensor]) -> None:
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} has values that are not finite")


def not_a_mixture(path: Path | str, cause: Exception) -> ModelError:
    """The refusal of a file whose content does not fit together."""
    return ModelError(f"{path}: does not hold a fitted mixture ({cause}): save it again")


def _plain(value: object) -> object:
    """A NumPy scalar, as a grid search leaves among the options, as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no number, text or list")
