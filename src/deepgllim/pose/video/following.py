"""The poses of a video's frames, face by face to poses of people: tracks, and each track filtered or smoothed."""

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
    """A face of a picture or of a frame.

    Attributes:
        pose: as the picture alone tells it, or from the frames around too.
        raw: as the frame alone tells it; None where that is `pose`.
        track: number of the person, from 0 up; None for pictures.
        used: whether the frame's own pose went into `pose`, which an outlier's did not.
    """

    pose: Pose
    raw: Pose | None = None
    track: int | None = None
    used: bool = True


class FrameFaces(NamedTuple):
    """What was found on a frame: its number from 0 up, its time in seconds, its faces."""

    number: int
    time: float
    faces: tuple[FaceResult, ...]


class PoseTracker:
    """Frames as they come: joined to tracks and, if asked for, filtered, each frame with those before it.

    Args:
        filtered: whether.

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
        """The faces of a frame, in the order of its poses; call it for frames without faces too.

        Args:
            time: seconds, later than the last frame's.
            poses: of its faces, each with its box.
            size: of the frame, pixels; when it changes, boxes are expected where they are on the new one.

        Raises:
            DataError: a time that is not later, or a pose without a box.
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
        known = self._filters.setdefault(track, RotationFilter())
        now = known.update(time, pose.rotation, pose.rotation_covariance)
        return FaceResult(smoothed(pose, now.rotation, now.covariance), pose, track, bool(now.used))


def smooth_frames(frames: Sequence[FrameFaces]) -> list[FrameFaces]:
    """Frames of tracks that were not filtered, each pose smoothed with the frames before and after it.

    Args:
        frames: of a whole video, as a `PoseTracker` without a filter gave them.

    Returns:
        As many frames, with as many faces in the same order; what they were is in `raw`.
    """
    places: dict[int | None, list[tuple[int, int]]] = {}
    for n, frame in enumerate(frames):
        for m, face in enumerate(frame.faces):
            places.setdefault(face.track, []).append((n, m))
    changed = [list(frame.faces) for frame in frames]
    for where in places.values():
        raw = [changed[n][m].pose for n, m in where]
        times = [frames[n].time for n, _ in where]
        known = smooth_rotations(times, [p.rotation for p in raw], [p.rotation_covariance for p in raw])
        for k, (n, m) in enumerate(where):
            pose = smoothed(raw[k], known.rotation[k], known.covariance[k])
            changed[n][m] = FaceResult(pose, raw[k], changed[n][m].track, bool(np.asarray(known.used)[k]))
    return [frame._replace(faces=tuple(faces)) for frame, faces in zip(frames, changed, strict=True)]


def smoothed(pose: Pose, rotation: Array, covariance: Array) -> Pose:
    """A pose at what the track's filter or smoother knows of it; further modes are left to the raw one."""
    return replace(pose, rotation=rotation, rotation_covariance=covariance, modes=())


def _box(pose: Pose) -> tuple[float, float, float, float]:
    if pose.box is None:
        raise DataError("a pose without a box cannot be followed: give those of HeadPose.predict")
    return pose.box
