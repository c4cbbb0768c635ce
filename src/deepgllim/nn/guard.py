"""Detection of failed training rounds, which are undone and repeated with half the learning rate."""

import copy
import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepgllim.errors import NumericalError, TrainingWarning
from deepgllim.nn.model import DeepRegression

MAX_FAILURES = 3
"""Number of consecutive failed attempts at a round after which the training ends."""

MUCH_WORSE = 2.0
"""A round has failed if its validation error is more than this multiple of the best one."""

LIKE_CONSTANT, LEARNED = 0.95, 0.8
"""A round has failed, too, if its validation error is above the first share of the error of a constant prediction while
the best error is below the second share."""

COMPUTATION_ERRORS = (NumericalError, torch.linalg.LinAlgError)  # type: ignore[attr-defined]
"""Errors of degenerate features or parameters, for which a round is undone; other errors end the training."""


class Snapshot(NamedTuple):
    """The state that a round changes.

    Attributes:
        model: state dictionary of the model.
        optimizer: state dictionary of the optimizer.
        random_state: state of torch's global random number generator.
    """

    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    random_state: Tensor

    @classmethod
    def take(cls, model: DeepRegression, optimizer: torch.optim.Optimizer) -> "Snapshot":
        """Copy the present state."""
        tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return cls(tensors, copy.deepcopy(optimizer.state_dict()), torch.get_rng_state())

    def restore(self, model: DeepRegression, optimizer: torch.optim.Optimizer) -> None:
        """Restore the state that was copied."""
        model.load_state_dict(self.model)
        optimizer.load_state_dict(self.optimizer)
        torch.set_rng_state(self.random_state)


def find_fault(
    row: dict[str, float], components: int | None, best_error: float, constant_error: float = math.inf
) -> str | None:
    """Return the reason for which a round must be undone, or None.

    Args:
        row: metrics of the round.
        components: K before the round; None for a head that cannot lose components.
        best_error: lowest validation error of the earlier rounds; infinite if there is none.
        constant_error: validation error of a constant prediction, the mean of the training targets.

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
    """Return the mean absolute error of the mean of training targets (N, L) on validation targets (M, L)."""
    return float((validation - training.mean(0)).abs().mean())


def least_error(rows: list[dict[str, float]]) -> float:
    """Return the lowest validation error in rows of metrics; infinite if there is none."""
    return min((row["validation_mae"] for row in rows if "validation_mae" in row), default=math.inf)


def warn_of_failure(round_: int, cause: str, failures: int, learning_rate: float) -> None:
    """Warn that a round was undone, with the cause and the consequence."""
    following = f"it is repeated with a learning rate of {learning_rate:g}"
    if failures >= MAX_FAILURES:
        following = (
            f"this was attempt {failures}, so the training ends with the best round so far: "
            "use a smaller schedule.learning_rate, fewer components or a larger objective.shrinkage"
        )
    warnings.warn(f"round {round_} was undone ({cause}): {following}", TrainingWarning, stacklevel=3)
