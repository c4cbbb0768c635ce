"""How heads move: a rotation with its velocity, predicted to a later time and corrected by a measurement.

    dR/dt = [ω]× R,    dω/dt = −ω/τ + a·(white noise),    measured = exp([n]×) R,  n ~ N(0, C)

R is the rotation and ω its velocity in the camera's frame; [·]× is as in `rotations.rotation_from_vector`. Degrees and
seconds. The steps are those of the multiplicative extended Kalman filter (Markley, "Attitude error representations for
Kalman filtering", 2003): means are rotations, covariances are of the small vector δ beside them, R = exp([δ]×) · mean,
and to first order in δ.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import Array, rotation_from_vector, vector_from_rotation

_UNKNOWN_SPEED = 200.0  # degrees a second, standard deviation of a velocity that never decays, before it is seen
_STOP = 1e-3  # seconds in which the velocity of a head decays that is held still: before the next frame
_FLOOR = 1e-6  # degrees², added to a measurement's covariance, which may claim to be exact


class Mode(NamedTuple):
    """A way to move: a in degrees/s^1.5 and τ in seconds, see the module."""

    acceleration: float
    persistence: float

    @property
    def speed(self) -> float:
        """Standard deviation of each axis's velocity where nothing is measured, a·√(τ/2), degrees a second."""
        decays = math.isfinite(self.persistence)
        return self.acceleration * math.sqrt(self.persistence / 2) if decays else _UNKNOWN_SPEED


@dataclass(frozen=True)
class HeadMotion:
    """How heads move, and how far measurements can be trusted. A head moves, or is held still, in turns.

    The defaults are those of `research/smoothing`.

    Attributes:
        acceleration: of a head that moves: root spectral density of its angular acceleration, degrees/s^1.5, 0 or
            more. More follows faster, less is steadier.
        persistence: seconds in which the velocity of a head that moves decays by e; `math.inf` keeps it.
        drift: by how much a head that is held still turns, degrees in the square root of a second, 0 or more.
        hold: seconds for which a head is held still on average; 0: it always moves.
        move: seconds for which it moves on average.
        independent: share of the measurements' covariance that is new in every frame, above 0, at most 1. A network
            errs alike on like frames. That part of its error is no jitter and cannot be averaged away: it is kept out
            of the weights, and is part of every answer's covariance.
        gate: a measurement further than this many standard deviations (Mahalanobis distance) from the prediction is
            an outlier and left out; `math.inf` takes all.
        patience: so many outliers in a row are no outliers: the filter starts anew.

    Raises:
        ConfigurationError: a number out of range.

    Example:
        >>> [round(mode.speed) for mode in HeadMotion(acceleration=200, persistence=0.5).modes]  # held still, moving
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
    def modes(self) -> tuple[Mode, ...]:
        """Held still (unless it never is) and moving."""
        moving = Mode(self.acceleration, self.persistence)
        return (Mode(self.drift / _STOP, _STOP), moving) if self.hold > 0 else (moving,)

    def switching(self, seconds: float) -> Array:
        """Probability of each mode after so many seconds, given the one before: (M, M), rows sum to 1."""
        if self.hold == 0:
            return np.ones((1, 1))
        lasting = np.array([self.hold, self.move]) / (self.hold + self.move)
        kept = math.exp(-seconds / self.hold - seconds / self.move)
        switching: Array = kept * np.eye(2) + (1 - kept) * lasting
        return switching


class State(NamedTuple):
    """A Gaussian of (δ, ω) about a rotation.

    Attributes:
        rotation, velocity: (3, 3) and (3,), the means.
        covariance: (6, 6), of δ in degrees and of ω in degrees a second.
    """

    rotation: Array
    velocity: Array
    covariance: Array


def start(rotation: Array, noise: Array, mode: Mode) -> State:
    """Nothing known but one measurement."""
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = noise
    covariance[3:, 3:] = mode.speed**2 * np.eye(3)
    return State(rotation, np.zeros(3), covariance)


def predict(state: State, seconds: float, mode: Mode) -> tuple[State, Array]:
    """The state so much later, and the transition matrix (6, 6) of its errors."""
    x = seconds / mode.persistence
    reach = seconds * _decayed(x)  # a velocity turns the head by reach · ω
    turn = reach * state.velocity
    transition = np.zeros((6, 6))
    transition[:3, :3], halfway = rotation_from_vector(np.stack([turn, turn / 2]))
    transition[:3, 3:] = reach * halfway  # the left Jacobian of exp, to second order
    transition[3:, 3:] = math.exp(-x) * np.eye(3)
    density = mode.acceleration**2
    both = density * reach**2 / 2
    noise = [[density * seconds**3 * _wandered(x), both], [both, density * seconds * _decayed(2 * x)]]
    covariance = transition @ state.covariance @ transition.T + np.kron(noise, np.eye(3))
    return State(transition[:3, :3] @ state.rotation, math.exp(-x) * state.velocity, covariance), transition


def _decayed(x: float) -> float:
    """(1 − e^−x) / x: the mean of a decay over a step."""
    return -math.expm1(-x) / x if x > 0 else 1.0


def _wandered(x: float) -> float:
    """(x − 2 (1 − e^−x) + ½ (1 − e^−2x)) / x³: the variance of the angle; ⅓ where nothing decays."""
    if x < 1e-2:  # the differences cancel; the next term is under 1e-7
        return 1 / 3 - x / 4 + 7 * x**2 / 60
    return (x + 2 * math.expm1(-x) - math.expm1(-2 * x) / 2) / x**3


def correct(state: State, rotation: Array, noise: Array) -> tuple[State, float]:
    """The state with a measurement of its time, and the measurement's log-likelihood up to a constant."""
    innovation = vector_from_rotation(rotation @ state.rotation.T)
    P, noise = state.covariance, noise + _FLOOR * np.eye(3)
    spread = P[:3, :3] + noise
    inverse = np.linalg.inv(spread)
    gain = P[:, :3] @ inverse  # (6, 3)
    rest = np.eye(6)
    rest[:, :3] -= gain
    covariance = rest @ P @ rest.T + gain @ noise @ gain.T  # Joseph's form stays positive
    fit = -0.5 * (innovation @ inverse @ innovation + np.linalg.slogdet(spread)[1])
    return _moved(state, gain @ innovation, covariance), float(fit)


