"""Gaussian mixture over a few angles, the prediction of a network for one face, in numpy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.rotations import Array

MAX_ITER = 500  # of the search for a mode


class MixtureMode(NamedTuple):
    """A local maximum of a mixture's density.

    Attributes:
        point: location of the maximum, (L,), degrees.
        covariance: covariance about `point` of the components that converge to it, (L, L), degrees².
        probability: sum of the weights of those components, in [0, 1].
    """

    point: Array
    covariance: Array
    probability: float


class Mixture(NamedTuple):
    """p(y) = Σ_k w_k N(y; m_k, S_k), K components over L angles in degrees.

    Attributes:
        weights: w, (K,), positive, with sum 1.
        means: m, (K, L), degrees.
        covariances: S, (K, L, L), degrees².

    Example:
        >>> mixture = Mixture(np.array([0.75, 0.25]), np.array([[0.0], [8.0]]), np.array([[[1.0]], [[1.0]]]))
        >>> mixture.mean, mixture.covariance
        (array([2.]), array([[13.]]))
        >>> [(mode.point.round(3).tolist(), mode.probability) for mode in mixture.modes()]
        [([0.0], 0.75), ([8.0], 0.25)]
    """

    weights: Array
    means: Array
    covariances: Array

    @classmethod
    def of(cls, weights: npt.ArrayLike, means: npt.ArrayLike, covariances: npt.ArrayLike) -> "Mixture":
        """Return a mixture in float64 with normalised weights and symmetric covariances.

        Args:
            weights: (K,), not negative.
            means: (K, L), degrees.
            covariances: (K, L, L), degrees².
        """
        w, m, S = (np.asarray(values, dtype=np.float64) for values in (weights, means, covariances))
        return cls(w / w.sum(), m, 0.5 * (S + np.swapaxes(S, -1, -2)))

    @property
    def mean(self) -> Array:
        """Mean E[y], (L,), degrees."""
        mean: Array = self.weights @ self.means
        return mean

    @property
    def covariance(self) -> Array:
        """Covariance Cov[y], within plus between components, (L, L), degrees²."""
        return self.spread(self.mean)

    def spread(self, point: Array) -> Array:
        """Return the second moment about a point, E[(y − point)(y − point)ᵀ], (L, L), degrees²."""
        deviation = self.means - point
        second = self.covariances + np.einsum("kl,km->klm", deviation, deviation)
        moment: Array = np.einsum("k,klm->lm", self.weights, second)
        return moment

    def marginal(self, targets: Sequence[int]) -> "Mixture":
        """Return the marginal of some of the angles, given by their indices, in that order."""
        rows = list(targets)
        return Mixture(self.weights, self.means[:, rows], self.covariances[:, rows][:, :, rows])

    def log_prob(self, points: Array) -> Array:
        """Return log p(y), (...), in nats, at points (..., L)."""
        joint = self._log_joint(points, *self._whitening())
        top = joint.max(axis=-1)
        density: Array = top + np.log(np.exp(joint - top[..., None]).sum(axis=-1))
        return density

    def modes(self, tolerance: float = 1e-6, min_weight: float = 0.0) -> list[MixtureMode]:
        """Return the local maxima of the density, the highest first.

        From the mean of every component the fixed-point iteration y ← (Σ_k a_k S_k⁻¹)⁻¹ Σ_k a_k S_k⁻¹ m_k with
        a_k = P(k | y) converges to a mode (Carreira-Perpiñán, IEEE PAMI 2000). Modes closer than 1 % of a standard
        deviation are merged.

        Args:
            tolerance: largest step at which an iteration stops, degrees.
            min_weight: components with a smaller weight are ignored, except for that with the largest weight.
        """
        kept = self.weights >= min(min_weight, float(self.weights.max()))
        part = Mixture(self.weights[kept] / self.weights[kept].sum(), self.means[kept], self.covariances[kept])
        return part._merge(part._converge(tolerance))

    def _whitening(self) -> tuple[Array, Array]:
        """Return inverse Cholesky factors of the covariances, (K, L, L), and the log-density at each mean, (K,)."""
        roots = np.linalg.cholesky(self.covariances)
        volume = np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
        with np.errstate(divide="ignore"):  # log 0 of a component with weight 0
            summits: Array = np.log(self.weights) - volume - 0.5 * np.log(2 * np.pi) * self.means.shape[1]
        return np.linalg.inv(roots), summits

    def _log_joint(self, points: Array, whitening: Array, summits: Array) -> Array:
        """Return log w_k N(y; m_k, S_k), (..., K)."""
        deviation = np.asarray(points)[..., None, :] - self.means
        whitened = (whitening @ deviation[..., None])[..., 0]  # (..., K, L)
        joint: Array = summits - 0.5 * (whitened**2).sum(axis=-1)
        return joint

    def _converge(self, tolerance: float) -> Array:
        """Return the limit of the iteration from each component's mean, (K, L)."""
        (K, L), parts = self.means.shape, self._whitening()
        points = self.means + 1e-3 * self._scales()  # off a saddle point at the mean
        precision = np.swapaxes(parts[0], -1, -2) @ parts[0]
        weighted = precision @ self.means[..., None]
        terms = np.concatenate([precision.reshape(K, L * L), weighted.reshape(K, L)], axis=1)
        moving = np.arange(K)
        for _ in range(MAX_ITER):
            joint = self._log_joint(points[moving], *parts)
            sums = np.exp(joint - joint.max(axis=-1, keepdims=True)) @ terms  # Σ a_k S_k⁻¹ and Σ a_k S_k⁻¹ m_k
            matrix, vector = sums[:, : L * L].reshape(-1, L, L), sums[:, L * L :]
            new = np.linalg.solve(matrix, vector[..., None])[..., 0]
            unfinished = np.abs(new - points[moving]).max(axis=-1) > tolerance
            points[moving] = new
            moving = moving[unfinished]
            if not len(moving):
                break
        return points

    def _scales(self) -> Array:
        """Return the standard deviations, (K, L)."""
        scales: Array = np.sqrt(np.diagonal(self.covariances, axis1=-2, axis2=-1))
        return scales

    def _merge(self, summits: Array) -> list[MixtureMode]:
        near = 0.01 * self._scales().min(axis=0)
        members: list[tuple[Array, list[int]]] = []
        for k in np.argsort(-self.log_prob(summits), kind="stable").tolist():
            same = next((found for mode, found in members if (np.abs(summits[k] - mode) <= near).all()), None)
            if same is None:
                members.append((summits[k], [k]))
            else:
                same.append(k)
        return [self._mode(point, found) for point, found in members]

    def _mode(self, point: Array, members: list[int]) -> MixtureMode:
        probability = float(self.weights[members].sum())
        part = Mixture(self.weights[members] / probability, self.means[members], self.covariances[members])
        return MixtureMode(point, part.spread(point), probability)
