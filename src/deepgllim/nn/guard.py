"""The guard of the training loop: a round that ends badly is undone and repeated with half the step size."""

import copy
import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepgllim.errors import NumericalError, TrainingWarning
from deepgllim.nn.config import Recipe
from deepgllim.nn.model import DeepRegression

MAX_FAILURES = 3
"""Attempts at a round, one after the other, that end the training."""

MUCH_WORSE = 2.0
"""A validation error of more than so many times the best is a collapse."""

LIKE_CONSTANT, LEARNED = 0.95, 0.8
"""So is an error of at least this share of that of a constant prediction, once a round was under the other share."""

COMPUTATION_ERRORS = (NumericalError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
"""What a round may raise because its features or parameters have degenerated; other errors end the training."""


class Snapshot(NamedTuple):
    """All that a round changes.

    Attributes:
        model: the tensors of its state dictionary.
        optimizer: its state dictionary.
        random_state: of torch.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    random_state: Tensor

    @classmethod
    def take(cls, model: DeepRegression, optimizer: torch.optim.Optimizer) -> "Snapshot":
        """Copy the state before a round."""
        tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return cls(tensors, copy.deepcopy(optimizer.state_dict()), torch.get_rng_state())

    def restore(self, model: DeepRegression, optimizer: torch.optim.Optimizer) -> None:
        """Undo the round."""
        model.load_state_dict(self.model)
        optimizer.load_state_dict(self.optimizer)
        torch.set_rng_state(self.random_state)


def find_fault(
    row: dict[str, float], components: int | None, best_error: float, constant_error: float = math.inf
) -> str | None:
    """The reason why a round must be undone, or None.

    Args:
        row: the figures of the round.
        components: K before the round; None for a head without components.
        best_error: the least validation error of the rounds before, infinite if there is none.
        constant_error: the validation error of the training targets' mean.

    Example:
        >>> find_fault({"train_loss": 1.0, "validation_mae": 13.0}, None, best_error=5.0)
        'the validation error is 13, more than 2 times the best, 5'
    """
    for name in ("train_loss", "log_likelihood", "validation_mae", "validation_nll"):
        if not math.isfinite(row.get(name, 0.0)):
            return f"{name} is {row[name]}"
    if components is not None and row.get("components", components) < components:
        return f"{row['components']:.0f} of {components} components are left"
    error = row.get("validation_mae", 0.0)
    if error > MUCH_WORSE * best_error:
        return f"the validation error is {error:.4g}, more than {MUCH_WORSE:g} times the best, {best_error:.4g}"
    if error > LIKE_CONSTANT * constant_error and best_error < LEARNED * constant_error:
        return f"the validation error is {error:.4g}, that of a constant prediction, and the best {best_error:.4g}"
    return None


def constant_error(training: Tensor, validation: Tensor) -> float:
    """The mean absolute error of the training targets' mean, (N, L), on validation targets, (M, L)."""
    return float((validation - training.mean(0)).abs().mean())


def least_error(rows: list[dict[str, float]]) -> float:
    """The least validation error of some rounds; infinite where there is none."""
    return min((row["validation_mae"] for row in rows if "validation_mae" in row), default=math.inf)


def with_step_scale(recipe: Recipe, scale: float) -> Recipe:
    """The recipe with its learning rate multiplied."""
    return recipe.override({"schedule.learning_rate": scale * recipe.schedule.learning_rate})


def warn_of_failure(round_: int, cause: str, failures: int, learning_rate: float) -> None:
    """Warn that a round was undone, and of what comes next."""
    following = f"it is repeated with a learning rate of {learning_rate:g}"
    if failures >= MAX_FAILURES:
        following = (
            f"this was attempt {failures}, so the training ends with the best round so far: "
            "use a smaller schedule.learning_rate, fewer components or a larger objective.shrinkage"
        )
    warnings.warn(f"round {round_} was undone ({cause}): {following}", TrainingWarning, stacklevel=3)
