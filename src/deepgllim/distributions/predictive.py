"""Mixtures of Gaussian or Student components over a few targets."""

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from deepgllim.distributions.mixture import MultivariateMixture
from deepgllim.distributions.student import MultivariateStudentT
from deepgllim.errors import ConfigurationError


class MultivariateGaussianMixture(MultivariateMixture):
    """p(y) = Σ_k w_k N(y; m_k, S_k), a batch of N mixtures over L targets.

    A `torch.distributions` mixture (`mean`, `variance`, `log_prob`, `sample`) with a joint covariance, marginal
    quantiles, intervals and modes.

    Args:
        log_weights: log w, (N, K), which need not be normalised.
        means: m, (N, K, L), in the units of the targets.
        covariances: S, (N, K, L, L), or (K, L, L) for the whole batch.
        input_log_density: log p(x) of the inputs of the prediction, (N,); None if unknown.

    Raises:
        ConfigurationError: if a covariance is not positive definite.

    Example:
        >>> import torch
        >>> p = MultivariateGaussianMixture(torch.zeros(1, 2), torch.tensor([[[-3.0], [3.0]]]), torch.ones(2, 1, 1))
        >>> p.mean, p.covariance_matrix
        (tensor([[0.]]), tensor([[[10.]]]))
        >>> [round(float(edge), 2) for edge in p.interval(0.9)]
        [-4.28, 4.28]
        >>> p.modes()[0].shape
        torch.Size([2, 1])
    """

    def __init__(
        self, log_weights: Tensor, means: Tensor, covariances: Tensor, input_log_density: Tensor | None = None
    ) -> None:
        factor = _cholesky(covariances, "covariance").expand(*means.shape, means.shape[-1])
        components = MultivariateNormal(means, scale_tril=factor, validate_args=False)
        super().__init__(log_weights, components, covariances, input_log_density)

    @property
    def covariances(self) -> Tensor:
        """S, (N, K, L, L)."""
        return self.scales

    def select(self, index: Tensor) -> "MultivariateGaussianMixture":
        """Return the mixtures of the batch that an index or a boolean mask selects."""
        logits, density = self.mixture_distribution.logits, self.input_log_density
        picked = None if density is None else density[index]
        return MultivariateGaussianMixture(logits[index], self.means[index], self.scales[index], picked)

    def _standard_cdf(self, value: Tensor) -> Tensor:
        answer: Tensor = torch.special.ndtr(value)
        return answer

    def _standard_bracket(self, probability: float) -> tuple[Tensor, Tensor]:
        z = torch.special.ndtri(torch.full((), probability, dtype=self.means.dtype, device=self.means.device))
        return z, z


class MultivariateStudentMixture(MultivariateMixture):
    """p(y) = Σ_k w_k t_{ν_k}(y; m_k, S_k), a batch of N mixtures over L targets.

    It has the methods of `MultivariateGaussianMixture`, and heavier tails. The mean is NaN if a component with a
    positive weight has ν ≤ 1; the variance is infinite for ν ≤ 2. Density, quantiles, intervals and modes exist for
    every ν.

    Args:
        log_weights: log w, (N, K), which need not be normalised.
        means: m, (N, K, L), locations of the components, in the units of the targets.
        scales: S, (N, K, L, L) or (K, L, L), scale matrices; the covariance of a component is ν / (ν − 2) S.
        dof: ν, degrees of freedom, (N, K) or (K,), > 0 and finite.
        input_log_density: log p(x) of the inputs of the prediction, (N,); None if unknown.

    Raises:
        ConfigurationError: if a scale matrix is not positive definite, or degrees of freedom are out of range.

    Example:
        >>> import torch
        >>> means, dof = torch.tensor([[[-3.0], [3.0]]]), torch.tensor([4.0, 4.0])
        >>> p = MultivariateStudentMixture(torch.zeros(1, 2), means, torch.ones(2, 1, 1), dof)
        >>> p.mean, p.covariance_matrix
        (tensor([[0.]]), tensor([[[11.]]]))
        >>> [round(float(edge), 2) for edge in p.interval(0.9)]
        [-4.54, 4.54]
        >>> p.modes_with_probabilities()[0][1]
        tensor([0.5000, 0.5000])
    """

    def __init__(
        self, log_weights: Tensor, means: Tensor, scales: Tensor, dof: Tensor, input_log_density: Tensor | None = None
    ) -> None:
        outside = dof[~((dof > 0) & dof.isfinite())]
        if len(outside):
            raise ConfigurationError(
                f"dof {float(outside[0]):g}: degrees of freedom must be above 0 and finite; "
                "use MultivariateGaussianMixture instead of infinite ones"
            )
        factor = _cholesky(scales, "scale matrix").expand(*means.shape, means.shape[-1])
        self.dof = dof.to(means).expand(means.shape[:-1])
        self._components = MultivariateStudentT(means, factor, self.dof, validate_args=False)
        super().__init__(log_weights, self._components, scales, input_log_density)

    @property
    def mean(self) -> Tensor:
        """E[y] = Σ_k w_k m_k, (N, L); NaN if a component with a positive weight has no mean."""
        defined = ((self.dof > 1) | (self.weights == 0)).all(-1, keepdim=True)
        return torch.where(defined, super().mean, math.nan)

    @property
    def covariances(self) -> Tensor:
        """Cov[y | k] = ν / (ν − 2) S, (N, K, L, L); infinite or NaN for ν ≤ 2."""
        return self._components.covariance_matrix

    def select(self, index: Tensor) -> "MultivariateStudentMixture":
        """Return the mixtures of the batch that an index or a boolean mask selects."""
        logits, density = self.mixture_distribution.logits, self.input_log_density
        picked = None if density is None else density[index]
        return MultivariateStudentMixture(logits[index], self.means[index], self.scales[index], self.dof[index], picked)

    def _within(self) -> Tensor:
        w = self.weights[..., None, None]
        return torch.where(w > 0, w * self.covariances, 0.0).sum(-3)  # 0 × ∞ counts as 0

    def _attraction(self, point: Tensor) -> Tensor:
        return super()._attraction(point) * self._components.expected_precision(point.unsqueeze(-2))

    def _standard_cdf(self, value: Tensor) -> Tensor:
        from scipy.special import stdtr

        z, dof = value.detach().double().cpu().numpy(), self.dof.detach().double().cpu().numpy()
        return torch.as_tensor(stdtr(dof[..., None], z)).to(value)

    def _standard_bracket(self, probability: float) -> tuple[Tensor, Tensor]:
        from scipy.special import stdtrit

        size = torch.as_tensor(abs(stdtrit(self.dof.detach().double().cpu().numpy(), probability)))
        size = size.to(self.means).clamp(max=0.1 * torch.finfo(self.means.dtype).max).unsqueeze(-1)
        z, slack = (
            math.copysign(1.0, probability - 0.5) * size,
            1e-6 * size,
        )  # stdtrit is not exact in all releases of scipy
        return z - slack, z + slack


def gaussian_entropy(covariances: Tensor) -> Tensor:
    """Return the entropies ½ log |2πe S| of Gaussians, in nats, (...), given covariances (..., L, L)."""
    L = covariances.shape[-1]
    return 0.5 * (torch.logdet(covariances) + L * (1.0 + math.log(2.0 * math.pi)))


def _cholesky(matrices: Tensor, name: str) -> Tensor:
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(matrices)
    if bool(info.any()):
        which = info.nonzero()[0].tolist()
        raise ConfigurationError(
            f"{name} {which} is not positive definite, from its row {int(info[tuple(which)])} on: "
            "add a small multiple of the identity, or use fewer components"
        )
    return factor
