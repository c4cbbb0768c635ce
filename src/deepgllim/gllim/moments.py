"""Means and variances of rows, from which the scaling comes; they merge over blocks and processes."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import DataError
from deepgllim.gllim.parameters import Scaling

Result = TypeVar("Result")
CONSTANT = 2.0**-49  # a standard deviation under this share of the mean, eight units in the last place, is rounding
LEAST_DEVIATION = {torch.float64: 1e-146, torch.float32: 1e-15}  # whose square, and its floor, have all their digits
MOST_DEVIATION = {torch.float64: torch.inf, torch.float32: 1e15}


class Moments(NamedTuple):
    """Weighted mean and sum of squares of [features, targets] of some rows; two of them merge.

    Attributes:
        n_rows: rows, of any weight.
        total: their weight, ().
        mean: (D + L,).
        square: Σ w (value − mean)², (D + L,).
    """

    n_rows: int
    total: Tensor
    mean: Tensor
    square: Tensor

    @property
    def variance(self) -> Tensor:
        """Of each column, (D + L,); 0 where it is rounding alone."""
        variance = self.square / self.total
        rounding = CONSTANT * self.mean.abs()
        return torch.where(variance.sqrt() > rounding, variance, torch.zeros_like(variance))

    def scaling(self, n_features: int) -> Scaling:
        """The centre of the features, and the standard units of the targets."""
        variance = self.variance
        scale = variance[n_features:].sqrt()
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return Scaling(self.mean[:n_features], variance[:n_features], self.mean[n_features:], scale)


def merge(parts: Iterable[Moments]) -> Moments:
    """The moments of all parts together (Chan's pairwise update)."""
    all_parts = iter(parts)
    result = next(all_parts)
    for part in all_parts:
        total = result.total + part.total
        share = torch.nan_to_num(part.total / total)
        delta = part.mean - result.mean
        mean = result.mean + delta * share
        square = result.square + part.square + delta.square() * (result.total * share)
        result = Moments(result.n_rows + part.n_rows, total, mean, square)
    return result


def moments_of(x: Tensor, y: Tensor, w: Tensor | None) -> Moments:
    """The moments of one block: features, targets, weights."""
    w = torch.ones_like(y[:, 0]) if w is None else w
    total = w.sum()
    share = torch.nan_to_num(w / total)
    means, squares = [], []
    for values in (x, y):
        moved = values - values[:1]  # a mean far from zero takes no digits, and a constant column varies by exactly 0
        mean = share @ moved
        means.append(mean + values[0])
        squares.append(w @ moved.sub_(mean).square_())
    return Moments(len(x), total, torch.cat(means), torch.cat(squares))


class Varied:
    """Which columns are not constant, of those whose squares are too small to tell; blocks are added one by one."""

    def __init__(self) -> None:
        self.columns: Tensor | None = None  # (D + L,), boolean
        self._first: Tensor | None = None  # the first row

    def add(self, x: Tensor, y: Tensor, w: Tensor | None, block: Moments) -> None:
        """Add a block, of which only the columns in question are looked at."""
        counted = slice(None) if w is None else w > 0
        if w is not None and not bool((w > 0).any()):
            return
        if self.columns is None or self._first is None:
            self._first = torch.cat([x[counted][0].double(), y[counted][0]])
            self.columns = torch.zeros_like(self._first, dtype=torch.bool)
        small = block.square <= LEAST_DEVIATION[torch.float64] ** 2 * block.total
        if bool(small.any()):
            D = x.shape[1]
            seen = torch.cat([x[:, small[:D]].double(), y[:, small[D:]]], 1)[counted]
            self.columns[small] |= (seen != self._first[small]).any(0)


def require_range(moments: Moments, varied: Varied, n_features: int, dtype: torch.dtype) -> None:
    """Refuse columns whose squares leave the range of the numbers that EM sums them in.

    Raises:
        DataError: naming the column, and how much it varies.
    """
    if not bool(torch.isfinite(moments.square).all()):
        column = int((~torch.isfinite(moments.square)).nonzero()[0])
        raise DataError(
            f"the values of column {column} of [features, targets] are so large that their squares overflow: "
            "give them in a larger unit"
        )
    deviation = moments.variance.sqrt()
    least, most = torch.full_like(deviation, LEAST_DEVIATION[torch.float64]), torch.full_like(deviation, torch.inf)
    least[:n_features], most[:n_features] = LEAST_DEVIATION[dtype], MOST_DEVIATION[dtype]
    varies = deviation > 0 if varied.columns is None else varied.columns | (deviation > 0)
    outside = varies & ((deviation < least) | (deviation > most))
    if bool(outside.any()):
        column = int(outside.nonzero()[0])
        name, unit = str(dtype).removeprefix("torch."), "smaller" if deviation[column] < least[column] else "larger"
        raise DataError(
            f"the values of column {column} of [features, targets] have a standard deviation of "
            f"{float(deviation[column]):.3g}, whose square leaves the range of {name}: give them in a {unit} unit"
        )


def gather(moments: Moments, group: ProcessGroup | None) -> list[Moments]:
    """The moments of every process, in their order."""
    if group is None:
        return [moments]
    flat = torch.cat([moments.total[None], moments.mean, moments.square])
    D = len(moments.mean)
    return [Moments(0, part[0], part[1 : 1 + D], part[1 + D :]) for part in gather_rows(flat[None], group)]


def gather_rows(values: Tensor, group: ProcessGroup | None) -> Tensor:
    """The rows of every process, one below the other, in their order."""
    if group is None:
        return values
    parts: list[Tensor] = [values] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(parts, values.cpu(), group=group)
    return torch.cat(parts).to(values.device)


def together(compute: Callable[[], Result], group: ProcessGroup | None) -> Result:
    """The result of this process, unless one of the processes refuses its data: then all raise, and none waits for it.

    Raises:
        DataError: naming the process.
    """
    if group is None:
        return compute()
    problem: str | None = None
    try:
        result = compute()
    except DataError as error:
        problem = str(error)
    problems: list[str | None] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(problems, problem, group=group)
    for rank, text in enumerate(problems):
        if text is not None:
            raise DataError(f"process {rank}: {text}")
    return result
