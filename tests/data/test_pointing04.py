"""Test the labels of Pointing'04: as published, and as angles of the head."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.data import load_data
from deepgllim.data.pointing04 import ASKED_TILT, HEAD_TILT, HEAD_TILT_DEVIATION, head_tilt, read_pointing04
from deepgllim.errors import DataError
from deepgllim.geometry import rotation_from_angles, rotation_from_pan_tilt


def test_the_published_labels_are_the_default(rendered_pointing04: Path) -> None:
    frame = read_pointing04(rendered_pointing04).frame
    assert (frame["pitch"] == frame["tilt"]).all()
    assert (frame["yaw"] == frame["pan"]).all()


def test_the_tilt_of_the_head_is_smaller_than_the_label(rendered_pointing04: Path) -> None:
    asked = read_pointing04(rendered_pointing04).frame.set_index("path")
    head = read_pointing04(rendered_pointing04, labels="head").frame.set_index("path")
    kept = asked.loc[head.index]
    assert set(asked.index) - set(head.index) == set(asked.index[asked["tilt"].abs() > 60])
    np.testing.assert_array_equal(head["pan"], kept["pan"])
    np.testing.assert_allclose(head["tilt"], head_tilt(kept["tilt"]))
    steep = kept["tilt"].abs() >= 30
    assert (head["tilt"].abs()[steep] < kept["tilt"].abs()[steep]).all()
    assert (head["tilt_deviation"] == HEAD_TILT_DEVIATION).all()


def test_pitch_and_yaw_of_the_head_are_those_of_its_rotation(rendered_pointing04: Path) -> None:
    frame = read_pointing04(rendered_pointing04, ("tilt", "pan"), labels="head").frame
    nose = np.array([0.0, 0.0, -1.0])
    for tilt, pan, pitch, yaw in frame[["tilt", "pan", "pitch", "yaw"]].to_numpy(np.float64):
        from_neck = rotation_from_pan_tilt(pan, tilt, 0.0)
        forward = rotation_from_angles(pitch, yaw, 0.0)
        np.testing.assert_allclose((from_neck @ nose)[0], (forward @ nose)[0], atol=1e-9)


@given(st.floats(-60, 60), st.floats(-60, 60))
def test_the_curve_is_monotone(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert head_tilt(low) <= head_tilt(high)
    assert len(ASKED_TILT) == len(HEAD_TILT)


def test_the_source_of_head_labels(rendered_pointing04: Path) -> None:
    manifest = load_data(f"pointing04-head:{rendered_pointing04}", ("tilt", "pan"))
    assert manifest.frame["tilt"].abs().max() <= max(HEAD_TILT)


def test_unknown_labels_are_an_error(rendered_pointing04: Path) -> None:
    with pytest.raises(DataError, match=r"labels is 'eyes': choose 'asked' or 'head'"):
        read_pointing04(rendered_pointing04, labels="eyes")  # type: ignore[arg-type]
