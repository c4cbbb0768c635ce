"""What the training reads: network inputs with targets, by index and epoch, the same whatever the order or worker."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import crop_face, open_image
from deepgllim.nn.augmentation import PoseRule, augment, context_size, plain
from deepgllim.nn.config import AugmentationConfig, DataConfig
from deepgllim.storage import reserve, write_atomically

Item = tuple[Tensor, Tensor]
Address = tuple[int, int | None]

LEAST_TOLD = 1e-3
"""Share of the targets' standard deviation that rounding to float32 may take."""


class Inputs(Protocol):
    """N inputs with targets.

    Attributes:
        targets: y, (N, L), float32.
        augmented: whether an item depends on its epoch.
    """

    targets: Tensor
    augmented: bool

    def __len__(self) -> int: ...

    def __getitem__(self, address: Address) -> Item:
        """The input and target of (index, epoch); the epoch None is the plain one, without augmentation."""
        ...


def single(targets: Tensor) -> Tensor:
    """Targets (N, L) in float32, as networks answer them.

    Raises:
        DataError: targets so far from zero that float32 tells less than a thousandth of their standard deviation.

    Example:
        >>> single(torch.tensor([[0.0], [0.5]]).double() + 1e7)
        Traceback (most recent call last):
        ...
        deepgllim.errors.DataError: target 0 varies by 0.25 about 1e+07, which float32 rounds: subtract a constant first
    """
    values = targets.float()
    if targets.dtype != torch.float64 or not len(targets):
        return values
    deviation, mean = torch.std_mean(targets, dim=0, correction=0)
    varies = deviation > 8 * torch.finfo(torch.float64).eps * mean.abs()  # else it is constant
    lost = varies & ((values.double() - targets).abs().amax(0) > LEAST_TOLD * deviation)
    if bool(lost.any()):
        column = int(lost.nonzero()[0])
        raise DataError(
            f"target {column} varies by {float(deviation[column]):.3g} about {float(mean[column]):.3g}, "
            "which float32 rounds: subtract a constant first"
        )
    return values


class ArrayInputs(Dataset[Item]):
    """Inputs held as one array or memory map, without augmentation.

    Example:
        >>> inputs = ArrayInputs(torch.zeros(5, 3), torch.zeros(5, 1))
        >>> len(inputs), inputs[2, None][0].shape
        (5, torch.Size([3]))
    """

    augmented = False

    def __init__(self, values: Tensor | NDArray[np.generic], targets: Tensor) -> None:
        if len(values) != len(targets):
            raise DataError(f"{len(values)} inputs but {len(targets)} targets: give one target row for every input")
        self.values, self.targets = values, single(targets)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, address: Address) -> Item:
        index, _ = address
        value = self.values[index]
        return (value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))), self.targets[index]


class FaceInputs(Dataset[Item]):
    """Face crops (3, S, S) uint8, augmented anew every epoch from (seed, epoch, index).

    Args:
        contexts: crops with their surroundings, (N, 3, C, C) uint8, as `prepare_contexts` makes them.
        targets: y, (N, L).
        target_names: their names, which tell how a mirror or a turn changes them.
        image_size: S.
        config: the augmentation.
        seed: of the augmentation.
    """

    def __init__(
        self,
        contexts: NDArray[np.uint8],
        targets: Tensor,
        target_names: Sequence[str],
        image_size: int,
        config: AugmentationConfig,
        seed: int = 0,
    ) -> None:
        self.contexts, self.targets, self.image_size = contexts, single(targets), image_size
        self.config, self.seed, self.augmented = config, seed, config.changes_pictures
        self.rule = PoseRule(target_names, config)

    def __len__(self) -> int:
        return len(self.contexts)

    def __getitem__(self, address: Address) -> Item:
        index, epoch = address
        context, target = self.contexts[index], self.targets[index]
        if epoch is None or not self.augmented:
            return torch.from_numpy(np.array(plain(context, self.image_size))), target
        generator = np.random.default_rng((self.seed, epoch, index))
        picture, change = augment(context, self.image_size, self.config, generator)
        return torch.from_numpy(picture), torch.from_numpy(self.rule(target.numpy(), change)).float()


