"""What is shown of a head from what was measured: each method with a range of its constant, from fast to steady."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from deepgllim.geometry import rotation_from_vector, vector_from_rotation
from deepgllim.geometry.rotations import Array
from deepgllim.pose.video import HeadMotion, RotationFilter, smooth_rotations
from research.smoothing.sequence import Measurements


class Shown(NamedTuple):
    """What a method shows at each time: rotations (T, 3, 3), and their covariances if it knows them."""

    rotations: Array
    covariances: Array | None = None


Method = Callable[[Measurements, float], Shown]

SPEED_GAIN = 0.05
"""β of the One Euro filter: by how many Hz its cutoff rises for a degree a second; the best of 0.005 to 0.1 here."""


def raw(measured: Measurements, _: float) -> Shown:
    """As measured; the last one where nothing was."""
    return Shown(np.stack([rotation for _, rotation, _ in _causal(measured)]))


def exponential(measured: Measurements, seconds: float) -> Shown:
    """Each measurement takes the same share of the way from what is shown to it, on the shortest arc (slerp)."""
    shown: list[Array] = []
    for gap, rotation, _ in _causal(measured):
        shown.append(_towards(shown[-1], rotation, 1 - np.exp(-gap / seconds)) if shown else rotation)
    return Shown(np.stack(shown))


def one_euro(measured: Measurements, cutoff: float) -> Shown:
    """An exponential average that is faster the faster the head turns (Casiez et al., CHI 2012)."""
    shown: list[Array] = []
    speed, last = np.zeros(3), np.eye(3)
    for gap, rotation, _ in _causal(measured):
        if shown:
            velocity = vector_from_rotation(rotation @ last.T) / gap
            speed = speed + _share(gap, 1.0) * (velocity - speed)
            share = _share(gap, cutoff + SPEED_GAIN * float(np.linalg.norm(speed)))
            shown.append(_towards(shown[-1], rotation, share))
        else:
            shown.append(rotation)
        last = rotation
    return Shown(np.stack(shown))


def kalman(measured: Measurements, acceleration: float) -> Shown:
    """The filter with one way to move, at the best weight of the measurements for it."""
    return _online(measured, HeadMotion(acceleration=acceleration, hold=0))


def filtered(measured: Measurements, independent: float) -> Shown:
    """`RotationFilter`, frame by frame."""
    return _online(measured, HeadMotion(independent=independent))


def filtered_alike(measured: Measurements, independent: float) -> Shown:
    """The same filter, which trusts every frame alike: what the network's own covariance is worth."""
    alike = np.broadcast_to(measured.covariances.mean(axis=0), measured.covariances.shape)
    return filtered(measured._replace(covariances=alike), independent)


def smoothed(measured: Measurements, independent: float) -> Shown:
    """`smooth_rotations`, which sees what comes."""
    known = smooth_rotations(*measured, HeadMotion(independent=independent))
    return Shown(known.rotation, known.covariance)


DEFAULT = HeadMotion().independent
_SHARES = (0.05, 0.1, DEFAULT, 0.5, 1.0)

METHODS: dict[str, tuple[Method, tuple[float, ...], str]] = {
    "raw": (raw, (0.0,), ""),
    "exponential average": (exponential, (0.02, 0.04, 0.07, 0.1, 0.15, 0.25, 0.4), "s"),
    "One Euro": (one_euro, (0.02, 0.1, 0.4, 0.8, 1.5, 3.0), "Hz"),
    "filter, one mode": (kalman, (25.0, 50.0, 100.0, 200.0, 400.0), "°/s^1.5"),
    "filter, every frame alike": (filtered_alike, _SHARES, "share"),
    "filter": (filtered, _SHARES, "share"),
    "smoother": (smoothed, _SHARES, "share"),
}
"""By name: the method, the values of its constant, and their unit."""

CHOSEN = {"raw": 0.0, "exponential average": 0.1, "One Euro": 0.4, "filter": DEFAULT, "smoother": DEFAULT}
"""The constants that are looked at in more detail."""


def _online(measured: Measurements, motion: HeadMotion) -> Shown:
    online = RotationFilter(motion)
    known = []
    for time, rotation, covariance in zip(*measured, strict=True):
        there = np.isfinite(rotation).all()
        known.append(online.update(time, rotation, covariance) if there else online.predict(time))
    return Shown(np.stack([now.rotation for now in known]), np.stack([now.covariance for now in known]))


def _causal(measured: Measurements) -> Iterator[tuple[float, Array, Array]]:
    """Seconds since the last frame, rotation and covariance; those of the last measurement where there is none."""
    last = int(np.flatnonzero(np.isfinite(measured.rotations).all(axis=(1, 2)))[0])
    for k, gap in enumerate(np.diff(measured.times, prepend=measured.times[0])):
        if np.isfinite(measured.rotations[k]).all():
            last = k
        yield float(gap), measured.rotations[last], measured.covariances[last]


def _towards(start: Array, end: Array, share: float) -> Array:
    return np.asarray(rotation_from_vector(share * vector_from_rotation(end @ start.T)) @ start)


def _share(gap: float, cutoff: float) -> float:
    """Of a low-pass filter of first order with a cutoff in Hz."""
    return 1 / (1 + 1 / (2 * np.pi * cutoff * gap))
