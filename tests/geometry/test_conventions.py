"""Tests of the conventions of other software: each is derived from its definition, with signs on known poses."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.errors import DataError
from deepgllim.geometry.conventions import (
    CONVENTIONS,
    convention,
    from_convention,
    rotation_from_convention,
    rotation_to_convention,
    to_convention,
)
from deepgllim.geometry.rotations import (
    Array,
    angles_from_rotation,
    geodesic_distance,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from tests.geometry.strategies import pose, properties, turn

front = st.tuples(st.floats(-60, 60), st.floats(-85, 85), st.floats(-60, 60))

KNOWN = (10.0, 20.0, 30.0)
UP, LEFT, CLOCKWISE = (30.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, 0.0, 30.0)
SIXTH = math.pi / 6  # 30 degrees


def elementary(axis: int, degrees: float) -> Array:
    """Return Rx, Ry or Rz, right-handed."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i], R[j, j], R[i, j], R[j, i] = c, c, -s, s
    return R


WITH_ANGLES = [name for name, row in CONVENTIONS.items() if row.names]
WITH_MATRIX = [name for name, row in CONVENTIONS.items() if row.to_matrix]
WITH_ZERO = ["300w-lp", "hopenet", "whenet", "6drepnet"]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_is_complete(name: str) -> None:
    row = convention(name)
    assert (row.names is None) == (row.units is None) == (row.to_angles is None) == (row.from_angles is None)
    assert (row.to_matrix is None) == (row.from_matrix is None)
    assert row.to_angles or row.to_matrix
    assert row.note


@pytest.mark.parametrize("name", WITH_ANGLES)
@properties
@given(angles=pose)
def test_angles_invert_as_rotations(name: str, angles: tuple[float, float, float]) -> None:
    back = from_convention(to_convention(angles, name), name)
    # at |yaw| = 90 the roll becomes 0, at a cost of up to 3e-8 (test_rotations), here twice
    np.testing.assert_allclose(rotation_from_angles(*back), rotation_from_angles(*angles), atol=1e-7)


