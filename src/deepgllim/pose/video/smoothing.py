"""A head's rotation over time, each measurement trusted as far as its covariance says: a filter and a smoother.

An unsure network (a large covariance) is averaged over many frames, a sure one is followed at once. So is a head that
moves, while one that is held still is averaged: which of the two it does is a hidden variable of the model, and an
average of constant weight is either late or restless. How heads move is `motion`'s part.

The filter is the interacting multiple model filter (Blom and Bar-Shalom, 1988), the smoother Kim's (1994), of steps of
Rauch, Tung and Striebel. Where the head always moves (`hold=0`) they are the Kalman filter and smoother. Degrees and
seconds throughout.
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

_LARGEST_SKEW = 1e-3  # of RᵀR from I: what single precision and rounded files leave


class Estimate(NamedTuple):
    """What is known of a head's rotation at a time; from the smoother with a leading axis of times.

    Attributes:
        rotation: (3, 3).
        covariance: (3, 3), degrees², of the small vector δ in the camera's frame, R = exp([δ]×) · rotation.
        velocity: (3,), degrees a second, about the camera's axes.
        used: whether a measurement of that time went in; False for a prediction and for an outlier.
    """

    rotation: Array
    covariance: Array
    velocity: Array
    used: bool | npt.NDArray[np.bool_]


class RotationFilter:
    """The filter: what is known of a rotation now from all measurements up to now. One for each person.

    Frames may come at any rate. For a frame without a face, call `predict` alone.

    Args:
        motion: how the head moves.

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
        self._belief: _Belief | None = None
        self._outliers = 0

    def update(self, time: float, rotation: npt.ArrayLike, covariance: npt.ArrayLike) -> Estimate:
        """Take a measurement.

        Args:
            time: seconds, later than that of the last measurement used.
            rotation: as measured, (3, 3).
            covariance: (3, 3), degrees², of δ with R = exp([δ]×) · rotation; see `Estimate`.

        Returns:
            The estimate at that time.

        Raises:
            DataError: a time that is not later, or no rotation or covariance.
        """
        measured = _checked(rotation, covariance)
        if self._belief is None:
            self._belief = _begin(_time(time), *measured, self.motion)
            return _estimate(self._belief, used=True)
        predicted = _advance(self._belief, _later(time, self._belief.time), self.motion)
        corrected = _observe(predicted, *measured, self.motion)
        self._outliers = self._outliers + 1 if corrected is None else 0
        if corrected is None and self._outliers < self.motion.patience:
            return _estimate(predicted, used=False)
        self._belief = corrected or _begin(time, *measured, self.motion)
        self._outliers = 0
        return _estimate(self._belief, used=True)

    def predict(self, time: float) -> Estimate:
        """The estimate at a time not before that of the last measurement used, which changes nothing.

        Raises:
            DataError: before the first measurement, or for a time before the last one used.
        """
        if self._belief is None:
            raise DataError("nothing was measured yet, so nothing can be predicted: call update first")
        if time == self._belief.time:
            return _estimate(self._belief, used=False)
        return _estimate(_advance(self._belief, _later(time, self._belief.time), self.motion), used=False)


def smooth_rotations(
    times: npt.ArrayLike, rotations: npt.ArrayLike, covariances: npt.ArrayLike, motion: HeadMotion | None = None
) -> Estimate:
    """What is known of a rotation at each time from all measurements, earlier and later ones; for recorded videos.

    Args:
        times: seconds, (T,), increasing, at least one.
        rotations: as measured, (T, 3, 3); NaN where nothing was.
        covariances: (T, 3, 3), degrees²; see `Estimate`.
        motion: how the head moves.

    Returns:
        An `Estimate` of arrays with T rows. Before the first measurement nothing is known: NaN.

    Raises:
        DataError: shapes that do not fit, times that do not increase, or what is no rotation or covariance.

    Example:
        >>> from deepgllim.geometry.rotations import rotation_from_vector, vector_from_rotation
        >>> angles = [10.0, 12.0, np.nan, 11.0]
        >>> still = HeadMotion(acceleration=0, hold=0, independent=1)
        >>> measured = [rotation_from_vector([0, angle, 0]) for angle in angles]
        >>> known = smooth_rotations(range(4), measured, [np.eye(3)] * 4, still)
        >>> vector_from_rotation(known.rotation)[:, 1].round(3), known.used
        (array([11., 11., 11., 11.]), array([ True,  True, False,  True]))
    """
    clock, measured, noises = (np.asarray(values, dtype=np.float64) for values in (times, rotations, covariances))
    if clock.ndim != 1 or not len(clock) or measured.shape != (len(clock), 3, 3) or noises.shape != measured.shape:
        shapes = f"{clock.shape}, {measured.shape} and {noises.shape}"
        raise DataError(f"times, rotations, covariances have shapes {shapes}: give (T,), (T, 3, 3) and (T, 3, 3)")
    if not (np.isfinite(clock).all() and (np.diff(clock) > 0).all()):
        raise DataError("the times of the frames do not increase: sort the frames, and drop those of the same time")
    model = motion or HeadMotion()
    nodes = _forward(clock, measured, noises, model)
    smoothed = _backward(nodes, model)
    nothing = Estimate(np.full((3, 3), np.nan), np.full((3, 3), np.nan), np.full(3, np.nan), used=False)
    rows = [
        nothing if node is None or belief is None else _estimate(belief, node.used)
        for node, belief in zip(nodes, smoothed, strict=True)
    ]
    return Estimate(*(np.stack(column) for column in zip(*rows, strict=True)))


