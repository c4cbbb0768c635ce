"""The rows that EM reads: data of any source in blocks, centred and scaled, in one or several processes."""

from collections.abc import Callable, Iterable, Iterator

import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.blocks import (
    ArraySource,
    Batch,
    BatchSource,
    Block,
    Source,
    block_elements,
    find_device,
    read_blocks,
)
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.distributed import gather_rows, rank, run_in_all, sum_values
from deepgllim.gllim.moments import Moments, TargetSubsample, gather_moments, measure, merge
from deepgllim.gllim.scaling import Scaling
from deepgllim.gllim.spec import MixtureSpec


class Rows:
    """Features and targets in blocks of rows, centred and scaled. EM makes no other copy of the data.

    Args:
        features: x, (N, D): a tensor, array, table, list or memory map of any real dtype.
        targets: y, (N, L), or (N,) for one target.
        weights: weights of the samples, (N,), ≥ 0; a weight of 2 counts as two samples. All 1 if None.
        scaling: how to centre and scale the data; measured in one pass if None.
        block_rows: number of rows per block; at least 512, or as many as fit in 2 MiB (128 MiB on a GPU), by
            default.
        dtype: dtype of the features in the matrix products; sums are float64.
        device: device of the computation; by default that of the features, the CPU if they are not a tensor.
        group: processes that each have a part of the rows; their sums are added.

    Raises:
        DataError: if lengths differ, there are no rows, or a value is not finite; the message gives its row and column.

    Example:
        >>> rows = Rows(torch.randn(100, 5), torch.randn(100, 2), block_rows=32)
        >>> [len(x) for x, y, w in rows]
        [32, 32, 32, 4]
    """

    def __init__(
        self,
        features: ArrayLike | Tensor,
        targets: ArrayLike | Tensor,
        weights: ArrayLike | Tensor | None = None,
        *,
        scaling: Scaling | None = None,
        block_rows: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        source = ArraySource(features, targets, weights)
        self._open(source, scaling=scaling, block_rows=block_rows, dtype=dtype, device=device, group=group)

    def _open(
        self,
        source: Source,
        *,
        scaling: Scaling | None,
        block_rows: int | None,
        dtype: torch.dtype,
        device: torch.device | str | None,
        group: ProcessGroup | None,
    ) -> None:
        if dtype not in (torch.float64, torch.float32):
            raise ConfigurationError(f"dtype is {dtype}: use torch.float64 or torch.float32")
        if block_rows is not None:
            require_integer("block_rows", block_rows, 1)
        self.source, self.dtype, self.group = source, dtype, group
        wanted = None if device is None else find_device(device)
        self.problem: str | None = None  # the error message of this process, in a pass after the first
        self.target_subsample = TargetSubsample()
        moments, n_features = run_in_all(lambda: self._measure(block_rows, wanted), group)
        self.n_rows = moments.n_rows
        lengths = gather_rows(torch.tensor([moments.n_rows]), group).tolist()
        self.n_total = sum(lengths)
        self.first_row = sum(lengths[: rank(group)])
        self.total = self.sum(moments.total)
        whole = merge(gather_moments(moments, group))
        self.scaling = scaling or whole.scaling(n_features)
        self.constant_targets = (whole.variance[n_features:] == 0).nonzero().flatten().tolist()
        if not float(self.total) > 0:
            raise DataError("all sample weights are 0: give at least one sample a positive weight")

    def _measure(self, block_rows: int | None, device: torch.device | None) -> tuple[Moments, int]:
        """Read the rows for the first time; return their moments and D."""
        n_features = self.source.check()
        self.device = device or self.source.device
        self.block_rows = block_rows or max(512, block_elements(self.device) // n_features)
        return measure(self.raw(), self.target_subsample, n_features, self.dtype), n_features

    def adapt(self, spec: MixtureSpec) -> None:
        """Use one scale for all targets if Γ is isotropic, which it would not be under several scales."""
        if spec.target_covariance == "isotropic":
            self.scaling = self.scaling.with_common_target_scale()

    def raw(self) -> Iterator[Block]:
        """Yield the blocks without centring and scaling; features keep their dtype."""
        return read_blocks(self.source, self.block_rows, self.device)

    def __iter__(self) -> Iterator[Block]:
        """Yield the blocks, centred and scaled. The features of a block are overwritten by the next one."""
        origin = self.scaling.feature_mean
        buffer = torch.empty(self.block_rows, len(origin), dtype=self.dtype, device=self.device)
        try:
            for x, y, w in self._same_rows():
                centred = torch.sub(x, origin, out=buffer[: len(x)])
                yield Block(centred, self.scaling.standardise(y), w)
        except DataError as error:
            if self.group is None:
                raise
            self.problem = str(error)  # `sum` raises it in all processes, so that none waits for this one

    def _same_rows(self) -> Iterator[Block]:
        """Yield the blocks of another pass, which must have as many rows as the first."""
        n = 0
        for block in self.raw():
            n += len(block.targets)
            yield block
        if n != self.n_rows:
            raise DataError(
                f"this pass over the batches gave {n} rows, the first gave {self.n_rows}: "
                "every pass must give the same samples"
            )

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes.

        Raises:
            DataError: in every process, if one of them could not use its rows in this pass.
        """
        return sum_values(values, self.group, self.problem)

    def known_targets(self) -> tuple[Tensor, Tensor]:
        """Return standardised targets (n, L) and weights (n,) of all processes: all rows, or evenly spaced ones."""
        targets, weights = self.target_subsample.gathered(self.group)
        return self.scaling.standardise(targets).cpu(), weights.cpu()


class BatchRows(Rows):
    """Rows from batches that are read once per iteration: a list, a `DataLoader`, or a function.

    Args:
        batches: an iterable of (features, targets) or (features, targets, weights) that can be read several times and
            gives the same samples each time; or a function without arguments that returns such an iterable.
        scaling, block_rows, dtype, device, group: as for `Rows`.

    Raises:
        DataError: if there are no batches, a generator is given, or a pass differs in length from the first.

    Example:
        >>> batches = [(torch.randn(60, 5), torch.randn(60, 2)) for _ in range(3)]
        >>> BatchRows(batches, block_rows=40).n_rows
        180
    """

    def __init__(
        self,
        batches: Iterable[Batch] | Callable[[], Iterable[Batch]],
        *,
        scaling: Scaling | None = None,
        block_rows: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        source = BatchSource(batches)
        self._open(source, scaling=scaling, block_rows=block_rows, dtype=dtype, device=device, group=group)
