"""Rows and JSON of what was seen."""

import json

import numpy as np
import pytest

from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.pose.batch.reports import convention_angles, in_convention, record, row_columns, rows
from deepgllim.pose.batch.scanning import Seen
from deepgllim.pose.batch.sources import Source, find_sources
from deepgllim.pose.result import Mode, Pose
from deepgllim.pose.video.following import SeenFace

PICTURE = find_sources(["photos/a.jpg"]).found[0]
RAW = Pose(
    rotation_from_angles(12, 23, -3), 4 * np.eye(3), (1.0, 2.0, 3.0, 4.0), modes=(Mode(np.eye(3), np.eye(3), 0.5),) * 2
)
SMOOTH = Pose(rotation_from_angles(11, 20, -2), np.eye(3), (1.0, 2.0, 3.0, 4.0))


def frame() -> Seen:
    source = Source("walk.mp4", "video", PICTURE.relative)
    return Seen(source, None, (SeenFace(SMOOTH, RAW, 7, used=False), SeenFace(RAW, None, 8)), frame=3, time=0.12)


@pytest.mark.parametrize("convention", [None, *CONVENTIONS])
def test_every_column_is_in_every_row(convention: str | None) -> None:
    columns = row_columns(video=True, smoothed=True, convention=convention)
    assert len(set(columns)) == len(columns)
    for row in rows(frame(), convention=convention):
        assert set(columns) == set(row)


def test_a_picture_needs_fewer_columns() -> None:
    columns = row_columns()
    assert not {"frame", "time", "track", "raw_yaw", "used"} & set(columns)
    (row,) = rows(Seen(PICTURE, None, (SeenFace(RAW),)), level=0.5)
    assert (row["source"], row["face"], row["level"], row["x1"]) == ("photos/a.jpg", 0, 0.5, 3.0)
    assert row["yaw"] == pytest.approx(23)


def test_smoothed_rows_have_what_was_measured() -> None:
    smooth, raw = rows(frame())
    assert [smooth[name] for name in ("frame", "time", "track", "face", "used")] == [3, 0.12, 7, 0, False]
    assert [smooth["yaw"], smooth["raw_yaw"]] == pytest.approx([20, 23])
    assert (smooth["modes"], smooth["raw_modes"]) == (1, 2)
    assert [raw["yaw"], raw["raw_yaw"], raw["face"]] == pytest.approx([23, 23, 1])


def test_no_face_is_no_row() -> None:
    assert list(rows(Seen(PICTURE, None, ()))) == []
    assert record(Seen(PICTURE, None, ())) == {"source": "photos/a.jpg", "faces": []}


def test_json_reads_back() -> None:
    known = json.loads(json.dumps(record(frame(), 0.5, "openface")))
    first, second = known["faces"]
    assert (known["frame"], known["time"], first["track"], first["used"]) == (3, 0.12, 7, False)
    assert np.array_equal(Pose.from_json(first).rotation, SMOOTH.rotation)
    assert np.array_equal(Pose.from_json(first["raw"]).rotation, RAW.rotation)
    assert "raw" not in second
    assert second["in_convention"]["units"] == "radians"
    assert second["in_convention"]["angles"]["pose_Ry"] == pytest.approx(np.radians(23))


def test_a_convention_without_angles_gives_its_matrix() -> None:
    flat = convention_angles(RAW, "mediapipe")
    assert list(flat)[:2] == ["mediapipe_r00", "mediapipe_r01"]
    assert len(flat) == 16
    assert in_convention(RAW, "mediapipe")["angles"] is None
    assert np.array_equal(in_convention(RAW, "mediapipe")["matrix"], RAW.rotation_in("mediapipe"))
