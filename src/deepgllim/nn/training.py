"""The alternation: network epochs with θ fixed, features of all inputs, EM; and again. One loop, `train`.

Least squares runs through the same loop, with a linear layer that gradients move where inverse regression has EM.
"""

import csv
import math
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch

from deepgllim.errors import DataError, NumericalError
from deepgllim.nn.checkpoint import TrainingProgress, load_checkpoint, save_checkpoint
from deepgllim.nn.config import Recipe, ScheduleConfig
from deepgllim.nn.evaluation import calibrate, collect_normalised, evaluate
from deepgllim.nn.features import (
    TrainingInputs,
    adopt_statistics,
    cache_activations,
    collect_features,
    initialise_projection,
)
from deepgllim.nn.guard import (
    COMPUTATION_ERRORS,
    MAX_FAILURES,
    Snapshot,
    constant_error,
    find_fault,
    least_error,
    warn_of_failure,
    with_step_scale,
)
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inputs import Inputs, batches, n_batches
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.objectives import Objective, make_objective
from deepgllim.storage import write_atomically


class Reporter(Protocol):
    """Who is told of the progress."""

    def start(self, steps: int, done: int) -> None:
        """The number of network steps in all, and of those done before a resume."""
        ...

    def advance(self, message: str) -> None:
        """One step is done."""
        ...

    def round_done(self, figures: dict[str, float]) -> None:
        """A round is done; its row of metrics."""
        ...


class NullReporter:
    """A reporter that says nothing."""

    def start(self, steps: int, done: int) -> None:
        """Nothing."""

    def advance(self, message: str) -> None:
        """Nothing."""

    def round_done(self, figures: dict[str, float]) -> None:
        """Nothing."""


class TrainingResult(NamedTuple):
    """What a training ends with: the best round's model, calibrated, and a row of figures a round."""

    model: DeepRegression
    history: list[dict[str, float]]


def train(
    model: DeepRegression,
    recipe: Recipe,
    training: Inputs,
    validation: Inputs | None = None,
    *,
    output: Path | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
) -> TrainingResult:
    """Train a model by a recipe: rounds of network epochs and closed-form solutions; the best round is kept.

    Args:
        model: fresh, as `build_model` makes it.
        recipe: all options.
        training: inputs and targets to learn from.
        validation: other people's; tells the best round and calibrates the covariance. None: the last round is kept.
        output: folder for `metrics.csv`, `checkpoint.safetensors` (every round) and `model.safetensors`; None for none.
        resume: go on from the checkpoint in `output`; the result is that of an uninterrupted run.
        reporter: told of the progress.

    Raises:
        ConfigurationError: for options that contradict each other or a checkpoint of another recipe.
        DataError, NumericalError: for inputs from which no mixture can be started.

    Warns:
        TrainingWarning: for a round that ended with a loss, parameters or features that are not finite, a singular
            covariance, fewer components, or a validation error of more than twice the best. It is undone and
            repeated with half the learning rate; three in a row end the training with the best round so far.
    """
    schedule, reporter = recipe.schedule, reporter or NullReporter()
    torch.manual_seed(schedule.seed)
    objective = make_objective(recipe, training.targets)
    if resume:
        state, optimizer = load_checkpoint(model, recipe, output, training.targets, make_optimizer)
        write_metrics(output, state.rows)  # a kill may have come between the checkpoint and them
    else:
        start(model, objective, training, schedule)
        state, optimizer = TrainingProgress(), make_optimizer(model, schedule)
    steps = n_batches(len(training), schedule.batch_size) * schedule.epochs_per_round
    entry = TrainingInputs(training, None)
    reporter.start(steps * schedule.rounds, steps * state.round)
    while state.round < schedule.rounds and state.failures < MAX_FAILURES:
        entry = enter(model, entry, training, frozen_depth(recipe, state.round), schedule, output)
        before = Snapshot.take(model, optimizer)
        row, cause = attempt(model, objective, optimizer, entry, validation, recipe, state, reporter)
        if cause is not None:
            before.restore(model, optimizer)
            state.fail()
            scale = state.step_scale * schedule.learning_rate
            warn_of_failure(state.round + 1, cause, state.failures, scale)
            reporter.start(steps * schedule.rounds, steps * state.round)
            continue
        state.end_round(model, row, f"validation_{schedule.select_by}")
        reporter.round_done(state.rows[-1])
        if output is not None:
            save_checkpoint(output, model, optimizer, state, recipe, training.targets)  # first: a resume needs it
            write_metrics(output, state.rows)
    if state.best_model:
        model.load_state_dict(state.best_model)
    if validation is not None:
        refit(model, objective, entry, validation, schedule)
        calibrate(model, validation)
    model.eval()
    if output is not None:
        model.save(output / "model.safetensors")
    return TrainingResult(model, state.rows)


