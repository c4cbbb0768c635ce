"""Batches of inputs: the shuffled ones of an epoch, and functions of all inputs, one batch at a time."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.inputs import Inputs, Item


def batches(
    inputs: Inputs,
    size: int,
    *,
    epoch: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    processes: Processes = ALONE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over batches of inputs and targets, or over the rows of this process among them.

    Args:
        inputs: N inputs.
        size: number of inputs in a batch.
        epoch: epoch whose augmentation is applied; None for the inputs without augmentation.
        shuffle: shuffle the inputs by (seed, epoch). A last batch of one input is then joined to the batch before it,
            since batch normalisation cannot train on one input; so is one with fewer inputs than processes.
        seed: seed of the order.
        workers: number of processes that prepare inputs; 0 for none.
        processes: if the inputs are shuffled, each has a share of every batch; otherwise, of all inputs.
    """
    n = len(inputs)
    if not shuffle:
        order = list(processes.rows(n))
    else:
        assert epoch is not None
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(n, generator=generator).tolist()
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    if shuffle and len(groups) > 1 and len(groups[-1]) < max(2, processes.size):
        groups[-2:] = [groups[-2] + groups[-1]]
    if shuffle:
        groups = [[group[i] for i in processes.rows(len(group))] for group in groups]
    addresses = [[(index, epoch) for index in group] for group in groups]
    # without its own generator the loader would draw from the global one, and a resumed training reads caches again
    own = torch.Generator()
    pinned = workers > 0 and processes.device.type == "cuda"
    loader: DataLoader[Item] = DataLoader(
        inputs,  # type: ignore[arg-type]
        batch_sampler=addresses,
        num_workers=workers,
        generator=own,
        pin_memory=pinned,
    )
    return iter(loader)


def n_batches(n: int, size: int, least: int = 2) -> int:
    """Return the number of batches of a shuffled epoch of n inputs; a last batch of fewer than `least` is joined."""
    return max(1, n // size if 0 < n % size < least else -(-n // size))


def batch_length(n: int, size: int, index: int, least: int = 2) -> int:
    """Return the number of inputs in a batch of a shuffled epoch of n inputs.

    Example:
        >>> [batch_length(9, 4, i) for i in range(n_batches(9, 4))]
        [4, 5]
    """
    return n - index * size if index == n_batches(n, size, least) - 1 else size


@torch.no_grad()
def map_batches(
    function: Callable[[Tensor, Tensor], tuple[Tensor, ...]],
    inputs: Inputs,
    size: int,
    *,
    epoch: int | None = None,
    workers: int = 0,
    processes: Processes = ALONE,
) -> tuple[Tensor, ...]:
    """Apply a function to the batches of all N inputs, and return its concatenated results on the CPU.

    Args:
        function: function of n inputs on the device of the process and their targets (n, L); it returns tensors
            (n, ...).
        inputs: N inputs.
        size: number of inputs in a batch.
        epoch: epoch whose augmentation is applied; None for the inputs without augmentation.
        workers: number of processes that prepare inputs; 0 for none.
        processes: each applies the function to its share of the inputs; all of them get all results.

    Returns:
        As many tensors as the function returns, (N, ...).

    Example:
        >>> from deepgllim.nn.inputs import ArrayInputs
        >>> (sums,) = map_batches(lambda x, y: (x.sum(1),), ArrayInputs(torch.ones(5, 3), torch.zeros(5, 1)), 2)
        >>> sums
        tensor([3., 3., 3., 3., 3.])
    """
    stream = batches(inputs, size, epoch=epoch, workers=workers, processes=processes)
    found = [[part.cpu() for part in function(x.to(processes.device), y)] for x, y in stream]
    return tuple(processes.gather(torch.cat(parts), len(inputs)) for parts in zip(*found, strict=True))
