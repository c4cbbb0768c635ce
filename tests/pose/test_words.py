"""Poses in words."""

import numpy as np
import pytest

from deepgllim.geometry.rotations import rotation_from_angles, rotation_from_pan_tilt
from deepgllim.pose.result import Mode, Pose
from deepgllim.pose.words import direction

SURE = np.eye(3)


@pytest.mark.parametrize(
    ("tilt", "pan", "words"),
    [
        (0, 0, "looking into the camera"),
        (4, -4, "looking into the camera"),
        (12, 2, "looking up"),
        (-12, 2, "looking down"),
        (0, 30, "looking to the image's left"),
        (0, -30, "looking to the image's right"),
        (12, 30, "looking up and to the image's left"),
        (-40, -60, "looking down and to the image's right"),
        (0, 90, "in profile to the image's left"),
        (20, -80, "in profile to the image's right, looking up"),
        (0, 130, "facing away from the camera, to the image's left"),
        (-30, -175, "facing away from the camera, looking down"),
        (85, 120, "looking straight up"),
        (-80, 0, "looking straight down"),
    ],
)
def test_directions(tilt: float, pan: float, words: str) -> None:
    assert direction(tilt, pan) == words


def test_a_whole_sentence() -> None:
    pose = Pose(rotation_from_angles(12, 23, 8), np.diag([5.9, 5.9, 3.3]))
    expected = "looking up and to the image's left, tilted clockwise, pitch 12° ± 4°, yaw 23° ± 4°, roll 8° ± 3° (90 %)"
    assert str(pose) == expected
    assert pose.describe(0.5).endswith("pitch 12° ± 2°, yaw 23° ± 2°, roll 8° ± 1° (50 %)")


def test_no_negative_zero_and_a_true_minus() -> None:
    text = str(Pose(rotation_from_angles(-0.4, -20, -12), SURE))
    assert "pitch 0° ± 2°, yaw −20° ± 2°, roll −12° ± 2°" in text
    assert "tilted anticlockwise" in text


def test_profile_is_told_in_angles_of_the_neck() -> None:
    pose = Pose(rotation_from_pan_tilt(88, 6, 0), SURE)
    expected = (
        "in profile to the image's left, looking up, tilt 6° ± 2°, pan 88° ± 2°, tip 0° ± 2° (90 %); "
        "so near profile pitch and roll cannot be told apart"
    )
    assert str(pose) == expected


def test_what_the_model_does_not_predict_is_said() -> None:
    frontal = str(Pose(rotation_from_angles(0, 20, 30), SURE, unknown=("roll", "tip")))
    assert frontal == "looking to the image's left, pitch 0° ± 2°, yaw 20° ± 2°, roll unknown (90 %)"
    profile = str(Pose(rotation_from_pan_tilt(90, 0), SURE, unknown=("roll", "tip")))
    assert "tip unknown" in profile


def test_several_modes_are_told_and_unlikely_ones_are_not() -> None:
    modes = [Mode(rotation_from_angles(0, yaw, 0), SURE, p) for yaw, p in ((30, 0.67), (-30, 0.3), (0, 0.03))]
    pose = Pose(rotation_from_angles(0, 12, 0), 100 * SURE, modes=tuple(modes))
    assert str(pose).endswith(
        "; several poses fit: pitch 0°, yaw 30°, roll 0° (67 %) or pitch 0°, yaw −30°, roll 0° (30 %)"
    )
    profile = Mode(rotation_from_pan_tilt(-90, 10, 0), SURE, 0.4)
    mixed = str(Pose(rotation_from_angles(0, 12, 0), 100 * SURE, modes=(modes[0], profile)))
    assert mixed.endswith("pitch 0°, yaw 30°, roll 0° (67 %) or tilt 10°, pan −90°, tip 0° (40 %)")
    one = Pose(rotation_from_angles(0, 12, 0), SURE, modes=(modes[0], modes[2]))
    assert "several" not in str(one)


@pytest.mark.parametrize(("verdict", "said"), [(False, True), (True, False), (None, False)])
def test_only_a_foreign_face_is_warned_of(verdict: bool | None, said: bool) -> None:
    text = str(Pose(np.eye(3), SURE, in_distribution=verdict))
    assert text.endswith("; unlike anything the model knows: do not trust it") is said
