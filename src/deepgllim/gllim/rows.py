"""Rows: the only way data enters EM. Blocks of features, targets and weights, passed over once an iteration."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.distributed
from numpy.typing import ArrayLike
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.arrays import Array, as_array, as_columns, require_finite, require_table, to_tensor
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.moments import (
    Moments,
    Varied,
    gather,
    gather_rows,
    merge,
    moments_of,
    require_range,
    together,
)
from deepgllim.gllim.parameters import Scaling
from deepgllim.gllim.spec import MixtureSpec

Batch = tuple[Array, Array] | tuple[Array, Array, Array]
BLOCK_ELEMENTS = 2**18  # of float64 features at once, 2 MiB: what stays in cache, and keeps two threads busy
MAX_TARGETS = 2**18  # rows of targets at most that a first mixture is fitted to


class Block(NamedTuple):
    """Some rows.

    Attributes:
        features: (n, D).
        targets: (n, L), float64.
        weights: (n,), float64; None where all are 1.
    """

    features: Tensor
    targets: Tensor
    weights: Tensor | None


class Rows:
    """Features and targets in blocks of rows, centred and scaled: the only copies that EM makes.

    Args:
        features: x, (N, D), a tensor, an array, a table, a list or a memory map of any real dtype.
        targets: y, (N, L), or (N,) for one target.
        weights: of the samples, (N,), ≥ 0; a weight of 2 is the sample twice, 0 is without it. All 1 when None.
        scaling: how to centre and scale; measured in one pass when None.
        block_rows: rows at once; 512, or as many as make 2 MiB, by default.
        dtype: of the features in the matrix products; sums are float64 all the same.
        device: where the sums are made.
        group: processes that hold a part of the rows each; their sums are added.

    Raises:
        DataError: if lengths differ, there are no rows, or a value is not finite; it names the row and column.

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
        self.arrays = as_array(features), as_columns(targets), None if weights is None else as_array(weights)
        self._open(scaling, block_rows, dtype, device, group)

    def _open(
        self,
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
        self.dtype, self.device, self.group = dtype, _device(device), group
        self.problem: str | None = None  # of this process, in a pass after the first
        self.target_subsample = TargetSubsample()  # targets and weights, as they were measured
        moments, n_features = together(lambda: self._measure(block_rows), group)
        self.n_rows = moments.n_rows
        lengths = gather_rows(torch.tensor([moments.n_rows]), group).tolist()
        self.n_total = sum(lengths)
        self.first_row = sum(lengths[: 0 if group is None else torch.distributed.get_rank(group)])
        self.total = self.sum(moments.total)
        whole = merge(gather(moments, group))
        self.scaling = scaling or whole.scaling(n_features)
        self.constant_targets = (whole.variance[n_features:] == 0).nonzero().flatten().tolist()
        if not float(self.total) > 0:
            raise DataError("all sample weights are 0: give at least one sample a positive weight")

    def _measure(self, block_rows: int | None) -> tuple[Moments, int]:
        """The first pass: what the rows are, and their number of features."""
        n_features = self._check()
        self.block_rows = block_rows or max(512, BLOCK_ELEMENTS // n_features)
        return measure(self, n_features), n_features

    def _check(self) -> int:
        require_table(*self.arrays)
        return self.arrays[0].shape[1]

    def adapt(self, spec: MixtureSpec) -> None:
        """Scale all targets alike where the form needs it: an isotropic Γ would lose its meaning otherwise."""
        if spec.target_covariance == "isotropic":
            self.scaling = self.scaling.with_common_target_scale()

    def batches(self) -> Iterator[Batch]:
        """The data as given, in pieces of at most `block_rows` rows."""
        features, targets, weights = self.arrays
        for start in range(0, len(features), self.block_rows):
            rows = slice(start, start + self.block_rows)
            yield (features[rows], targets[rows]) if weights is None else (features[rows], targets[rows], weights[rows])

    def raw(self) -> Iterator[Block]:
        """The blocks as they are, features in their own dtype."""
        for batch in self.batches():
            x, y, *w = (to_tensor(values, self.device) for values in batch)
            yield Block(x, y.double(), w[0].double() if w else None)

    def __iter__(self) -> Iterator[Block]:
        """The blocks, centred and scaled. The features of one are overwritten by the next."""
        origin = self.scaling.feature_mean
        buffer = torch.empty(self.block_rows, len(origin), dtype=self.dtype, device=self.device)
        try:
            for x, y, w in self._same_rows():
                centred = torch.sub(x, origin, out=buffer[: len(x)])
                yield Block(centred, self.scaling.standardise(y), w)
        except DataError as error:
            if self.group is None:
                raise
            self.problem = str(error)  # raised by `sum`, in all processes, so that none waits for this one

    def _same_rows(self) -> Iterator[Block]:
        """The rows of another pass, which must be as many as in the first."""
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
        """The sum over all processes: one all_reduce, or nothing to do.

        Raises:
            DataError: in every process, if one of them could not use its rows in this pass.
        """
        if self.group is None:
            return values
        flat = torch.cat([values.flatten(), values.new_full((1,), float(self.problem is not None))])
        torch.distributed.all_reduce(flat, group=self.group)
        if float(flat[-1]) > 0:
            raise DataError(self.problem or "another process could not use its rows: see what it says")
        return flat[:-1].view_as(values)

    def known_targets(self) -> tuple[Tensor, Tensor]:
        """Standardised targets (n, L) and weights (n,) of all processes, in their order: all, or evenly spread ones."""
        y = gather_rows(self.scaling.standardise(torch.cat(self.target_subsample.targets)), self.group).cpu()
        w = gather_rows(torch.cat(self.target_subsample.weights), self.group).cpu()
        every = -(-len(y) // MAX_TARGETS)
        return y[::every], w[::every]


class BatchRows(Rows):
    """Rows from batches that are passed over once an iteration: a list, a `DataLoader`, or a function.

    Args:
        batches: an iterable of (features, targets) or (features, targets, weights) that can be passed over again and
            gives the same samples each time; or a function without arguments that returns such an iterator.
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
        if not callable(batches) and iter(batches) is batches:
            raise DataError(
                "the batches are an iterator that ends after one pass, and EM needs many: "
                "give a list, a DataLoader, or a function that returns a new iterator"
            )
        self.source = batches
        self._open(scaling, block_rows, dtype, device, group)

    def _check(self) -> int:
        first = next(map(_as_batch, self._open_source()), None)
        if first is None:
            raise DataError("the batches are empty: give at least one batch of (features, targets)")
        require_table(*first)
        self.n_features, self.n_targets = first[0].shape[1], first[1].shape[1]
        return self.n_features

    def _open_source(self) -> Iterable[Batch]:
        return self.source() if callable(self.source) else self.source

    def batches(self) -> Iterator[Batch]:
        """Every batch, checked, in pieces of at most `block_rows` rows."""
        for batch in map(_as_batch, self._open_source()):
            require_table(*batch)
            found = batch[0].shape[1], batch[1].shape[1]
            if found != (self.n_features, self.n_targets):
                raise DataError(
                    f"a batch has {found[0]} features and {found[1]} targets, the first {self.n_features} "
                    f"and {self.n_targets}: every batch must have the same columns"
                )
            for start in range(0, len(batch[0]), self.block_rows):
                yield tuple(values[start : start + self.block_rows] for values in batch)  # type: ignore[misc]


def _as_batch(batch: Batch) -> Batch:
    features, targets, *weights = batch
    return as_array(features), as_columns(targets), *(as_array(w) for w in weights)  # type: ignore[return-value]


class TargetSubsample:
    """Targets and weights of rows spread evenly over all: every row, then every second, fourth, … of many."""

    def __init__(self) -> None:
        self.targets: list[Tensor] = []
        self.weights: list[Tensor] = []
        self._every, self._seen, self._count = 1, 0, 0

    def add(self, targets: Tensor, weights: Tensor) -> None:
        """Keep this block's share."""
        chosen = slice(-self._seen % self._every, None, self._every)
        self._seen += len(targets)
        # copies: the source may use its memory again for the next batch
        self.targets.append(targets[chosen].clone())
        self.weights.append(weights[chosen].clone())
        self._count += len(self.targets[-1])
        if self._count > MAX_TARGETS:
            self.targets, self.weights = [torch.cat(self.targets)[::2]], [torch.cat(self.weights)[::2]]
            self._every, self._count = 2 * self._every, len(self.targets[0])


def measure(rows: Rows, n_features: int) -> Moments:
    """The moments of all rows in one pass, refusing what cannot be used; the targets are kept on the way."""
    varied = Varied()

    def parts() -> Iterator[Moments]:
        n = 0
        for x, y, w in rows.raw():
            for name, block in (("features", x), ("targets", y)) + (() if w is None else (("weights", w[:, None]),)):
                require_finite(name, block, n)
            if w is not None and bool((w < 0).any()):
                row = int((w < 0).nonzero()[0])
                raise DataError(f"the weight of row {n + row} is {float(w[row]):g}: sample weights must be ≥ 0")
            rows.target_subsample.add(y, torch.ones_like(y[:, 0]) if w is None else w)
            n += len(x)
            moments = moments_of(x.double(), y, w)
            varied.add(x, y, w, moments)
            yield moments

    moments = merge(parts())
    if not bool(torch.isfinite(moments.total)):
        raise DataError("the sum of the sample weights overflows: divide them by their mean")
    if float(moments.total) > 0:
        require_range(moments, varied, n_features, rows.dtype)
    return moments


def _device(name: torch.device | str | None) -> torch.device:
    try:
        return torch.device(name or "cpu")
    except RuntimeError:
        raise ConfigurationError(f"unknown device {name!r}: use 'cpu', 'cuda' or another of torch") from None
