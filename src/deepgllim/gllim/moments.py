"""Means and variances of rows, which determine the scaling; they merge over blocks and processes."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import DataError
from deepgllim.gllim.arrays import require_finite
from deepgllim.gllim.blocks import Block
from deepgllim.gllim.distributed import gather_rows
from deepgllim.gllim.scaling import Scaling

MAX_TARGETS = 2**18  # rows of targets, at most, from which the initial mixture is fitted
CONSTANT = 2.0**-49  # a standard deviation under this share of the mean, eight units in the last place, is rounding
MIN_DEVIATION = {torch.float64: 1e-146, torch.float32: 1e-15}  # whose square, and its floor, have all their digits
MAX_DEVIATION = {torch.float64: torch.inf, torch.float32: 1e15}


class Moments(NamedTuple):
    """Weighted mean and sum of squares of [features, targets] of some rows.

    The mean is stored as one of the rows and a small offset, because the difference of two rounded means far from zero
    would lose the digits that merging needs.

    Attributes:
        n_rows: number of rows, of any weight.
        total: sum of their weights, ().
        origin: one of the rows, (D + L,).
        offset: mean − origin, (D + L,).
        square: Σ w (value − mean)², (D + L,).
    """

    n_rows: int
    total: Tensor
    origin: Tensor
    offset: Tensor
    square: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean of each column, (D + L,)."""
        return self.origin + self.offset

    @property
    def variance(self) -> Tensor:
        """The variance of each column, (D + L,); 0 where it is nothing but rounding."""
        variance = self.square / self.total
        rounding = CONSTANT * self.mean.abs()
        return torch.where(variance.sqrt() > rounding, variance, torch.zeros_like(variance))

    def scaling(self, n_features: int) -> Scaling:
        """Return the scaling to features of mean 0 and targets of mean 0 and variance 1."""
        mean, variance = self.mean, self.variance
        scale = variance[n_features:].sqrt()
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return Scaling(mean[:n_features], variance[:n_features], mean[n_features:], scale)


def merge(parts: Iterable[Moments]) -> Moments:
    """Return the moments of all parts, by the pairwise update of Chan, Golub & LeVeque (1983)."""
    all_parts = iter(parts)
    result = next(all_parts)
    for part in all_parts:
        total = result.total + part.total
        share = torch.nan_to_num(part.total / total)
        delta = (part.origin - result.origin) + (part.offset - result.offset)
        offset = result.offset + delta * share
        square = result.square + part.square + delta.square() * (result.total * share)
        result = Moments(result.n_rows + part.n_rows, total, result.origin, offset, square)
    return result


def moments_of(x: Tensor, y: Tensor, w: Tensor | None) -> Moments:
    """Return the moments of one block of features, targets and weights."""
    w = torch.ones_like(y[:, 0]) if w is None else w
    total = w.sum()
    share = torch.nan_to_num(w / total)
    offsets, squares = [], []
    for values in (x, y):
        moved = values - values[:1]  # no digits are lost to a mean far from zero, and a constant column has variance 0
        offsets.append(share @ moved)
        squares.append(w @ moved.sub_(offsets[-1]).square_())
    return Moments(len(x), total, torch.cat([x[0], y[0]]), torch.cat(offsets), torch.cat(squares))


class VariedColumns:
    """The columns that are not constant although their squares underflow; blocks are added one by one."""

    def __init__(self) -> None:
        self.columns: Tensor | None = None  # (D + L,), boolean
        self._first: Tensor | None = None  # the first row

    def add(self, x: Tensor, y: Tensor, w: Tensor | None, block: Moments) -> None:
        """Add a block, of which only columns with small squares are read."""
        counted = slice(None) if w is None else w > 0
        if w is not None and not bool((w > 0).any()):
            return
        if self.columns is None or self._first is None:
            self._first = torch.cat([x[counted][0].double(), y[counted][0]])
            self.columns = torch.zeros_like(self._first, dtype=torch.bool)
        small = block.square <= MIN_DEVIATION[torch.float64] ** 2 * block.total
        if bool(small.any()):
            D = x.shape[1]
            seen = torch.cat([x[:, small[:D]].double(), y[:, small[D:]]], 1)[counted]
            self.columns[small] |= (seen != self._first[small]).any(0)


