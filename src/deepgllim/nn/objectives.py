"""What the network step minimises, and what is solved in closed form between its epochs. One class an objective.

The training loop calls the same three methods of each, so that two trainings differ in the objective alone.
"""

import warnings
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn import functional

from deepgllim.errors import ConvergenceWarning
from deepgllim.gllim import (
    Parameters,
    fit,
    fit_target_mixture,
    responsibilities,
    target_responsibilities,
)
from deepgllim.gllim.covariances import noise_structure
from deepgllim.nn.config import ObjectiveConfig
from deepgllim.nn.head import Head, InverseRegressionHead, LeastSquaresHead, MixtureDensityHead


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


def inverse_regression_loss(features: Tensor, targets: Tensor, r: Tensor, parameters: Parameters) -> Tensor:
    """1/(N D) Σ_nk r_nk (x_n − A_k y_n − b_k)ᵀ Σ_k⁻¹ (x_n − A_k y_n − b_k)  (paper, eqs. 8 and 9).

    The factor 1/D makes it 1 at the maximum-likelihood parameters, whatever the number of features.

    Args:
        features: x with gradients, (N, D).
        targets: y, (N, L).
        r: weights of the components, (N, K), held fixed.
        parameters: θ, held fixed, in the dtype of the features.

    Example:
        >>> y = torch.tensor([[1.0], [2.0]])
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 3, 1), torch.zeros(1, 3), torch.full((1,), 4.0),
        ... )
        >>> inverse_regression_loss(y.expand(2, 3) + 2.0, y, torch.ones(2, 1), p)
        tensor(1.)
    """
    predicted = torch.einsum("kdl,nl->nkd", parameters.A, targets) + parameters.b
    residual = features[:, None] - predicted  # (N, K, D)
    precision = noise_structure(parameters.noise).precision(parameters.Sigma)
    if parameters.noise == "full":
        distance = torch.einsum("kde,nke->nkd", precision, residual).square().sum(-1)
    else:
        weight = precision if parameters.noise == "diagonal" else precision[:, None]
        distance = (residual.square() * weight).sum(-1)  # (N, K)
    return (r * distance).sum(1).mean() / parameters.n_features


def tied_isotropic(parameters: Parameters) -> Parameters:
    """The same regression with one σ² for all components and features, so that it drops out of the gradient."""
    variances = diagonal(parameters).Sigma
    per_component = variances.reshape(len(variances), -1).mean(1).expand(parameters.n_components)
    return parameters._replace(Sigma=(parameters.pi * per_component).sum().reshape(1))


def diagonal(parameters: Parameters) -> Parameters:
    """The same regression with the diagonal of a full Σ; another Σ as it is."""
    if parameters.noise != "full":
        return parameters
    return parameters._replace(Sigma=parameters.Sigma.diagonal(dim1=-2, dim2=-1))


def signal(parameters: Parameters) -> Parameters:
    """The same regression with Σ_k = U S Uᵀ + D s₁ (I − U Uᵀ), where U S Uᵀ = A_k V A_kᵀ, V the targets' covariance.

    In the network step each direction in which the targets move the features then counts alike, as standardised
    targets do in least squares. With one σ² a target of little variance, or one that is hard to predict, moves the
    features little, is fitted little, and the next A, which is what the network reproduced, moves them less: it dies
    within a few rounds. The directions without any signal together count as much as the strongest, s₁; no direction
    more than a thousand times as much.
    """
    mean = parameters.pi @ parameters.c  # (L,)
    off = parameters.c - mean
    spread = torch.einsum("k,kij->ij", parameters.pi, parameters.Gamma) + (parameters.pi[:, None] * off).T @ off
    U, s, _ = torch.linalg.svd(parameters.A @ torch.linalg.cholesky(spread), full_matrices=False)  # (K, D, L), (K, L)
    strength = s.square()
    strongest = strength[:, :1].clamp_min(torch.finfo(s.dtype).tiny)
    rest = parameters.n_features * strongest
    extra = torch.maximum(strength, 1e-3 * strongest) - rest
    identity = torch.eye(parameters.n_features, dtype=U.dtype)
    return parameters._replace(Sigma=rest[..., None] * identity + (U * extra[:, None]) @ U.mT)


