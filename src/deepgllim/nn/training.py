"""The training loop: network epochs, features of all inputs, closed-form solution, validation; round by round.

`train` is the loop. All objectives go through it; they differ in the loss and in what is solved in closed form.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepgllim.errors import NumericalError
from deepgllim.nn.batches import batch_length, batches
from deepgllim.nn.checkpoint import save_checkpoint
from deepgllim.nn.config import Recipe
from deepgllim.nn.distributed import ALONE, Processes, check_processes
from deepgllim.nn.evaluation import calibrate, collect_normalised, evaluate
from deepgllim.nn.features import (
    TrainingInputs,
    adopt_statistics,
    collect_features,
    normalise,
)
from deepgllim.nn.guard import (
    COMPUTATION_ERRORS,
    MAX_FAILURES,
    Snapshot,
    constant_error,
    find_fault,
    least_error,
    warn_of_failure,
)
from deepgllim.nn.inputs import Inputs
from deepgllim.nn.map_fitting import fit_maps
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.network_step import NetworkStep, place
from deepgllim.nn.optimization import learning_rate
from deepgllim.nn.progress import Training
from deepgllim.nn.reporting import NullReporter, Reporter, write_metrics
from deepgllim.nn.start import check_depth, freeze_stages, resume_training, start_training


class TrainingResult(NamedTuple):
    """The result of a training.

    Attributes:
        model: the model of the best round, calibrated, in evaluation mode.
        history: the metrics of each round.
        exported: the ONNX file of the model, if one was written (`deepgllim.runs.train_run`).
    """

    model: DeepRegression
    history: list[dict[str, float]]
    exported: Path | None = None


def train(
    model: DeepRegression,
    recipe: Recipe,
    training: Inputs,
    validation: Inputs | None = None,
    *,
    output: Path | None = None,
    resume: bool = False,
    warm_start: bool = False,
    depth: int | None = None,
    reporter: Reporter | None = None,
    processes: Processes = ALONE,
) -> TrainingResult:
    """Train a model by a recipe and return that of the best round.

    Args:
        model: an untrained model, as `build_model` returns it; with `warm_start` a trained one.
        recipe: all options.
        training: inputs and targets to learn from.
        validation: inputs and targets of other people, which select the best round and calibrate the predicted
            covariances. If None, the last round is kept.
        output: folder for `metrics.csv`, `checkpoint.safetensors` (both written every round) and
            `model.safetensors`. If None, nothing is written.
        resume: continue from the checkpoint in `output`; the result is that of an uninterrupted training.
        warm_start: keep the projection of the model instead of starting it at the principal axes of the backbone's
            features. The head is initialised from the inputs in either case.
        depth: number of frozen backbone stages whose output the training inputs are, so that several trainings can
            share it; None for pixels. The validation inputs are pixels.
        reporter: receives the progress.
        processes: this process and those with which it trains (`launched_processes`). All of them call this function
            with the same arguments, see the same output folder, and get the same result; process 0 writes it.

    Raises:
        ConfigurationError: if options contradict each other, the checkpoint belongs to another recipe, or there are
            more processes than inputs.
        DataError: if the inputs cannot be used to start the mixture.
        ModelError: if the checkpoint is missing, damaged or does not fit the model.

    Warns:
        TrainingWarning: if a round ended with a loss, parameters or features that are not finite, a singular
            covariance, fewer components, or a validation error of more than twice the best. The round is undone and
            repeated with half the learning rate; after three failures in a row the training ends with the best round
            so far. Also if the density of maps cannot be fitted.
    """
    torch.manual_seed(recipe.schedule.seed)
    check_depth(recipe, depth)
    given = TrainingInputs(training, depth)
    counts = {"training_inputs": len(training), "inputs_in_a_batch": recipe.schedule.batch_size}
    check_processes(processes, **counts, **({} if validation is None else {"validation_inputs": len(validation)}))
    if resume:
        run = resume_training(model, recipe, given, output, processes)
    else:
        run = start_training(model, recipe, given, warm_start=warm_start, output=output, processes=processes)
    run.validation, run.output, run.reporter = validation, output, reporter or NullReporter()
    run.report_start()
    if resume:
        run.reporter.status(f"continuing after round {run.progress.round}")
        freeze_stages(run)  # for the fits after the last round, if no round is left
    while run.progress.round < recipe.schedule.rounds and run.progress.failures < MAX_FAILURES:
        freeze_stages(run)
        before = Snapshot.take(model, run.optimizer)
        row, fault = run_round(run)
        if fault is None:
            end_round(run, row)
            continue
        before.restore(model, run.optimizer)
        run.progress.fail()
        if processes.rank == 0:
            warn_of_failure(run.progress.round + 1, fault, run.progress.failures, run.schedule.learning_rate)
        run.report_start()
    return end_training(run)


def run_round(run: Training) -> tuple[dict[str, float], str | None]:
    """Run the present round: network epochs, closed-form step, validation.

    Returns:
        Its metrics, and the reason for which the round must be undone, if there is one.
    """
    components = run.objective.n_components
    row: dict[str, float] = {"round": run.progress.round + 1}
    try:
        row |= network_epochs(run)
        row |= solve(run)
        if run.validation is not None:
            found = evaluate(run.model, run.validation, run.processes)
            row |= {f"validation_{name}": value for name, value in found.items()}
    except COMPUTATION_ERRORS as error:
        return row, run.processes.agree(str(error).partition("\n")[0])
    targets, validation = run.given.source.targets, run.validation
    constant = math.inf if validation is None else constant_error(targets, validation.targets)
    return row, run.processes.agree(find_fault(row, components, least_error(run.progress.rows), constant))


def network_epochs(run: Training) -> dict[str, float]:
    """Train the network for the epochs of a round, and return the metrics; the closed-form part is not solved again."""
    schedule, first = run.schedule, run.progress.round * run.schedule.epochs_per_round
    run.objective.prepare(run.progress.round)
    began, best, kept = time.perf_counter(), math.inf, None
    loss = math.nan
    for epoch in range(first, first + schedule.epochs_per_round):
        loss = one_epoch(run, epoch)
        if schedule.keep_epoch == "best" and run.validation is not None:
            value = validation_loss(run, run.validation)
            if value < best:
                best, kept = value, {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    if kept is not None:
        run.model.load_state_dict(kept)
    return {
        "train_loss": loss,
        "learning_rate": run.optimizer.param_groups[0]["lr"],
        "seconds_network": time.perf_counter() - began,
    }


def one_epoch(run: Training, epoch: int) -> float:
    """Train the network on all training inputs once, in shuffled batches, and return the mean loss."""
    run.model.train()
    schedule, per_epoch = run.schedule, run.steps_per_epoch
    n_epochs = schedule.epochs_per_round * schedule.rounds
    losses, step = [], run.network_step()
    with step.shared_statistics():
        for i, (x, y) in enumerate(epoch_batches(run, epoch)):
            for group in run.optimizer.param_groups:
                group["lr"] = learning_rate(schedule, epoch * per_epoch + i, per_epoch * n_epochs, epoch)
            total = batch_length(len(run.inputs.source), schedule.batch_size, i, run.least)
            features = step.features(x)
            loss = step.weighted(run.objective.loss(features, y), len(y), total)
            losses.append(float(run.processes.sum(loss.detach())) / run.processes.size)
            if not math.isfinite(losses[-1]):
                raise NumericalError(
                    f"the loss is {losses[-1]} at epoch {epoch + 1}, step {i + 1}, with a learning rate of "
                    f"{schedule.learning_rate:g}"
                )
            descend(run.optimizer, loss, schedule.clip_norm, step)
            run.objective.update(features.detach(), y, total)
            run.reporter.advance(f"epoch {epoch + 1}/{n_epochs} loss {losses[-1]:.3f}")
    return float(np.mean(losses))


def epoch_batches(run: Training, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over this process's rows of the shuffled batches of an epoch."""
    schedule = run.recipe.schedule
    return batches(
        run.inputs.source,
        schedule.batch_size,
        epoch=epoch,
        shuffle=True,
        seed=schedule.seed,
        workers=schedule.workers,
        processes=run.processes,
    )


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float | None, step: NetworkStep) -> None:
    """Take one step of the optimizer along the gradient of a loss, whose norm is clipped if a limit is given."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    step.average_head_gradients()
    if clip_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()


@torch.no_grad()
def validation_loss(run: Training, inputs: Inputs) -> float:
    """Return the mean loss of the network step on inputs, in evaluation mode."""
    model, device = run.model.eval(), run.processes.device
    stream = batches(inputs, run.recipe.schedule.batch_size, processes=run.processes)
    losses = [run.objective.loss(model.features(x.to(device)).cpu(), y) * len(y) for x, y in stream]
    return float(run.processes.sum(torch.stack(losses).sum())) / len(inputs)


def solve(run: Training) -> dict[str, float]:
    """Set the normalisation to the statistics of all features, solve the closed-form part, and return the metrics."""
    began = time.perf_counter()
    schedule, round_ = run.recipe.schedule, run.progress.round
    epoch = (round_ + 1) * schedule.epochs_per_round if schedule.augmented_features else None
    projected, targets = collect_features(run.model, run.inputs, schedule, epoch, run.processes)
    features = adopt_statistics(run.model, projected)
    if not bool(torch.isfinite(features).all()):
        raise NumericalError("the features of the training inputs are not finite")
    extracted = time.perf_counter()
    metrics = run.objective.solve(features, targets, round_)
    return metrics | {"seconds_features": extracted - began, "seconds_em": time.perf_counter() - extracted}


def end_round(run: Training, row: dict[str, float]) -> None:
    """Record a finished round, report it and save the state."""
    run.progress.end_round(run.model, row, f"validation_{run.recipe.schedule.select_by}")
    run.reporter.round_done(row)
    if run.output is not None and run.processes.rank == 0:
        save_checkpoint(run.output, run)  # first: a resume needs it
        write_metrics(run.output, run.progress.rows)


def end_training(run: Training) -> TrainingResult:
    """Restore the best round, refit and calibrate it where there are validation inputs, and save the model.

    A density of maps is fitted last, if the recipe has one.
    """
    if run.progress.best_model:
        run.model.load_state_dict(run.progress.best_model)
    if run.validation is not None:
        run.reporter.status("fitting and calibrating the model of the best round")
        refit(run, run.validation)
        calibrate(run.model, run.validation, run.processes)
    fit_maps(run, best_inputs(run))
    place(run.model.eval(), ALONE)
    if run.output is not None and run.processes.rank == 0:
        run.model.save(run.output / "model.safetensors")
    return TrainingResult(run.model, run.progress.rows)


def best_inputs(run: Training) -> TrainingInputs:
    """Return the training inputs for the model of the best round.

    The cached output of stages is valid for it if these were frozen in all rounds.
    """
    return run.inputs if (run.inputs.depth or 0) <= min(run.recipe.network.frozen_depths) else run.given


def refit(run: Training, validation: Inputs) -> None:
    """Solve the closed-form part once more, from training and validation inputs together."""
    projected, targets = collect_features(run.model, best_inputs(run), run.recipe.schedule, None, run.processes)
    others = collect_normalised(run.model, validation, processes=run.processes)
    features = torch.cat([normalise(run.model, projected), others])
    run.objective.refit(features, torch.cat([targets, validation.targets]))
