"""Rows: the only way data enters EM. Blocks of features, targets and weights, passed over once an iteration."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed import ProcessGroup

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.moments import Moments, gather, gather_rows, merge, moments_of, together
from deepgllim.gllim.parameters import Form, Scaling

Array = Tensor | NDArray[np.generic]
Batch = tuple[Array, Array] | tuple[Array, Array, Array]
BLOCK_ELEMENTS = 2**18  # of float64 features at once, 2 MiB: what stays in cache, and keeps two threads busy
KEPT_TARGETS = 2**18  # rows of targets at most that a first mixture is fitted to


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
        features: x, (N, D), a tensor, an array or a memory map of any real dtype.
        targets: y, (N, L).
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
        features: Array,
        targets: Array,
        weights: Array | None = None,
        *,
        scaling: Scaling | None = None,
        block_rows: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        self.arrays = features, targets, weights
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
        self.kept = Kept()  # targets and weights, as they were measured
        moments, n_features = together(lambda: self._measure(block_rows), group)
        self.n_rows = moments.n_rows
        lengths = gather_rows(torch.tensor([moments.n_rows]), group).tolist()
        self.n_total = sum(lengths)
        self.first_row = sum(lengths[: 0 if group is None else torch.distributed.get_rank(group)])
        self.total = self.sum(moments.total)
        self.scaling = scaling or merge(gather(moments, group)).scaling(n_features)
        if not float(self.total) > 0:
            raise DataError("all sample weights are 0: give at least one sample a positive weight")

    def _measure(self, block_rows: int | None) -> tuple[Moments, int]:
        """The first pass: what the rows are, and their number of features."""
        n_features = self._check()
        self.block_rows = block_rows or max(512, BLOCK_ELEMENTS // n_features)
        return measure(self), n_features

    def _check(self) -> int:
        require_table(*self.arrays)
        return self.arrays[0].shape[1]

    def adapt(self, form: Form) -> None:
        """Scale all targets alike where the form needs it: an isotropic Γ would lose its meaning otherwise."""
        if form.target_covariance == "isotropic":
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
        y = gather_rows(self.scaling.standardise(torch.cat(self.kept.targets)), self.group).cpu()
        w = gather_rows(torch.cat(self.kept.weights), self.group).cpu()
        every = -(-len(y) // KEPT_TARGETS)
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
        first = next(iter(self._open_source()), None)
        if first is None:
            raise DataError("the batches are empty: give at least one batch of (features, targets)")
        require_table(*first)
        self.n_features, self.n_targets = first[0].shape[1], first[1].shape[1]
        return self.n_features

    def _open_source(self) -> Iterable[Batch]:
        return self.source() if callable(self.source) else self.source

    def batches(self) -> Iterator[Batch]:
        """Every batch, checked, in pieces of at most `block_rows` rows."""
        for batch in self._open_source():
            require_table(*batch)
            found = batch[0].shape[1], batch[1].shape[1]
            if found != (self.n_features, self.n_targets):
                raise DataError(
                    f"a batch has {found[0]} features and {found[1]} targets, the first {self.n_features} "
                    f"and {self.n_targets}: every batch must have the same columns"
                )
            for start in range(0, len(batch[0]), self.block_rows):
                yield tuple(values[start : start + self.block_rows] for values in batch)  # type: ignore[misc]


class Kept:
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
        if self._count > KEPT_TARGETS:
            self.targets, self.weights = [torch.cat(self.targets)[::2]], [torch.cat(self.weights)[::2]]
            self._every, self._count = 2 * self._every, len(self.targets[0])


def measure(rows: Rows) -> Moments:
    """The moments of all rows in one pass, refusing what is not finite; the targets are kept on the way."""

    def parts() -> Iterator[Moments]:
        n = 0
        for x, y, w in rows.raw():
            for name, block in (("features", x), ("targets", y)) + (() if w is None else (("weights", w[:, None]),)):
                _require_finite(name, block, n)
            if w is not None and bool((w < 0).any()):
                row = int((w < 0).nonzero()[0])
                raise DataError(f"the weight of row {n + row} is {float(w[row]):g}: sample weights must be ≥ 0")
            rows.kept.add(y, torch.ones_like(y[:, 0]) if w is None else w)
            n += len(x)
            yield moments_of(x.double(), y, w)

    moments = merge(parts())
    if not bool(torch.isfinite(moments.square).all()):
        column = int((~torch.isfinite(moments.square)).nonzero()[0])
        raise DataError(
            f"the values of column {column} of [features, targets] are so large that their squares overflow: "
            "give them in a larger unit"
        )
    return moments


def _device(name: torch.device | str | None) -> torch.device:
    try:
        return torch.device(name or "cpu")
    except RuntimeError:
        raise ConfigurationError(f"unknown device {name!r}: use 'cpu', 'cuda' or another of torch") from None


def to_tensor(values: Array, device: torch.device | None = None) -> Tensor:
    """A real tensor without gradients on the device; no copy where none is needed (a read-only array needs one).

    Raises:
        DataError: if the values are not real numbers.
    """
    if not isinstance(values, Tensor):
        if values.dtype.kind not in "fiub":
            raise DataError(f"values of dtype {values.dtype}: give real numbers")
        if values.dtype.kind in "iu" or values.dtype.itemsize not in (4, 8):  # torch lacks some of these
            values = values.astype(np.float64)
        values = np.require(values, values.dtype.newbyteorder("="), ["C", "W"])
        values = torch.from_numpy(values.copy() if min(values.strides, default=0) < 0 else values)
    values = values.detach().to(device)
    if values.is_complex():
        raise DataError(f"values of dtype {values.dtype}: give real numbers")
    return values if values.is_floating_point() and values.itemsize >= 4 else values.double()


def require_table(features: Array, targets: Array, weights: Array | None = None) -> None:
    """Refuse features, targets and weights whose shapes do not belong together.

    Raises:
        DataError: naming the shapes.
    """
    shapes_fit = features.ndim == targets.ndim == 2 and len(features) == len(targets)
    if not shapes_fit or 0 in (features.shape[1], targets.shape[1]):
        raise DataError(
            f"features {tuple(features.shape)} and targets {tuple(targets.shape)} do not fit: "
            "give (N, D) and (N, L) with the same N, D ≥ 1 and L ≥ 1"
        )
    if len(features) == 0:
        raise DataError("there are 0 samples: give at least one row of features and targets")
    if weights is not None and tuple(weights.shape) != (len(features),):
        raise DataError(f"sample weights {tuple(weights.shape)} do not fit {len(features)} samples: give (N,)")


def _require_finite(name: str, block: Tensor, first_row: int) -> None:
    if bool(torch.isfinite(block.sum())) or bool(torch.isfinite(block).all()):
        return
    row, column = (~torch.isfinite(block)).nonzero()[0].tolist()
    raise DataError(
        f"{name} row {first_row + row}, column {column} is {float(block[row, column])}: "
        "every value must be finite; drop or mend the sample"
    )