def distance(state: State, rotation: Array, noise: Array) -> float:
    """The Mahalanobis distance of a measurement from the state."""
    off = vector_from_rotation(rotation @ state.rotation.T)
    return math.sqrt(off @ np.linalg.solve(state.covariance[:3, :3] + noise + _FLOOR * np.eye(3), off))


def retrace(state: State, predicted: State, transition: Array, known: State) -> State:
    """The state with what is known of the one predicted from it (Rauch, Tung and Striebel, 1965)."""
    inverse = np.linalg.pinv(predicted.covariance, rcond=1e-12, hermitian=True)  # singular for a head that is still
    gain = state.covariance @ transition.T @ inverse  # (6, 6)
    covariance = state.covariance + gain @ (known.covariance - predicted.covariance) @ gain.T
    return _moved(state, gain @ _difference(known, predicted.rotation, predicted.velocity), covariance)


def combine(states: Sequence[State], weights: Array, near: Array) -> State:
    """Mean and covariance of a mixture, to first order about the rotation `near`."""
    if len(states) == 1:
        return states[0]
    off = np.stack([_difference(state, near, np.zeros(3)) for state in states])  # (M, 6)
    mean = weights @ off
    off -= mean
    inner = np.stack([state.covariance for state in states])
    covariance = np.tensordot(weights, inner, axes=1) + (weights * off.T) @ off
    return _moved(State(near, np.zeros(3), covariance), mean, covariance)


def _difference(state: State, rotation: Array, velocity: Array) -> Array:
    """(δ, ω) of a state's mean against another, (6,)."""
    return np.concatenate([vector_from_rotation(state.rotation @ rotation.T), state.velocity - velocity])


def _moved(state: State, change: Array, covariance: Array) -> State:
    """Another mean, by (δ, ω), and another covariance, made symmetric."""
    rotation = rotation_from_vector(change[:3]) @ state.rotation
    return State(rotation, state.velocity + change[3:], (covariance + covariance.T) / 2)
