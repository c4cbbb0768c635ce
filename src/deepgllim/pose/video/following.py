"""Tracks of faces over the frames of a video, with filtered or smoothed poses."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import Array
from deepgllim.pose.result import Pose
from deepgllim.pose.video.smoothing import RotationFilter, smooth_rotations
from deepgllim.pose.video.tracking import Tracker

Smoothing = Literal["off", "filter", "smoother"]


class FaceResult(NamedTuple):
    """A face of an image or of a frame.

    Attributes:
        pose: the pose; filtered or smoothed over the frames of its track if that was requested.
        raw: the pose from the frame alone; None if `pose` is not filtered or smoothed.
        track: index of the track, from 0 up; None for images.
        used: whether the pose of the frame was used for `pose`; False for outliers.
    """

    pose: Pose
    raw: Pose | None = None
    track: int | None = None
    used: bool = True


class FrameFaces(NamedTuple):
    """The faces of a frame.

    Attributes:
        number: index of the frame, from 0 up.
        time: time of the frame, seconds.
        faces: its faces.
    """

    number: int
    time: float
    faces: tuple[FaceResult, ...]


class PoseTracker:
    """Assign the faces of consecutive frames to tracks, and filter the poses of each track.

    Args:
        filtered: whether to filter the poses with those of earlier frames.

    Example:
        >>> follower = PoseTracker()
        >>> for time in (0.0, 0.04):
        ...     faces = follower.update(time, [Pose(np.eye(3), np.eye(3), box=(10, 10, 50, 50))])
        >>> [face.track for face in faces], faces[0].raw is not None
        ([0], True)
    """

    def __init__(self, filtered: bool = True) -> None:
        self._tracker, self._filtered = Tracker(), filtered
        self._filters: dict[int, RotationFilter] = {}
        self._size: tuple[int, int] | None = None

    def update(self, time: float, poses: Sequence[Pose], size: tuple[int, int] | None = None) -> tuple[FaceResult, ...]:
        """Process a frame. Call it for frames without faces too.

        Args:
            time: seconds, after that of the last frame.
            poses: poses of the faces, each with its box.
            size: width and height of the frame, pixels; if it changes, the boxes of the tracks are rescaled.

        Returns:
            The faces, in the order of `poses`.

        Raises:
            DataError: the time is not after that of the last frame, or a pose has no box.
        """
        if size is not None and self._size is not None and size != self._size:
            self._tracker.resize(self._size, size)
        self._size = size or self._size
        tracks = self._tracker.update(time, [_box(pose) for pose in poses])
        alive = set(self._tracker.ids)
        self._filters = {track: each for track, each in self._filters.items() if track in alive}
        if not self._filtered:
            return tuple(FaceResult(pose, None, track) for pose, track in zip(poses, tracks, strict=True))
        return tuple(self._face(time, pose, track) for pose, track in zip(poses, tracks, strict=True))

    def _face(self, time: float, pose: Pose, track: int) -> FaceResult:
        rotation_filter = self._filters.setdefault(track, RotationFilter())
        now = rotation_filter.update(time, pose.rotation, pose.rotation_covariance)
        return FaceResult(with_rotation(pose, now.rotation, now.covariance), pose, track, bool(now.used))


def smooth_frames(frames: Sequence[FrameFaces]) -> list[FrameFaces]:
    """Smooth the poses of each track with the frames before and after.

    Args:
        frames: all frames of a video, from a `PoseTracker` with `filtered=False`.

    Returns:
        The frames with the same faces in the same order; their unsmoothed poses are in `raw`.
    """
    places: dict[int | None, list[tuple[int, int]]] = {}
    for n, frame in enumerate(frames):
        for m, face in enumerate(frame.faces):
            places.setdefault(face.track, []).append((n, m))
    changed = [list(frame.faces) for frame in frames]
    for where in places.values():
        raw = [changed[n][m].pose for n, m in where]
        times = [frames[n].time for n, _ in where]
        estimate = smooth_rotations(times, [p.rotation for p in raw], [p.rotation_covariance for p in raw])
        for k, (n, m) in enumerate(where):
            pose = with_rotation(raw[k], estimate.rotation[k], estimate.covariance[k])
            changed[n][m] = FaceResult(pose, raw[k], changed[n][m].track, bool(np.asarray(estimate.used)[k]))
    return [frame._replace(faces=tuple(faces)) for frame, faces in zip(frames, changed, strict=True)]


def with_rotation(pose: Pose, rotation: Array, covariance: Array) -> Pose:
    """Return a pose with another rotation and covariance, and without further modes."""
    return replace(pose, rotation=rotation, rotation_covariance=covariance, modes=())


def _box(pose: Pose) -> tuple[float, float, float, float]:
    if pose.box is None:
        raise DataError("a pose without a box cannot be tracked: give poses of HeadPose.predict")
    return pose.box
