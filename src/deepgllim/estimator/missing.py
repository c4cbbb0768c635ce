"""Prediction from features that may be missing (NaN), in blocks of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.gllim import Centred, Forward, Predictive, impute, predict, predict_incomplete

BLOCK_ELEMENTS = 2**22  # features per block

Solver = Callable[[Tensor, Centred, Forward], Predictive]


def _integrate(block: Tensor, about: Centred, forward: Forward) -> Predictive:
    return predict_incomplete(block, about) if bool(block.isnan().any()) else predict(block, forward)


MISSING: dict[str, Solver] = {
    "error": lambda block, about, forward: predict(block, forward),
    "integrate": _integrate,
    "impute": lambda block, about, forward: predict(impute(block, about), forward),
}
"""The treatments of missing features, by name: `missing`."""


def check_missing(missing: str) -> None:
    """Raise an error if the treatment of missing features is unknown.

    Raises:
        ConfigurationError: if it is unknown; the message lists those that exist.
    """
    if missing not in MISSING:
        raise ConfigurationError(f"unknown missing {missing!r}: use one of {', '.join(MISSING)}")


def predict_blocks(x: NDArray[np.floating], about: Centred, forward: Forward, missing: str) -> Predictive:
    """Return p(y | x) of features (n, D), computed in blocks of rows."""
    solve = MISSING[missing]
    rows = max(1, BLOCK_ELEMENTS // x.shape[1])
    blocks = (torch.from_numpy(np.require(x[i : i + rows], np.float64, ["C", "W"])) for i in range(0, len(x), rows))
    parts = [solve(block, about, forward) for block in blocks]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: list[Predictive]) -> Predictive:
    def cat(values: list[Any]) -> Any:
        return None if values[0] is None else torch.cat(values)

    log_weights, means, log_density, dof = (cat([part[i] for part in parts]) for i in (0, 1, 3, 4))
    covariances = [part.covariances.expand(*part.means.shape, part.means.shape[-1]) for part in parts]
    return Predictive(log_weights, means, torch.cat(covariances), log_density, dof)
