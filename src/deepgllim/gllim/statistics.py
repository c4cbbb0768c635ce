"""The sums that the M-step needs; they add over rows, batches, files and processes."""

from collections.abc import Iterable, Iterator
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.errors import DataError
from deepgllim.gllim.covariances import Noise
from deepgllim.gllim.likelihood import expand, feature_log_density, multiply, normalise, target_log_density
from deepgllim.gllim.parameters import Parameters, Scaling, with_intercept

Array = Tensor | NDArray[np.number]
BLOCK_ELEMENTS = 2**19  # of float64 features at once, 4 MiB: what stays in cache, and keeps two threads busy
CONSTANT = 1e-13  # a standard deviation under this share of the mean is rounding


class Statistics(NamedTuple):
    """Expected sufficient statistics with t̃ = [y; 1], P = L + 1.

    s0_k = Σ_n r_nk;  M_k = Σ_n r_nk t̃ t̃ᵀ;  C_k = Σ_n r_nk x t̃ᵀ;  q_k = Σ_n r_nk x xᵀ, kept to the structure of Σ.

    Attributes:
        s0: effective counts, (K,).
        M: (K, P, P).
        C: (K, D, P).
        q: (K,) of ‖x‖² isotropic, (K, D) of x∘x diagonal, (K, D, D) full.
        log_likelihood: Σ_n log p(x_n, y_n) under the parameters that gave r; 0 where r was given.
    """

    s0: Tensor
    M: Tensor
    C: Tensor
    q: Tensor
    log_likelihood: Tensor

    def __add__(self, other: "Statistics") -> "Statistics":  # type: ignore[override]
        """The statistics of both sets of rows together."""
        return Statistics(*(a + b for a, b in zip(self, other, strict=True)))

    def keep(self, components: Tensor) -> "Statistics":
        """The statistics of some components only, by a boolean mask (K,)."""
        s0, M, C, q = (value[components] for value in self[:4])
        return Statistics(s0, M, C, q, self.log_likelihood)


class Rows:
    """Features and targets in blocks of rows, centred and scaled, in float64: the only copies that EM makes.

    Args:
        features: x, (N, D), a tensor, an array or a memory map of any real dtype.
        targets: y, (N, L).
        scaling: how to centre and scale; measured in one pass when None.
        block_rows: rows at once; 1024, or as many as make 4 MiB, by default.

    Raises:
        DataError: if lengths differ, there are no rows, or a value is not finite; it names the row and column.

    Example:
        >>> rows = Rows(torch.randn(100, 5), torch.randn(100, 2), block_rows=32)
        >>> [len(x) for x, y in rows]
        [32, 32, 32, 4]
    """

    def __init__(
        self, features: Array, targets: Array, scaling: Scaling | None = None, block_rows: int | None = None
    ) -> None:
        shapes_fit = features.ndim == targets.ndim == 2 and len(features) == len(targets)
        if not shapes_fit or 0 in (features.shape[1], targets.shape[1]):
            raise DataError(
                f"features {tuple(features.shape)} and targets {tuple(targets.shape)} do not fit: "
                "give (N, D) and (N, L) with the same N, D ≥ 1 and L ≥ 1"
            )
        if len(features) == 0:
            raise DataError("there are 0 samples: give at least one row of features and targets")
        self.features, self.targets = features, targets
        self.block_rows = block_rows or max(1024, BLOCK_ELEMENTS // features.shape[1])
        self.scaling = scaling or measure_scaling(self.raw())

    def __len__(self) -> int:
        return len(self.features)

    def slices(self) -> Iterator[slice]:
        """The blocks as slices of rows."""
        return (slice(start, start + self.block_rows) for start in range(0, len(self), self.block_rows))

    def raw(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The blocks in float64 as they are."""
        for rows in self.slices():
            yield to_float64(self.features[rows]), to_float64(self.targets[rows])

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.scaling.apply(x, y) for x, y in self.raw())


def to_float64(values: Array) -> Tensor:
    """A float64 tensor without gradients; no copy where none is needed (a read-only or reversed array needs one)."""
    if isinstance(values, Tensor):
        return values.detach().to(torch.float64)
    return torch.from_numpy(np.require(values, np.float64, ["C", "W"]))


def _require_finite(name: str, block: Tensor, first_row: int) -> None:
    if bool(torch.isfinite(block.sum())) or bool(torch.isfinite(block).all()):
        return
    row, column = (~torch.isfinite(block)).nonzero()[0].tolist()
    raise DataError(
        f"{name} row {first_row + row}, column {column} is {float(block[row, column])}: "
        "every value must be finite; drop or mend the sample"
    )


def measure_scaling(blocks: Iterable[tuple[Tensor, Tensor]]) -> Scaling:
    """Mean and variance of features and targets in one pass (Chan's pairwise update), refusing what is not finite."""
    n = n_features = 0
    mean = square = torch.zeros(())
    for x, y in blocks:
        _require_finite("features", x, n)
        _require_finite("targets", y, n)
        rows, n_features = x.shape
        both = [torch.var_mean(values, dim=0, correction=0) for values in (x, y)]
        block_variance, block_mean = (torch.cat(pair) for pair in zip(*both, strict=True))
        delta = block_mean - mean
        mean = mean + delta * (rows / (n + rows))
        square = square + block_variance * rows + delta.square() * (n * rows / (n + rows))
        n += rows
    variance = square / n
    variance = torch.where(variance > (CONSTANT * mean).square(), variance, torch.zeros_like(variance))
    scale = variance[n_features:].sqrt()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return Scaling(mean[:n_features], variance[:n_features], mean[n_features:], scale)


def summarise(features: Tensor, square: Tensor, targets: Tensor, r: Tensor, noise: Noise) -> Statistics:
    """The statistics of one block of rows, given responsibilities r (N, K)."""
    t = with_intercept(targets)  # (N, P)
    K, P = r.shape[1], t.shape[1]
    rt = (r[:, :, None] * t[:, None, :]).reshape(-1, K * P)
    M = (rt.T @ t).view(K, P, P)
    C = (rt.T @ features).view(K, P, -1).mT
    return Statistics(r.sum(0), M, C, noise.moment(square, r), torch.zeros((), dtype=r.dtype, device=r.device))


def collect(rows: Rows, r: Tensor, noise: Noise) -> Statistics:
    """The statistics of all rows under given responsibilities r (N, K)."""
    parts = (
        summarise(x, noise.square(x), y, r[where].to(x), noise)
        for (x, y), where in zip(rows, rows.slices(), strict=True)
    )
    return reduce(add, parts)


def expect(rows: Rows, parameters: Parameters) -> Statistics:
    """The E-step and the sums of the next M-step in one pass: r never exists for more than a block of rows."""
    expansion = expand(parameters)
    log_pi = parameters.pi.log()

    def block(x: Tensor, y: Tensor) -> Statistics:
        products = multiply(x, expansion)
        log_joint = log_pi + target_log_density(y, parameters) + feature_log_density(products, y, expansion)
        r, log_density = normalise(log_joint)
        statistics = summarise(x, products.square, y, r, expansion.noise)
        return statistics._replace(log_likelihood=log_density.sum())

    return reduce(add, (block(x, y) for x, y in rows))