@pytest.mark.parametrize("name", WITH_ANGLES)
@properties
@given(angles=front)
def test_angles_of_ordinary_heads_invert(name: str, angles: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(from_convention(to_convention(angles, name), name), angles, atol=1e-9)


@pytest.mark.parametrize("name", WITH_MATRIX)
@properties
@given(angles=pose)
def test_matrices_invert_and_keep_errors(name: str, angles: tuple[float, float, float]) -> None:
    R, other = rotation_from_angles(*angles), rotation_from_angles(*KNOWN)
    written = rotation_to_convention(R, name)
    np.testing.assert_allclose(rotation_from_convention(written, name), R, atol=1e-15)
    blocks = written[:3, :3], rotation_to_convention(other, name)[:3, :3]
    assert geodesic_distance(*blocks) == pytest.approx(geodesic_distance(R, other), abs=1e-9)
    assert np.linalg.det(blocks[0]) == pytest.approx(1)


# --- the zero


def test_the_labels_of_300w_lp_have_another_zero() -> None:
    assert {name: row.zero for name, row in CONVENTIONS.items() if row.zero} == dict.fromkeys(WITH_ZERO, 7.0)
    for name in WITH_ZERO:
        level = dict(zip(CONVENTIONS[name].names or (), to_convention([0.0, 0.0, 0.0], name), strict=True))
        assert level == pytest.approx({"pitch": -7, "yaw": 0, "roll": 0}, abs=1e-12)  # a level head is low in labels
        np.testing.assert_allclose(from_convention([0.0, 0.0, 0.0], name), [7, 0, 0], atol=1e-12)


@properties
@given(angles=pose)
def test_angles_and_matrix_of_a_convention_are_the_same_rotation(angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    written = rotation_to_convention(R, "300w-lp")
    np.testing.assert_allclose(rotation_from_angles(*to_convention(angles, "300w-lp")), written, atol=1e-7)
    np.testing.assert_allclose(written, R @ elementary(0, 7), atol=1e-15)
    E = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(rotation_to_convention(R, "6drepnet"), E @ written.T @ E, atol=1e-15)


@pytest.mark.parametrize("name", WITH_ZERO)
@properties
@given(pan=turn, tilt=st.floats(-60, 60))
def test_the_zero_is_subtracted_from_the_tilt_at_any_pan(name: str, pan: float, tilt: float) -> None:
    ours = angles_from_rotation(rotation_from_pan_tilt(pan, tilt))
    labels = from_convention(to_convention(ours, name), name, zero=False)
    np.testing.assert_allclose(rotation_from_angles(*labels), rotation_from_pan_tilt(pan, tilt - 7), atol=1e-7)


@pytest.mark.parametrize("name", WITH_ANGLES)
@properties
@given(angles=pose)
def test_angles_invert_without_the_zero_too(name: str, angles: tuple[float, float, float]) -> None:
    back = from_convention(to_convention(angles, name, zero=False), name, zero=False)
    np.testing.assert_allclose(rotation_from_angles(*back), rotation_from_angles(*angles), atol=1e-7)


@pytest.mark.parametrize("name", WITH_MATRIX)
@properties
@given(angles=pose)
def test_matrices_invert_without_the_zero_too(name: str, angles: tuple[float, float, float]) -> None:
    R = rotation_from_angles(*angles)
    back = rotation_from_convention(rotation_to_convention(R, name, zero=False), name, zero=False)
    np.testing.assert_allclose(back, R, atol=1e-15)


@pytest.mark.parametrize("name", WITH_ZERO)
def test_angles_beyond_profile_stay_there_without_the_zero_only(name: str) -> None:
    behind = [10.0, 130.0, 30.0]
    kept = from_convention(to_convention(behind, name, zero=False), name, zero=False)
    np.testing.assert_array_equal(kept, behind)
    back = from_convention(to_convention(behind, name), name)
    assert abs(back[1]) <= 90
    np.testing.assert_allclose(rotation_from_angles(*back), rotation_from_angles(*behind), atol=1e-14)


@pytest.mark.parametrize("name", sorted(set(CONVENTIONS) - set(WITH_ZERO)))
def test_other_conventions_have_our_zero(name: str) -> None:
    R = rotation_from_angles(*KNOWN)
    if name in WITH_ANGLES:
        np.testing.assert_array_equal(to_convention(KNOWN, name), to_convention(KNOWN, name, zero=False))
    if name in WITH_MATRIX:
        np.testing.assert_array_equal(rotation_to_convention(R, name), rotation_to_convention(R, name, zero=False))


# --- axes, signs, units


def test_300w_lp_has_our_axes() -> None:
    R = rotation_from_angles(*KNOWN)
    np.testing.assert_array_equal(to_convention(KNOWN, "300w-lp", zero=False), KNOWN)
    np.testing.assert_array_equal(rotation_to_convention(R, "300w-lp", zero=False), R)


@pytest.mark.parametrize("name", ["hopenet", "whenet"])
def test_hopenet_and_whenet_write_yaw_first_and_beyond_profile(name: str) -> None:
    assert CONVENTIONS[name].names == ("yaw", "pitch", "roll")
    np.testing.assert_array_equal(to_convention(KNOWN, name, zero=False), [20, 10, 30])
    np.testing.assert_array_equal(from_convention([130, 10, 30], name, zero=False), [10, 130, 30])


def test_biwi_readers_find_our_angles_in_its_matrix() -> None:
    """Uses the formulas of common readers of Biwi, on A, the transpose of the matrix in the file."""
    A = rotation_to_convention(rotation_from_angles(*KNOWN), "biwi").T
    roll = -np.degrees(np.arctan2(A[1, 0], A[0, 0]))
    yaw = -np.degrees(np.arctan2(-A[2, 0], np.hypot(A[2, 1], A[2, 2])))
    pitch = np.degrees(np.arctan2(A[2, 1], A[2, 2]))
    np.testing.assert_allclose([pitch, yaw, roll], KNOWN, atol=1e-12)
    np.testing.assert_array_equal(to_convention(KNOWN, "biwi"), KNOWN)


def test_opal_is_right_handed_in_its_own_angles() -> None:
    pitch, yaw, roll = to_convention(KNOWN, "opal")
    assert (pitch, yaw, roll) == (10, -20, 30)
    expected = elementary(0, pitch) @ elementary(1, yaw) @ elementary(2, roll)
    P = np.diag([1, 1, -1])
    np.testing.assert_allclose(rotation_to_convention(rotation_from_angles(*KNOWN), "opal"), expected, atol=1e-15)
    np.testing.assert_allclose(P @ rotation_from_angles(*KNOWN) @ P, expected, atol=1e-15)


def test_6drepnet_is_its_get_r() -> None:
    get_r = elementary(2, 30) @ elementary(1, 20) @ elementary(0, 10)
    np.testing.assert_array_equal(to_convention(KNOWN, "6drepnet", zero=False), KNOWN)
    R = rotation_from_angles(*KNOWN)
    np.testing.assert_allclose(rotation_to_convention(R, "6drepnet", zero=False), get_r, atol=1e-15)
    theirs = elementary(2, 30) @ elementary(1, 20) @ elementary(0, 10)  # of labels, with their own zero
    ours = rotation_from_convention(theirs, "6drepnet")
    np.testing.assert_allclose(ours, rotation_from_angles(*from_convention(KNOWN, "6drepnet")), atol=1e-14)


def test_openvino_negates_pitch_and_yaw() -> None:
    np.testing.assert_array_equal(to_convention(KNOWN, "openvino"), [-10, -20, 30])
    with pytest.raises(ValueError, match="defines angles, not a matrix"):
        rotation_to_convention(np.eye(3), "openvino")
    with pytest.raises(ValueError, match="defines angles, not a matrix"):
        rotation_from_convention(np.eye(3), "openvino")


@pytest.mark.parametrize(
    ("angles", "expected"),
    [(UP, [-SIXTH, 0, 0]), (LEFT, [0, SIXTH, 0]), (CLOCKWISE, [0, 0, SIXTH])],
    ids=["a raised head has a negative pose_Rx", "to the image's left: positive pose_Ry", "clockwise: positive"],
)
def test_openface_signs(angles: tuple[float, float, float], expected: list[float]) -> None:
    np.testing.assert_allclose(to_convention(angles, "openface"), expected, atol=1e-15)


@properties
@given(pose)
def test_openface_is_rx_ry_rz_of_its_angles(angles: tuple[float, float, float]) -> None:
    x, y, z = np.degrees(to_convention(angles, "openface"))
    product = elementary(0, x) @ elementary(1, y) @ elementary(2, z)
    np.testing.assert_allclose(rotation_to_convention(rotation_from_angles(*angles), "openface"), product, atol=1e-13)


def test_opencv_projects_its_head_model_where_our_head_is_seen() -> None:
    """Uses nose and eye corner of the six-point model: y up, the nose along +z, the image's left at −x."""
    nose, corner = np.array([0.0, 0.0, 1.0]), np.array([-225.0, 170.0, -135.0])
    frontal = rotation_to_convention(np.eye(3), "opencv")
    np.testing.assert_array_equal(frontal @ nose, [0, 0, -1])  # towards the camera, which looks along +z
    np.testing.assert_array_equal(frontal @ corner, [-225, -170, 135])  # in the image: to the left, and above
    assert (rotation_to_convention(rotation_from_angles(*LEFT), "opencv") @ nose)[0] == pytest.approx(-0.5)
    assert (rotation_to_convention(rotation_from_angles(*UP), "opencv") @ nose)[1] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("angles", "expected"),
    [((12.0, 0.0, 0.0), [168, 0, 0]), ((-12.0, 0.0, 0.0), [-168, 0, 0])],
    ids=["up", "down"],
)
def test_opencv_pitch_jumps_at_the_frontal_head(angles: tuple[float, float, float], expected: list[float]) -> None:
    """The x of RQDecomp3x3 is about ±180 and decreases towards 90 as the head looks up."""
    np.testing.assert_allclose(to_convention(angles, "opencv"), expected, atol=1e-12)


@pytest.mark.parametrize(("angles", "y", "z"), [(LEFT, 30, 0), (CLOCKWISE, 0, 30)], ids=["left", "clockwise"])
def test_opencv_turns_to_the_left_and_clockwise_are_positive(
    angles: tuple[float, float, float], y: float, z: float
) -> None:
    found = to_convention(angles, "opencv")
    np.testing.assert_allclose([abs(found[0]), *found[1:]], [180, y, z], atol=1e-12)


@properties
@given(pose)
def test_opencv_angles_are_rz_ry_rx(angles: tuple[float, float, float]) -> None:
    x, y, z = to_convention(angles, "opencv")
    assert -90 <= y <= 90
    product = elementary(2, z) @ elementary(1, y) @ elementary(0, x)
    written = rotation_to_convention(rotation_from_angles(*angles), "opencv")
    np.testing.assert_allclose(written, product, atol=1e-7)  # as above, at gimbal lock


def test_opencv_vector_is_half_a_turn_about_x_at_the_frontal_head() -> None:
    np.testing.assert_allclose(np.abs(to_convention((0, 0, 0), "opencv-rvec")), [math.pi, 0, 0], atol=1e-15)
    # Ry(yaw)·Rx(180): half a turn about the axis (cos, 0, −sin) of half the yaw
    half = math.pi / 12
    expected = np.array([math.cos(half), 0, -math.sin(half)]) * math.pi
    found = to_convention(LEFT, "opencv-rvec")
    np.testing.assert_allclose(found * np.sign(found[0]), expected, atol=1e-12)


@properties
@given(front)
def test_opencv_vector_is_the_axis_and_the_angle_of_its_matrix(angles: tuple[float, float, float]) -> None:
    vector = to_convention(angles, "opencv-rvec")
    R = rotation_to_convention(rotation_from_angles(*angles), "opencv")
    np.testing.assert_allclose(R @ vector, vector, atol=1e-9)
    assert np.trace(R) == pytest.approx(1 + 2 * np.cos(np.linalg.norm(vector)), abs=1e-9)


def test_mediapipe_looks_along_minus_z_with_y_up() -> None:
    """Its camera and canonical face have x to the image's right, y up, and the nose along +z, towards the camera."""
    np.testing.assert_array_equal(rotation_to_convention(np.eye(3), "mediapipe"), np.eye(4))
    nose = np.array([0.0, 0.0, 1.0, 0.0])
    to_left = rotation_to_convention(rotation_from_angles(*LEFT), "mediapipe") @ nose
    np.testing.assert_allclose(to_left, [-0.5, 0, math.sqrt(0.75), 0], atol=1e-15)
    up = rotation_to_convention(rotation_from_angles(*UP), "mediapipe") @ nose
    np.testing.assert_allclose(up, [0, 0.5, math.sqrt(0.75), 0], atol=1e-15)


def test_a_mediapipe_matrix_may_move_and_scale() -> None:
    R = rotation_from_angles(*KNOWN)
    matrix = rotation_to_convention(R, "mediapipe")
    matrix[:3, :3] *= 1.02
    matrix[:3, 3] = (1.0, -2.0, -45.0)
    np.testing.assert_allclose(rotation_from_convention(matrix, "mediapipe"), R, atol=1e-15)
    with pytest.raises(ValueError, match=r"'mediapipe' has shape \(\.\.\., 4, 4\), not \(3, 3\)"):
        rotation_from_convention(np.eye(3), "mediapipe")
    for function in (to_convention, from_convention):
        with pytest.raises(ValueError, match="defines a matrix, not angles"):
            function(KNOWN, "mediapipe")


def test_works_over_leading_axes() -> None:
    angles = np.random.default_rng(0).uniform(-50, 50, (2, 4, 3))
    R = rotation_from_angles(*np.moveaxis(angles, -1, 0))
    for name in WITH_ANGLES:
        written = to_convention(angles, name)
        np.testing.assert_array_equal(written[1, 2], to_convention(angles[1, 2], name))
        np.testing.assert_allclose(from_convention(written, name), angles, atol=1e-9)
    for name in WITH_MATRIX:
        np.testing.assert_allclose(rotation_from_convention(rotation_to_convention(R, name), name), R, atol=1e-14)


def test_refuses_wrong_shapes_and_names() -> None:
    with pytest.raises(ValueError, match="unknown convention 'dlib'; the known ones are 300w-lp"):
        to_convention(KNOWN, "dlib")
    with pytest.raises(ValueError, match="give three on the last axis"):
        from_convention([1.0, 2.0], "openface")
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3, 3\), not \(2, 3\)"):
        rotation_to_convention(np.zeros((2, 3)), "opencv")
    with pytest.raises(ValueError, match=r"'opencv' has shape \(\.\.\., 3, 3\), not \(4, 4\)"):
        rotation_from_convention(np.eye(4), "opencv")


