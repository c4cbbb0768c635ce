"""A training in progress: the object that the functions of the training loop share, and how far it has come."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from deepgllim.nn.batches import n_batches
from deepgllim.nn.config import Recipe, ScheduleConfig
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.features import TrainingInputs
from deepgllim.nn.inputs import Inputs
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.network_step import NetworkStep
from deepgllim.nn.objectives import Objective
from deepgllim.nn.reporting import NullReporter, Reporter


@dataclass
class TrainingProgress:
    """The progress of a training between two rounds.

    Attributes:
        round: number of finished rounds, which is the index of the present one.
        best: lowest value of the selection criterion so far.
        rows: metrics of the finished rounds.
        best_model: weights of the best round.
        step_scale: factor on the learning rate of the recipe, in (0, 1]; it is halved when a round is undone.
        failures: number of consecutive attempts at the present round that were undone.
    """

    round: int = 0
    best: float = math.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    best_model: dict[str, Tensor] = field(default_factory=dict)
    step_scale: float = 1.0
    failures: int = 0

    def fail(self) -> None:
        """Count an attempt that was undone, and halve the learning rate."""
        self.failures += 1
        self.step_scale *= 0.5

    def end_round(self, model: DeepRegression, row: dict[str, float], criterion: str) -> None:
        """Count a finished round; keep its weights if the criterion is the lowest so far, or is not in the row."""
        self.round += 1
        self.failures = 0
        self.rows.append(row)
        value = row.get(criterion, -math.inf)
        if value < self.best or criterion not in row or not self.best_model:
            self.best = math.inf if math.isnan(value) else value
            self.best_model = {name: tensor.clone() for name, tensor in model.state_dict().items()}


@dataclass
class Training:
    """A training in progress.

    Attributes:
        model: the model that is trained.
        recipe: all options.
        given: training inputs as they were given.
        inputs: the same inputs as the network reads them in the present round: `given`, or the output of its frozen
            stages.
        objective: the objective, with the head of the model.
        optimizer: optimizer of all weights.
        validation: inputs of held-out people, if any.
        output: folder of the run, if any.
        reporter: receives the progress.
        progress: rounds, metrics and best weights so far.
        processes: this process and those with which it trains.
    """

    model: DeepRegression
    recipe: Recipe
    given: TrainingInputs
    inputs: TrainingInputs
    objective: Objective
    optimizer: torch.optim.Optimizer
    validation: Inputs | None = None
    output: Path | None = None
    reporter: Reporter = field(default_factory=NullReporter)
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    processes: Processes = ALONE
    _step: NetworkStep | None = None

    @property
    def schedule(self) -> ScheduleConfig:
        """The schedule of the recipe, with the learning rate as undone rounds have reduced it."""
        schedule = self.recipe.schedule
        return schedule.model_copy(update={"learning_rate": self.progress.step_scale * schedule.learning_rate})

    @property
    def steps_per_epoch(self) -> int:
        """Number of network steps of an epoch."""
        return n_batches(len(self.given.source), self.recipe.schedule.batch_size, self.least)

    @property
    def least(self) -> int:
        """Lowest number of inputs in a batch: each process has one, and batch normalisation needs two."""
        return max(2, self.processes.size)

    def network_step(self) -> NetworkStep:
        """Return the network of the training step, which depends on the frozen stages."""
        depth = self.inputs.depth
        if self._step is None or self._step.key != (depth, self.model.backbone.depth):
            self._step = NetworkStep(self.model, depth, self.recipe.schedule, self.processes)
        return self._step

    def report_start(self) -> None:
        """Report the number of network steps in total and of those done."""
        per_round = self.steps_per_epoch * self.recipe.schedule.epochs_per_round
        self.reporter.start(per_round * self.recipe.schedule.rounds, per_round * self.progress.round)
