"""The camera of a scene: a pinhole, whose pixels are counted from the upper left corner."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.synthetic import HEAD_TO_CAMERA, Camera
from tests.synthetic.scenes import properties

CAMERA = Camera(64, 48, 100.0, (30.0, 20.0), (0.0, 0.0, 1.0))
coordinate = st.floats(-2, 2)
distance = st.floats(0.1, 5)


def test_the_axis_meets_the_picture_at_the_principal_point() -> None:
    np.testing.assert_array_equal(CAMERA.project([[0, 0, 0.5], [0, 0, 3.0]]), [[30, 20], [30, 20]])


def test_x_goes_right_y_goes_down_and_focal_pixels_are_45_degrees() -> None:
    np.testing.assert_array_equal(
        CAMERA.project([[1, 0, 1], [0, 1, 1], [-2, -2, 2]]), [[130, 20], [30, 120], [-70, -80]]
    )


@properties
@given(coordinate, coordinate, distance, st.floats(0.1, 10))
def test_points_of_a_ray_are_one_pixel(x: float, y: float, z: float, factor: float) -> None:
    point = np.array([x, y, z])
    np.testing.assert_allclose(CAMERA.project(factor * point), CAMERA.project(point), rtol=1e-9, atol=1e-9)


@properties
@given(coordinate, coordinate, distance, st.floats(0.5, 4))
def test_a_picture_enlarged_has_everything_enlarged(x: float, y: float, z: float, factor: float) -> None:
    centre = (factor * CAMERA.centre[0], factor * CAMERA.centre[1])
    larger = replace(CAMERA, focal=factor * CAMERA.focal, centre=centre)
    np.testing.assert_allclose(larger.project([x, y, z]), factor * CAMERA.project([x, y, z]), rtol=1e-9, atol=1e-9)


def test_works_over_leading_axes() -> None:
    points = np.random.default_rng(0).uniform(0.5, 1, size=(2, 5, 3))
    pixels = CAMERA.project(points)
    assert pixels.shape == (2, 5, 2)
    np.testing.assert_array_equal(pixels[1, 3], CAMERA.project(points[1, 3]))


def test_a_head_that_looks_into_the_camera_is_turned_by_half_a_turn_about_x() -> None:
    np.testing.assert_array_equal(HEAD_TO_CAMERA @ [1, 0, 0], [1, 0, 0])  # right stays right
    np.testing.assert_array_equal(HEAD_TO_CAMERA @ [0, 1, 0], [0, -1, 0])  # up is −y
    np.testing.assert_array_equal(HEAD_TO_CAMERA @ [0, 0, 1], [0, 0, -1])  # out of the face is towards the camera
    assert np.linalg.det(HEAD_TO_CAMERA) == 1
