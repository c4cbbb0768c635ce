"""Off-centre faces: the signs by hand, and a head projected as it is seen."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, ImageError
from deepgllim.geometry.rotations import angles_from_rotation, geodesic_distance, pan_tilt_from_rotation
from deepgllim.pose.camera import Intrinsics

properties = settings(deadline=None, max_examples=60, derandomize=True, database=None)
CAMERA = Intrinsics(fx=400.0, fy=400.0, cx=320.0, cy=240.0)


def around(x: float, y: float) -> tuple[float, float, float, float]:
    return x - 30, y - 40, x + 30, y + 40


def test_a_face_in_the_middle_is_as_it_seems() -> None:
    np.testing.assert_array_equal(CAMERA.turn(around(320, 240)), np.eye(3))


def test_a_head_at_the_images_left_that_faces_the_lens_is_turned_to_the_right() -> None:
    """400 pixels of 400 to the left: 45 degrees. It seems frontal; its nose points to the lens, so to the right."""
    turn = CAMERA.turn(around(-80, 240))
    np.testing.assert_allclose(angles_from_rotation(turn), [0, -45, 0], atol=1e-12)
    assert (turn @ [0.0, 0.0, -1.0])[0] == pytest.approx(math.sqrt(0.5))


def test_a_head_at_the_top_that_faces_the_lens_looks_down() -> None:
    angles = angles_from_rotation(CAMERA.turn(around(320, -160)))
    np.testing.assert_allclose(angles, [-45, 0, 0], atol=1e-12)


def test_a_head_straight_along_the_axis_seems_turned_outwards() -> None:
    """R = I at the image's left: what the network should see is a head turned to the left."""
    apparent = CAMERA.turn(around(-80, 240)).T
    np.testing.assert_allclose(angles_from_rotation(apparent), [0, 45, 0], atol=1e-12)


@properties
@given(st.floats(-2000, 2600), st.floats(-2000, 2600))
def test_it_is_the_smallest_turn_from_the_axis_to_the_ray(x: float, y: float) -> None:
    ray, turn = CAMERA.ray(x, y), CAMERA.turn(around(x, y))
    np.testing.assert_allclose(turn @ [0.0, 0.0, 1.0], ray, atol=1e-12)
    assert geodesic_distance(turn, np.eye(3)) == pytest.approx(math.degrees(math.acos(min(1.0, ray[2]))), abs=1e-5)
    # the nose of a head that seems frontal points back along the ray, to the lens
    tilt, pan, _ = pan_tilt_from_rotation(turn)
    expected = [-math.sin(math.radians(pan)) * math.cos(math.radians(tilt)), -math.sin(math.radians(tilt))]
    np.testing.assert_allclose(-ray[:2], expected, atol=1e-9)


def test_the_ray_is_where_a_point_projects() -> None:
    camera = Intrinsics(fx=500.0, fy=450.0, cx=300.0, cy=260.0)
    point = np.array([0.3, -0.2, 1.5])
    x, y = 500 * point[0] / point[2] + 300, 450 * point[1] / point[2] + 260
    np.testing.assert_allclose(camera.ray(x, y), point / np.linalg.norm(point), rtol=1e-14)


def test_opencvs_matrix_counts_from_the_middle_of_a_pixel() -> None:
    camera = Intrinsics.from_matrix([[500.0, 0.0, 319.5], [0.0, 510.0, 239.5], [0.0, 0.0, 1.0]])
    assert camera == Intrinsics(500.0, 510.0, 320.0, 240.0)
    with pytest.raises(ConfigurationError, match=r"shape \(3, 3\), not \(2, 2\)"):
        Intrinsics.from_matrix(np.eye(2))
    with pytest.raises(ConfigurationError, match=r"is not \[\[fx, 0, cx\], \[0, fy, cy\], \[0, 0, 1\]\]"):
        Intrinsics.from_matrix(np.array([[500.0, 0.0, 319.5], [0.0, 510.0, 239.5], [0.0, 0.0, 1.0]]).T)


def test_the_field_of_view_reaches_from_edge_to_edge() -> None:
    camera = Intrinsics.from_field_of_view(60, width=640, height=480)
    left, right = camera.ray(0, 240), camera.ray(640, 240)
    assert math.degrees(math.acos(left @ right)) == pytest.approx(60)
    assert camera.fx == camera.fy


def test_refuses_what_is_no_camera() -> None:
    with pytest.raises(ConfigurationError, match="give fx, fy > 0"):
        Intrinsics(0.0, 1.0, 0.0, 0.0)
    with pytest.raises(ConfigurationError, match="intrinsics"):
        Intrinsics(1.0, 1.0, float("nan"), 0.0)
    for degrees, width in ((180, 640), (0, 640), (60, 0)):
        with pytest.raises(ConfigurationError, match="field of view"):
            Intrinsics.from_field_of_view(degrees, width, 480)
    with pytest.raises(ImageError, match="empty"):
        CAMERA.turn((10, 10, 10, 20))
