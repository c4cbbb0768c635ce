"""Tests of rotations: identities of the convention, signs on known poses, precision, rotation vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.geometry.rotations import (
    MIRROR_SIGNS,
    NECK_ANGLES,
    Array,
    angles_from_rotation,
    geodesic_distance,
    mirror_angles,
    mirror_rotation,
    pan_tilt_from_rotation,
    project_axes,
    rotation_from_angles,
    rotation_from_pan_tilt,
    rotation_from_vector,
    vector_from_rotation,
)
from tests.geometry.strategies import pose, properties, turn


def elementary(axis: int, degrees: float) -> Array:
    """Return Rx, Ry or Rz, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i], R[j, j], R[i, j], R[j, i] = c, c, -s, s
    return R


@properties
@given(pose)
def test_is_the_product_of_three_rotations(angles: tuple[float, float, float]) -> None:
    pitch, yaw, roll = angles
    product = elementary(0, -pitch) @ elementary(1, yaw) @ elementary(2, roll)
    np.testing.assert_allclose(rotation_from_angles(*angles), product, atol=1e-14)  # rounding of a product of sines


@properties
@given(pose)
def test_is_a_rotation(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1)


@properties
@given(pose)
def test_angles_give_the_rotation_back_everywhere(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    back = angles_from_rotation(R)
    assert -90 <= back[1] <= 90
    # near gimbal lock the roll is set to 0 where cos(yaw) < 1e-8, which costs up to that much
    np.testing.assert_allclose(rotation_from_angles(*back), R, atol=3e-8)


@properties
@given(st.tuples(turn, st.floats(-89, 89), turn))
def test_angles_are_unique_away_from_gimbal_lock(angles: tuple[float, float, float]) -> None:
    difference = angles_from_rotation(rotation_from_angles(*angles)) - np.array(angles)
    wrapped = (difference + 180) % 360 - 180
    np.testing.assert_allclose(wrapped, 0, atol=1e-10)  # cos(89°) divides the rounding of the sines


@pytest.mark.parametrize("yaw", [90.0, -90.0])
@properties
@given(pitch=turn, roll=turn)
def test_gimbal_lock_has_no_roll(yaw: float, pitch: float, roll: float) -> None:
    R = rotation_from_angles(pitch, yaw, roll)
    back = angles_from_rotation(R)
    assert back[2] == 0
    assert back[1] == pytest.approx(yaw)
    np.testing.assert_allclose(rotation_from_angles(*back), R, atol=1e-12)


def test_signs_on_known_poses() -> None:
    left, up, tilted = (project_axes(rotation_from_angles(*a)) for a in ((0, 90, 0), (45, 0, 0), (0, 0, 30)))
    np.testing.assert_allclose(left[2], [-1, 0], atol=1e-15)  # yaw 90: nose to the image's left
    assert up[2, 1] == pytest.approx(-np.sqrt(0.5))  # pitch 45: nose up, y points down
    assert up[2, 0] == 0
    np.testing.assert_allclose(tilted[0], [np.sqrt(0.75), 0.5])  # roll 30, clockwise: the right-hand side goes down
    np.testing.assert_allclose(tilted[1], [-0.5, np.sqrt(0.75)])


def test_frontal_axes() -> None:
    np.testing.assert_array_equal(project_axes(np.eye(3)), [[1, 0], [0, 1], [0, 0]])


NOSE = np.array([0.0, 0.0, -1.0])


@properties
@given(pose)
def test_neck_angles_are_a_product_of_three_rotations(angles: tuple[float, float, float]) -> None:
    pan, tilt, neck_roll = angles
    product = elementary(1, pan) @ elementary(0, -tilt) @ elementary(2, neck_roll)
    np.testing.assert_allclose(rotation_from_pan_tilt(pan, tilt, neck_roll), product, atol=1e-14)


@properties
@given(turn, st.floats(-90, 90), turn)
def test_pan_and_tilt_are_azimuth_and_elevation_of_the_nose(pan: float, tilt: float, neck_roll: float) -> None:
    x, y, z = rotation_from_pan_tilt(pan, tilt, neck_roll) @ NOSE
    p, t = np.radians(pan), np.radians(tilt)
    np.testing.assert_allclose([x, y, z], [-np.sin(p) * np.cos(t), -np.sin(t), -np.cos(p) * np.cos(t)], atol=1e-14)


@properties
@given(turn, st.floats(-89, 89), turn)
def test_pan_and_tilt_come_back_beyond_profile(pan: float, tilt: float, neck_roll: float) -> None:
    difference = pan_tilt_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll)) - np.array([tilt, pan, neck_roll])
    np.testing.assert_allclose((difference + 180) % 360 - 180, 0, atol=1e-10)  # cos(89°) divides the rounding


