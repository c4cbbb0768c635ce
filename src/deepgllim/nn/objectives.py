"""What the network step minimises, and what is solved in closed form between its epochs. One class an objective.

The training loop calls the same three methods of each, so that two trainings differ in the objective alone.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import functional

from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.head import Head, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.inverse_regression import InverseRegression


class Objective(Protocol):
    """The part of the training that knows what is being learned."""

    def solve(self, head: Head, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """The closed-form step: set what the head holds beside its gradients' parameters; figures for the log."""
        ...

    def prepare(self, head: Head, round_: int) -> None:
        """Called once before the network epochs of a round."""
        ...

    def loss(self, head: Head, features: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar of order 1."""
        ...

    def follow(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Called after each network step with the batch that it saw, for what follows the batches."""
        ...

    def refit(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Called once, for the best round: the closed-form part from training and validation people together."""
        ...


class LeastSquares:
    """The baseline: a linear layer on the same features, trained with the network by squared error.

    The layer starts at the ridge regression on the first features (the paper's "last layer first", in closed form);
    after that only gradients move it. The residuals' covariance makes the prediction a distribution.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config

    def solve(self, head: Head, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """The ridge start before the first round; the covariance of the residuals always."""
        assert isinstance(head, LeastSquaresHead)
        if round_ < 0:
            adopt_units(head, targets)
            weight, bias = ridge(features.double(), head.standardise(targets).double(), self.config.ridge)
            with torch.no_grad():
                head.linear.weight.copy_(weight)
                head.linear.bias.copy_(bias)
        with torch.no_grad():
            residual = (targets - head.point(features)).double()
        covariance = residual.T @ residual / len(residual)
        head.covariance = covariance + 1e-9 * torch.eye(len(covariance)) * head.target_scale.double().square()
        return {}

    def prepare(self, head: Head, round_: int) -> None:
        """Nothing to prepare."""

    def follow(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Nothing follows the batches."""

    def refit(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """The covariance of the residuals of all people."""
        if self.config.refit:
            self.solve(head, features, targets, 0)

    def loss(self, head: Head, features: Tensor, targets: Tensor) -> Tensor:
        """1/(N L) Σ ‖V x + v − y‖², y standardised."""
        assert isinstance(head, LeastSquaresHead)
        return functional.mse_loss(head.linear(features), head.standardise(targets))


class MixtureDensity:
    """A mixture whose weights, means and covariances are linear in the features, trained by likelihood.

    All components start at the ridge regression of `LeastSquares` with its residuals' covariance, their means a tenth
    of a deviation apart: equal ones would stay equal. After that only gradients move the layer.

    Args:
        config: K and the strength of the ridge.
        seed: of the first distances between the means.
    """

    def __init__(self, config: ObjectiveConfig, seed: int = 0) -> None:
        self.config, self.seed = config, seed

    def solve(self, head: Head, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """The start before the first round; then nothing, for gradients move all of it."""
        assert isinstance(head, MixtureDensityHead)
        if round_ < 0:
            head.resize(self.config.components)
            adopt_units(head, targets)
            self._start(head, features.double(), head.standardise(targets).double())
        return {}

    @torch.no_grad()
    def _start(self, head: MixtureDensityHead, x: Tensor, y: Tensor) -> None:
        K, L = head.n_components, head.n_targets
        weight, bias = ridge(x, y, self.config.ridge)
        residual = y - x @ weight.T - bias
        factor = torch.linalg.cholesky(residual.T @ residual / len(y) + 1e-6 * torch.eye(L, dtype=y.dtype))
        deviations = (factor.diagonal() - head.LEAST_DEVIATION).clamp_min(head.LEAST_DEVIATION)
        entries = factor.tril(-1) + torch.diag(torch.log(torch.expm1(deviations)))  # softplus undone
        generator = torch.Generator().manual_seed(self.seed)
        apart = 0.1 * torch.randn(K, L, generator=generator, dtype=y.dtype) * residual.std(0)
        rows, columns = torch.tril_indices(L, L)
        head.linear.weight[K : K + K * L] = weight.repeat(K, 1).to(head.linear.weight)
        head.linear.bias.copy_(torch.cat([torch.zeros(K), (bias + apart).flatten(), entries[rows, columns].repeat(K)]))

    def prepare(self, head: Head, round_: int) -> None:
        """Nothing to prepare."""

    def follow(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Nothing follows the batches."""

    def refit(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Nothing is solved in closed form."""

    def loss(self, head: Head, features: Tensor, targets: Tensor) -> Tensor:
        """−1/(N L) Σ log p(y | x), y standardised."""
        assert isinstance(head, MixtureDensityHead)
        logits, means, factors = head.outputs(features)
        components = MultivariateNormal(means, scale_tril=factors, validate_args=False)
        log_components = components.log_prob(head.standardise(targets)[:, None])  # type: ignore[no-untyped-call]
        log_joint: Tensor = torch.log_softmax(logits, 1) + log_components  # (N, K)
        return -log_joint.logsumexp(1).mean() / head.n_targets


def adopt_units(head: LeastSquaresHead | MixtureDensityHead, targets: Tensor) -> None:
    """Set the mean and deviation that standardise the targets, (N, L); a constant one keeps its unit."""
    spread = targets.std(0)
    head.target_mean = targets.mean(0)
    head.target_scale = torch.where(spread > 0, spread, torch.ones_like(spread))


def ridge(features: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """V = yᵀx (xᵀx + λN I)⁻¹ on centred features, and the intercept: (L, D) and (L,)."""
    mean = features.mean(0)
    centred = features - mean
    gram = centred.T @ centred + strength * len(features) * torch.eye(features.shape[1], dtype=features.dtype)
    weight = torch.linalg.solve(gram, centred.T @ targets).T
    return weight, targets.mean(0) - weight @ mean


OBJECTIVES: dict[str, Callable[[Recipe, Tensor], Objective]] = {
    "inverse_regression": InverseRegression,
    "least_squares": lambda recipe, targets: LeastSquares(recipe.objective),
    "mixture_density": lambda recipe, targets: MixtureDensity(recipe.objective, recipe.schedule.seed),
}
"""Objective of each name, made from the recipe and the training targets."""


def make_objective(recipe: Recipe, targets: Tensor) -> Objective:
    """The objective that a recipe names, for the training targets (N, L)."""
    return OBJECTIVES[recipe.objective.name](recipe, targets)
