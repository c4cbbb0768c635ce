"""Tests of poses: refused values, angles with their uncertainty, regions, other cameras."""

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.geometry.rotations import (
    ANGLES,
    Array,
    angles_from_rotation,
    pan_tilt_from_rotation,
    rotation_from_angles,
    rotation_from_vector,
)
from deepgllim.pose import Pose, PoseMode
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.propagation import rotation_covariance

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)
ordinary = st.tuples(st.floats(-80, 80), st.floats(-75, 75), st.floats(-80, 80))

COVARIANCE = np.array([[9.0, 2.0, 0.0], [2.0, 16.0, -3.0], [0.0, -3.0, 4.0]])


def posed(*angles: float, **fields: Any) -> Pose:
    return Pose(rotation_from_angles(*angles), COVARIANCE, **fields)


def test_angles_are_those_of_the_rotation() -> None:
    pose = posed(12, 23, -3)
    assert (pose.pitch, pose.yaw, pose.roll) == pytest.approx((12, 23, -3))
    np.testing.assert_allclose(pose.angles, [12, 23, -3])
    expected = pan_tilt_from_rotation(pose.rotation)
    assert (pose.tilt, pose.pan, pose.neck_roll) == pytest.approx(tuple(expected))
    assert not pose.near_gimbal_lock


def test_a_pose_is_fixed() -> None:
    source = rotation_from_angles(1, 2, 3)
    pose = Pose(source, COVARIANCE)
    source[0, 0] = 5.0
    assert pose.pitch == pytest.approx(1)
    for array in (pose.rotation, pose.rotation_covariance, pose.angles, pose.covariance, pose.modes[0].rotation):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0
    with pytest.raises(FrozenInstanceError):
        pose.box = (0.0, 0.0, 1.0, 1.0)  # type: ignore[misc]


def test_a_pose_without_modes_is_its_own() -> None:
    pose = posed(1, 2, 3)
    (mode,) = pose.modes
    np.testing.assert_array_equal(mode.rotation, pose.rotation)
    np.testing.assert_array_equal(mode.rotation_covariance, COVARIANCE)
    assert mode.probability == 1


@pytest.mark.parametrize(
    ("rotation", "covariance", "message"),
    [
        (np.eye(2), COVARIANCE, r"a rotation has shape \(3, 3\), not \(2, 2\)"),
        (np.diag([1.0, 1.0, -1.0]), COVARIANCE, "is not a rotation"),
        (1.01 * np.eye(3), COVARIANCE, "is not a rotation"),
        (np.full((3, 3), np.nan), COVARIANCE, "is not a rotation"),
        (np.eye(3), np.eye(2), r"covariance of a rotation has shape \(3, 3\), not \(2, 2\)"),
        (np.eye(3), COVARIANCE + np.triu(np.ones((3, 3)), 1), "not symmetric positive definite"),
        (np.eye(3), np.diag([1.0, 1.0, 0.0]), "not symmetric positive definite"),
        (np.eye(3), np.diag([1.0, 1.0, np.inf]), "not symmetric positive definite"),
    ],
)
@pytest.mark.parametrize("made", [Pose, PoseMode])
def test_invalid_poses_are_refused(made: Any, rotation: Array, covariance: Array, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made(rotation, covariance)


@properties
@given(ordinary)
def test_the_covariance_of_angles_comes_back(angles: tuple[float, float, float]) -> None:
    there = rotation_covariance(ANGLES, np.array(angles), COVARIANCE)
    np.testing.assert_allclose(Pose(rotation_from_angles(*angles), there).covariance, COVARIANCE, atol=1e-8)


def test_intervals_by_hand() -> None:
    """For a frontal head the standard deviations are those of δ: 3, 4 and 2; the 90 % radius is 1.645."""
    lower, upper = posed(0, 0, 0).interval(0.9)
    np.testing.assert_allclose(upper, [4.935, 6.579, 3.290], atol=1e-3)
    np.testing.assert_allclose(lower, -upper)


def test_a_calibration_sets_the_radii() -> None:
    calibration = Calibration((1.0,) * 3, (0.9,), region=(3.0,), interval=(2.0,))
    pose = posed(0, 0, 0, calibration=calibration)
    np.testing.assert_allclose(pose.interval(0.9)[1], [6, 8, 4])
    axis = np.array([0.0, 0.0, 1.0])
    reach = 3 / np.sqrt(axis @ np.linalg.inv(COVARIANCE) @ axis)
    assert pose.in_region(rotation_from_vector(0.999 * reach * axis), 0.9)
    assert not pose.in_region(rotation_from_vector(1.001 * reach * axis), 0.9)


def test_intervals_and_regions_hold_their_share() -> None:
    pose = Pose(rotation_from_angles(20, 50, -10), 0.25 * COVARIANCE)
    deltas = np.random.default_rng(0).multivariate_normal(np.zeros(3), pose.rotation_covariance, 4000)
    drawn = rotation_from_vector(deltas) @ pose.rotation
    for level in (0.5, 0.9):
        lower, upper = pose.interval(level)
        angles = angles_from_rotation(drawn)
        inside = ((angles >= lower) & (angles <= upper)).mean(axis=0)
        np.testing.assert_allclose(inside, level, atol=0.03)  # 0.008 is one standard error; first order
        shares = [pose.in_region(R, level) for R in drawn[:2000]]
        assert np.mean(shares) == pytest.approx(level, abs=0.045)  # four standard errors


def test_neck_intervals_do_not_widen_at_profile() -> None:
    pose = Pose(rotation_from_angles(0, 89.9, 0), np.eye(3))
    assert pose.near_gimbal_lock
    lower, upper = pose.neck_interval(0.9)
    np.testing.assert_allclose(upper - lower, 2 * 1.645, rtol=1e-3)
    np.testing.assert_allclose(0.5 * (upper + lower), pose.neck_angles, atol=1e-12)


def test_intervals_at_gimbal_lock_are_capped() -> None:
    pose = Pose(rotation_from_angles(0, 90, 0), np.eye(3))
    lower, upper = pose.interval(0.9)
    half = 0.5 * (upper - lower)
    np.testing.assert_allclose(half[[0, 2]], 180)
    assert half[1] == pytest.approx(1.645, rel=1e-3)
    assert np.isfinite(pose.covariance).all()
    assert [posed(0, yaw, 0).near_gimbal_lock for yaw in (79, 81, -81)] == [False, True, True]


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0])
def test_levels_are_probabilities(level: float) -> None:
    pose = posed(0, 0, 0)
    for ask in (pose.interval, pose.neck_interval, lambda p: pose.in_region(np.eye(3), p)):
        with pytest.raises(ConfigurationError, match="level"):
            ask(level)