STEP_NOISE: dict[str, Callable[[Parameters], Parameters]] = {
    "mixture": lambda parameters: parameters,
    "diagonal": diagonal,
    "tied_isotropic": tied_isotropic,
    "signal": signal,
}
"""Σ of the network step, from the mixture's: `objective.network_noise`."""


class InverseRegression:
    """Features are learned from targets: EM for θ, then the network moves x_n towards A_k y_n + b_k.

    Args:
        config: K, the noise, EM's limits and the options of the network step.
        targets: y of all training inputs, (N, L), for the first responsibilities.
        seed: of k-means and of sampled assignments.
    """

    def __init__(self, config: ObjectiveConfig, targets: Tensor, seed: int = 0) -> None:
        self.config = config
        self.start = fit_target_mixture(targets, config.components, seed)
        self._step: Parameters | None = None
        self._from_targets = True

    def solve(self, head: Head, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """EM: one M-step with the first r while it is frozen, then to convergence from what the recipe says."""
        assert isinstance(head, InverseRegressionHead)
        frozen = self._frozen(round_ + 1) or round_ < 0
        config = self.config
        restart = frozen or config.em_start == "targets"
        mixture = self.start if frozen else head.mixture
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next round goes on
            result = fit(
                features,
                targets,
                noise=config.noise,
                tied=config.tied,
                responsibilities=target_responsibilities(targets.double(), mixture) if restart else None,
                start=None if restart else head.mixture,
                max_iterations=1 if frozen else config.max_iterations,
                tolerance=config.tolerance,
                variance_floor=config.variance_floor,
            )
        head.mixture = result.parameters
        return {
            "log_likelihood": result.log_likelihoods[-1] / len(features),
            "em_iterations": len(result.log_likelihoods),
            "components": result.parameters.n_components,
        }

    def prepare(self, head: Head, round_: int) -> None:
        """Fix θ for the network epochs."""
        assert isinstance(head, InverseRegressionHead)
        self._step = STEP_NOISE[self.config.network_noise](head.mixture).to(torch.float32)
        self._from_targets = self._frozen(round_) or self.config.responsibilities == "targets"

    def loss(self, head: Head, features: Tensor, targets: Tensor) -> Tensor:
        """The weighted squared Mahalanobis distance to A_k y + b_k; r from θ and the features as they are now."""
        assert isinstance(head, InverseRegressionHead)
        assert self._step is not None
        return inverse_regression_loss(features, targets, self._assign(head.mixture, features, targets), self._step)

    def _frozen(self, round_: int) -> bool:
        return round_ < self.config.frozen_rounds

    def _assign(self, mixture: Parameters, features: Tensor, targets: Tensor) -> Tensor:
        if mixture.n_components == 1:
            return torch.ones_like(targets[:, :1])
        with torch.no_grad():
            if self._from_targets:
                r = target_responsibilities(targets.double(), mixture)
            else:
                r = responsibilities(features.double(), targets.double(), mixture)
            if self.config.assignment == "sampled":
                r = functional.one_hot(torch.multinomial(r, 1).squeeze(1), r.shape[1])
            return r.to(features.dtype)


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
        """Nothing to fix."""

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
        """Nothing to fix."""

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


OBJECTIVES: dict[str, Callable[[ObjectiveConfig, Tensor, int], Objective]] = {
    "inverse_regression": InverseRegression,
    "least_squares": lambda config, targets, seed: LeastSquares(config),
    "mixture_density": lambda config, targets, seed: MixtureDensity(config, seed),
}
"""Objective of each name, made from its options, the training targets and a seed."""


def make_objective(config: ObjectiveConfig, targets: Tensor, seed: int = 0) -> Objective:
    """The objective a recipe names."""
    return OBJECTIVES[config.name](config, targets, seed)
