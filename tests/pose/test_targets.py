"""From mixtures to poses: three angles of either kind, two of them, scaled, foreign."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ModelError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array, geodesic_distance, rotation_from_angles
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.mixture import Mixture
from deepgllim.pose.targets import UNIFORM_VARIANCE, pose_from_targets, predicted_angles

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)
ordinary = st.tuples(st.floats(-70, 70), st.floats(-70, 70), st.floats(-60, 60))

COVARIANCE = np.array([[9.0, 2.0, 1.0], [2.0, 16.0, -3.0], [1.0, -3.0, 4.0]])


def one(mean: Array | list[float], covariance: Array = COVARIANCE) -> Mixture:
    return Mixture.of([1.0], np.array([mean]), covariance[None])


@properties
@given(ordinary)
def test_pitch_yaw_and_roll_are_kept(angles: tuple[float, float, float]) -> None:
    pose = pose_from_targets(ANGLES, one(list(angles)))
    np.testing.assert_allclose(pose.angles, angles, atol=1e-10)
    np.testing.assert_allclose(pose.covariance, COVARIANCE, atol=1e-8)
    assert pose.unknown == ()


@properties
@given(ordinary)
def test_angles_of_the_neck_are_kept_beyond_profile(angles: tuple[float, float, float]) -> None:
    tilt, pan, tip = angles[0], 2 * angles[1], angles[2]
    pose = pose_from_targets(NECK_ANGLES, one([tilt, pan, tip]))
    np.testing.assert_allclose(pose.neck_angles, [tilt, pan, tip], atol=1e-10)
    np.testing.assert_allclose(pose.neck_covariance, COVARIANCE, atol=1e-8)


def test_targets_come_in_any_order_and_others_are_left_aside() -> None:
    names = ["age", "roll", "pitch", "yaw"]
    root = np.tril(np.arange(1.0, 17.0).reshape(4, 4))
    covariance = root @ root.T / 50
    pose = pose_from_targets(names, one([40.0, -3.0, 12.0, 23.0], covariance))
    np.testing.assert_allclose(pose.angles, [12, 23, -3], atol=1e-12)
    np.testing.assert_allclose(pose.covariance, covariance[np.ix_([2, 3, 1], [2, 3, 1])], atol=1e-10)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["yaw", "pitch", "roll"], ANGLES),
        (["pitch", "yaw", "roll", "tilt", "pan", "tip"], NECK_ANGLES),
        (["tilt", "pan", "yaw", "pitch"], ("tilt", "pan")),
        (["yaw", "pitch", "tip"], ("pitch", "yaw")),
    ],
)
def test_which_targets_make_the_pose(names: list[str], expected: tuple[str, ...]) -> None:
    assert predicted_angles(names) == expected


@pytest.mark.parametrize("names", [["yaw", "roll"], ["pitch", "pan"], ["age"], ["pan", "tip"]])
def test_targets_that_determine_no_pose_are_refused(names: list[str]) -> None:
    with pytest.raises(ModelError, match=rf"the model predicts {', '.join(names)}: .*--targets tilt,pan,tip"):
        predicted_angles(names)


@pytest.mark.parametrize(("names", "first", "second"), [(["pitch", "yaw"], 10, 20), (["tilt", "pan"], 10, 20)])
def test_the_turn_about_the_nose_may_be_unknown(names: list[str], first: float, second: float) -> None:
    pose = pose_from_targets(names, one([first, second], np.diag([4.0, 9.0])))
    assert pose.unknown == ("roll", "tip")
    angles, covariance = (
        (pose.angles, pose.covariance) if names[0] == "pitch" else (pose.neck_angles, pose.neck_covariance)
    )
    np.testing.assert_allclose(angles, [first, second, 0], atol=1e-10)
    np.testing.assert_allclose(covariance, np.diag([4.0, 9.0, UNIFORM_VARIANCE]), atol=1e-6)


def test_an_unknown_roll_does_not_blur_the_direction_of_the_nose() -> None:
    """Roll and tip turn about the nose: the pitch and yaw of a tilt and a pan stay as sharp as these were."""
    pose = pose_from_targets(["tilt", "pan"], one([0.0, 40.0], np.diag([1.0, 1.0])))
    lower, upper = pose.interval(0.9)
    half = 0.5 * (upper - lower)
    # with tan(pitch) = tan(tilt)/cos(pan), a tilt near 0 is a pitch of tilt/cos(40°)
    np.testing.assert_allclose(half[:2], [1.645 / np.cos(np.radians(40)), 1.645], rtol=1e-3)
    assert half[2] > 170
    frontal = pose_from_targets(["tilt", "pan"], one([0.0, 0.0], np.diag([1.0, 1.0])))
    np.testing.assert_allclose(frontal.interval(0.9)[1][:2], 1.645, rtol=1e-3)


def test_a_mixture_of_two_poses_has_two_modes() -> None:
    mixture = Mixture.of([0.7, 0.3], [[0.0, 40.0, 0.0], [0.0, -40.0, 0.0]], np.stack([COVARIANCE, COVARIANCE]))
    pose = pose_from_targets(ANGLES, mixture)
    assert [mode.probability for mode in pose.modes] == pytest.approx([0.7, 0.3])
    for mode, yaw in zip(pose.modes, (40, -40), strict=True):
        assert geodesic_distance(mode.rotation, rotation_from_angles(0, yaw, 0)) < 0.01
    assert pose.yaw == pytest.approx(16)  # the mean, where no head is
    assert pose.covariance[1, 1] == pytest.approx(16 + 0.7 * 0.3 * 80**2)


def test_unlikely_modes_are_left_out() -> None:
    mixture = Mixture.of([0.995, 0.005], [[0.0, 40.0, 0.0], [0.0, -40.0, 0.0]], np.stack([COVARIANCE, COVARIANCE]))
    assert len(pose_from_targets(ANGLES, mixture).modes) == 1


def test_a_calibration_scales_and_judges() -> None:
    calibration = Calibration((2.0, 1.0, 3.0), (0.9,), (2.5,), (1.7,), log_density_threshold=-40.0)
    pose = pose_from_targets(["yaw", "roll", "pitch"], one([0.0] * 3, np.eye(3)), calibration=calibration)
    np.testing.assert_allclose(np.sqrt(np.diag(pose.covariance)), [3, 2, 1], atol=1e-10)  # pitch, yaw, roll
    np.testing.assert_allclose(pose.modes[0].rotation_covariance, pose.rotation_covariance, atol=1e-5)
    np.testing.assert_allclose(pose.interval(0.9)[1], [5.1, 3.4, 1.7], atol=1e-8)
    assert pose.in_distribution is None
    for density, verdict in ((-39.0, True), (-41.0, False)):
        judged = pose_from_targets(ANGLES, one([0.0] * 3), log_density=density, calibration=calibration)
        assert (judged.log_density, judged.in_distribution) == (density, verdict)
    with pytest.raises(ModelError, match="3 scales for 2 targets"):
        pose_from_targets(["pitch", "yaw"], one([0.0, 0.0], np.eye(2)), calibration=calibration)
