"""Inputs of trainings: network inputs and targets by index and epoch, independent of order and number of workers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import crop_face, open_image
from deepgllim.nn.augmentation import PoseRule, augment, context_size, plain
from deepgllim.nn.config import AugmentationConfig, DataConfig
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.storage import reserve, write_atomically

Item = tuple[Tensor, Tensor]
Address = tuple[int, int | None]

ROUNDING_LIMIT = 1e-3
"""Largest error of rounding targets to float32, as a share of their standard deviation."""


class Inputs(Protocol):
    """Interface of a set of N inputs with targets.

    Attributes:
        targets: y, (N, L), float32.
        augmented: whether an item depends on the epoch.
    """

    targets: Tensor
    augmented: bool

    def __len__(self) -> int: ...

    def __getitem__(self, address: Address) -> Item:
        """Return the input and target of (index, epoch); without augmentation if the epoch is None."""
        ...


def single(targets: Tensor) -> Tensor:
    """Return targets (N, L) in float32, the precision of the networks.

    Raises:
        DataError: if rounding changes a target by more than a thousandth of its standard deviation, since its values
            are far from zero.

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
    lost = varies & ((values.double() - targets).abs().amax(0) > ROUNDING_LIMIT * deviation)
    if bool(lost.any()):
        column = int(lost.nonzero()[0])
        raise DataError(
            f"target {column} varies by {float(deviation[column]):.3g} about {float(mean[column]):.3g}, "
            "which float32 rounds: subtract a constant first"
        )
    return values


class ArrayInputs(Dataset[Item]):
    """Inputs in one array or memory map, without augmentation.

    Args:
        values: inputs, (N, ...).
        targets: y, (N, L).

    Raises:
        DataError: if there are not as many inputs as targets, or float32 cannot represent the targets.

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
    """Face crops (3, S, S), uint8, with an augmentation that depends on (seed, epoch, index).

    Args:
        contexts: crops with their surroundings, (N, 3, C, C), uint8, as `prepare_contexts` returns them.
        targets: y, (N, L).
        target_names: names of the targets, by which mirroring and rotation change them.
        image_size: side of the crops in pixels, S.
        config: options of the augmentation.
        seed: seed of the augmentation.
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


def fixed_copies(
    inputs: Inputs, copies: int, cache: Path | None = None, *, processes: Processes = ALONE
) -> ArrayInputs:
    """Return all inputs without augmentation, followed by copies with the augmentation of the first epochs.

    The copies do not change from epoch to epoch, so that the output of frozen stages can be computed once.

    Args:
        inputs: N inputs with augmentation.
        copies: number of augmented copies of each input, with the augmentation of the epochs 0 to copies − 1.
        cache: .npy file for the values; None keeps them in memory.
        processes: with a file, each makes its share of the inputs.

    Returns:
        (1 + copies) N inputs without further augmentation.

    Example:
        >>> plain = ArrayInputs(torch.zeros(5, 3), torch.zeros(5, 1))
        >>> len(fixed_copies(plain, 2))
        15
    """
    n, first = len(inputs), inputs[0, None][0].numpy()
    targets = inputs.targets.repeat(1 + copies, 1)
    processes = ALONE if cache is None else processes
    rows = processes.rows(len(targets))

    def fill(values: NDArray[Any]) -> None:
        for row in rows:
            copy, index = divmod(row, n)
            picture, targets[row] = inputs[index, None if copy == 0 else copy - 1]
            values[row] = picture.numpy()

    values = allocate((len(targets), *first.shape), first.dtype, cache, fill, processes=processes)
    return ArrayInputs(values, processes.gather(targets[rows.start : rows.stop], len(targets)))


def allocate(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    cache: Path | None,
    fill: Callable[[NDArray[Any]], None],
    *,
    processes: Processes = ALONE,
) -> NDArray[Any]:
    """Return an array that `fill` has filled: in memory, or in a memory-mapped, read-only .npy file.

    The file is written atomically, and its space on the disk is reserved before it is filled.

    Args:
        shape: shape of the array.
        dtype: type of its elements.
        cache: .npy file; None for an array in memory.
        fill: function that writes the values into the array; with a file and several processes, its share of them.
        processes: they see the same file; process 0 creates and renames it.

    Raises:
        DataError: if the file cannot be written, or the disk has not enough space for it.
    """
    if cache is None:
        values: NDArray[Any] = np.empty(shape, dtype)
        fill(values)
        return values

    def write(place: Path) -> None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.unlink(missing_ok=True)  # frees the space of an old one; processes that map it keep it
        mapped = np.lib.format.open_memmap(place, mode="w+", dtype=dtype, shape=shape)
        stop = place.stat().st_size
        try:
            reserve(place, mapped.offset, stop)
        except OSError as cause:
            raise OSError(f"{cause.strerror}: {stop / 1e6:.1f} MB are needed") from cause
        processes.agree(str(place))
        fill(mapped)
        mapped.flush()
        processes.wait()

    if processes.rank == 0:
        write_atomically(cache, write)
    else:
        shared = np.lib.format.open_memmap(processes.agree(None) or "", mode="r+")
        fill(shared)
        shared.flush()
        processes.wait()
    processes.wait()  # until the file has its name
    return np.lib.format.open_memmap(cache, mode="r")


def prepare_contexts(
    paths: Sequence[Path],
    boxes: NDArray[np.float64],
    data: DataConfig,
    augmentation: AugmentationConfig,
    cache: Path | None = None,
    *,
    processes: Processes = ALONE,
) -> NDArray[np.uint8]:
    """Read and crop all pictures; the crops include the surroundings that the augmentation needs.

    Args:
        paths: files of the pictures.
        boxes: boxes of the faces, (N, 4); a row of NaN means the whole picture.
        data: image size and margin.
        augmentation: options that determine the size of the surroundings.
        cache: .npy file for the crops; None keeps them in memory.
        processes: with a file, each reads its share of the pictures.

    Returns:
        Crops, (N, 3, C, C), uint8.

    Raises:
        ImageError: if a picture cannot be read, or a box is outside its picture.
        DataError: if the file cannot be written, or the disk has not enough space for it.
    """
    side = context_size(data.image_size, augmentation)
    margin = data.margin * side / data.image_size
    processes = ALONE if cache is None else processes

    def fill(contexts: NDArray[np.uint8]) -> None:
        for i in processes.rows(len(paths)):
            path, box = paths[i], boxes[i]
            tight = tuple(map(float, box)) if np.isfinite(box).all() else None
            image = open_image(path)
            try:
                contexts[i] = crop_face(image, tight, margin, side)
            except ImageError as error:
                raise ImageError(f"{path}: {error}") from None

    return allocate((len(paths), 3, side, side), np.dtype(np.uint8), cache, fill, processes=processes)
