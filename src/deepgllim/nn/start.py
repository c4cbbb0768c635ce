"""The start of a training: its first state, or a restored one, and the output of the frozen stages."""

from pathlib import Path

import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.nn.checkpoint import load_checkpoint
from deepgllim.nn.config import Recipe, ScheduleConfig
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.features import (
    TrainingInputs,
    adopt_statistics,
    cache_activations,
    collect_features,
    initialise_projection,
)
from deepgllim.nn.inputs import Inputs
from deepgllim.nn.map_fitting import check_maps, maps_depth
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.network_step import place
from deepgllim.nn.objectives import check_components, make_objective
from deepgllim.nn.optimization import make_optimizer
from deepgllim.nn.progress import Training
from deepgllim.nn.reporting import write_metrics


def check_depth(recipe: Recipe, depth: int | None) -> None:
    """Check that a training from the output of `depth` stages freezes exactly these stages in every round.

    Raises:
        ConfigurationError: if it does not, or the density of maps is that of fewer stages.
    """
    if depth is not None and set(recipe.network.frozen_depths) != {depth}:
        raise ConfigurationError(
            f"network.frozen_depths is {list(recipe.network.frozen_depths)}, but the inputs are the output of {depth} "
            f"stages: set it to [{depth}]"
        )
    wanted = maps_depth(recipe)
    if depth is not None and wanted is not None and wanted < depth:
        raise ConfigurationError(
            f"objective.density_depth is {wanted}, but the inputs are the output of {depth} stages: set it to {depth}"
        )


def start_training(
    model: DeepRegression,
    recipe: Recipe,
    inputs: Inputs | TrainingInputs,
    *,
    warm_start: bool = False,
    output: Path | None = None,
    processes: Processes = ALONE,
) -> Training:
    """Initialise projection, normalisation and head from all training inputs: the state before the first round.

    Args:
        model: as in `train`.
        recipe: all options.
        inputs: training inputs: pixels, or the output of frozen stages with their number.
        warm_start: keep the projection.
        output: folder for the output of the frozen stages, where it is computed once.
        processes: this process and those with which it trains.

    Raises:
        ConfigurationError: if the recipe has another objective than the model has a head for, or a density of maps of
            stages whose output has no maps.
        DataError: if the features of an input are not finite, or the mixture has more components than there are
            distinct targets.
    """
    given = inputs if isinstance(inputs, TrainingInputs) else TrainingInputs(inputs, None)
    targets = given.source.targets
    check_components(recipe.objective, targets)
    model.set_map_density(None)  # that of an earlier training
    place(model, processes, recipe.schedule.precision)
    check_maps(model, recipe, given, processes)
    source = freeze(model, recipe, 0, given, given, output, processes)
    hidden, ordered = collect_hidden(model, source, recipe.schedule, processes)
    if warm_start:
        with torch.no_grad():
            hidden = model.projection(hidden.to(processes.device)).cpu()
    elif model.spec.projection is not None:
        hidden = initialise_projection(model, hidden)
        place(model, processes)  # its layers may be new
    features = adopt_statistics(model, hidden)
    objective = make_objective(model.head, recipe, targets, processes)
    objective.start(features, ordered)
    optimizer = make_optimizer(model, recipe.schedule)
    return Training(model, recipe, given, source, objective, optimizer, processes=processes)


def collect_hidden(
    model: DeepRegression, inputs: TrainingInputs, schedule: ScheduleConfig, processes: Processes = ALONE
) -> tuple[Tensor, Tensor]:
    """Return the features of all inputs before the projection, (N, D'), and their targets, (N, L)."""
    projection = model.projection
    model.projection = torch.nn.Identity()
    epoch = 0 if schedule.augmented_features else None
    hidden, targets = collect_features(model, inputs, schedule, epoch, processes)
    model.projection = projection
    if not bool(torch.isfinite(hidden).all()):
        row = int((~torch.isfinite(hidden)).any(1).nonzero()[0])
        raise DataError(
            f"the backbone's features of training input {row} are not finite: check that input and the weights"
        )
    return hidden, targets


def resume_training(
    model: DeepRegression,
    recipe: Recipe,
    given: TrainingInputs,
    output: Path | None,
    processes: Processes = ALONE,
) -> Training:
    """Restore the state after the last round that was saved in a folder."""
    targets = given.source.targets
    model.set_map_density(None)  # a checkpoint has none
    place(model, processes, recipe.schedule.precision)
    progress, optimizer = load_checkpoint(model, recipe, targets, output)
    if processes.rank == 0:
        write_metrics(output, progress.rows)  # the process may have been killed between the checkpoint and the metrics
    objective = make_objective(model.head, recipe, targets, processes)
    return Training(model, recipe, given, given, objective, optimizer, progress=progress, processes=processes)


def freeze_stages(run: Training) -> None:
    """Freeze the backbone to the depth of the present round, or of the last one, and read the inputs from there."""
    round_ = min(run.progress.round, run.schedule.rounds - 1)
    run.inputs = freeze(run.model, run.recipe, round_, run.given, run.inputs, run.output, run.processes)


def freeze(
    model: DeepRegression,
    recipe: Recipe,
    round_: int,
    given: TrainingInputs,
    present: TrainingInputs,
    output: Path | None,
    processes: Processes = ALONE,
) -> TrainingInputs:
    """Freeze the backbone to the depth of a round, and return the training inputs as the network reads them.

    Where the frozen stages see the same pictures every epoch, their output is computed once.

    Args:
        model: the model.
        recipe: all options.
        round_: index of the round.
        given: training inputs as they were given.
        present: the inputs of the round before.
        output: folder of the run, whose cache contains the output of the frozen stages.
        processes: each computes its share of that output.
    """
    depths, schedule = recipe.network.frozen_depths, recipe.schedule
    depth = depths[min(round_, len(depths) - 1)]
    model.backbone.freeze(depth)
    if given.depth is None and (depth == 0 or given.source.augmented):
        return given
    if present.depth == depth:
        return present
    cache = None if output is None else output / "cache" / "activations.npy"
    activations = cache_activations(
        model, given.source, depth, schedule.batch_size, cache, schedule.half_cache, processes=processes
    )
    return TrainingInputs(activations, depth)
