"""Sources of data as blocks of rows: arrays, and iterables of batches."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.arrays import Array, as_array, as_columns, device_of, require_table, to_tensor

Batch = tuple[Array, Array] | tuple[Array, Array, Array]
BLOCK_ELEMENTS = 2**18  # float64 features per block, 2 MiB: fits in cache, and large enough for two threads
DEVICE_BLOCK_ELEMENTS = 2**24  # on another device, 128 MiB: a block of any size takes some thirty kernels


class Block(NamedTuple):
    """A block of rows.

    Attributes:
        features: (n, D).
        targets: (n, L), float64.
        weights: (n,), float64; None if all are 1.
    """

    features: Tensor
    targets: Tensor
    weights: Tensor | None


class Source(Protocol):
    """A source of batches that can be read several times.

    Attributes:
        device: where the features are, which is known after `check`.
    """

    device: torch.device

    def check(self) -> int:
        """Check the shapes and return D.

        Raises:
            DataError: if the shapes do not fit each other.
        """

    def batches(self, block_rows: int) -> Iterator[Batch]:
        """Yield features, targets and, if there are any, weights of at most `block_rows` rows."""


class ArraySource:
    """Features (N, D), targets (N, L) or (N,), and weights (N,) or None."""

    def __init__(
        self, features: ArrayLike | Tensor, targets: ArrayLike | Tensor, weights: ArrayLike | Tensor | None
    ) -> None:
        self.arrays = as_array(features), as_columns(targets), None if weights is None else as_array(weights)
        self.device = device_of(self.arrays[0])

    def check(self) -> int:
        """Check the shapes and return D."""
        require_table(*self.arrays)
        return self.arrays[0].shape[1]

    def batches(self, block_rows: int) -> Iterator[Batch]:
        """Yield slices of the arrays."""
        features, targets, weights = self.arrays
        for start in range(0, len(features), block_rows):
            rows = slice(start, start + block_rows)
            yield (features[rows], targets[rows]) if weights is None else (features[rows], targets[rows], weights[rows])


class BatchSource:
    """An iterable of batches, or a function that returns one.

    Raises:
        DataError: if the iterable can be read only once.
    """

    def __init__(self, given: Iterable[Batch] | Callable[[], Iterable[Batch]]) -> None:
        if not callable(given) and iter(given) is given:
            raise DataError(
                "the batches are an iterator that ends after one pass, and EM needs several: "
                "use a list, a DataLoader, or a function that returns a new iterator"
            )
        self.given = given
        self.device = torch.device("cpu")

    def _open(self) -> Iterator[Batch]:
        return map(_as_batch, self.given() if callable(self.given) else self.given)

    def check(self) -> int:
        """Check the shapes of the first batch and return D."""
        first = next(self._open(), None)
        if first is None:
            raise DataError("the batches are empty: give at least one batch of (features, targets)")
        require_table(*first)
        self.n_features, self.n_targets = first[0].shape[1], first[1].shape[1]
        self.device = device_of(first[0])
        return self.n_features

    def batches(self, block_rows: int) -> Iterator[Batch]:
        """Yield slices of all batches, after checking their shapes."""
        for batch in self._open():
            require_table(*batch)
            found = batch[0].shape[1], batch[1].shape[1]
            if found != (self.n_features, self.n_targets):
                raise DataError(
                    f"a batch has {found[0]} features and {found[1]} targets, the first {self.n_features} "
                    f"and {self.n_targets}: every batch must have the same columns"
                )
            for start in range(0, len(batch[0]), block_rows):
                yield tuple(values[start : start + block_rows] for values in batch)  # type: ignore[misc]


def _as_batch(batch: Batch) -> Batch:
    features, targets, *weights = batch
    return as_array(features), as_columns(targets), *(as_array(w) for w in weights)  # type: ignore[return-value]


def find_device(name: torch.device | str) -> torch.device:
    """Return the device of a name.

    Raises:
        ConfigurationError: if torch does not know the name.
    """
    try:
        return torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"unknown device {name!r}: use 'cpu', 'cuda' or another device of torch") from None


def block_elements(device: torch.device) -> int:
    """Return the number of features per block that suits a device."""
    return BLOCK_ELEMENTS if device.type == "cpu" else DEVICE_BLOCK_ELEMENTS


def read_blocks(source: Source, block_rows: int, device: torch.device) -> Iterator[Block]:
    """Yield the data of a source as blocks on a device; features keep their dtype."""
    for batch in source.batches(block_rows):
        x, y, *w = (to_tensor(values, device) for values in batch)
        yield Block(x, y.double(), w[0].double() if w else None)
