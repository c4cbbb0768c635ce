"""Tests of poses in words."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.geometry.rotations import rotation_from_angles, rotation_from_pan_tilt
from deepgllim.pose import Pose, PoseMode
from deepgllim.pose.words import describe_direction

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
    assert describe_direction(tilt, pan) == words


@pytest.mark.parametrize(
    ("tilt", "pan", "halves", "words"),
    [
        (-8, -16, (17, 19), "looking roughly into the camera"),
        (-8, -16, (7, 19), "looking down"),
        (-8, -16, (17, 15), "looking to the image's right"),
        (1, 3, (30, 30), "looking into the camera"),
        (0, 50, (10, 60), "looking in an uncertain direction"),
        (20, 90, (10, 95), "looking up"),
        (0, 90, (10, 20), "in profile to the image's left"),
        (80, 10, (90, 90), "looking in an uncertain direction"),
        (0, 150, (10, 40), "facing away from the camera"),
        (0, -150, (10, 20), "facing away from the camera, to the image's right"),
    ],
)
def test_a_direction_whose_interval_contains_0_is_left_out(
    tilt: float, pan: float, halves: tuple[float, float], words: str
) -> None:
    assert describe_direction(tilt, pan, *halves) == words


@settings(deadline=None)
@given(tilt=st.floats(-70, 70), pan=st.floats(-74, 74), neck_roll=st.floats(-60, 60), sd=st.floats(0.5, 30))
def test_words_and_numbers_agree(tilt: float, pan: float, neck_roll: float, sd: float) -> None:
    """The words are those of angles whose intervals exclude 0; pitch and yaw are given where they nearly equal them."""
    pose = Pose(rotation_from_pan_tilt(pan, tilt, neck_roll), sd**2 * SURE)
    text = str(pose)
    pitch = "pitch" in text.split(";")[0]
    ends = [
        *np.transpose(pose.neck_interval())[:2],
        np.transpose(pose.interval() if pitch else pose.neck_interval())[2],
    ]
    for (lower, upper), words in zip(ends, ("up|down", "left|right", "clockwise|anticlockwise"), strict=True):
        assert not re.search(rf"\b({words})\b", text) or not lower < 0 < upper
    if pitch:
        assert np.abs(pose.neck_angles - pose.angles).max() <= 20 + 1e-9


def test_a_steep_profile_is_described_by_its_neck_angles() -> None:
    pose = Pose(rotation_from_pan_tilt(-74, -61, 0), SURE)
    assert str(pose).startswith("looking down and to the image's right, tilt −61° ± 2°, pan −74° ± 3°, neck roll 0° ±")


def test_a_complete_sentence() -> None:
    pose = Pose(rotation_from_angles(12, 23, 8), np.diag([5.9, 5.9, 3.3]))
    expected = "looking up and to the image's left, tilted clockwise, pitch 12° ± 4°, yaw 23° ± 4°, roll 8° ± 3° (90 %)"
    assert str(pose) == expected
    assert pose.describe(0.5).endswith("pitch 12° ± 2°, yaw 23° ± 2°, roll 8° ± 1° (50 %)")


def test_no_negative_zero_and_a_true_minus() -> None:
    text = str(Pose(rotation_from_angles(-0.4, -20, -12), SURE))
    assert "pitch 0° ± 2°, yaw −20° ± 2°, roll −12° ± 2°" in text
    assert "tilted anticlockwise" in text


def test_a_profile_is_described_by_neck_angles() -> None:
    pose = Pose(rotation_from_pan_tilt(88, 6, 0), SURE)
    expected = (
        "in profile to the image's left, looking up, tilt 6° ± 2°, pan 88° ± 2°, neck roll 0° ± 2° (90 %); "
        "so near profile pitch and roll cannot be separated"
    )
    assert str(pose) == expected


def test_a_head_turned_aside_and_down_is_not_called_tilted_sideways() -> None:
    """Its pitch is −81°, its yaw −28° and its roll 72°."""
    text = str(Pose(rotation_from_pan_tilt(-74, -61, 0), SURE))
    assert text.startswith("looking down and to the image's right, tilt −61°")
    assert "pan −74°" in text
    assert "neck roll 0°" in text
    assert "clockwise" not in text


def test_unknown_angles_are_named() -> None:
    frontal = str(Pose(rotation_from_angles(0, 20, 30), SURE, unknown=("roll", "neck_roll")))
    assert frontal == "looking to the image's left, pitch 0° ± 2°, yaw 20° ± 2°, roll unknown (90 %)"
    profile = str(Pose(rotation_from_pan_tilt(90, 0), SURE, unknown=("roll", "neck_roll")))
    assert "neck roll unknown" in profile


def test_likely_modes_are_described_and_unlikely_ones_are_not() -> None:
    modes = [PoseMode(rotation_from_angles(0, yaw, 0), SURE, p) for yaw, p in ((30, 0.67), (-30, 0.3), (0, 0.03))]
    pose = Pose(rotation_from_angles(0, 12, 0), 100 * SURE, modes=tuple(modes))
    assert str(pose).endswith(
        "; several poses fit: pitch 0°, yaw 30°, roll 0° (67 %) or pitch 0°, yaw −30°, roll 0° (30 %)"
    )
    profile = PoseMode(rotation_from_pan_tilt(-90, 10, 0), SURE, 0.4)
    mixed = str(Pose(rotation_from_angles(0, 12, 0), 100 * SURE, modes=(modes[0], profile)))
    assert mixed.endswith("pitch 0°, yaw 30°, roll 0° (67 %) or tilt 10°, pan −90°, neck roll 0° (40 %)")
    one = Pose(rotation_from_angles(0, 12, 0), SURE, modes=(modes[0], modes[2]))
    assert "several" not in str(one)


@pytest.mark.parametrize(("verdict", "said"), [(False, True), (True, False), (None, False)])
def test_only_an_unfamiliar_face_has_a_warning(verdict: bool | None, said: bool) -> None:
    text = str(Pose(np.eye(3), SURE, in_distribution=verdict))
    assert text.endswith("; unlike the training data: do not trust it") is said
