"""The base class of mixtures of elliptical components.

A component has a location m, a scale matrix S, and a density that decreases with the squared Mahalanobis distance
δ(y) = (y − m)ᵀ S⁻¹ (y − m). This module contains everything that follows from this alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from deepgllim.distributions.student import MultivariateStudentT
from deepgllim.errors import ConfigurationError

MAX_HALVINGS = 2200  # from the widest bracket of float64 to its last digit; usual brackets take about 55
MAX_STEPS = 500  # of the iteration to a mode


class MultivariateMixture(MixtureSameFamily, ABC):
    """p(y) = Σ_k w_k p_k(y; m_k, S_k), a batch of N mixtures of K elliptical components over L targets.

    The base class of `MultivariateGaussianMixture` and `MultivariateStudentMixture`.

    Attributes:
        means: m, (N, K, L), locations of the components.
        scales: S, (N, K, L, L), scale matrices of the components.
        input_log_density: log p(x) of the inputs of the prediction, (N,); None if unknown.
    """

    def __init__(
        self,
        log_weights: Tensor,
        components: MultivariateNormal | MultivariateStudentT,
        scales: Tensor,
        input_log_density: Tensor | None,
    ) -> None:
        self.means, self.scales = components.loc, scales.expand(components.scale_tril.shape)
        self.input_log_density = input_log_density
        super().__init__(Categorical(logits=log_weights, validate_args=False), components, validate_args=False)

    @property
    @abstractmethod
    def covariances(self) -> Tensor:
        """Cov[y | k], (N, K, L, L)."""

    @abstractmethod
    def select(self, index: Tensor) -> "MultivariateMixture":
        """Return the mixtures of the batch that an index or a boolean mask selects."""

    @abstractmethod
    def _standard_cdf(self, value: Tensor) -> Tensor:
        """Return P(z ≤ value) of the marginal of each component, z = (y − m) / √S_ll, (..., K, L)."""

    @abstractmethod
    def _standard_bracket(self, probability: float) -> tuple[Tensor, Tensor]:
        """Return bounds on the marginal quantile of z of each component, broadcastable to (..., K, 1)."""

    @property
    def weights(self) -> Tensor:
        """w, (N, K)."""
        weights: Tensor = self.mixture_distribution.probs
        return weights

    @property
    def mean(self) -> Tensor:
        """E[y] = Σ_k w_k E[y | k], (N, L)."""
        origin = self._largest_mean
        return origin + torch.einsum("...k,...kl->...l", self.weights, self.means - origin.unsqueeze(-2))

    @property
    def _largest_mean(self) -> Tensor:
        """The mean of the component with the largest weight, (N, L): an origin about which no digits are lost."""
        index = self.weights.argmax(-1)[..., None, None].expand(*self.means.shape[:-2], 1, self.means.shape[-1])
        return self.means.gather(-2, index).squeeze(-2)

    @property
    def variance(self) -> Tensor:
        """Var[y_l] of each target, the diagonal of `covariance_matrix`, (N, L)."""
        return self.covariance_matrix.diagonal(dim1=-2, dim2=-1)

    @property
    def covariance_matrix(self) -> Tensor:
        """Cov[y] = Σ_k w_k (Cov[y | k] + (m_k − m)(m_k − m)ᵀ), within plus between components, (N, L, L)."""
        deviation = self.means - self.mean.unsqueeze(-2)
        return self._within() + torch.einsum("...k,...kl,...km->...lm", self.weights, deviation, deviation)

    def _within(self) -> Tensor:
        return torch.einsum("...k,...klm->...lm", self.weights, self.covariances)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(y), (N,), of targets (N, L), in nats."""
        answer: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return answer

    @property
    def _marginal_scales(self) -> Tensor:
        return self.scales.diagonal(dim1=-2, dim2=-1).sqrt()

    def marginal_cdf(self, value: Tensor) -> Tensor:
        """Return P(y_l ≤ value_l) of each target, (..., L)."""
        probability = self._standard_cdf((value.unsqueeze(-2) - self.means) / self._marginal_scales)
        return torch.einsum("...k,...kl->...l", self.weights, probability)

    def quantile(self, probability: float) -> Tensor:
        """Return the marginal quantile of each target, (N, L), by bisection to the last digit.

        Raises:
            ConfigurationError: unless 0 < probability < 1.
        """
        if not 0.0 < probability < 1.0:
            raise ConfigurationError(f"probability {probability}: use a value strictly between 0 and 1")
        below, above = self._standard_bracket(probability)
        # the quantile of the mixture lies between those of its components
        low = (self.means + self._marginal_scales * below).amin(-2)
        high = (self.means + self._marginal_scales * above).amax(-2)
        return self._bisect(probability, low, high)

    def _bisect(self, probability: float, low: Tensor, high: Tensor) -> Tensor:
        limits, unit = torch.finfo(low.dtype), self._marginal_scales.amin(-2)
        low, high = low.clamp(limits.min, limits.max), high.clamp(limits.min, limits.max)
        for _ in range(MAX_HALVINGS):
            middle = 0.5 * low + 0.5 * high
            if not (high - low > limits.eps * (middle.abs() + unit)).any():
                break
            below = self.marginal_cdf(middle) < probability  # (N, L)
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return 0.5 * low + 0.5 * high

    def marginal_quantiles(self, probabilities: Sequence[float]) -> Tensor:
        """Return the marginal quantiles of each target at several probabilities, (number of probabilities, N, L).

        Raises:
            ConfigurationError: unless there is at least one probability and all are between 0 and 1.
        """
        if not len(probabilities):
            raise ConfigurationError("no probabilities: use at least one, strictly between 0 and 1")
        return torch.stack([self.quantile(probability) for probability in probabilities])

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """Return the bounds of the central interval of each target with probability `level`: lower, upper, (N, L) each.

        Raises:
            ConfigurationError: unless 0 < level < 1.
        """
        if not 0.0 < level < 1.0:
            raise ConfigurationError(f"level {level}: use a value strictly between 0 and 1")
        return self.quantile(0.5 - 0.5 * level), self.quantile(0.5 + 0.5 * level)

    def modes(self, tolerance: float = 1e-6) -> list[Tensor]:
        """Return the local maxima of each density, (number of modes, L), highest first."""
        return [modes for modes, _ in self.modes_with_probabilities(tolerance)]

    def modes_with_probabilities(self, tolerance: float = 1e-6) -> list[tuple[Tensor, Tensor]]:
        """Return the local maxima of each density, (number of modes, L), highest first, and their probabilities.

        From the mean of every component, y ← (Σ_k a_k S_k⁻¹)⁻¹ Σ_k a_k S_k⁻¹ m_k converges to a mode, where
        a_k = P(k | y), times E[u | y, k] for Student components. Modes closer than 1 % of a standard deviation are
        merged. The probability of a mode is Σ w_k of the components whose iterations converge to it.

        Args:
            tolerance: maximum of the last step, as a share of the smallest standard deviation of a component.

        Source: Carreira-Perpiñán, IEEE Transactions on Pattern Analysis and Machine Intelligence 2000.
        """
        points = self._ascend(tolerance)  # (K starts, N, L)
        heights = self.log_prob(points)  # (K starts, N)
        return [self._distinct(points[:, n], heights[:, n], n) for n in range(points.shape[1])]

    def _ascend(self, tolerance: float) -> Tensor:
        offset = 1e-3 * self._marginal_scales  # away from a saddle point at which a mean may lie
        origin = self._largest_mean  # (N, L)
        points = (self.means + offset).transpose(0, 1).contiguous()  # (K starts, N, L)
        unit = self._marginal_scales.amin(-2)  # (N, L)
        max_step = torch.maximum(tolerance * unit, 4.0 * torch.finfo(unit.dtype).eps * self.means.abs().amax(-2))
        precision = torch.linalg.inv(self.scales)  # (N, K, L, L)
        pull = torch.einsum("nklm,nkm->nkl", precision, self.means - origin.unsqueeze(-2))
        active = torch.arange(points.shape[1], device=points.device)  # the mixtures that have not converged
        part: MultivariateMixture = self
        for _ in range(MAX_STEPS):
            a = part._attraction(points[:, active])  # (K starts, active, K)
            new = torch.linalg.solve(
                torch.einsum("snk,nklm->snlm", a, precision[active]), torch.einsum("snk,nkl->snl", a, pull[active])
            )
            new = new + origin[active]
            changing = ((new - points[:, active]).abs() > max_step[active]).any(2).any(0)
            points[:, active] = new
            if not bool(changing.any()):
                break
            if not bool(changing.all()):
                active = active[changing]
                part = self.select(active)
        return points

    def _attraction(self, point: Tensor) -> Tensor:
        log_joint = self.mixture_distribution.logits + self.component_distribution.log_prob(point.unsqueeze(-2))
        return torch.softmax(log_joint, dim=-1)

    def _distinct(self, points: Tensor, heights: Tensor, n: int) -> tuple[Tensor, Tensor]:
        near, weights = 0.01 * self._marginal_scales[n].amin(0), self.weights[n]
        modes: list[Tensor] = []
        probabilities: list[Tensor] = []
        for k in heights.argsort(descending=True).tolist():
            same = [i for i, mode in enumerate(modes) if bool(((points[k] - mode).abs() <= near).all())]
            if same:
                probabilities[same[0]] = probabilities[same[0]] + weights[k]
            else:
                modes.append(points[k])
                probabilities.append(weights[k])
        return torch.stack(modes), torch.stack(probabilities)
