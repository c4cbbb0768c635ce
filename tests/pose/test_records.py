"""Tests of poses as JSON and as rows."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.pose import Pose, PoseMode
from deepgllim.pose.calibration import Calibration

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)
turn = st.floats(-180, 180)

CALIBRATION = Calibration((1.0, 1.0, 1.0), (0.5, 0.9), (1.5, 2.6), (0.7, 1.7), -30.0)


def posed(*angles: float, **fields: Any) -> Pose:
    covariance = np.array([[9.0, 2.0, 0.0], [2.0, 16.0, -3.0], [0.0, -3.0, 4.0]]) / 7
    modes = (PoseMode(rotation_from_angles(1, 2, 3), covariance, 0.7), PoseMode(np.eye(3), 2 * covariance, 0.3))
    return Pose(rotation_from_angles(*angles), covariance, modes=modes, **fields)


@properties
@given(st.tuples(turn, turn, turn), st.none() | st.floats(-1e4, 1e4), st.sampled_from([True, False, None]))
def test_json_is_exact(angles: tuple[float, float, float], density: float | None, verdict: bool | None) -> None:
    pose = posed(
        *angles,
        box=(1.5, 2.25, 30.1, 40.7),
        log_density=density,
        in_distribution=verdict,
        calibration=CALIBRATION,
        detection_score=0.875,
        unknown=("roll", "neck_roll"),
    )
    back = Pose.from_json(json.loads(json.dumps(pose.to_json())))
    np.testing.assert_array_equal(back.rotation, pose.rotation)
    np.testing.assert_array_equal(back.rotation_covariance, pose.rotation_covariance)
    for name in ("box", "log_density", "in_distribution", "calibration", "detection_score", "unknown"):
        assert getattr(back, name) == getattr(pose, name)
    for mode, other in zip(back.modes, pose.modes, strict=True):
        np.testing.assert_array_equal(mode.rotation, other.rotation)
        np.testing.assert_array_equal(mode.rotation_covariance, other.rotation_covariance)
        assert mode.probability == other.probability
    assert back.to_json() == pose.to_json()


def test_a_text_is_not_a_record() -> None:
    with pytest.raises(DataError, match=r"is a dictionary, not str: read a text with json\.loads first"):
        Pose.from_json("{}")  # type: ignore[arg-type]


def test_json_without_anything_optional() -> None:
    pose = Pose(np.eye(3), np.eye(3))
    back = Pose.from_json(pose.to_json())
    assert (back.box, back.calibration, back.log_density, back.unknown) == (None, None, None, ())
    assert len(back.modes) == 1


def test_json_names_its_entries() -> None:
    record = posed(12, 23, -3).to_json(level=0.5)
    assert record["units"] == "degrees"
    assert "+yaw turns the face toward the image's left" in record["convention"]
    assert record["angles"] == pytest.approx({"pitch": 12, "yaw": 23, "roll": -3})
    assert set(record["neck_angles"]) == {"tilt", "pan", "neck_roll"}
    assert record["interval"]["level"] == 0.5
    assert record["interval"]["lower"]["yaw"] < 23 < record["interval"]["upper"]["yaw"]
    assert [mode["yaw"] for mode in record["modes"]] == pytest.approx([2, 0])


@pytest.mark.parametrize(
    "change",
    [
        {"rotation": np.zeros((3, 3)).tolist()},
        {"rotation": "left"},
        {"modes": [{"probability": 1.0}]},
        {"box": [1, 2, 3]},
        {"calibration": {"scales": [1.0]}},
        {"unknown": None},
    ],
)
def test_invalid_records_are_refused(change: dict[str, Any]) -> None:
    record = posed(1, 2, 3).to_json()
    with pytest.raises(DataError):
        Pose.from_json(record | change)
    with pytest.raises(DataError, match=next(iter(change))):
        Pose.from_json({name: value for name, value in record.items() if name not in change})


def test_a_row_is_flat_and_complete() -> None:
    pose = posed(12, 23, -3, box=(1.0, 2.0, 3.0, 4.0), log_density=-12.5, in_distribution=True, detection_score=0.9)
    row = pose.as_dict(0.5)
    lower, upper = pose.interval(0.5)
    assert (row["pitch"], row["yaw_low"], row["roll_high"]) == pytest.approx((12, lower[1], upper[2]))
    assert (row["tilt"], row["pan"], row["neck_roll"]) == pytest.approx((pose.tilt, pose.pan, pose.neck_roll))
    assert [row[name] for name in ("x0", "y0", "x1", "y1")] == [1, 2, 3, 4]
    assert (row["log_density"], row["in_distribution"], row["detection_score"]) == (-12.5, True, 0.9)
    assert (row["level"], row["modes"], row["near_gimbal_lock"]) == (0.5, 2, False)
    assert json.loads(json.dumps(row)) == row


def test_a_record_of_an_earlier_version_is_read_with_the_present_names() -> None:
    record = posed(1, 2, 3).to_json() | {"unknown": ["roll", "tip"]}
    assert Pose.from_json(record).unknown == ("roll", "neck_roll")


def test_unknown_values_are_empty_in_every_row() -> None:
    row, known = (
        posed(12, 23, 0, unknown=("roll", "neck_roll")).as_dict(),
        posed(1, 2, 3, box=(0.0, 0.0, 1.0, 1.0)).as_dict(),
    )
    assert list(row) == list(known)
    assert [name for name, value in row.items() if value is None] == [
        *("roll", "roll_low", "roll_high", "neck_roll", "log_density", "in_distribution", "detection_score"),
        *("x0", "y0", "x1", "y1"),
    ]