def fixed_copies(inputs: Inputs, copies: int, cache: Path | None = None) -> ArrayInputs:
    """Every input as it is, then as the epochs 0 to copies − 1 augment it, (1 + copies) N in all, made once.

    No epoch changes them any more, so that what frozen stages make of them can be computed once.

    Args:
        inputs: augmented ones.
        copies: of each, beside the plain one.
        cache: a .npy file to hold them; memory when None.

    Example:
        >>> plain = ArrayInputs(torch.zeros(5, 3), torch.zeros(5, 1))
        >>> len(fixed_copies(plain, 2))
        15
    """
    n, first = len(inputs), inputs[0, None][0].numpy()
    targets = inputs.targets.repeat(1 + copies, 1)

    def fill(values: NDArray[Any]) -> None:
        for row in range(len(values)):
            copy, index = divmod(row, n)
            picture, targets[row] = inputs[index, None if copy == 0 else copy - 1]
            values[row] = picture.numpy()

    return ArrayInputs(allocate(((1 + copies) * n, *first.shape), first.dtype, cache, fill), targets)


def allocate(
    shape: tuple[int, ...], dtype: np.dtype[Any], cache: Path | None, fill: Callable[[NDArray[Any]], None]
) -> NDArray[Any]:
    """An array that `fill` has filled: in memory, or in a memory-mapped .npy file, then read-only.

    The file has another name until it is whole, and its room on the disk before it is filled.

    Raises:
        DataError: if the file cannot be written, or the disk has no room for it.
    """
    if cache is None:
        values: NDArray[Any] = np.empty(shape, dtype)
        fill(values)
        return values

    def write(place: Path) -> None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.unlink(missing_ok=True)  # an old one would take the room of the new one; processes that map it keep it
        mapped = np.lib.format.open_memmap(place, mode="w+", dtype=dtype, shape=shape)
        stop = place.stat().st_size
        try:
            reserve(place, mapped.offset, stop)
        except OSError as cause:
            raise OSError(f"{cause.strerror}: {stop / 1e6:.1f} MB are needed") from cause
        fill(mapped)
        mapped.flush()

    write_atomically(cache, write)
    return np.lib.format.open_memmap(cache, mode="r")


def prepare_contexts(
    paths: Sequence[Path],
    boxes: NDArray[np.float64],
    data: DataConfig,
    augmentation: AugmentationConfig,
    cache: Path | None = None,
) -> NDArray[np.uint8]:
    """Read and crop every picture once, (N, 3, C, C) uint8: in memory, or in a memory-mapped file.

    Args:
        paths: of the pictures.
        boxes: (N, 4); a row of NaN stands for the whole picture.
        data: image size and margin.
        augmentation: tells how much of the surroundings to keep.
        cache: a .npy file to hold the crops; memory when None.

    Raises:
        ImageError: for a picture that cannot be read or a box outside it.
        DataError: if the file cannot be written, or the disk has no room for it.
    """
    side = context_size(data.image_size, augmentation)
    margin = data.margin * side / data.image_size

    def fill(contexts: NDArray[np.uint8]) -> None:
        for i, (path, box) in enumerate(zip(paths, boxes, strict=True)):
            tight = tuple(map(float, box)) if np.isfinite(box).all() else None
            image = open_image(path)
            try:
                contexts[i] = crop_face(image, tight, margin, side)
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from None

    return allocate((len(paths), 3, side, side), np.dtype(np.uint8), cache, fill)


def batches(
    inputs: Inputs, size: int, *, epoch: int | None = None, shuffle: bool = False, seed: int = 0, workers: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of inputs and targets, plain when `epoch` is None, else as that epoch augments them.

    In order, or shuffled by (seed, epoch) for training; then a last batch of a single sample joins the one before it,
    since batch normalisation cannot train on one.
    """
    n = len(inputs)
    if not shuffle:
        order = list(range(n))
    else:
        assert epoch is not None
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(n, generator=generator).tolist()
    groups = [order[i : i + size] for i in range(0, n, size)]
    if shuffle and len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    addresses = [[(index, epoch) for index in group] for group in groups]
    own = torch.Generator()  # the loader's, so that it draws nothing from the global one: a resume reads caches anew
    return iter(DataLoader(inputs, batch_sampler=addresses, num_workers=workers, generator=own))  # type: ignore[arg-type]


def n_batches(n: int, size: int) -> int:
    """How many batches `batches` gives in a shuffled epoch."""
    return max(1, n // size if n % size == 1 else -(-n // size))
