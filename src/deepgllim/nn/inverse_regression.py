"""The objective of inverse regression: a family from the paper's network step to the conditional likelihood.

    F_β(w) = − 1/N Σ_n [ Σ_k r_nk (log p(x_n, y_n, k; θ) − log r_nk) − β log p(x_n; θ) ],    x_n = φ(image_n; w)

β = 0 has the gradient of the paper's equations 8 and 9; β = 1 with r = p(k | x, y) is −log p(y | x). The features
are no data: without the term log p(x) the likelihood grows without bound as features shrink onto A y + b.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from deepgllim.errors import ConvergenceWarning, DataError, EmptyComponentWarning, NumericalError
from deepgllim.gllim import (
    Centred,
    DensityModel,
    Fit,
    MixtureSpec,
    Options,
    Parameters,
    centre,
    fit,
    fit_target_mixture,
)
from deepgllim.gllim.likelihood import target_responsibilities
from deepgllim.gllim.stream import Stream, begin_from, grow, maximise, observe
from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.head import Head, InverseRegressionHead
from deepgllim.nn.inputs import n_batches

GROWTHS = 2
"""How often EM at the end of a round is repeated with components seeded again in place of empty ones."""


def free_energy(features: Tensor, targets: Tensor, r: Tensor | None, model: DensityModel, beta: float) -> Tensor:
    """F_β of a batch, over (1 − β) D/2 + β L, so that its size depends neither on D nor on β: a scalar.

    Args:
        features: x with gradients, (N, D).
        targets: y, (N, L).
        r: weights of the components, (N, K), held fixed; p(k | x, y) when None.
        model: θ, held fixed.
        beta: weight of −log p(x), in [0, 1].

    Source: paper, eqs. 8 and 9 (β = 0); docs/mathematics.md.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 3, 1), torch.zeros(1, 3), torch.full((1,), 4.0),
        ... )
        >>> x, y = torch.ones(2, 3), torch.tensor([[1.0], [2.0]])
        >>> free_energy(x, y, None, DensityModel.of(p), beta=1.0)
        tensor(1.8623)
    """
    D, L = features.shape[1], targets.shape[1]
    if beta > 0 or model.factors is not None:
        log_joint, log_marginal = model.densities(features, targets)
    else:
        log_joint, log_marginal = model.log_joint(features, targets), features.new_zeros(len(features))
    if r is None:
        expected = torch.logsumexp(log_joint, dim=1)
    else:
        expected = (r * (log_joint - r.clamp_min(torch.finfo(r.dtype).tiny).log())).sum(1)
    scale = (1.0 - beta) * D / 2.0 + beta * L
    return -(expected - beta * log_marginal).mean() / scale


def tied_isotropic(parameters: Parameters) -> Parameters:
    """The same regression with one σ² for all components and features, so that it drops out of the gradient."""
    variances = diagonal(parameters).Sigma
    per_component = variances.reshape(len(variances), -1).mean(1).expand(parameters.n_components)
    return parameters._replace(Sigma=(parameters.pi * per_component).sum().reshape(1))


def diagonal(parameters: Parameters) -> Parameters:
    """The same regression with the diagonal of a full Σ; another Σ as it is."""
    if parameters.covariance_type != "full":
        return parameters
    return parameters._replace(Sigma=parameters.Sigma.diagonal(dim1=-2, dim2=-1))


def signal(parameters: Parameters) -> Parameters:
    """The same regression with Σ_k = U S Uᵀ + D s₁ (I − U Uᵀ), where U S Uᵀ = A_k V A_kᵀ, V the targets' covariance.

    In the network step each direction in which the targets move the features then counts alike, as standardised
    targets do in least squares. The directions without any signal together count as much as the strongest, s₁; no
    direction counts more than a thousand times as much.
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


def check_components(components: int, targets: Tensor) -> None:
    """Refuse more components than there are different targets, (N, L).

    Raises:
        DataError: naming both numbers.
    """
    distinct = len(torch.unique(targets, dim=0))
    if components > distinct:
        raise DataError(
            f"objective.components is {components}, but the {len(targets)} training inputs have {distinct} different "
            f"targets: use at most {distinct}"
        )


