"""Motion models of a head: a rotation with its velocity, its prediction and its update by a measurement.

    dR/dt = [ω]× R,    dω/dt = −ω/τ + a·(white noise),    measured = exp([n]×) R,  n ~ N(0, C)

R is the rotation and ω its angular velocity in the camera's frame; [·]× is as in `rotations.rotation_from_vector`.
Units are degrees and seconds. The steps are those of the multiplicative extended Kalman filter (Markley, "Attitude
error representations for Kalman filtering", 2003): means are rotations, and covariances are those of the small vector
δ with R = exp([δ]×) · mean, to first order in δ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import Array, rotation_from_vector, vector_from_rotation

_INITIAL_SPEED = 200.0  # initial standard deviation of a velocity that does not decay, degrees a second
_STILL_PERSISTENCE = 1e-3  # decay time of the velocity of a still head, seconds, below that of a frame
_FLOOR = 1e-6  # degrees², added to the covariances of measurements, which may be singular


class MotionModel(NamedTuple):
    """A motion model.

    Attributes:
        acceleration: a, degrees/s^1.5.
        persistence: τ, seconds.
    """

    acceleration: float
    persistence: float

    @property
    def speed(self) -> float:
        """Stationary standard deviation of the velocity about each axis, a·√(τ/2), degrees a second."""
        decays = math.isfinite(self.persistence)
        return self.acceleration * math.sqrt(self.persistence / 2) if decays else _INITIAL_SPEED


@dataclass(frozen=True)
class HeadMotion:
    """Parameters of the motion of a head, which alternates between moving and keeping still, and of the measurements.

    The defaults are those of `research/smoothing`.

    Attributes:
        acceleration: root spectral density of the angular acceleration of a moving head, degrees/s^1.5, at least 0. A
            larger value follows movements faster, a smaller one gives smoother estimates.
        persistence: time in which the velocity of a moving head decays by e, seconds; `math.inf` for no decay.
        drift: random walk of a still head, degrees in the square root of a second, at least 0.
        hold: mean time for which a head keeps still, seconds; 0 for a head that always moves.
        move: mean time for which a head moves, seconds.
        independent: share of the covariance of the measurements that is independent between frames, above 0 and at most
            1. The errors of a network on similar frames are correlated. The rest of the covariance is not reduced by
            averaging: it does not affect the weights, and is added to the covariance of each estimate.
        gate: Mahalanobis distance from the prediction beyond which a measurement is an outlier and is not used;
            `math.inf` to use all measurements.
        patience: number of consecutive outliers after which the filter is initialised again.

    Raises:
        ConfigurationError: a parameter is out of range.

    Example:
        >>> [round(model.speed) for model in HeadMotion(acceleration=200, persistence=0.5).models]  # still, moving
        [11, 100]
    """

    acceleration: float = 400.0
    persistence: float = 0.3
    drift: float = 0.5
    hold: float = 1.5
    move: float = 0.7
    independent: float = 0.25
    gate: float = 5.0
    patience: int = 3

    def __post_init__(self) -> None:
        ranges = {
            "acceleration": (0.0, 1e6),
            "persistence": (1e-3, math.inf),
            "drift": (0.0, 1e3),
            "hold": (0.0, 1e6),
            "move": (1e-3, 1e6),
            "independent": (1e-3, 1.0),
            "gate": (1.0, math.inf),
            "patience": (1, 1e6),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"{name} {value:g} of a head's motion: give a number from {low:g} to {high:g}")

    @property
    def models(self) -> tuple[MotionModel, ...]:
        """The motion models of a still head, unless `hold` is 0, and of a moving head."""
        moving = MotionModel(self.acceleration, self.persistence)
        return (
            (MotionModel(self.drift / _STILL_PERSISTENCE, _STILL_PERSISTENCE), moving) if self.hold > 0 else (moving,)
        )

    def transition_matrix(self, seconds: float) -> Array:
        """Return the transition probabilities between the M models over a time.

        Args:
            seconds: the time, at least 0; `math.inf` for the stationary distribution.

        Returns:
            (M, M), from the row to the column; rows sum to 1.
        """
        if self.hold == 0:
            return np.ones((1, 1))
        stationary = np.array([self.hold, self.move]) / (self.hold + self.move)
        kept = math.exp(-seconds / self.hold - seconds / self.move)
        transition: Array = kept * np.eye(2) + (1 - kept) * stationary
        return transition


class MotionState(NamedTuple):
    """A Gaussian distribution of rotation and velocity.

    Attributes:
        rotation: mean rotation, (3, 3).
        velocity: mean angular velocity, (3,), degrees a second.
        covariance: covariance of (δ, ω), (6, 6), with δ in degrees and ω in degrees a second.
    """

    rotation: Array
    velocity: Array
    covariance: Array


def initial_state(rotation: Array, noise: Array, model: MotionModel) -> MotionState:
    """Return the state after the first measurement, with the stationary distribution of the velocity."""
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = noise
    covariance[3:, 3:] = model.speed**2 * np.eye(3)
    return MotionState(rotation, np.zeros(3), covariance)


def predict(state: MotionState, seconds: float, model: MotionModel) -> tuple[MotionState, Array]:
    """Return the state predicted for a later time, and the transition matrix of (δ, ω), (6, 6)."""
    x = seconds / model.persistence
    reach = seconds * _mean_decay(x)  # the rotation of a velocity ω is reach · ω
    step = reach * state.velocity
    transition = np.zeros((6, 6))
    transition[:3, :3], halfway = rotation_from_vector(np.stack([step, step / 2]))
    transition[:3, 3:] = reach * halfway  # the left Jacobian of exp, to second order
    transition[3:, 3:] = math.exp(-x) * np.eye(3)
    density = model.acceleration**2
    both = density * reach**2 / 2
    noise = [[density * seconds**3 * _angle_variance(x), both], [both, density * seconds * _mean_decay(2 * x)]]
    covariance = transition @ state.covariance @ transition.T + np.kron(noise, np.eye(3))
    return MotionState(transition[:3, :3] @ state.rotation, math.exp(-x) * state.velocity, covariance), transition


def _mean_decay(x: float) -> float:
    """Return (1 − e^−x) / x, the mean of an exponential decay over a step."""
    return -math.expm1(-x) / x if x > 0 else 1.0


def _angle_variance(x: float) -> float:
    """Return (x − 2 (1 − e^−x) + ½ (1 − e^−2x)) / x³, the variance of the angle; ⅓ for x = 0."""
    if x < 1e-2:  # the differences cancel; the next term of the series is under 1e-7
        return 1 / 3 - x / 4 + 7 * x**2 / 60
    return (x + 2 * math.expm1(-x) - math.expm1(-2 * x) / 2) / x**3


def correct(state: MotionState, rotation: Array, noise: Array) -> tuple[MotionState, float]:
    """Return the state updated by a measurement, and the log-likelihood of the measurement up to a constant.

    Args:
        state: the state predicted for the time of the measurement.
        rotation: the measured rotation, (3, 3).
        noise: its covariance, (3, 3), degrees².
    """
    innovation = vector_from_rotation(rotation @ state.rotation.T)
    P, noise = state.covariance, noise + _FLOOR * np.eye(3)
    spread = P[:3, :3] + noise
    inverse = np.linalg.inv(spread)
    gain = P[:, :3] @ inverse  # (6, 3)
    rest = np.eye(6)
    rest[:, :3] -= gain
    covariance = rest @ P @ rest.T + gain @ noise @ gain.T  # Joseph's form is positive definite
    log_likelihood = -0.5 * (innovation @ inverse @ innovation + np.linalg.slogdet(spread)[1])
    return _moved(state, gain @ innovation, covariance), float(log_likelihood)


def mahalanobis_distance(state: MotionState, rotation: Array, noise: Array) -> float:
    """Return the Mahalanobis distance of a measurement from the state."""
    innovation = vector_from_rotation(rotation @ state.rotation.T)
    return math.sqrt(innovation @ np.linalg.solve(state.covariance[:3, :3] + noise + _FLOOR * np.eye(3), innovation))


def rts_step(state: MotionState, predicted: MotionState, transition: Array, following: MotionState) -> MotionState:
    """Return the smoothed state, given the smoothed state of the next time (Rauch, Tung and Striebel, 1965).

    Args:
        state: the filtered state.
        predicted: the state predicted from it for the next time.
        transition: the transition matrix of that prediction, (6, 6).
        following: the smoothed state of the next time.
    """
    inverse = np.linalg.pinv(predicted.covariance, rcond=1e-12, hermitian=True)  # it is singular for a still head
    gain = state.covariance @ transition.T @ inverse  # (6, 6)
    covariance = state.covariance + gain @ (following.covariance - predicted.covariance) @ gain.T
    return _moved(state, gain @ _difference(following, predicted.rotation, predicted.velocity), covariance)


def combine(states: Sequence[MotionState], weights: Array, near: Array) -> MotionState:
    """Return mean and covariance of a mixture of states, to first order about the rotation `near`."""
    if len(states) == 1:
        return states[0]
    offsets = np.stack([_difference(state, near, np.zeros(3)) for state in states])  # (M, 6)
    mean = weights @ offsets
    offsets -= mean
    inner = np.stack([state.covariance for state in states])
    covariance = np.tensordot(weights, inner, axes=1) + (weights * offsets.T) @ offsets
    return _moved(MotionState(near, np.zeros(3), covariance), mean, covariance)


def _difference(state: MotionState, rotation: Array, velocity: Array) -> Array:
    """Return (δ, ω) of the mean of a state relative to another rotation and velocity, (6,)."""
    return np.concatenate([vector_from_rotation(state.rotation @ rotation.T), state.velocity - velocity])


def _moved(state: MotionState, change: Array, covariance: Array) -> MotionState:
    """Return a state whose mean is changed by (δ, ω), with another covariance, made symmetric."""
    rotation = rotation_from_vector(change[:3]) @ state.rotation
    return MotionState(rotation, state.velocity + change[3:], (covariance + covariance.T) / 2)