def test_regions_are_of_rotations() -> None:
    with pytest.raises(DataError, match="is not a rotation"):
        posed(0, 0, 0).in_region(np.zeros((3, 3)))


@properties
@given(ordinary, ordinary)
def test_another_camera_sees_the_same_head(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    turn = rotation_from_angles(*second)
    other = PoseMode(rotation_from_angles(0, 0, 10), 2 * COVARIANCE, 0.25)
    pose = posed(*first, box=(1.0, 2.0, 3.0, 4.0), modes=(other,))
    seen = pose.rotate(turn)
    np.testing.assert_allclose(seen.rotation, turn @ pose.rotation, atol=1e-14)
    assert seen.box == pose.box
    probe = rotation_from_vector([2.0, -3.0, 1.0]) @ pose.rotation
    for level in (0.1, 0.3, 0.9):
        assert seen.in_region(turn @ probe, level) == pose.in_region(probe, level)
    np.testing.assert_allclose(seen.modes[0].rotation_covariance, turn @ (2 * COVARIANCE) @ turn.T, atol=1e-12)
    assert seen.modes[0].probability == 0.25
    back = seen.rotate(turn.T)
    np.testing.assert_allclose(back.rotation_covariance, COVARIANCE, atol=1e-12)


def test_other_conventions() -> None:
    pose = posed(12, 23, -3)
    np.testing.assert_allclose(pose.angles_in("openface"), np.radians([-12, 23, -3]))
    np.testing.assert_allclose(pose.angles_in("hopenet", zero=False), [23, 12, -3])
    np.testing.assert_allclose(posed(12, 0, 0).angles_in("hopenet"), [0, 5, 0], atol=1e-12)
    np.testing.assert_allclose(pose.rotation_in("300w-lp", zero=False), pose.rotation)
    np.testing.assert_allclose(pose.rotation_in("300w-lp"), pose.rotation @ posed(-7, 0, 0).rotation)
    assert pose.rotation_in("mediapipe").shape == (4, 4)
    with pytest.raises(ValueError, match="unknown convention 'left'"):
        pose.angles_in("left")


def test_short_forms() -> None:
    pose = posed(12, 23, -3, box=(1, 2, 3, 4))
    assert repr(pose) == "Pose(pitch=12.0, yaw=23.0, roll=-3.0, box=(1, 2, 3, 4))"
    assert str(pose) == pose.describe(0.9)