# --- matrices that are no rotations

MATRICES = [name for name, row in CONVENTIONS.items() if row.from_matrix is not None]
FAULTS: dict[str, Callable[[Array], Array]] = {
    "mirrored": lambda R: np.diag([-1.0, 1.0, 1.0]) @ R,
    "sheared": lambda R: np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ R,
    "flat": lambda R: np.diag([1.0, 1.0, 0.0]) @ R,
    "zero": np.zeros_like,
    "not finite": lambda R: np.where(np.eye(3) == 1, np.nan, R),
    "infinite": lambda R: np.full_like(R, np.inf),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_that_is_not_a_rotation_is_refused(name: str, fault: str) -> None:
    R, spoilt = rotation_from_angles(12, 30, -5), FAULTS[fault]
    right = rotation_to_convention(R, name)
    written = right.copy()
    written[:3, :3] = spoilt(right[:3, :3])
    for matrices in (written, np.stack([right, written])):
        with pytest.raises(DataError, match=f"the matrix of '{name}'.* is not a rotation"):
            rotation_from_convention(matrices, name)
    with pytest.raises(DataError, match="the rotation is not a rotation"):
        rotation_to_convention(spoilt(R), name)


def test_a_transposed_matrix_is_refused_by_its_translation() -> None:
    R = rotation_from_angles(12, 30, -5)
    matrix = rotation_to_convention(R, "mediapipe")
    matrix[:3, 3] = [1.4, -6.8, -39.0]
    matrix[:3, :3] *= 1.7
    np.testing.assert_allclose(rotation_from_convention(matrix, "mediapipe"), R, atol=1e-12)
    with pytest.raises(
        DataError, match=r"the last row .* is \(1\.4, -6\.8, -39, 1\), not \(0, 0, 0, 1\): transpose it"
    ):
        rotation_from_convention(matrix.T, "mediapipe")
    with pytest.raises(DataError, match=r"the last row .* is \(0, 0, 0, 0\)"):
        rotation_from_convention(np.diag([1.0, 1.0, 1.0, 0.0]), "mediapipe")


def test_matrices_with_four_digits_are_accepted_and_empty_arrays_too() -> None:
    R = rotation_from_angles(12, 30, -5)
    for name in MATRICES:
        written = rotation_to_convention(R, name)
        np.testing.assert_allclose(rotation_from_convention(written.round(4), name), R, atol=2e-4)
        np.testing.assert_allclose(rotation_from_convention(written.astype(np.float32), name), R, atol=1e-6)
        assert rotation_from_convention(np.empty((0, *written.shape)), name).shape == (0, 3, 3)