class InverseRegression:
    """Mixture and network trained together: EM for θ, gradients of F_β for the network.

    Args:
        recipe: K, β, the noise, EM's limits and whether θ follows the batches.
        targets: y of all training inputs, (N, L), for the first responsibilities.
    """

    def __init__(self, recipe: Recipe, targets: Tensor) -> None:
        schedule = recipe.schedule
        self.config: ObjectiveConfig = recipe.objective
        self.spec = MixtureSpec(covariance_type=self.config.noise, tied=self.config.tied)
        check_components(self.config.components, targets)
        self.start = fit_target_mixture(targets, self.config.components, schedule.seed)
        self.follows = schedule.em == "stepwise"
        self.every = schedule.em_every
        batches = n_batches(len(targets), schedule.batch_size)
        self.window = max(1.0, schedule.em_window * batches)  # in batches
        self.n_window = min(self.window, batches) * schedule.batch_size
        self._mixture: DensityModel | None = None
        self._step: DensityModel | None = None
        self._stream: Stream | None = None
        self._from_targets = True
        self._pending = 0

    def solve(self, head: Head, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """EM: one M-step with the first r while it is frozen, then to convergence from what the recipe says."""
        assert isinstance(head, InverseRegressionHead)
        frozen = self._frozen(round_ + 1) or round_ < 0
        start = None if frozen or self.config.em_start == "targets" else head.mixture
        r = target_responsibilities(targets.double(), self.start if frozen else head.mixture) if start is None else None
        result = self._fit(features, targets, r, start, 1 if frozen else self.config.max_iterations)
        for _ in range(GROWTHS):
            if frozen or result.parameters.n_components >= self.start.pi.shape[0]:
                break
            about = result.centred or centre(result.parameters)
            grown = about._replace(parameters=grow(about.parameters, len(self.start.pi)))
            result = self._fit(features, targets, None, grown, self.config.max_iterations)
        head.mixture = result.parameters
        return {
            "log_likelihood": result.log_likelihoods[-1] / len(features),
            "em_iterations": len(result.log_likelihoods),
            "components": result.parameters.n_components,
        }

    def _fit(self, x: Tensor, y: Tensor, r: Tensor | None, start: Parameters | Centred | None, iterations: int) -> Fit:
        config = self.config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next round goes on
            warnings.simplefilter("ignore", EmptyComponentWarning)  # seeded again, or else the round is undone
            return fit(
                x,
                y,
                self.spec,
                Options(
                    max_iter=iterations,
                    tol=config.tolerance,
                    covariance_floor=config.variance_floor,
                    shrinkage=config.shrinkage,
                ),
                responsibilities=r,
                start=start,
            )

    def prepare(self, head: Head, round_: int) -> None:
        """Take θ for the network epochs; where it follows the batches, begin its running averages there."""
        assert isinstance(head, InverseRegressionHead)
        self._from_targets = self._frozen(round_) or self.config.responsibilities == "targets"
        self._adopt(head.mixture)
        self._pending = 0
        self._stream = begin_from(head.mixture, self.spec, self.n_window) if self.follows else None

    def loss(self, head: Head, features: Tensor, targets: Tensor) -> Tensor:
        """F_β of the batch under θ as it stands; r from θ and the features as they are now."""
        assert self._step is not None
        x, y = features.double(), targets.double()
        r = None if self._exact else self._assign(x.detach(), y)
        return free_energy(x, y, r, self._step, self.config.beta).to(features.dtype)

    def follow(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """Stepwise EM: the batch's statistics into the running averages, and every `em_every` batches an M-step."""
        if self._stream is None:
            return
        assert isinstance(head, InverseRegressionHead)
        x, y = features.detach().double(), targets.double()
        self._stream = observe(self._stream, x, y, self._assign(x, y), 1.0 / self.window)
        self._pending += 1
        if self._pending >= self.every:
            self._pending = 0
            self._stream = maximise(self._stream, self._options(head))
            head.mixture = self._stream.fitted
            self._adopt(self._stream.centred)

    def refit(self, head: Head, features: Tensor, targets: Tensor) -> None:
        """EM from the best round's θ on all people; what is singular, or has lost components, leaves θ as it was."""
        assert isinstance(head, InverseRegressionHead)
        if not self.config.refit:
            return
        try:
            parameters = self._fit(features, targets, None, head.mixture, self.config.max_iterations).parameters
            DensityModel.of(parameters)
        except NumericalError:
            return
        if parameters.n_components == head.n_components:
            head.mixture = parameters

    def _options(self, head: InverseRegressionHead) -> Options:
        D, L = head.A.shape[1:]
        own_full = self.config.noise == "full" and not self.config.tied
        return Options(
            covariance_floor=self.config.variance_floor,
            shrinkage=self.config.shrinkage,
            min_count=float(L + 2 + (D if own_full else 0)),
        )

    def _adopt(self, mixture: Parameters | Centred) -> None:
        about = centre(mixture)
        self._mixture = DensityModel.of(about)
        name = self.config.network_noise
        noise = self.config.target_noise
        plain = name == "mixture" and noise == 0
        step = about._replace(parameters=STEP_NOISE[name](about.parameters))
        self._step = self._mixture if plain else DensityModel.of(step, noise)

    @property
    def _exact(self) -> bool:
        """Whether r is p(k | x, y) of the θ whose likelihood is maximised."""
        config = self.config
        plain = config.network_noise == "mixture" and config.assignment == "weighted"
        return plain and not self._from_targets

    def _frozen(self, round_: int) -> bool:
        return round_ < self.config.frozen_rounds

    @torch.no_grad()
    def _assign(self, features: Tensor, targets: Tensor) -> Tensor:
        """Responsibilities of the network step, (N, K)."""
        assert self._mixture is not None
        if self._mixture.n_components == 1:
            return torch.ones_like(targets[:, :1])
        if self._from_targets:
            r = self._mixture.target_responsibilities(targets)
        else:
            r = torch.softmax(self._mixture.log_joint(features, targets), dim=1)
        if self.config.assignment == "sampled":
            r = functional.one_hot(torch.multinomial(r, 1).squeeze(1), r.shape[1]).to(r)
        return r
