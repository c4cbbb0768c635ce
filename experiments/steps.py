"""The two network steps that the experiments compare, as options of a recipe with a full or diagonal covariance."""

from typing import Any

PAPER: dict[str, Any] = {"objective.beta": 0.0, "schedule.em": "round"}
"""The step of the paper: β = 0, θ fixed within a round."""

CONDITIONAL: dict[str, Any] = {
    "objective.beta": 1.0,
    "objective.network_noise": "mixture",
    "objective.tied": True,
    "objective.shrinkage": 0.2,
    "objective.target_noise": 0.1,
    "objective.em_start": "parameters",
    "schedule.em": "stepwise",
    "schedule.em_window": 1.0,
}
"""The step of the default recipe: β = 1, one shrunk Σ for all components, θ follows the batches."""


def conditional(K: int) -> dict[str, Any]:
    """Return the options of inverse regression with K components and β = 1.

    Example:
        >>> conditional(3)["objective.n_components"]
        3
    """
    return {"objective.n_components": K} | CONDITIONAL
