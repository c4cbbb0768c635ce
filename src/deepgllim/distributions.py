"""Predictive distributions: Gaussian mixtures over a few targets, with the answers that users ask of them."""

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from deepgllim.errors import ConfigurationError


class MultivariateGaussianMixture(MixtureSameFamily):
    """p(y) = Σ_k w_k N(y; m_k, S_k), a batch of N mixtures over L targets.

    A `torch.distributions` mixture (`mean`, `variance`, `log_prob`, `sample`) that also knows its joint covariance,
    marginal quantiles, intervals and modes.

    Args:
        log_weights: log w, (N, K), normalised or not.
        means: m, (N, K, L), in the targets' units.
        covariances: S, (N, K, L, L) or (K, L, L) for all of the batch.
        input_log_density: log p(x) of the inputs the mixtures were predicted from, (N,); None where unknown.

    Raises:
        ValueError: from torch, if a covariance is not positive definite.

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
        self.means, self.covariances = means, covariances.expand(*means.shape, means.shape[-1])
        self.input_log_density = input_log_density
        factor = torch.linalg.cholesky(covariances).expand(*means.shape, means.shape[-1])
        super().__init__(
            Categorical(logits=log_weights, validate_args=False),
            MultivariateNormal(means, scale_tril=factor, validate_args=False),
            validate_args=False,
        )

    @property
    def weights(self) -> Tensor:
        """w, (N, K)."""
        weights: Tensor = self.mixture_distribution.probs
        return weights

    @property
    def covariance_matrix(self) -> Tensor:
        """Cov[y] = Σ_k w_k (S_k + (m_k − m)(m_k − m)ᵀ), within plus between components, (N, L, L)."""
        deviation = self.means - self.mean.unsqueeze(-2)
        within = torch.einsum("...k,...klm->...lm", self.weights, self.covariances)
        return within + torch.einsum("...k,...kl,...km->...lm", self.weights, deviation, deviation)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(y), (N,), of targets (N, L), in nats."""
        answer: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return answer

    def marginal_cdf(self, value: Tensor) -> Tensor:
        """P(y_l ≤ value_l) of each target by itself, (..., L)."""
        deviation = self.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
        probability = torch.special.ndtr((value.unsqueeze(-2) - self.means) / deviation)
        total: Tensor = torch.einsum("...k,...kl->...l", self.weights, probability)
        return total

    def quantile(self, probability: float) -> Tensor:
        """The marginal quantile of each target, (N, L), by bisection to the last digit.

        Raises:
            ConfigurationError: unless 0 < probability < 1.
        """
        if not 0.0 < probability < 1.0:
            raise ConfigurationError(f"probability {probability}: use a value strictly between 0 and 1")
        deviation = self.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
        ends = self.means + deviation * torch.special.ndtri(torch.full((), probability, dtype=self.means.dtype))
        low, high = ends.amin(-2), ends.amax(-2)  # the mixture's quantile lies among its components'
        for _ in range(60):
            middle = 0.5 * (low + high)
            below = self.marginal_cdf(middle) < probability  # (N, L)
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        answer: Tensor = 0.5 * (low + high)
        return answer

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The central interval of each target that holds `level` of its probability: (lower, upper), (N, L) each.

        Raises:
            ConfigurationError: unless 0 < level < 1.
        """
        if not 0.0 < level < 1.0:
            raise ConfigurationError(f"level {level}: use a value strictly between 0 and 1")
        return self.quantile(0.5 - 0.5 * level), self.quantile(0.5 + 0.5 * level)

    def modes(self, tolerance: float = 1e-6) -> list[Tensor]:
        """The local maxima of each density, (number of modes, L), highest first.

        From every component's mean the fixed point y ← (Σ_k r_k S_k⁻¹)⁻¹ Σ_k r_k S_k⁻¹ m_k climbs to a mode
        (Carreira-Perpiñán, IEEE PAMI 2000); those closer than 1 % of a standard deviation are one.
        """
        nudge = 1e-3 * self.covariances.diagonal(dim1=-2, dim2=-1).sqrt()  # off any saddle that a mean may lie on
        point = (self.means + nudge).transpose(0, 1)  # (K starts, N, L)
        precision = torch.linalg.inv(self.covariances)  # (N, K, L, L)
        pull = torch.einsum("nklm,nkm->nkl", precision, self.means)
        for _ in range(500):
            r = self._responsibilities(point)  # (K starts, N, K)
            new = torch.linalg.solve(
                torch.einsum("snk,nklm->snlm", r, precision), torch.einsum("snk,nkl->snl", r, pull)
            )
            step, point = (new - point).abs().max(), new
            if step <= tolerance:
                break
        return [self._distinct(point[:, n], n) for n in range(point.shape[1])]

    def _responsibilities(self, point: Tensor) -> Tensor:
        log_joint = self.mixture_distribution.logits + self.component_distribution.log_prob(point.unsqueeze(-2))
        return torch.softmax(log_joint, dim=-1)

    def _distinct(self, points: Tensor, n: int) -> Tensor:
        scale = self.covariances[n].diagonal(dim1=-2, dim2=-1).amin(0).sqrt()
        log_density = MultivariateGaussianMixture(
            self.mixture_distribution.logits[n], self.means[n], self.covariances[n]
        ).log_prob(points)
        kept: list[Tensor] = []
        for point in points[log_density.argsort(descending=True)]:
            if all(bool(((point - other).abs() > 0.01 * scale).any()) for other in kept):
                kept.append(point)
        return torch.stack(kept)


def gaussian_entropy(covariances: Tensor) -> Tensor:
    """½ log |2πe S|, in nats: the size of a Gaussian's region on the scale of log-densities, (..., L, L) to (...)."""
    L = covariances.shape[-1]
    return 0.5 * (torch.logdet(covariances) + L * (1.0 + math.log(2.0 * math.pi)))