@properties
@given(pose)
def test_pan_and_tilt_give_the_rotation_back_everywhere(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    tilt, pan, neck_roll = pan_tilt_from_rotation(R)
    assert -90 <= tilt <= 90
    np.testing.assert_allclose(rotation_from_pan_tilt(pan, tilt, neck_roll), R, atol=3e-8)  # as above, near the gimbal


@pytest.mark.parametrize("tilt", [90.0, -90.0])
@properties
@given(pan=turn, neck_roll=turn)
def test_a_nose_straight_up_or_down_has_no_neck_roll(tilt: float, pan: float, neck_roll: float) -> None:
    R = rotation_from_pan_tilt(pan, tilt, neck_roll)
    back = pan_tilt_from_rotation(R)
    assert back[2] == 0
    assert back[0] == pytest.approx(tilt)
    np.testing.assert_allclose(rotation_from_pan_tilt(back[1], back[0], back[2]), R, atol=1e-12)


@pytest.mark.parametrize(("pan", "tilt"), [(75.0, 0.0), (-40.0, 0.0), (0.0, 60.0), (0.0, -25.0)])
def test_on_the_two_axes_pan_and_tilt_are_yaw_and_pitch(pan: float, tilt: float) -> None:
    np.testing.assert_allclose(rotation_from_pan_tilt(pan, tilt), rotation_from_angles(tilt, pan, 0), atol=1e-15)
    np.testing.assert_allclose(angles_from_rotation(rotation_from_pan_tilt(pan, tilt)), [tilt, pan, 0], atol=1e-12)


def test_off_the_axes_the_angles_differ() -> None:
    np.testing.assert_allclose(angles_from_rotation(rotation_from_pan_tilt(75, 30)), [66, 57, 62], atol=0.5)


@properties
@given(st.tuples(st.floats(-170, 170), st.floats(-89, 89), st.floats(-170, 170)))
def test_mirror_negates_pan_and_neck_roll(angles: tuple[float, float, float]) -> None:
    pan, tilt, neck_roll = angles
    signs = [MIRROR_SIGNS[name] for name in NECK_ANGLES]
    mirrored = pan_tilt_from_rotation(mirror_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll)))
    np.testing.assert_allclose(mirrored, np.array([tilt, pan, neck_roll]) * signs, atol=1e-10)


@properties
@given(pose, st.floats(-12, 0))
def test_distance_is_precise_near_0_and_180(angles: tuple[float, float, float], exponent: float) -> None:
    small = 10.0**exponent
    R = rotation_from_angles(*angles)
    # relative to one turn the rounding is 1e-15 radians; an inverse cosine would be wrong by 1e-6 degrees
    assert geodesic_distance(R, R @ elementary(0, small)) == pytest.approx(small, abs=1e-12)
    assert geodesic_distance(R, R @ elementary(1, 180 - small)) == pytest.approx(180 - small, abs=1e-12)


@properties
@given(pose, pose, pose)
def test_distance_is_an_invariant_metric(
    a: tuple[float, float, float], b: tuple[float, float, float], c: tuple[float, float, float]
) -> None:
    A, B, C = (rotation_from_angles(*angles) for angles in (a, b, c))
    distance = geodesic_distance(A, B)
    assert distance == pytest.approx(geodesic_distance(B, A), abs=1e-9)
    assert distance == pytest.approx(geodesic_distance(C @ A, C @ B), abs=1e-9)
    assert distance <= geodesic_distance(A, C) + geodesic_distance(C, B) + 1e-9


@properties
@given(pose)
def test_mirror_negates_yaw_and_roll(angles: tuple[float, float, float]) -> None:
    mirrored = rotation_from_angles(*mirror_angles(angles))
    np.testing.assert_allclose(mirror_rotation(rotation_from_angles(*angles)), mirrored, atol=1e-15)


def test_works_over_leading_axes() -> None:
    pitch, yaw = np.meshgrid([-30.0, 0.0, 30.0], [-60.0, 20.0])
    R = rotation_from_angles(pitch, yaw, 5.0)
    assert R.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(angles_from_rotation(R), np.stack([pitch, yaw, np.full((2, 3), 5.0)], -1), atol=1e-12)
    assert geodesic_distance(R, np.eye(3)).shape == (2, 3)
    assert project_axes(R).shape == (2, 3, 3, 2)
    assert mirror_rotation(R).shape == R.shape
    np.testing.assert_allclose(rotation_from_vector(vector_from_rotation(R)), R, atol=1e-14)
    neck = rotation_from_pan_tilt(yaw, pitch, 5.0)
    assert neck.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(
        pan_tilt_from_rotation(neck), np.stack([pitch, yaw, np.full((2, 3), 5.0)], -1), atol=1e-12
    )


@properties
@given(st.tuples(*[st.floats(-103, 103)] * 3))
def test_vectors_give_rotations_and_come_back(vector: tuple[float, float, float]) -> None:
    """103 · √3 < 180, so that no shorter vector gives the same rotation."""
    R = rotation_from_vector(vector)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(R @ vector, vector, atol=1e-12)  # the axis stays
    np.testing.assert_allclose(vector_from_rotation(R), vector, atol=1e-10)  # near half a turn the cosine is flat


@properties
@given(pose)
def test_rotation_vectors_are_at_most_180_degrees_long(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    vector = vector_from_rotation(R)
    assert np.linalg.norm(vector) == pytest.approx(geodesic_distance(R, np.eye(3)), abs=1e-9)
    np.testing.assert_allclose(rotation_from_vector(vector), R, atol=1e-13)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("degrees", [0.0, 1e-9, -1e-3, 40.0, -179.9999, 180.0])
def test_vectors_along_an_axis_are_elementary_rotations(axis: int, degrees: float) -> None:
    vector = degrees * np.eye(3)[axis]
    np.testing.assert_allclose(rotation_from_vector(vector), elementary(axis, degrees), atol=1e-15)
    back = vector_from_rotation(elementary(axis, degrees))
    np.testing.assert_allclose(back, vector, rtol=1e-12, atol=1e-12)


def test_refuses_wrong_shapes_and_names() -> None:
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, 3\), not \(2, 3\)"):
        angles_from_rotation(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, 3\), not \(3,\)"):
        pan_tilt_from_rotation(np.zeros(3))
    with pytest.raises(ValueError, match=r"angles have shape \(2,\); give three on the last axis"):
        mirror_angles([1.0, 2.0])
