"""Features of all training inputs: extraction, start of the projection, exact normalisation, cached activations."""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.nn.batches import batches, map_batches
from deepgllim.nn.config import ScheduleConfig
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.inputs import ArrayInputs, Inputs, allocate
from deepgllim.nn.model import DeepRegression

LARGE = 2048
"""Number of features before the projection above which only the leading axes are computed."""

EXTRA = 64
"""Number of random directions in addition to the wanted axes, which makes these more accurate."""


class TrainingInputs(NamedTuple):
    """Training inputs as the network reads them.

    Attributes:
        source: inputs and targets.
        depth: number of backbone stages whose output `source` contains; None for pixels.
    """

    source: Inputs
    depth: int | None


def initialise_projection(model: DeepRegression, hidden: Tensor) -> Tensor:
    """Set the projection to the leading principal axes of the backbone's features, and return the projected features.

    The axes are not whitened. If there are fewer samples or directions than the model has features after the
    projection, the model is resized to the number of directions.

    Args:
        model: a model with a projection.
        hidden: features before the projection, (N, D').

    Returns:
        Projected features, (N, D), float32.
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
    """Return the principal axes of centred features by decreasing variance.

    With more than `LARGE` features only the leading axes are computed, by a randomized decomposition with a fixed seed:
    the full decomposition of the covariance of VGG-16's features takes a minute.

    Args:
        centred: features of mean 0, (N, D').
        wanted: number of axes needed.

    Returns:
        Variances, and axes as columns (D', number of axes); at least `wanted` of them where there are so many.

    Source: N. Halko, P. Martinsson, J. Tropp, "Finding structure with randomness", 2011.
    """
    if centred.shape[1] <= LARGE:
        try:
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # if most eigenvalues are 0, as for few samples
            _, lengths, axes = torch.linalg.svd(centred, full_matrices=False)
            return lengths.square() / len(centred), axes.T
        return values.flip(0), vectors.flip(1)
    count = min(*centred.shape, wanted + EXTRA)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, lengths, axes = torch.svd_lowrank(centred.float(), count, niter=4)
    return (lengths.square() / len(centred)).double(), axes.double()


def adopt_statistics(model: DeepRegression, projected: Tensor) -> Tensor:
    """Set the statistics of the normalisation to those of projected features (N, D); return these normalised."""
    norm = model.normalisation
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(projected.mean(0))
    norm.running_var.copy_(projected.var(0, correction=0))
    norm.eval()
    return normalise(model, projected)


@torch.no_grad()
def normalise(model: DeepRegression, projected: Tensor) -> Tensor:
    """Return projected features (N, D) on the CPU, normalised by the layer in its present mode."""
    place = model.normalisation.running_mean
    assert place is not None
    normalised: Tensor = model.normalisation(projected.to(place.device))
    return normalised.cpu()


def collect_features(
    model: DeepRegression,
    inputs: TrainingInputs,
    schedule: ScheduleConfig,
    epoch: int | None,
    processes: Processes = ALONE,
) -> tuple[Tensor, Tensor]:
    """Return the projected features of all inputs before normalisation, (N, D), and their targets, (N, L).

    Args:
        model: it is set to evaluation mode.
        inputs: training inputs.
        schedule: batch size and number of workers.
        epoch: epoch whose augmentation is applied; None for the inputs without augmentation.
        processes: each computes the features of its share of the inputs; all of them get all features.
    """
    model.eval()
    features, targets = map_batches(
        lambda x, y: (model.project(x, inputs.depth), y),
        inputs.source,
        schedule.batch_size,
        epoch=epoch,
        workers=schedule.workers,
        processes=processes,
    )
    return features, targets


@torch.no_grad()
def cache_activations(
    model: DeepRegression,
    inputs: Inputs,
    depth: int,
    batch_size: int,
    cache: Path | None = None,
    half: bool = False,
    *,
    processes: Processes = ALONE,
) -> ArrayInputs:
    """Return the output of the first `depth` stages for all inputs, in a memory-mapped file if one is given.

    With `half`, values are stored in half precision, whose relative error is 5e-4, in half the space. With a file, each
    of several processes computes its share.
    """
    model.eval()
    dtype, device = torch.float16 if half else torch.float32, processes.device
    processes = ALONE if cache is None else processes
    stream = batches(inputs, batch_size, processes=processes)
    blocks = (model.backbone.begin(x.to(device), depth).to(dtype).cpu().numpy() for x, _ in stream)
    first = next(blocks)

    def fill(values: NDArray[Any]) -> None:
        position = processes.rows(len(values)).start
        for block in chain([first], blocks):
            values[position : position + len(block)] = block
            position += len(block)

    shape = (len(inputs), *first.shape[1:])
    return ArrayInputs(allocate(shape, first.dtype, cache, fill, processes=processes), inputs.targets)
