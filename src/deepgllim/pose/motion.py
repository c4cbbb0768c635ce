"""How heads move: a rotation with its velocity, predicted to a later time and corrected by a measurement.

    dR/dt = [ω]× R,    dω/dt = −ω/τ + a·(white noise),    measured = exp([n]×) R,  n ~ N(0, f·C)

R is the rotation and ω its velocity in the camera's frame; [·]× is as in `rotations.rotation_from_vector`. Degrees and
seconds. The steps are those of the multiplicative extended Kalman filter (Markley, "Attitude error representations for
Kalman filtering", 2003): means are rotations, covariances are of the small vector δ beside them, R = exp([δ]×) · mean,
and to first order in δ.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.rotations import Array, rotation_from_vector, vector_from_rotation

_UNKNOWN_SPEED = 200.0  # degrees a second, standard deviation of a velocity that never decays, before it is seen
_FLOOR = 1e-6  # degrees², added to the innovation's covariance: a measurement may claim to be exact


@dataclass(frozen=True)
class HeadMotion:
    """How heads move, and how far measurements can be trusted.

    Attributes:
        acceleration: a, root spectral density of the angular acceleration, degrees/s^1.5, 0 or more. More follows
            faster, less is steadier. With 0 the head is still (or turns evenly, if its velocity never decays).
        persistence: τ, seconds in which a velocity decays by e; `math.inf` keeps it. The root mean square of the
            velocity of each axis is a·√(τ/2).
        correlation: T, seconds in which the measurements' errors decorrelate by e; 0: at once. A network errs alike
            on like frames, and counting frames as independent would average too boldly. A measurement that follows
            another after Δ seconds has its covariance multiplied by f = (1 + ρ) / (1 − ρ), ρ = exp(−Δ/T): with this
            factor a head that holds still is known exactly as well as errors of that correlation allow, at any frame
            rate.
        gate: a measurement further than this many standard deviations (Mahalanobis distance) from the prediction is
            an outlier and left out; `math.inf` takes all.
        patience: so many outliers in a row are no outliers: the filter starts anew with the last one.

    Raises:
        ConfigurationError: a number out of range.

    Example:
        >>> round(HeadMotion(acceleration=200, persistence=0.5).speed)
        100
    """

    acceleration: float = 300.0
    persistence: float = 0.3
    correlation: float = 0.1
    gate: float = 5.0
    patience: int = 3

    def __post_init__(self) -> None:
        least = {"acceleration": 0.0, "persistence": 1e-3, "correlation": 0.0, "gate": 1.0, "patience": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if not value >= bound or (value == math.inf and name not in ("persistence", "gate")):
                raise ConfigurationError(f"{name} {value:g} of a head's motion: give a number from {bound:g} up")

    @property
    def speed(self) -> float:
        """Standard deviation of each axis's velocity before anything is measured, degrees a second."""
        decays = math.isfinite(self.persistence)
        return self.acceleration * math.sqrt(self.persistence / 2) if decays else _UNKNOWN_SPEED

    def inflation(self, gap: float) -> float:
        """f for a measurement that follows the last one after so many seconds: coth(Δ / 2T).

        Example:
            >>> round(HeadMotion(correlation=0.1).inflation(1 / 30), 2), HeadMotion(correlation=0).inflation(0.01)
            (6.06, 1.0)
        """
        return 1 / math.tanh(gap / (2 * self.correlation)) if self.correlation > 0 else 1.0


class State(NamedTuple):
    """A Gaussian of (δ, ω), about a rotation.

    Attributes:
        time: seconds.
        measured: the time of the last measurement in it.
        rotation, velocity: (3, 3) and (3,), the means.
        covariance: (6, 6), of δ in degrees and of ω in degrees a second.
    """

    time: float
    measured: float
    rotation: Array
    velocity: Array
    covariance: Array


def start(time: float, rotation: Array, noise: Array, motion: HeadMotion) -> State:
    """Nothing known but one measurement."""
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = noise
    covariance[3:, 3:] = motion.speed**2 * np.eye(3)
    return State(time, time, rotation, np.zeros(3), covariance)


def predict(state: State, time: float, motion: HeadMotion) -> tuple[State, Array]:
    """The state at a later time, and the transition matrix of its errors."""
    step = time - state.time
    x = step / motion.persistence
    reach = step * _decayed(x)  # a velocity turns the head by reach · ω
    turn = reach * state.velocity
    transition = np.zeros((6, 6))
    transition[:3, :3] = rotation_from_vector(turn)
    transition[:3, 3:] = reach * rotation_from_vector(turn / 2)  # the left Jacobian of exp, to second order
    transition[3:, 3:] = math.exp(-x) * np.eye(3)
    density = motion.acceleration**2
    both = density * reach**2 / 2
    noise = [[density * step**3 * _wandered(x), both], [both, density * step * _decayed(2 * x)]]
    covariance = transition @ state.covariance @ transition.T + np.kron(noise, np.eye(3))
    rotation = transition[:3, :3] @ state.rotation
    return State(time, state.measured, rotation, math.exp(-x) * state.velocity, covariance), transition


def _decayed(x: float) -> float:
    """(1 − e^−x) / x: the mean of a decay over a step."""
    return -math.expm1(-x) / x if x > 0 else 1.0


def _wandered(x: float) -> float:
    """(x − 2 (1 − e^−x) + ½ (1 − e^−2x)) / x³: the variance of the angle; ⅓ where nothing decays."""
    if x < 1e-2:  # the differences cancel; the next term is under 1e-7
        return 1 / 3 - x / 4 + 7 * x**2 / 60
    return (x + 2 * math.expm1(-x) - math.expm1(-2 * x) / 2) / x**3


def correct(state: State, rotation: Array, noise: Array, motion: HeadMotion) -> State | None:
    """The state with a measurement of its time; None if that is an outlier.

    The gate takes the measurement's own covariance: correlated errors are no larger than others.
    """
    innovation = vector_from_rotation(rotation @ state.rotation.T)
    P = state.covariance
    spread = P[:3, :3] + noise + _FLOOR * np.eye(3)
    if innovation @ np.linalg.solve(spread, innovation) > motion.gate**2:
        return None
    noise = motion.inflation(state.time - state.measured) * noise + _FLOOR * np.eye(3)
    gain = np.linalg.solve(P[:3, :3] + noise, P[:3]).T  # (6, 3)
    change = gain @ innovation
    rest = np.eye(6)
    rest[:, :3] -= gain
    covariance = rest @ P @ rest.T + gain @ noise @ gain.T  # Joseph's form stays positive
    turned = rotation_from_vector(change[:3]) @ state.rotation
    return State(state.time, state.time, turned, state.velocity + change[3:], covariance)