def require_range(moments: Moments, varied: VariedColumns, n_features: int, dtype: torch.dtype) -> None:
    """Raise an error if the squares of a column leave the range of the dtype in which EM adds them.

    Raises:
        DataError: if they do; the message gives the column and its standard deviation.
    """
    if not bool(torch.isfinite(moments.square).all()):
        column = int((~torch.isfinite(moments.square)).nonzero()[0])
        raise DataError(
            f"the values of column {column} of [features, targets] are so large that their squares overflow: "
            "use a larger unit"
        )
    deviation = moments.variance.sqrt()
    least, most = torch.full_like(deviation, MIN_DEVIATION[torch.float64]), torch.full_like(deviation, torch.inf)
    least[:n_features], most[:n_features] = MIN_DEVIATION[dtype], MAX_DEVIATION[dtype]
    varies = deviation > 0 if varied.columns is None else varied.columns | (deviation > 0)
    outside = varies & ((deviation < least) | (deviation > most))
    if bool(outside.any()):
        column = int(outside.nonzero()[0])
        name, unit = str(dtype).removeprefix("torch."), "smaller" if deviation[column] < least[column] else "larger"
        raise DataError(
            f"the values of column {column} of [features, targets] have a standard deviation of "
            f"{float(deviation[column]):.3g}, whose square leaves the range of {name}: use a {unit} unit"
        )


def gather_moments(moments: Moments, group: ProcessGroup | None) -> list[Moments]:
    """Return the moments of all processes, in their order."""
    if group is None:
        return [moments]
    flat = torch.cat([moments.total[None], moments.origin, moments.offset, moments.square])
    return [Moments(0, part[0], *part[1:].chunk(3)) for part in gather_rows(flat[None], group)]


class TargetSubsample:
    """Targets and weights of rows spaced evenly over the data: every row, then every second, fourth, … of many."""

    def __init__(self) -> None:
        self.targets: list[Tensor] = []
        self.weights: list[Tensor] = []
        self._step, self._n_seen, self._n_kept = 1, 0, 0

    def add(self, targets: Tensor, weights: Tensor) -> None:
        """Add the rows of a block that belong to the subsample."""
        chosen = slice(-self._n_seen % self._step, None, self._step)
        self._n_seen += len(targets)
        # copies, because the source may reuse its memory for the next batch
        self.targets.append(targets[chosen].clone())
        self.weights.append(weights[chosen].clone())
        self._n_kept += len(self.targets[-1])
        if self._n_kept > MAX_TARGETS:
            self.targets, self.weights = [torch.cat(self.targets)[::2]], [torch.cat(self.weights)[::2]]
            self._step, self._n_kept = 2 * self._step, len(self.targets[0])

    def gathered(self, group: ProcessGroup | None) -> tuple[Tensor, Tensor]:
        """Return targets (n, L) and weights (n,) of all processes, in their order."""
        y, w = gather_rows(torch.cat(self.targets), group), gather_rows(torch.cat(self.weights), group)
        step = -(-len(y) // MAX_TARGETS)
        return y[::step], w[::step]


def measure(blocks: Iterable[Block], subsample: TargetSubsample, n_features: int, dtype: torch.dtype) -> Moments:
    """Return the moments of all blocks in one pass, and add the targets to the subsample.

    Raises:
        DataError: if a value is not finite, a weight is negative, or squares leave the range of the numbers.
    """
    varied = VariedColumns()

    def parts() -> Iterator[Moments]:
        n = 0
        for x, y, w in blocks:
            for name, values in (("features", x), ("targets", y)) + (() if w is None else (("weights", w[:, None]),)):
                require_finite(name, values, n)
            if w is not None and bool((w < 0).any()):
                row = int((w < 0).nonzero()[0])
                raise DataError(f"the weight of row {n + row} is {float(w[row]):g}: sample weights must be ≥ 0")
            subsample.add(y, torch.ones_like(y[:, 0]) if w is None else w)
            n += len(x)
            moments = moments_of(x.double(), y, w)
            varied.add(x, y, w, moments)
            yield moments

    moments = merge(parts())
    if not bool(torch.isfinite(moments.total)):
        raise DataError("the sum of the sample weights overflows: divide them by their mean")
    if float(moments.total) > 0:
        require_range(moments, varied, n_features, dtype)
    return moments