def attempt(
    model: DeepRegression,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    entry: TrainingInputs,
    validation: Inputs | None,
    recipe: Recipe,
    state: TrainingProgress,
    reporter: Reporter,
) -> tuple[dict[str, float], str | None]:
    """One round: network epochs, closed-form step, validation. Returns its figures, and why it must be undone if so."""
    components = model.head.n_components if isinstance(model.head, InverseRegressionHead) else None
    recipe = with_step_scale(recipe, state.step_scale)
    row: dict[str, float] = {"round": state.round + 1}
    try:
        row |= network_epochs(model, objective, optimizer, entry, validation, recipe, state.round, reporter)
        row |= solve(model, objective, entry, recipe.schedule, state.round)
        if validation is not None:
            row |= {f"validation_{name}": value for name, value in evaluate(model, validation).items()}
    except COMPUTATION_ERRORS as error:
        return row, str(error).partition("\n")[0]
    constant = math.inf if validation is None else constant_error(entry.inputs.targets, validation.targets)
    return row, find_fault(row, components, least_error(state.rows), constant)


def start(model: DeepRegression, objective: Objective, training: Inputs, schedule: ScheduleConfig) -> None:
    """Before the first round: PCA for the projection, statistics of the normalisation, the first solution."""
    model.eval()
    projection = model.projection
    model.projection = torch.nn.Identity()
    hidden, targets = collect_features(
        model, TrainingInputs(training, None), schedule, 0 if schedule.augmented_features else None
    )
    model.projection = projection
    if not bool(torch.isfinite(hidden).all()):
        row = int((~torch.isfinite(hidden)).any(1).nonzero()[0])
        raise DataError(
            f"the backbone's features of training input {row} are not finite: check that input and the weights"
        )
    if model.spec.projection is not None:
        hidden = initialise_projection(model, hidden)
    features = adopt_statistics(model, hidden)
    objective.solve(model.head, features, targets, -1)


def solve(
    model: DeepRegression, objective: Objective, entry: TrainingInputs, schedule: ScheduleConfig, round_: int
) -> dict[str, float]:
    """Between network epochs: features of all inputs, exact normalisation, the objective's closed-form step."""
    began = time.perf_counter()
    epoch = (round_ + 1) * schedule.epochs_per_round if schedule.augmented_features else None
    projected, targets = collect_features(model, entry, schedule, epoch)
    features = adopt_statistics(model, projected)
    if not bool(torch.isfinite(features).all()):
        raise NumericalError("the features of the training inputs are not finite")
    extracted = time.perf_counter()
    figures = objective.solve(model.head, features, targets, round_)
    return figures | {"seconds_features": extracted - began, "seconds_em": time.perf_counter() - extracted}


def refit(
    model: DeepRegression, objective: Objective, entry: TrainingInputs, validation: Inputs, schedule: ScheduleConfig
) -> None:
    """The best round's closed-form part once more, from training and validation people together."""
    projected, targets = collect_features(model, entry, schedule, None)
    with torch.no_grad():
        features = model.normalisation(projected)
    features = torch.cat([features, collect_normalised(model, validation)])
    objective.refit(model.head, features, torch.cat([targets, validation.targets]))


def network_epochs(
    model: DeepRegression,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    entry: TrainingInputs,
    validation: Inputs | None,
    recipe: Recipe,
    round_: int,
    reporter: Reporter,
) -> dict[str, float]:
    """The network step: some epochs of gradient descent with the closed-form part held fixed."""
    schedule = recipe.schedule
    objective.prepare(model.head, round_)
    began, best, kept = time.perf_counter(), math.inf, None
    loss = math.nan
    for epoch in range(round_ * schedule.epochs_per_round, (round_ + 1) * schedule.epochs_per_round):
        loss = one_epoch(model, objective, optimizer, entry, schedule, epoch, reporter)
        if schedule.keep_epoch == "best" and validation is not None:
            value = validation_loss(model, objective, validation, schedule.batch_size)
            if value < best:
                best, kept = value, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if kept is not None:
        model.load_state_dict(kept)
    return {
        "train_loss": loss,
        "learning_rate": optimizer.param_groups[0]["lr"],
        "seconds_network": time.perf_counter() - began,
    }


