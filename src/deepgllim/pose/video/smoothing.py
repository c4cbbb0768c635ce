"""Filter and smoother of the rotation of a head over time, with measurements weighted by their covariances.

Measurements with a large covariance are averaged over many frames; those with a small one are followed quickly. The
model has a hidden discrete variable: the head moves or keeps still. Measurements of a still head are averaged, those
of a moving head are followed. `deepgllim.pose.video.motion` defines the motion models.

The filter is the interacting multiple model filter (Blom and Bar-Shalom, 1988). The smoother is that of Kim (1994),
with the steps of Rauch, Tung and Striebel. If the head always moves (`hold=0`), they are the Kalman filter and
smoother. Units are degrees and seconds.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import Array
from deepgllim.pose.video.motion import (
    HeadMotion,
    MotionState,
    combine,
    correct,
    initial_state,
    mahalanobis_distance,
    predict,
    rts_step,
)

_TOLERANCE = 1e-3  # of RᵀR = I, for single precision and rounded files


class Estimate(NamedTuple):
    """Estimate of the rotation of a head at a time; the smoother adds a leading axis of times.

    Attributes:
        rotation: (3, 3).
        covariance: covariance of the small vector δ in the camera's frame, R = exp([δ]×) · rotation, (3, 3), degrees².
        velocity: angular velocity in the camera's frame, (3,), degrees a second.
        used: whether the measurement of that time was used; False for a prediction and for an outlier.
    """

    rotation: Array
    covariance: Array
    velocity: Array
    used: bool | npt.NDArray[np.bool_]


class RotationFilter:
    """Estimate the rotation of one head from all measurements up to the present.

    The times need not be equidistant. Call `predict` for a frame without a face.

    Args:
        motion: parameters of the motion; by default `HeadMotion()`.

    Example:
        >>> from deepgllim.geometry.rotations import rotation_from_vector, vector_from_rotation
        >>> filter = RotationFilter(HeadMotion(acceleration=0, hold=0, independent=1))  # a head that never moves
        >>> for time, angle in enumerate([10.0, 12.0, 11.0]):
        ...     now = filter.update(time, rotation_from_vector([0, angle, 0]), 4 * np.eye(3))
        >>> vector_from_rotation(now.rotation).round(3), float(now.covariance[1, 1].round(3))
        (array([ 0., 11.,  0.]), 1.333)
    """

    def __init__(self, motion: HeadMotion | None = None) -> None:
        self.motion = motion or HeadMotion()
        self._distribution: _Distribution | None = None
        self._outliers = 0

    def update(self, time: float, rotation: npt.ArrayLike, covariance: npt.ArrayLike) -> Estimate:
        """Update the estimate with a measurement.

        Args:
            time: seconds, after that of the last measurement used.
            rotation: the measured rotation, (3, 3).
            covariance: covariance of the small vector δ, R = exp([δ]×) · rotation, (3, 3), degrees².

        Returns:
            The estimate at that time.

        Raises:
            DataError: the time is not after that of the last measurement, or the rotation or covariance is invalid.
        """
        measured = _checked(rotation, covariance)
        if self._distribution is None:
            self._distribution = _begin(_time(time), *measured, self.motion)
            return _estimate(self._distribution, used=True)
        predicted = _advance(self._distribution, _later(time, self._distribution.time), self.motion)
        corrected = _observe(predicted, *measured, self.motion)
        self._outliers = self._outliers + 1 if corrected is None else 0
        if corrected is None and self._outliers < self.motion.patience:
            return _estimate(predicted, used=False)
        self._distribution = corrected or _begin(time, *measured, self.motion)
        self._outliers = 0
        return _estimate(self._distribution, used=True)

    def predict(self, time: float) -> Estimate:
        """Return the estimate at a later time, without changing the state of the filter.

        Args:
            time: seconds, not before that of the last measurement used.

        Raises:
            DataError: there is no measurement yet, or the time is before that of the last one used.
        """
        if self._distribution is None:
            raise DataError("there is no measurement to predict from: call update first")
        if time == self._distribution.time:
            return _estimate(self._distribution, used=False)
        return _estimate(_advance(self._distribution, _later(time, self._distribution.time), self.motion), used=False)


def smooth_rotations(
    times: npt.ArrayLike, rotations: npt.ArrayLike, covariances: npt.ArrayLike, motion: HeadMotion | None = None
) -> Estimate:
    """Estimate the rotation of one head at each time from all measurements, earlier and later ones.

    Args:
        times: seconds, (T,), increasing, T ≥ 1.
        rotations: measured rotations, (T, 3, 3); NaN where there is none.
        covariances: covariances of the measurements, (T, 3, 3), degrees²; see `Estimate`.
        motion: parameters of the motion; by default `HeadMotion()`.

    Returns:
        An `Estimate` of arrays with T rows; NaN before the first measurement.

    Raises:
        DataError: shapes do not match, times do not increase, or a rotation or covariance is invalid.

    Example:
        >>> from deepgllim.geometry.rotations import rotation_from_vector, vector_from_rotation
        >>> angles = [10.0, 12.0, np.nan, 11.0]
        >>> still = HeadMotion(acceleration=0, hold=0, independent=1)
        >>> measured = [rotation_from_vector([0, angle, 0]) for angle in angles]
        >>> estimate = smooth_rotations(range(4), measured, [np.eye(3)] * 4, still)
        >>> vector_from_rotation(estimate.rotation)[:, 1].round(3), estimate.used
        (array([11., 11., 11., 11.]), array([ True,  True, False,  True]))
    """
    instants, measured, noises = (np.asarray(values, dtype=np.float64) for values in (times, rotations, covariances))
    if (
        instants.ndim != 1
        or not len(instants)
        or measured.shape != (len(instants), 3, 3)
        or noises.shape != measured.shape
    ):
        shapes = f"{instants.shape}, {measured.shape} and {noises.shape}"
        raise DataError(f"times, rotations, covariances have shapes {shapes}: give (T,), (T, 3, 3) and (T, 3, 3)")
    if not (np.isfinite(instants).all() and (np.diff(instants) > 0).all()):
        raise DataError("the times of the frames do not increase: sort the frames, and remove duplicate times")
    model = motion or HeadMotion()
    nodes = _forward(instants, measured, noises, model)
    smoothed = _backward(nodes, model)
    unknown = Estimate(np.full((3, 3), np.nan), np.full((3, 3), np.nan), np.full(3, np.nan), used=False)
    rows = [
        unknown if node is None or distribution is None else _estimate(distribution, node.used)
        for node, distribution in zip(nodes, smoothed, strict=True)
    ]
    return Estimate(*(np.stack(column) for column in zip(*rows, strict=True)))


class _Distribution(NamedTuple):
    """The distribution at a time: a Gaussian for each motion model.

    Attributes:
        time: seconds.
        probabilities: probabilities of the models, (M,).
        states: M states, one for each model.
        shared: covariance of the error that is common to the measurements, (3, 3), degrees².
    """

    time: float
    probabilities: Array
    states: tuple[MotionState, ...]
    shared: Array


class _Node(NamedTuple):
    """The filter at a time of the forward pass, whether it starts there, and whether the measurement was used."""

    distribution: _Distribution
    starts: bool
    used: bool


def _begin(time: float, rotation: Array, covariance: Array, motion: HeadMotion) -> _Distribution:
    """Return the distribution after the first measurement."""
    states = tuple(initial_state(rotation, motion.independent * covariance, model) for model in motion.models)
    return _Distribution(time, motion.transition_matrix(math.inf)[0], states, (1 - motion.independent) * covariance)


def _advance(distribution: _Distribution, time: float, motion: HeadMotion) -> _Distribution:
    """Predict the distribution for a later time, for each model from the mixture of states that may switch to it."""
    seconds = time - distribution.time
    joint = distribution.probabilities[:, None] * motion.transition_matrix(seconds)  # (M before, M after)
    prior = joint.sum(axis=0)
    states = []
    for j, model in enumerate(motion.models):
        mixed = combine(distribution.states, joint[:, j] / prior[j], distribution.states[j].rotation)
        states.append(predict(mixed, seconds, model)[0])
    return distribution._replace(time=time, probabilities=prior, states=tuple(states))


def _observe(
    distribution: _Distribution, rotation: Array, covariance: Array, motion: HeadMotion
) -> _Distribution | None:
    """Update the distribution with a measurement; None if that is an outlier for every model."""
    if min(mahalanobis_distance(state, rotation, covariance) for state in distribution.states) > motion.gate:
        return None
    fitted = [correct(state, rotation, motion.independent * covariance) for state in distribution.states]
    fits = np.array([fit for _, fit in fitted])
    posterior = distribution.probabilities * np.exp(fits - fits.max())
    states = tuple(state for state, _ in fitted)
    return _Distribution(distribution.time, posterior / posterior.sum(), states, (1 - motion.independent) * covariance)


def _forward(times: Array, rotations: Array, covariances: Array, motion: HeadMotion) -> list[_Node | None]:
    """Run the filter over all times. After `patience` consecutive outliers it starts again at the first of them."""
    nodes: list[_Node | None] = []
    outliers: list[int] = []
    first = 0
    while len(nodes) < len(times):
        k = len(nodes)
        measured = _checked(rotations[k], covariances[k]) if np.isfinite(rotations[k]).all() else None
        node = _node(nodes[-1] if k > first else None, times[k], measured, motion)
        nodes.append(node)
        if node is None or measured is None:
            continue
        outliers = [] if node.used else [*outliers, k]
        if len(outliers) == motion.patience:
            first, outliers = outliers[0], []
            del nodes[first:]
    return nodes


def _node(before: _Node | None, time: float, measured: tuple[Array, Array] | None, motion: HeadMotion) -> _Node | None:
    """Return the node after another; None before the first measurement."""
    if before is None:
        return measured and _Node(_begin(time, *measured, motion), starts=True, used=True)
    predicted = _advance(before.distribution, time, motion)
    corrected = measured and _observe(predicted, *measured, motion)
    return _Node(corrected or predicted, starts=False, used=corrected is not None)


def _backward(nodes: list[_Node | None], motion: HeadMotion) -> list[_Distribution | None]:
    """Return the smoothed distributions, from the last time to the first."""
    smoothed: list[_Distribution | None] = [node and node.distribution for node in nodes]
    for k in range(len(nodes) - 2, -1, -1):
        node, following, smooth = nodes[k], nodes[k + 1], smoothed[k + 1]
        if node is not None and following is not None and smooth is not None and not following.starts:
            smoothed[k] = _rts_step(node.distribution, smooth, motion)
    return smoothed


def _rts_step(distribution: _Distribution, following: _Distribution, motion: HeadMotion) -> _Distribution:
    """Return the smoothed distribution of a time, given the smoothed distribution of the next time."""
    seconds = following.time - distribution.time
    transition = motion.transition_matrix(seconds)
    ahead = transition * following.probabilities / (distribution.probabilities @ transition)  # (M before, M after)
    states = []
    for state, weights in zip(distribution.states, ahead / ahead.sum(axis=1, keepdims=True), strict=True):
        steps = [
            rts_step(state, *predict(state, seconds, model), after)
            for model, after in zip(motion.models, following.states, strict=True)
        ]
        states.append(combine(steps, weights, state.rotation))
    probabilities = distribution.probabilities * ahead.sum(axis=1)
    return distribution._replace(probabilities=probabilities / probabilities.sum(), states=tuple(states))


def _estimate(distribution: _Distribution, used: bool) -> Estimate:
    best = distribution.states[int(np.argmax(distribution.probabilities))]
    state = combine(distribution.states, distribution.probabilities, best.rotation)
    return Estimate(state.rotation, state.covariance[:3, :3] + distribution.shared, state.velocity, used)


def _checked(rotation: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[Array, Array]:
    """Return the nearest rotation and the symmetric covariance, or raise a DataError."""
    R, C = np.asarray(rotation, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if R.shape != (3, 3) or not np.abs(R.T @ R - np.eye(3)).max() < _TOLERANCE or np.linalg.det(R) < 0:
        raise DataError(f"{R.tolist()} is not a rotation: give an orthogonal 3 × 3 matrix of determinant 1")
    if C.shape != (3, 3) or not _is_covariance(C):
        raise DataError(f"{C.tolist()} is not a covariance: give a positive semidefinite 3 × 3 matrix, in degrees²")
    left, _, right = np.linalg.svd(R)
    return left @ right, (C + C.T) / 2


def _is_covariance(C: Array) -> bool:
    """Return whether a matrix is finite, symmetric and positive semidefinite, in single precision."""
    if not np.isfinite(C).all():
        return False
    rounding = 1e-5 * np.abs(C).max()
    return bool(np.abs(C - C.T).max() <= rounding and np.linalg.eigvalsh(C)[0] >= -rounding)


def _time(time: float) -> float:
    if not math.isfinite(time):
        raise DataError(f"time {time}: give the frame's time in seconds")
    return float(time)


def _later(time: float, last: float) -> float:
    if not _time(time) > last:
        raise DataError(f"time {time:g} s does not follow {last:g} s: pass the frames in the order of their times")
    return float(time)
