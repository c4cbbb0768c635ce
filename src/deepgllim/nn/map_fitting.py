"""The density of maps in a training: its stage, a check before the first round, and its fit after the last one."""

import warnings

import numpy as np
import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError, TrainingWarning
from deepgllim.nn.batches import map_batches
from deepgllim.nn.config import Recipe
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.features import TrainingInputs
from deepgllim.nn.map_density import fit_map_density
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.progress import Training


def maps_depth(recipe: Recipe) -> int | None:
    """Return the number of stages whose maps have a density, or None: only inverse regression provides log p(x)."""
    return recipe.objective.density_depth if recipe.objective.name == "inverse_regression" else None


def check_stages(recipe: Recipe, stages: int) -> None:
    """Check that a backbone has the number of stages after which the recipe places the density of maps.

    Args:
        recipe: all options.
        stages: number of stages of the backbone.

    Raises:
        ConfigurationError: if it has fewer.
    """
    depth = maps_depth(recipe)
    if depth is not None and depth > stages:
        raise ConfigurationError(f"objective.density_depth is {depth}: the backbone has {stages} stages")


@torch.no_grad()
def check_maps(model: DeepRegression, recipe: Recipe, inputs: TrainingInputs, processes: Processes = ALONE) -> None:
    """Check on one input that the stages of the density of maps have maps as their output; the weights do not change.

    Raises:
        ConfigurationError: if they have another output, or the backbone has fewer stages.
    """
    depth = maps_depth(recipe)
    if depth is None:
        return
    check_stages(recipe, len(model.backbone.stages))
    training = model.training
    model.eval()  # a batch of one must not change the statistics of normalisations
    first = inputs.source[0, None][0][None].to(processes.device)
    shape = tuple(model.stage_output(first, depth, inputs.depth).shape)
    model.train(training)
    if len(shape) != 4:
        raise ConfigurationError(
            f"objective.density_depth is {depth}, but the output of these stages has the shape {shape} instead of "
            "(N, C, H, W): choose fewer stages, or none"
        )


def collect_statistics(
    model: DeepRegression, inputs: TrainingInputs, density_depth: int, batch_size: int, processes: Processes = ALONE
) -> Tensor:
    """Return the statistics of the maps of all inputs, (N, M), float64; see `deepgllim.nn.map_density`.

    Inputs that are augmented differently in every epoch appear twice, without and with the augmentation of epoch 0:
    their light, colours and noise then vary as in the training.

    Args:
        model: it is set to evaluation mode.
        inputs: training inputs, of at most `density_depth` stages.
        density_depth: number of stages whose output is described.
        batch_size: number of inputs in a batch.
        processes: each computes its share; all of them get all statistics.
    """
    model.eval()

    def statistics(maps: Tensor, _: Tensor) -> tuple[Tensor]:
        return (model.statistics(maps, density_depth, inputs.depth),)

    epochs = (None, 0) if inputs.source.augmented else (None,)
    parts = [map_batches(statistics, inputs.source, batch_size, epoch=each, processes=processes) for each in epochs]
    return torch.cat([part for (part,) in parts])


def fit_maps(run: Training, inputs: TrainingInputs) -> None:
    """Fit the density of maps to all training inputs, if the recipe has one and the head provides log p(x).

    If that is not possible, the model has no such density, and a warning names the cause.

    Args:
        run: a training with the model of the best round.
        inputs: the training inputs that are valid for this model; pixels are used if they are of too many stages.
    """
    depth = maps_depth(run.recipe)
    if depth is None:
        return
    source = inputs if (inputs.depth or 0) <= depth else run.given
    statistics = collect_statistics(run.model, source, depth, run.schedule.batch_size, run.processes)
    try:
        run.model.set_map_density(fit_map_density(statistics), depth)
    except (DataError, np.linalg.LinAlgError) as error:
        if run.processes.rank == 0:
            message = f"the model has no density of maps ({error}): its log p(x) is that of the features"
            warnings.warn(message, TrainingWarning, stacklevel=2)
