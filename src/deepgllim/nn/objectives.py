"""Objectives: the loss of the network step, and what is solved in closed form between its epochs.

An objective owns the head that it trains. The training loop calls the same methods of every objective, so that two
trainings differ in the objective alone.
"""

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import functional

from deepgllim.errors import ConfigurationError
from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.head import Head, InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.inverse_regression import InverseRegression, check_components

__all__ = ["LeastSquares", "MixtureDensity", "Objective", "check_components", "make_objective"]


class Objective(Protocol):
    """Interface of the objectives. Features are (N, D), targets (N, L)."""

    @property
    def n_components(self) -> int | None:
        """K of the head, or None if the closed-form step cannot lose components."""
        ...

    def start(self, features: Tensor, targets: Tensor) -> None:
        """Initialise the head from the features of all training inputs, before the first round."""
        ...

    def prepare(self, round_: int) -> None:
        """Prepare for the network epochs of a round."""
        ...

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, a scalar of order 1."""
        ...

    def update(self, features: Tensor, targets: Tensor, total: int | None = None) -> None:
        """Update what follows the batches, after the network step on a batch.

        Args:
            features: of the rows of this process.
            targets: of the rows of this process.
            total: number of rows in the batch; None for those given.
        """
        ...

    def solve(self, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """Solve the closed-form part after the network epochs of a round, and return its metrics."""
        ...

    def refit(self, features: Tensor, targets: Tensor) -> None:
        """Solve the closed-form part of the best round again, from training and validation inputs."""
        ...


class LeastSquares:
    """The baseline: a linear layer on the features, trained together with the network by squared error.

    The layer starts at the ridge regression on the first features (the paper's "last layer first", in closed form);
    afterwards only gradients change it. The covariance of the residuals makes the prediction a distribution.

    Args:
        head: the head to train.
        config: strength of the ridge, and whether to refit.
    """

    n_components = None

    def __init__(self, head: LeastSquaresHead, config: ObjectiveConfig) -> None:
        self.head, self.config = head, config

    def start(self, features: Tensor, targets: Tensor) -> None:
        """Set the layer to the ridge regression, and the covariance to that of its residuals."""
        adopt_units(self.head, targets)
        weight, bias = ridge(features.double(), self.head.standardise(targets).double(), self.config.ridge)
        with torch.no_grad():
            self.head.linear.weight.copy_(weight)
            self.head.linear.bias.copy_(bias)
        self._estimate_covariance(features, targets)

    def prepare(self, round_: int) -> None:
        """Do nothing."""

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return 1/(N L) Σ ‖V x + v − y‖², with standardised targets."""
        return functional.mse_loss(self.head.linear(features), self.head.standardise(targets))

    def update(self, features: Tensor, targets: Tensor, total: int | None = None) -> None:
        """Do nothing."""

    def solve(self, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """Set the covariance to that of the residuals."""
        self._estimate_covariance(features, targets)
        return {}

    def refit(self, features: Tensor, targets: Tensor) -> None:
        """Set the covariance to that of the residuals of all inputs, if the recipe asks for a refit."""
        if self.config.refit:
            self._estimate_covariance(features, targets)

    @torch.no_grad()
    def _estimate_covariance(self, features: Tensor, targets: Tensor) -> None:
        residual = (targets - self.head.point(features)).double()
        covariance = residual.T @ residual / len(residual)
        floor = 1e-9 * torch.diag(self.head.target_scale.double().square())
        self.head.covariance = covariance + floor


class MixtureDensity:
    """A mixture whose weights, means and covariances are linear in the features, trained by likelihood.

    All components start at the ridge regression of `LeastSquares` with the covariance of its residuals. Their means
    are a tenth of a standard deviation apart, since equal components would stay equal. Afterwards only gradients change
    the layer.

    Args:
        head: the head to train.
        config: K and the strength of the ridge.
        seed: seed of the first differences between the means.
    """

    n_components = None

    def __init__(self, head: MixtureDensityHead, config: ObjectiveConfig, seed: int = 0) -> None:
        self.head, self.config, self.seed = head, config, seed

    @torch.no_grad()
    def start(self, features: Tensor, targets: Tensor) -> None:
        """Set the layer to the ridge regression, with K components next to each other."""
        head = self.head
        head.resize(self.config.n_components)
        adopt_units(head, targets)
        x, y = features.double(), head.standardise(targets).double()
        K, L = head.n_components, head.n_targets
        weight, bias = ridge(x, y, self.config.ridge)
        residual = y - x @ weight.T - bias
        ridge_of_covariance = 1e-6 * torch.eye(L, dtype=y.dtype, device=y.device)
        factor = torch.linalg.cholesky(residual.T @ residual / len(y) + ridge_of_covariance)
        deviations = (factor.diagonal() - head.LEAST_DEVIATION).clamp_min(head.LEAST_DEVIATION)
        entries = factor.tril(-1) + torch.diag(torch.log(torch.expm1(deviations)))  # inverse of softplus
        generator = torch.Generator().manual_seed(self.seed)
        apart = 0.1 * torch.randn(K, L, generator=generator, dtype=y.dtype).to(y.device) * residual.std(0)
        rows, columns = torch.tril_indices(L, L, device=y.device)
        head.linear.weight[K : K + K * L] = weight.repeat(K, 1).to(head.linear.weight)
        factors = entries[rows, columns].repeat(K)
        head.linear.bias.copy_(torch.cat([bias.new_zeros(K), (bias + apart).flatten(), factors]))

    def prepare(self, round_: int) -> None:
        """Do nothing."""

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return −1/(N L) Σ log p(y | x), with standardised targets."""
        logits, means, factors = self.head.outputs(features)
        components = MultivariateNormal(means, scale_tril=factors, validate_args=False)
        log_components = components.log_prob(self.head.standardise(targets)[:, None])  # type: ignore[no-untyped-call]
        log_joint: Tensor = torch.log_softmax(logits, 1) + log_components  # (N, K)
        return -log_joint.logsumexp(1).mean() / self.head.n_targets

    def update(self, features: Tensor, targets: Tensor, total: int | None = None) -> None:
        """Do nothing."""

    def solve(self, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """Do nothing: gradients train the whole head."""
        return {}

    def refit(self, features: Tensor, targets: Tensor) -> None:
        """Do nothing."""


def adopt_units(head: LeastSquaresHead | MixtureDensityHead, targets: Tensor) -> None:
    """Set the mean and scale that standardise targets (N, L); a constant target has the scale 1."""
    spread = targets.std(0)
    head.target_mean = targets.mean(0)
    head.target_scale = torch.where(spread > 0, spread, torch.ones_like(spread))


def ridge(features: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Return V = yᵀx (xᵀx + λN I)⁻¹ of centred features, (L, D), and the intercept, (L,); λ is the strength."""
    mean = features.mean(0)
    centred = features - mean
    identity = torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    gram = centred.T @ centred + strength * len(features) * identity
    weight = torch.linalg.solve(gram, centred.T @ targets).T
    return weight, targets.mean(0) - weight @ mean


def make_objective(head: Head, recipe: Recipe, targets: Tensor, processes: Processes = ALONE) -> Objective:
    """Return the objective of a recipe for a head and the training targets (N, L).

    Raises:
        ConfigurationError: if the head belongs to another objective.
    """
    name = recipe.objective.name
    if name == "inverse_regression" and isinstance(head, InverseRegressionHead):
        return InverseRegression(head, recipe, targets, processes)
    if name == "least_squares" and isinstance(head, LeastSquaresHead):
        return LeastSquares(head, recipe.objective)
    if name == "mixture_density" and isinstance(head, MixtureDensityHead):
        return MixtureDensity(head, recipe.objective, recipe.schedule.seed)
    raise ConfigurationError(
        f"objective.name is {name!r}, but the model has the head {type(head).__name__}: build the model by this recipe"
    )
