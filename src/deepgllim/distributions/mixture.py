"""What mixtures of elliptical components have in common, whatever their density.

A component is a location m, a scale matrix S, and a density that falls with the squared Mahalanobis distance
δ(y) = (y − m)ᵀ S⁻¹ (y − m). What follows from that alone is written here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from deepgllim.distributions.student import MultivariateStudentT
from deepgllim.errors import ConfigurationError

MOST_HALVINGS = 2200  # from the widest bracket of float64 to its last digit; a usual one takes about 55
MOST_STEPS = 500  # of a climb to a mode


class MultivariateMixture(MixtureSameFamily, ABC):
    """p(y) = Σ_k w_k p_k(y; m_k, S_k), a batch of N mixtures of K elliptical components over L targets.

    What `MultivariateGaussianMixture` and `MultivariateStudentMixture` have in common.

    Attributes:
        means: m, (N, K, L), the components' locations.
        scales: S, (N, K, L, L), their scale matrices.
        input_log_density: log p(x) of the inputs the mixtures were predicted from, (N,); None where unknown.
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
        """Some mixtures of the batch, by index or boolean mask."""

    @abstractmethod
    def _standard_cdf(self, value: Tensor) -> Tensor:
        """P(z ≤ value) of each component's marginal z = (y − m) / √S_ll, (..., K, L)."""

    @abstractmethod
    def _standard_bracket(self, probability: float) -> tuple[Tensor, Tensor]:
        """Bounds on each component's marginal quantile of z, (..., K, 1) or less."""

    @property
    def weights(self) -> Tensor:
        """w, (N, K)."""
        weights: Tensor = self.mixture_distribution.probs
        return weights

    @property
    def mean(self) -> Tensor:
        """E[y] = Σ_k w_k E[y | k], (N, L)."""
        likeliest = self._likeliest
        return likeliest + torch.einsum("...k,...kl->...l", self.weights, self.means - likeliest.unsqueeze(-2))

    @property
    def _likeliest(self) -> Tensor:
        """The mean of the component with the most weight, (N, L): an origin that takes no digits."""
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
        """log p(y), (N,), of targets (N, L), in nats."""
        answer: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return answer

    @property
    def _marginal_scales(self) -> Tensor:
        return self.scales.diagonal(dim1=-2, dim2=-1).sqrt()

    def marginal_cdf(self, value: Tensor) -> Tensor:
        """P(y_l ≤ value_l) of each target by itself, (..., L)."""
        probability = self._standard_cdf((value.unsqueeze(-2) - self.means) / self._marginal_scales)
        return torch.einsum("...k,...kl->...l", self.weights, probability)

    def quantile(self, probability: float) -> Tensor:
        """The marginal quantile of each target, (N, L), by bisection to the last digit.

        Raises:
            ConfigurationError: unless 0 < probability < 1.
        """
        if not 0.0 < probability < 1.0:
            raise ConfigurationError(f"probability {probability}: use a value strictly between 0 and 1")
        below, above = self._standard_bracket(probability)
        # the mixture's quantile lies among its components'
        low = (self.means + self._marginal_scales * below).amin(-2)
        high = (self.means + self._marginal_scales * above).amax(-2)
        return self._bisect(probability, low, high)

    def _bisect(self, probability: float, low: Tensor, high: Tensor) -> Tensor:
        limits, unit = torch.finfo(low.dtype), self._marginal_scales.amin(-2)
        low, high = low.clamp(limits.min, limits.max), high.clamp(limits.min, limits.max)
        for _ in range(MOST_HALVINGS):
            middle = 0.5 * low + 0.5 * high
            if not (high - low > limits.eps * (middle.abs() + unit)).any():
                break
            below = self.marginal_cdf(middle) < probability  # (N, L)
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return 0.5 * low + 0.5 * high

    def marginal_quantiles(self, probabilities: Sequence[float]) -> Tensor:
        """The marginal quantiles of each target at several probabilities, (number of probabilities, N, L).

        Raises:
            ConfigurationError: unless all are between 0 and 1, and there is one.
        """
        if not len(probabilities):
            raise ConfigurationError("no probabilities: give at least one, strictly between 0 and 1")
        return torch.stack([self.quantile(probability) for probability in probabilities])

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The central interval of each target that holds `level` of its probability: (lower, upper), (N, L) each.

        Raises:
            ConfigurationError: unless 0 < level < 1.
        """
        if not 0.0 < level < 1.0:
            raise ConfigurationError(f"level {level}: use a value strictly between 0 and 1")
        return self.quantile(0.5 - 0.5 * level), self.quantile(0.5 + 0.5 * level)

    def modes(self, tolerance: float = 1e-6) -> list[Tensor]:
        """The local maxima of each density, (number of modes, L), highest first; see `modes_with_probabilities`."""
        return [modes for modes, _ in self.modes_with_probabilities(tolerance)]

    def modes_with_probabilities(self, tolerance: float = 1e-6) -> list[tuple[Tensor, Tensor]]:
        """The local maxima of each density, (number of modes, L), highest first, and the weight that climbs to each.

        From every component's mean the fixed point y ← (Σ_k a_k S_k⁻¹)⁻¹ Σ_k a_k S_k⁻¹ m_k climbs to a mode, where
        a_k = P(k | y), times E[u | y, k] for Student components (Carreira-Perpiñán, IEEE PAMI 2000); those closer than
        1 % of a standard deviation are one. A mode's probability is Σ w_k of the components that climb to it.

        Args:
            tolerance: the longest last step of a climb, as a share of the least standard deviation of a component.
        """
        summits = self._climb(tolerance)  # (K starts, N, L)
        heights = self.log_prob(summits)  # (K starts, N)
        return [self._distinct(summits[:, n], heights[:, n], n) for n in range(summits.shape[1])]

    def _climb(self, tolerance: float) -> Tensor:
        nudge = 1e-3 * self._marginal_scales  # off any saddle that a mean may lie on
        origin = self._likeliest  # (N, L)
        point = (self.means + nudge).transpose(0, 1).contiguous()  # (K starts, N, L)
        unit = self._marginal_scales.amin(-2)  # (N, L), of what is measured; and what float64 tells apart
        least = torch.maximum(tolerance * unit, 4.0 * torch.finfo(unit.dtype).eps * self.means.abs().amax(-2))
        precision = torch.linalg.inv(self.scales)  # (N, K, L, L)
        pull = torch.einsum("nklm,nkm->nkl", precision, self.means - origin.unsqueeze(-2))
        moving = torch.arange(point.shape[1], device=point.device)  # the mixtures with a climb under way
        part: MultivariateMixture = self
        for _ in range(MOST_STEPS):
            a = part._attraction(point[:, moving])  # (K starts, moving, K)
            new = torch.linalg.solve(
                torch.einsum("snk,nklm->snlm", a, precision[moving]), torch.einsum("snk,nkl->snl", a, pull[moving])
            )
            new = new + origin[moving]
            still = ((new - point[:, moving]).abs() > least[moving]).any(2).any(0)
            point[:, moving] = new
            if not bool(still.any()):
                break
            if not bool(still.all()):
                moving = moving[still]
                part = self.select(moving)
        return point

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
