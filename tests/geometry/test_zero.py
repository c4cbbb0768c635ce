"""Tests of the zero of the pitch: the face plane of the head model, and the change to another zero."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.geometry.rotations import (
    Array,
    angles_from_rotation,
    geodesic_distance,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.geometry.zero import FACE_PLANE_ELEVATION, change_zero, change_zero_of_angles
from deepgllim.synthetic import HeadModel, load_head_model
from deepgllim.synthetic.heads import Floats
from deepgllim.synthetic.scene import HEAD_TO_CAMERA
from tests.geometry.strategies import pose, properties, turn

elevation = st.floats(-30, 30)

EYES, MOUTH = (36, 45), (48, 54)
"""Outer corners of the eyes and corners of the mouth, among the 68 landmarks of iBUG."""


def corners(model: HeadModel, vertices: Floats) -> tuple[Array, Array]:
    """Return the corners of the eyes and of the mouth in the camera's frame at R = I, (2, 3) each, metres."""
    points = np.asarray(model.landmarks(vertices), np.float64) @ HEAD_TO_CAMERA
    eyes, mouth = (points[[model.landmark_numbers.index(number) for number in pair]] for pair in (EYES, MOUTH))
    return eyes, mouth


def face_plane_elevation(eyes: Array, mouth: Array) -> float:
    """Return the elevation of the normal of the plane nearest to the four points, degrees, positive upwards."""
    points = np.concatenate([eyes, mouth])
    normal = np.linalg.svd(points - points.mean(axis=0))[2][-1]
    normal *= -np.sign(normal[2])  # towards the camera, along -z
    return float(np.degrees(np.arcsin(-normal[1])))  # y points down


def test_the_zero_is_that_of_the_mean_head() -> None:
    model = load_head_model()
    eyes, mouth = corners(model, model.mean)
    assert face_plane_elevation(eyes, mouth) == pytest.approx(FACE_PLANE_ELEVATION, abs=0.1)
    below, behind = 1000 * (mouth.mean(axis=0) - eyes.mean(axis=0))[1:]
    assert below == pytest.approx(72, abs=1)
    assert -behind == pytest.approx(13, abs=1)  # docs/poses.md: in front of the eyes


def test_people_differ_from_the_mean_head_by_two_degrees() -> None:
    model = load_head_model()
    people = [model.vertices(model.random_identity(seed)) for seed in range(60)]
    found = [face_plane_elevation(*corners(model, vertices)) for vertices in people]
    assert np.mean(found) == pytest.approx(10.8, abs=3 * 2.1 / 60**0.5)
    assert np.std(found) == pytest.approx(2.1, abs=3 * 2.1 / 120**0.5)  # standard errors of 60 people


@properties
@given(angles=pose, elevation=elevation)
def test_a_change_of_zero_is_the_same_rotation_for_every_pose(
    angles: tuple[float, float, float], elevation: float
) -> None:
    R = rotation_from_angles(*angles)
    changed = change_zero(R, elevation)
    assert geodesic_distance(R, changed) == pytest.approx(abs(elevation), abs=1e-9)
    np.testing.assert_allclose(changed[:, 0], R[:, 0], atol=1e-15)  # about the head's x axis
    np.testing.assert_allclose(change_zero(changed, -elevation), R, atol=1e-15)


@properties
@given(pan=turn, tilt=st.floats(-50, 50), elevation=elevation)
def test_the_tilt_changes_by_the_elevation_at_any_pan(pan: float, tilt: float, elevation: float) -> None:
    changed = change_zero(rotation_from_pan_tilt(pan, tilt), elevation)
    np.testing.assert_allclose(changed, rotation_from_pan_tilt(pan, tilt - elevation), atol=1e-14)


def test_the_pitch_changes_by_the_elevation_in_the_middle_only() -> None:
    np.testing.assert_allclose(change_zero_of_angles(np.array([12.0, 0.0, 0.0]), 7), [5, 0, 0], atol=1e-12)
    turned = change_zero_of_angles(np.array([12.0, 60.0, 0.0]), 7)
    assert turned[0] < 12 - 7 - 1
    np.testing.assert_allclose(
        rotation_from_angles(*turned), change_zero(rotation_from_angles(12, 60, 0), 7), atol=1e-14
    )


def test_without_a_change_the_values_stay_as_they_are() -> None:
    angles = np.array([10.0, 130.0, 200.0])
    np.testing.assert_array_equal(change_zero_of_angles(angles, 0), angles)
    np.testing.assert_allclose(
        change_zero_of_angles(angles, 1e-12), angles_from_rotation(rotation_from_angles(*angles)), atol=1e-9
    )
