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
CONSTANT = 1e-13  # a standard deviation under this share of the mean is rounding


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

    def scaling(self, n_features: int) -> Scaling:
        """The centre of the features, and the standard units of the targets."""
        variance = self.square / self.total
        variance = torch.where(variance > (CONSTANT * self.mean).square(), variance, torch.zeros_like(variance))
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
    if w is None:
        both = [torch.var_mean(values, dim=0, correction=0) for values in (x, y)]
        variance, mean = (torch.cat(pair) for pair in zip(*both, strict=True))
        total = torch.full((), float(len(x)), dtype=torch.float64, device=x.device)
        return Moments(len(x), total, mean, variance * total)
    total = w.sum()
    share = torch.nan_to_num(w / total)
    means = [share @ x, share @ y]
    squares = [w @ (x - means[0]).square_(), w @ (y - means[1]).square_()]
    return Moments(len(x), total, torch.cat(means), torch.cat(squares))


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
