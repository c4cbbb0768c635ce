"""Frames to tracks: the same people keep their numbers, filtered and smoothed poses are surer than raw ones."""

import numpy as np
import pytest

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import rotation_from_angles, vector_from_rotation
from deepgllim.imaging.images import Box
from deepgllim.pose.result import Mode, Pose
from deepgllim.pose.video.following import Follower, FrameFaces, smooth_frames

LEFT, RIGHT = (10.0, 10.0, 50.0, 50.0), (150.0, 10.0, 190.0, 50.0)
TIMES = np.arange(30) / 25


def noisy(seed: int = 0) -> list[Pose]:
    """A head that holds still at yaw 20, measured with a deviation of 4 degrees."""
    generator = np.random.default_rng(seed)
    return [pose(20 + 4 * generator.standard_normal()) for _ in TIMES]


def pose(yaw: float, box: Box | None = LEFT) -> Pose:
    return Pose(rotation_from_angles(0, yaw, 0), 16 * np.eye(3), box)


def spread(poses: list[Pose]) -> float:
    return float(np.std([each.yaw for each in poses]))


def test_people_keep_their_numbers_whatever_the_order() -> None:
    follower = Follower(filtered=False)
    first = follower.update(0.0, [pose(0, LEFT), pose(0, RIGHT)])
    second = follower.update(0.04, [pose(0, RIGHT), pose(0, LEFT)])
    assert [face.track for face in first] == [0, 1]
    assert [face.track for face in second] == [1, 0]
    assert all(face.raw is None and face.used for face in (*first, *second))
    assert follower.update(0.08, []) == ()


def test_the_size_of_frames_moves_what_is_expected() -> None:
    follower = Follower(filtered=False)
    follower.update(0.0, [pose(0, LEFT), pose(0, RIGHT)], (200, 100))
    follower.update(0.04, [pose(0, LEFT), pose(0, RIGHT)], (200, 100))
    smaller = [pose(0, (5.0, 5.0, 25.0, 25.0)), pose(0, (75.0, 5.0, 95.0, 25.0))]
    assert [face.track for face in follower.update(0.08, smaller[::-1], (100, 50))] == [1, 0]
    assert [face.track for face in follower.update(0.12, smaller)] == [0, 1]


def test_the_filter_steadies_and_keeps_what_was_measured() -> None:
    raw, follower = noisy(), Follower()
    faces = [follower.update(time, [each])[0] for time, each in zip(TIMES, raw, strict=True)]
    assert [face.raw for face in faces] == raw
    assert spread([face.pose for face in faces[5:]]) < 0.85 * spread(raw[5:])
    assert faces[-1].pose.rotation_covariance[1, 1] < 16
    assert faces[-1].pose.box == LEFT


def test_the_smoother_is_steadier_than_the_filter_and_keeps_the_order() -> None:
    raw, filtering, following = noisy(), Follower(), Follower(filtered=False)
    filtered = [filtering.update(time, [each])[0].pose for time, each in zip(TIMES, raw, strict=True)]
    other = pose(-40, RIGHT)
    frames = [
        FrameFaces(n, time, following.update(time, [other, each] if n % 2 else [each, other]))
        for n, (time, each) in enumerate(zip(TIMES, raw, strict=True))
    ]
    smooth = smooth_frames(frames)
    assert [frame.number for frame in smooth] == list(range(len(TIMES)))
    mine = [frame.faces[n % 2] for n, frame in enumerate(smooth)]
    assert [face.raw for face in mine] == raw
    assert {face.track for face in mine} == {0}
    assert spread([face.pose for face in mine]) < spread(filtered)
    others = [frame.faces[1 - n % 2].pose for n, frame in enumerate(smooth)]
    assert max(np.linalg.norm(vector_from_rotation(each.rotation @ other.rotation.T)) for each in others) < 1e-6


def test_no_frames_and_frames_without_faces() -> None:
    assert smooth_frames([]) == []
    assert smooth_frames([FrameFaces(0, 0.0, ())]) == [FrameFaces(0, 0.0, ())]


def test_further_modes_are_left_to_the_raw_pose() -> None:
    modes = (Mode(np.eye(3), np.eye(3), 0.5),) * 2
    face = Follower().update(0.0, [Pose(np.eye(3), np.eye(3), LEFT, modes=modes)])[0]
    assert face.raw is not None
    assert (len(face.pose.modes), len(face.raw.modes)) == (1, 2)


def test_a_pose_without_a_box_cannot_be_followed() -> None:
    with pytest.raises(DataError, match="without a box"):
        Follower().update(0.0, [pose(0, None)])