def one_epoch(
    model: DeepRegression,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    entry: TrainingInputs,
    schedule: ScheduleConfig,
    epoch: int,
    reporter: Reporter,
) -> float:
    """One pass over the shuffled training inputs; the mean loss."""
    model.train()
    per_epoch = n_batches(len(entry.inputs), schedule.batch_size)
    total = per_epoch * schedule.epochs_per_round * schedule.rounds
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    losses = []
    stream = batches(
        entry.inputs, schedule.batch_size, epoch=epoch, shuffle=True, seed=schedule.seed, workers=schedule.workers
    )
    for i, (x, y) in enumerate(stream):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, epoch * per_epoch + i, total, epoch)
        features = model.features(x, entry.depth)
        loss = objective.loss(model.head, features, y)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise NumericalError(
                f"the loss is {losses[-1]} at epoch {epoch + 1}, step {i + 1}, with a learning rate of "
                f"{schedule.learning_rate:g}"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if schedule.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
        optimizer.step()
        objective.follow(model.head, features.detach(), y)
        reporter.advance(f"epoch {epoch + 1}/{schedule.epochs_per_round * schedule.rounds} loss {losses[-1]:.3f}")
    return float(np.mean(losses))


@torch.no_grad()
def validation_loss(model: DeepRegression, objective: Objective, validation: Inputs, batch_size: int) -> float:
    """The network step's loss on validation inputs."""
    model.eval()
    losses = [objective.loss(model.head, model.features(x), y) * len(y) for x, y in batches(validation, batch_size)]
    return float(torch.stack(losses).sum()) / len(validation)


def learning_rate(schedule: ScheduleConfig, step: int, total: int, epoch: int) -> float:
    """The step size at a network step, a function of the step alone so that a resume needs no state.

    Example:
        >>> learning_rate(ScheduleConfig(learning_rate_schedule="halving", learning_rate=8.0, halve_every=2), 0, 1, 5)
        2.0
    """
    peak = schedule.learning_rate
    if schedule.learning_rate_schedule == "constant":
        return peak
    if schedule.learning_rate_schedule == "halving":
        return peak * 0.5 ** (epoch // schedule.halve_every)
    rising = schedule.warm_up * total
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1.0, total - rising)))


def make_optimizer(model: DeepRegression, schedule: ScheduleConfig) -> torch.optim.Optimizer:
    """The recipe's optimiser over all weights; frozen ones have no gradient and stay."""
    weights = list(model.parameters())
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(weights, schedule.learning_rate, weight_decay=schedule.weight_decay)
    return torch.optim.SGD(
        weights,
        schedule.learning_rate,
        momentum=schedule.momentum,
        nesterov=schedule.momentum > 0,
        weight_decay=schedule.weight_decay,
    )


def frozen_depth(recipe: Recipe, round_: int) -> int:
    """How many backbone stages are frozen in a round."""
    depths = recipe.network.frozen_depths
    return depths[min(round_, len(depths) - 1)]


def enter(
    model: DeepRegression,
    entry: TrainingInputs,
    training: Inputs,
    depth: int,
    schedule: ScheduleConfig,
    output: Path | None,
) -> TrainingInputs:
    """Freeze the backbone to a depth; where its frozen part sees the same pictures every epoch, compute it once."""
    model.backbone.freeze(depth)
    if depth == 0 or training.augmented:
        return TrainingInputs(training, None)
    if entry.depth == depth:
        return entry
    cache = None if output is None else output / "cache" / "activations.npy"
    return TrainingInputs(cache_activations(model, training, depth, schedule.batch_size, cache), depth)


def write_metrics(output: Path | None, rows: list[dict[str, float]]) -> None:
    """The figures of the rounds done as `metrics.csv` in the run's folder, if there is one, whole or not at all."""
    if output is not None:
        write_atomically(output / "metrics.csv", lambda place: write_rows(place, rows))


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """A CSV of figures, one row a round; columns are those of all rows in order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
