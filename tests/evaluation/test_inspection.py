"""The pictures of a check: which faces, which axes, and what is on the disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepgllim.data import Manifest, load_data, make_manifest
from deepgllim.errors import DataError
from deepgllim.evaluation.inspection import (
    COLUMNS,
    TILE,
    contact_sheet,
    evenly_spaced_rows,
    inspect_data,
    pose_angles,
)
from deepgllim.geometry.rotations import geodesic_distance, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.imaging.drawing import AXIS_COLOURS


def table(**columns: object) -> Manifest:
    frame = pd.DataFrame(columns)
    return make_manifest(frame.assign(path=[f"{row}.png" for row in range(len(frame))]))


def test_rows_are_spread_over_yaw() -> None:
    yaw = np.random.default_rng(1).permutation(np.arange(101))
    chosen = evenly_spaced_rows(table(yaw=yaw), 11)
    assert yaw[chosen].tolist() == list(range(0, 101, 10))
    assert sorted(evenly_spaced_rows(table(yaw=yaw), 500)) == list(range(101))


def test_rows_of_equal_yaw_are_of_several_people() -> None:
    faces = table(yaw=[0.0] * 90, subject=[f"{row // 30}" for row in range(90)])
    assert set(faces.subjects[evenly_spaced_rows(faces, 12)]) == {"0", "1", "2"}
    assert evenly_spaced_rows(faces, 12) == evenly_spaced_rows(faces, 12)


def test_neck_angles_are_read_as_such() -> None:
    angles = pose_angles(table(pitch=[30.0], yaw=[75.0], tilt=[30.0], pan=[75.0]))
    assert angles is not None
    distance = geodesic_distance(rotation_from_angles(*angles[0]), rotation_from_pan_tilt(75, 30))
    assert distance < 1e-6


def test_angles_without_roll_and_without_a_full_column_of_pan() -> None:
    faces = table(pitch=[1.0, 2.0], yaw=[3.0, 4.0], tilt=[1.0, np.nan], pan=[3.0, 4.0])
    assert np.array_equal(pose_angles(faces), [[1, 3, 0], [2, 4, 0]])  # type: ignore[arg-type]
    assert pose_angles(table(pitch=[1.0])) is None


def test_the_sheet_shows_each_face_with_its_nose(tmp_path: Path) -> None:
    """On grey pictures, the nose's blue lies left of the middle for positive yaw, right of it for negative."""
    yaws = [-60.0, 60.0]
    for row in range(2):
        Image.new("RGB", (100, 80), "grey").save(tmp_path / f"{row}.png")
    frame = pd.DataFrame(
        {"path": ["0.png", "1.png"], "yaw": yaws, "pitch": 0.0, "x0": 30, "y0": 20, "x1": 70, "y1": 60}
    )
    sheet = contact_sheet(make_manifest(frame, folder=tmp_path))
    assert sheet.width == COLUMNS * TILE
    for place, side in ((0, 1), (1, -1)):
        pixels = np.asarray(sheet)[:TILE, place * TILE : (place + 1) * TILE]
        blue = (pixels == AXIS_COLOURS[2]).all(axis=2)
        assert blue.sum() > 50
        assert np.sign(np.flatnonzero(blue.any(axis=0)).mean() - TILE / 2) == side


def test_the_sheet_takes_faces_without_box_angles_or_room(tmp_path: Path) -> None:
    for row in range(9):
        Image.new("RGB", (40, 80), "white").save(tmp_path / f"{row}{'long' * 20}.png")
    frame = pd.DataFrame({"path": sorted(path.name for path in tmp_path.iterdir()), "age": range(9)})
    sheet = contact_sheet(make_manifest(frame, ["age"], folder=tmp_path))
    assert sheet.height == 2 * contact_sheet(make_manifest(frame[:1], ["age"], folder=tmp_path)).height


def test_all_is_written(face_folder: Path, tmp_path: Path) -> None:
    (face_folder / "face03.jpg").unlink()
    output = tmp_path / "deep" / "check"
    report = inspect_data(f"folder:{face_folder}", output)
    assert sorted(path.name for path in output.iterdir()) == [
        "contact_sheet.png",
        "histograms.png",
        "manifest.csv",
        "unreadable.csv",
    ]
    assert load_data(f"manifest:{output / 'manifest.csv'}").paths == report.faces.paths
    assert len(report.faces) == 23
    unreadable = pd.read_csv(output / "unreadable.csv")
    assert unreadable["path"].tolist() == [str(face_folder / "face03.jpg")]
    for name in ("contact_sheet", "histograms"):
        with Image.open(output / f"{name}.png") as picture:
            picture.load()


def test_other_targets_have_histograms(face_folder: Path, tmp_path: Path) -> None:
    frame = load_data(f"folder:{face_folder}").frame.assign(age=np.arange(24.0))
    frame.to_csv(tmp_path / "ages.csv", index=False)
    inspect_data(f"manifest:{tmp_path / 'ages.csv'}", tmp_path / "check", ["age"])
    assert (tmp_path / "check" / "histograms.png").stat().st_size > 1000


def test_without_a_folder_nothing_is_written(face_folder: Path) -> None:
    before = sorted(face_folder.parent.rglob("*"))
    assert len(inspect_data(f"folder:{face_folder}").faces) == 24
    assert sorted(face_folder.parent.rglob("*")) == before


def test_refuses_what_the_readers_refuse(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an AFLW2000-3D folder"):
        inspect_data(f"aflw2000:{tmp_path}", tmp_path / "check")
    assert not (tmp_path / "check").exists()
