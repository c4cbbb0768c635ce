"""One predictive mixture of Gaussians over a few angles: what the network says of one face, in numpy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.rotations import Array

MOST_STEPS = 500  # of a climb to a mode


class MixtureMode(NamedTuple):
    """A local maximum of a mixture's density.

    Attributes:
        point: where, (L,).
        covariance: of the components that climb to it, about it, (L, L).
        probability: Σ w_k of those components.
    """

    point: Array
    covariance: Array
    probability: float


class Mixture(NamedTuple):
    """p(y) = Σ_k w_k N(y; m_k, S_k), K components over L angles in degrees.

    Attributes:
        weights: w, (K,), positive, of sum 1.
        means: m, (K, L).
        covariances: S, (K, L, L).

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
        """A mixture of one row of a network's outputs: float64, weights of sum 1, symmetric covariances."""
        w, m, S = (np.asarray(values, dtype=np.float64) for values in (weights, means, covariances))
        return cls(w / w.sum(), m, 0.5 * (S + np.swapaxes(S, -1, -2)))

    @property
    def mean(self) -> Array:
        """E[y], (L,)."""
        mean: Array = self.weights @ self.means
        return mean

    @property
    def covariance(self) -> Array:
        """Cov[y], within plus between components, (L, L)."""
        return self.spread(self.mean)

    def spread(self, point: Array) -> Array:
        """E[(y − point)(y − point)ᵀ], (L, L)."""
        deviation = self.means - point
        second = self.covariances + np.einsum("kl,km->klm", deviation, deviation)
        moment: Array = np.einsum("k,klm->lm", self.weights, second)
        return moment

    def marginal(self, targets: Sequence[int]) -> "Mixture":
        """The mixture of some of the angles, in the order given."""
        rows = list(targets)
        return Mixture(self.weights, self.means[:, rows], self.covariances[:, rows][:, :, rows])

    def log_prob(self, points: Array) -> Array:
        """log p(y), (...), of points (..., L), in nats."""
        joint = self._log_joint(points, *self._whitening())
        top = joint.max(axis=-1)
        density: Array = top + np.log(np.exp(joint - top[..., None]).sum(axis=-1))
        return density

    def modes(self, tolerance: float = 1e-6, least: float = 0.0) -> list[MixtureMode]:
        """The local maxima of the density, highest first, each with the weight that climbs to it.

        From every component's mean the fixed point y ← (Σ_k a_k S_k⁻¹)⁻¹ Σ_k a_k S_k⁻¹ m_k with a_k = P(k | y) climbs
        to a mode (Carreira-Perpiñán, IEEE PAMI 2000); those closer than 1 % of a standard deviation are one.

        Args:
            tolerance: the longest last step of a climb, degrees.
            least: components of less weight start no climb, and count nowhere; the heaviest one always does.
        """
        kept = self.weights >= min(least, float(self.weights.max()))
        part = Mixture(self.weights[kept] / self.weights[kept].sum(), self.means[kept], self.covariances[kept])
        return part._distinct(part._climb(tolerance))

    def _whitening(self) -> tuple[Array, Array]:
        """Inverses of the covariances' Cholesky factors, (K, L, L), and log w_k of each density's summit, (K,)."""
        roots = np.linalg.cholesky(self.covariances)
        volume = np.log(np.diagonal(roots, axis1=-2, axis2=-1)).sum(axis=-1)
        with np.errstate(divide="ignore"):  # a component of weight 0 is nowhere
            summits: Array = np.log(self.weights) - volume - 0.5 * np.log(2 * np.pi) * self.means.shape[1]
        return np.linalg.inv(roots), summits

    def _log_joint(self, points: Array, whitening: Array, summits: Array) -> Array:
        """log w_k N(y; m_k, S_k), (..., K)."""
        deviation = np.asarray(points)[..., None, :] - self.means
        whitened = (whitening @ deviation[..., None])[..., 0]  # (..., K, L)
        joint: Array = summits - 0.5 * (whitened**2).sum(axis=-1)
        return joint

    def _climb(self, tolerance: float) -> Array:
        """Where each component's mean climbs to, (K starts, L)."""
        (K, L), parts = self.means.shape, self._whitening()
        points = self.means + 1e-3 * self._scales()  # off any saddle that a mean may lie on
        precision = np.swapaxes(parts[0], -1, -2) @ parts[0]
        pull = precision @ self.means[..., None]
        terms = np.concatenate([precision.reshape(K, L * L), pull.reshape(K, L)], axis=1)
        moving = np.arange(K)
        for _ in range(MOST_STEPS):
            joint = self._log_joint(points[moving], *parts)
            sums = np.exp(joint - joint.max(axis=-1, keepdims=True)) @ terms  # of a_k S_k⁻¹ and a_k S_k⁻¹ m_k
            matrix, vector = sums[:, : L * L].reshape(-1, L, L), sums[:, L * L :]
            new = np.linalg.solve(matrix, vector[..., None])[..., 0]
            still = np.abs(new - points[moving]).max(axis=-1) > tolerance
            points[moving] = new
            moving = moving[still]
            if not len(moving):
                break
        return points

    def _scales(self) -> Array:
        """Standard deviations, (K, L)."""
        scales: Array = np.sqrt(np.diagonal(self.covariances, axis1=-2, axis2=-1))
        return scales

    def _distinct(self, summits: Array) -> list[MixtureMode]:
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
