"""A head that turns, nods and holds still, and what a network that knows its doubt would measure of it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.geometry import rotation_from_pan_tilt, rotation_from_vector, vector_from_rotation
from deepgllim.geometry.rotations import Array

Rng = np.random.Generator
Flags = npt.NDArray[np.bool_]

RATE = 30.0
"""Frames a second."""

_GRID = 500.0  # samples a second, between which angles are interpolated
_REACH = (75.0, 30.0, 15.0)  # pan, tilt, neck roll: the most by which a turn ends off the camera, degrees
_WAVES = 300  # of a random function
_SETTLED = 0.4  # seconds after which a hold counts: what lags has arrived


class Path(NamedTuple):
    """A head's movement.

    Attributes:
        angles: pan, tilt, neck roll at every 1/500 s, (M, 3), degrees.
        held: where the head is held still, since `_SETTLED` s or more, (M,).
        moving: where it turns or nods, (M,).
    """

    angles: Array
    held: Flags
    moving: Flags

    @property
    def duration(self) -> float:
        """Seconds."""
        return (len(self.angles) - 1) / _GRID

    def rotation(self, times: npt.ArrayLike) -> Array:
        """The true rotation at any times, (T, 3, 3); before and after the movement it stays at its ends."""
        at = np.asarray(times, dtype=np.float64) * _GRID
        pan, tilt, neck_roll = (np.interp(at, np.arange(len(self.angles)), angle) for angle in self.angles.T)
        return rotation_from_pan_tilt(pan, tilt, neck_roll)

    def velocity(self, times: npt.ArrayLike) -> Array:
        """Of the head about the camera's axes, degrees a second, (T, 3), over a frame around each time."""
        at, half = np.asarray(times, dtype=np.float64), 0.5 / RATE
        turned = self.rotation(at + half) @ np.swapaxes(self.rotation(at - half), -1, -2)
        return vector_from_rotation(turned) / (2 * half)

    def flags(self, times: npt.ArrayLike) -> tuple[Flags, Flags]:
        """`held` and `moving` at some times, (T,)."""
        at = np.clip(np.round(np.asarray(times) * _GRID).astype(int), 0, len(self.angles) - 1)
        return self.held[at], self.moving[at]


class Measurements(NamedTuple):
    """What a network says, frame by frame.

    Attributes:
        times: seconds, (T,), increasing; frames are dropped now and then.
        rotations: (T, 3, 3); NaN where no face was found.
        covariances: (T, 3, 3), degrees², in the camera's frame.
    """

    times: Array
    rotations: Array
    covariances: Array


def random_path(rng: Rng, duration: float) -> Path:
    """Holds of 0.8 to 2 s, between them turns of 40 to 250 degrees a second, nods and shakes."""
    angles, held, moving = [np.zeros((1, 3))], [np.zeros(1, dtype=bool)], [np.zeros(1, dtype=bool)]
    while sum(map(len, angles)) < duration * _GRID:
        for piece, still in ((_hold(rng), True), (_move(rng, angles[-1][-1]), False)):
            start = angles[-1][-1]
            since = np.arange(1, len(piece) + 1) / _GRID
            angles.append(start + piece)
            held.append(still & (since > _SETTLED))
            moving.append(np.full(len(piece), not still))
    count = round(duration * _GRID) + 1
    return Path(*(np.concatenate(parts)[:count] for parts in (angles, held, moving)))


def _hold(rng: Rng) -> Array:
    return np.zeros((int(rng.uniform(0.8, 2.0) * _GRID), 3))


def _move(rng: Rng, start: Array) -> Array:
    """Off the start: a turn to anywhere (of least jerk), or two or three nods or shakes."""
    if rng.uniform() < 0.3:
        seconds, cycles = rng.uniform(0.8, 1.4), rng.integers(2, 4)
        s = np.arange(1, int(seconds * _GRID) + 1) / int(seconds * _GRID)
        wave = rng.uniform(8, 15) * np.sin(np.pi * s) * np.sin(2 * np.pi * cycles * s)
        return np.outer(wave, [0.0, 1.0, 0.0] if rng.uniform() < 0.6 else [1.0, 0.0, 0.0])
    change = rng.uniform(-1, 1, size=3) * _REACH - start
    seconds = max(0.25, float(np.linalg.norm(change)) / rng.uniform(40, 250))
    s = np.arange(1, int(seconds * _GRID) + 1)[:, None] / int(seconds * _GRID)
    return np.asarray(change * (10 * s**3 - 15 * s**4 + 6 * s**5))


class Noise(NamedTuple):
    """The error model of a network.

    Attributes:
        shared: share of the errors' variance that is the same whenever the pose is; the rest is new in every frame.
        reach: degrees over which that part changes.
        outliers: share of frames with a rotation 40 to 90 degrees off.
        missing, dropped: shares of frames in which no face is found, and that are not there at all.
    """

    shared: float = 0.85
    reach: float = 25.0
    outliers: float = 0.0
    missing: float = 0.02
    dropped: float = 0.03


def simulate(path: Path, rng: Rng, noise: Noise) -> Measurements:
    """Simulate measurements whose reported deviations grow from 1.5° ahead to 8° at profile, and with the speed."""
    frames = np.arange(0, path.duration, 1 / RATE)
    times = frames[(frames == 0) | (rng.uniform(size=len(frames)) >= noise.dropped)]
    truth = path.rotation(times)
    covariances = reported_covariances(path, times, rng)
    alike = smooth_field(vector_from_rotation(truth), rng, noise.reach)
    unit = np.sqrt(noise.shared) * alike + np.sqrt(1 - noise.shared) * rng.standard_normal(alike.shape)
    errors = np.einsum("nij,nj->ni", np.linalg.cholesky(covariances), unit)
    wrong = rng.uniform(size=len(times)) < noise.outliers
    far = rng.standard_normal((len(times), 3))
    far *= rng.uniform(40, 90, size=(len(times), 1)) / np.linalg.norm(far, axis=1, keepdims=True)
    rotations = rotation_from_vector(np.where(wrong[:, None], far, errors)) @ truth
    rotations[(rng.uniform(size=len(times)) < noise.missing) & (times > 0)] = np.nan
    return Measurements(times, rotations, covariances)


def reported_covariances(path: Path, times: Array, rng: Rng) -> Array:
    """Larger away from the camera and in turns, a fifth more or less by frame; pitch is worst, roll best."""
    speed = np.linalg.norm(path.velocity(times), axis=-1)
    off = np.degrees(np.arccos(np.clip(path.rotation(times)[:, 2, 2], -1, 1)))  # of the nose from the camera
    deviation = (1.5 + 6.5 * np.minimum(off / 90, 1) ** 2 + 0.02 * speed) * np.exp(
        0.2 * rng.standard_normal(len(times))
    )
    scales = deviation[:, None] * np.array([1.2, 1.0, 0.8])
    return np.asarray(scales[:, :, None] ** 2 * np.eye(3))


def smooth_field(places: Array, rng: Rng, reach: float) -> Array:
    """Three random functions of a place, (T, 3) to (T, 3): normal, of correlation exp(−½ distance² / reach²)."""
    frequencies = rng.standard_normal((_WAVES, 3)) / reach
    phases, weights = rng.uniform(0, 2 * np.pi, size=_WAVES), rng.standard_normal((_WAVES, 3))
    return np.asarray(np.sqrt(2 / _WAVES) * np.cos(places @ frequencies.T + phases) @ weights)