class _Belief(NamedTuple):
    """What is known at a time: a Gaussian for each mode of the motion.

    Attributes:
        time: seconds.
        probabilities: of the modes, (M,).
        states: M.
        shared: (3, 3), degrees², of the error that the measurements have in common.
    """

    time: float
    probabilities: Array
    states: tuple[MotionState, ...]
    shared: Array


class _Node(NamedTuple):
    """The filter at a time of the forward pass: whether it starts anew there, and whether a measurement went in."""

    belief: _Belief
    starts: bool
    used: bool


def _begin(time: float, rotation: Array, covariance: Array, motion: HeadMotion) -> _Belief:
    """Nothing known but one measurement."""
    states = tuple(initial_state(rotation, motion.independent * covariance, mode) for mode in motion.models)
    return _Belief(time, motion.transition_matrix(math.inf)[0], states, (1 - motion.independent) * covariance)


def _advance(belief: _Belief, time: float, motion: HeadMotion) -> _Belief:
    """The prediction for a later time. Each mode starts from what all that may lead to it know."""
    seconds = time - belief.time
    joint = belief.probabilities[:, None] * motion.transition_matrix(seconds)  # (M before, M after)
    prior = joint.sum(axis=0)
    states = []
    for j, mode in enumerate(motion.models):
        mixed = combine(belief.states, joint[:, j] / prior[j], belief.states[j].rotation)
        states.append(predict(mixed, seconds, mode)[0])
    return belief._replace(time=time, probabilities=prior, states=tuple(states))


def _observe(belief: _Belief, rotation: Array, covariance: Array, motion: HeadMotion) -> _Belief | None:
    """With a measurement of its time; None if that is an outlier, to every mode."""
    if min(mahalanobis_distance(state, rotation, covariance) for state in belief.states) > motion.gate:
        return None
    fitted = [correct(state, rotation, motion.independent * covariance) for state in belief.states]
    fits = np.array([fit for _, fit in fitted])
    posterior = belief.probabilities * np.exp(fits - fits.max())
    states = tuple(state for state, _ in fitted)
    return _Belief(belief.time, posterior / posterior.sum(), states, (1 - motion.independent) * covariance)


def _forward(times: Array, rotations: Array, covariances: Array, motion: HeadMotion) -> list[_Node | None]:
    """The filter over all times. Where outliers start it anew, the first of them does: none of them is left out."""
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
    """The time after another; None where nothing is known yet."""
    if before is None:
        return measured and _Node(_begin(time, *measured, motion), starts=True, used=True)
    predicted = _advance(before.belief, time, motion)
    corrected = measured and _observe(predicted, *measured, motion)
    return _Node(corrected or predicted, starts=False, used=corrected is not None)


def _backward(nodes: list[_Node | None], motion: HeadMotion) -> list[_Belief | None]:
    """Each time with what is known of the next."""
    smoothed: list[_Belief | None] = [node and node.belief for node in nodes]
    for k in range(len(nodes) - 2, -1, -1):
        node, following, known = nodes[k], nodes[k + 1], smoothed[k + 1]
        if node is not None and following is not None and known is not None and not following.starts:
            smoothed[k] = _rts_step(node.belief, known, motion)
    return smoothed


def _rts_step(belief: _Belief, known: _Belief, motion: HeadMotion) -> _Belief:
    """Each mode with what all that it may lead to know of the time after."""
    seconds = known.time - belief.time
    switching = motion.transition_matrix(seconds)
    ahead = switching * known.probabilities / (belief.probabilities @ switching)  # (M before, M after)
    states = []
    for state, weights in zip(belief.states, ahead / ahead.sum(axis=1, keepdims=True), strict=True):
        traced = [
            rts_step(state, *predict(state, seconds, mode), after)
            for mode, after in zip(motion.models, known.states, strict=True)
        ]
        states.append(combine(traced, weights, state.rotation))
    probabilities = belief.probabilities * ahead.sum(axis=1)
    return belief._replace(probabilities=probabilities / probabilities.sum(), states=tuple(states))


def _estimate(belief: _Belief, used: bool) -> Estimate:
    likeliest = belief.states[int(np.argmax(belief.probabilities))]
    state = combine(belief.states, belief.probabilities, likeliest.rotation)
    return Estimate(state.rotation, state.covariance[:3, :3] + belief.shared, state.velocity, used)


def _checked(rotation: npt.ArrayLike, covariance: npt.ArrayLike) -> tuple[Array, Array]:
    """The nearest rotation, and the symmetric covariance; or DataError."""
    R, C = np.asarray(rotation, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if R.shape != (3, 3) or not np.abs(R.T @ R - np.eye(3)).max() < _LARGEST_SKEW or np.linalg.det(R) < 0:
        raise DataError(f"{R.tolist()} is not a rotation: give an orthogonal 3 × 3 matrix of determinant 1")
    if C.shape != (3, 3) or not _is_covariance(C):
        raise DataError(f"{C.tolist()} is not a covariance: give a symmetric, positive 3 × 3 matrix, in degrees²")
    left, _, right = np.linalg.svd(R)
    return left @ right, (C + C.T) / 2


def _is_covariance(C: Array) -> bool:
    """Finite, symmetric and without a negative eigenvalue, to single precision."""
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
        raise DataError(f"time {time:g} s does not follow {last:g} s: frames come in the order of their times")
    return float(time)
