"""Features of all training inputs: the entry into the network, the projection's start, exact statistics, the cache."""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.nn.config import ScheduleConfig
from deepgllim.nn.inputs import ArrayInputs, Inputs, allocate, batches
from deepgllim.nn.model import DeepRegression

LARGE = 2048
"""Features before the projection from which on only the leading axes are computed."""

EXTRA = 64
"""Random directions beyond the axes wanted, for their accuracy."""


class TrainingInputs(NamedTuple):
    """Where the network is entered: inputs, and the stage their values come from (None: pixels)."""

    inputs: Inputs
    depth: int | None


def initialise_projection(model: DeepRegression, hidden: Tensor) -> Tensor:
    """Set the projection to the leading principal axes of the backbone's features, not whitened; project them.

    With fewer samples or directions than asked for, the projection has as many features as there are directions.
    """
    wanted = model.spec.projection
    assert wanted is not None
    mean = hidden.mean(0, dtype=torch.float64)
    centred = hidden.double() - mean
    values, axes = principal_axes(centred, wanted)
    rank = int((values > 1e-7 * values[0]).sum())
    kept = max(1, min(wanted, rank, len(hidden) - 1))
    if kept < wanted:
        model.resize(kept)
    axes = axes[:, :kept]
    projection = model.projection
    assert isinstance(projection, torch.nn.Linear)
    with torch.no_grad():
        projection.weight.copy_(axes.T)
        projection.bias.copy_(-mean @ axes)
    return torch.as_tensor(centred @ axes, dtype=torch.float32)


def principal_axes(centred: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Variances by falling size, and their axes (D', ...), of centred features (N, D'), at least those wanted.

    Of more than `LARGE` features only the leading axes are computed, from random directions of a seed of their own:
    the decomposition of a covariance of VGG-16's features takes a minute.

    Source: N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness", 2011.
    """
    if centred.shape[1] <= LARGE:
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        return values.flip(0), vectors.flip(1)
    count = min(*centred.shape, wanted + EXTRA)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, lengths, axes = torch.svd_lowrank(centred.float(), count, niter=4)
    return (lengths.square() / len(centred)).double(), axes.double()


def adopt_statistics(model: DeepRegression, projected: Tensor) -> Tensor:
    """Set the normalisation's running statistics to those of all projected features; return the normalised ones."""
    norm = model.normalisation
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(projected.mean(0))
    norm.running_var.copy_(projected.var(0, correction=0))
    with torch.no_grad():
        normalised: Tensor = norm.eval()(projected)
    return normalised


@torch.no_grad()
def collect_features(
    model: DeepRegression, entry: TrainingInputs, schedule: ScheduleConfig, epoch: int | None
) -> tuple[Tensor, Tensor]:
    """The projected features of all inputs before normalisation, (N, D), in evaluation mode, and their targets.

    In order and plain when `epoch` is None, else as that epoch augments them.
    """
    model.eval()
    stream = batches(entry.inputs, schedule.batch_size, epoch=epoch, shuffle=False, workers=schedule.workers)
    parts = [(model.project(x, entry.depth), y) for x, y in stream]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@torch.no_grad()
def cache_activations(
    model: DeepRegression, inputs: Inputs, depth: int, batch_size: int, cache: Path | None = None
) -> ArrayInputs:
    """The output of the frozen stages for all inputs, in a memory-mapped file, or in memory when there is none."""
    model.eval()
    blocks = (model.backbone.begin(x, depth).numpy() for x, _ in batches(inputs, batch_size))
    first = next(blocks)

    def fill(values: NDArray[Any]) -> None:
        position = 0
        for block in chain([first], blocks):
            values[position : position + len(block)] = block
            position += len(block)

    return ArrayInputs(allocate((len(inputs), *first.shape[1:]), first.dtype, cache, fill), inputs.targets)
