"""The table of faces: what is read, what is kept by saving, and each error with its place and remedy."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepgllim.data import Manifest, make_manifest, read_manifest
from deepgllim.errors import DataError

HEADER = "path,subject,x0,y0,x1,y1,pitch,yaw,age\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "faces.csv"
    file.write_text(text)
    return file


@pytest.fixture
def table(tmp_path: Path) -> Manifest:
    rows = "a.jpg,01,1,2,30.5,40,10,-20,31\nsub/b.jpg,02,,,,,0.1,5,40\n/pictures/c.jpg,,0,0,5,5,1e1,7,18\n"
    return read_manifest(written(tmp_path, HEADER + rows))


def test_reads_csv(table: Manifest, tmp_path: Path) -> None:
    assert len(table) == 3
    assert table.targets == ("pitch", "yaw")
    assert table.paths == [tmp_path / "a.jpg", tmp_path / "sub" / "b.jpg", Path("/pictures/c.jpg")]
    assert table.subjects.tolist() == ["01", "02", None]
    np.testing.assert_array_equal(table.boxes, [[1, 2, 30.5, 40], [np.nan] * 4, [0, 0, 5, 5]])
    np.testing.assert_array_equal(table.target_values, [[10, -20], [0.1, 5], [10, 7]])
    assert table.boxes.dtype == table.target_values.dtype == np.float64
    assert table.frame["age"].tolist() == [31, 40, 18]


def test_targets_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, "path,pitch,yaw,age\na.jpg,1,2,30\n")
    assert read_manifest(file, ["age", "yaw"]).target_values.tolist() == [[30, 2]]
    assert read_manifest(file, []).target_values.shape == (1, 0)
    with pytest.raises(TypeError, match=r"give a sequence of column names, as \['age'\]"):
        read_manifest(file, "age")


def test_reads_what_spreadsheets_write(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_bytes(b'\xef\xbb\xbfpath, yaw\r\n"a, b.jpg", 3\r\n\r\n')
    manifest = read_manifest(tmp_path / "faces.csv")
    assert manifest.paths == [tmp_path / "a, b.jpg"]
    assert manifest.target_values.tolist() == [[3]]


@pytest.mark.parametrize("name", ["copy.csv", "copy.parquet"])
def test_saving_keeps_everything(table: Manifest, tmp_path: Path, name: str) -> None:
    table.save(tmp_path / name)
    again = read_manifest(tmp_path / name)
    assert again.targets == table.targets
    assert again.paths == table.paths
    assert again.subjects.tolist() == table.subjects.tolist()
    np.testing.assert_array_equal(again.boxes, table.boxes)
    np.testing.assert_array_equal(again.target_values, table.target_values)  # floats are written in full
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["faces.csv", name])


def test_a_saved_folder_can_be_moved(table: Manifest, tmp_path: Path) -> None:
    table.save(tmp_path / "copy.csv")
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "copy.csv").rename(tmp_path / "moved" / "copy.csv")
    assert read_manifest(moved).paths[:2] == [tmp_path / "moved" / "a.jpg", tmp_path / "moved" / "sub" / "b.jpg"]


def test_subset(table: Manifest) -> None:
    assert table.subset([2, 0]).target_values[:, 1].tolist() == [7, -20]
    assert table.subset(np.array([False, True, False])).subjects.tolist() == ["02"]
    with pytest.raises(DataError, match="none of the 3 rows is selected"):
        table.subset([])
    with pytest.raises(DataError, match="none of the 3 rows is selected"):
        table.subset(np.zeros(3, dtype=bool))
    with pytest.raises(IndexError):
        table.subset([3])


def test_a_table_without_box_or_subject(tmp_path: Path) -> None:
    manifest = read_manifest(written(tmp_path, "path,yaw\na.jpg,1\n"))
    assert np.isnan(manifest.boxes).all()
    assert manifest.boxes.shape == (1, 4)
    assert manifest.subjects.tolist() == [None]


def test_parquet_subjects_may_be_numbers(tmp_path: Path) -> None:
    pd.DataFrame({"path": ["a.jpg"], "subject": [7], "yaw": [1]}).to_parquet(tmp_path / "a.parquet")
    assert read_manifest(tmp_path / "a.parquet").subjects.tolist() == ["7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable csv table"),
        ("path,yaw\n", "the table is empty; it needs one row per face"),
        ("file,yaw\na.jpg,1\n", "column 'path' is missing; the columns are: file, yaw"),
        ("path,age\na.jpg,1\n", "none of pitch, yaw, roll, tilt, pan, neck_roll is a column; name the targets among"),
        ("path,yaw\na.jpg,1\nb.jpg,left\n", "row 2, column 'yaw': 'left' is not a number; correct it"),
        ("path,yaw\na.jpg,nan\n", "row 1, column 'yaw': the label is nan"),
        ("path,yaw\na.jpg,\n", r"row 1, column 'yaw': the label is nan \(or blank\)"),
        ("path,yaw\na.jpg,1\nb.jpg,-inf\n", "row 2, column 'yaw': the label is -inf"),
        (
            "path,yaw\na.jpg,5000\n",
            r"row 1, column 'yaw': 5000\.0 is not an angle in degrees within ±360, in 1 row",
        ),
        ("path,yaw\na.jpg,1\nb.jpg,-360.1\n", r"row 2, column 'yaw': -360\.1 is not an angle"),
        ("path,yaw\na.jpg,1e300\nb.jpg,1e6\n", r"row 1, column 'yaw': 1e\+300 is not an angle .* in 2 row"),
        ("path,yaw,tilt\na.jpg,1,1e9\n", r"row 1, column 'tilt': 1000000000\.0 is not an angle"),
        ("path,yaw,neck_roll\na.jpg,1,inf\n", "row 1, column 'neck_roll': inf is not an angle"),
        ("path,yaw,pan\na.jpg,1,left\nb.jpg,1,720\n", "row 2, column 'pan': 720 is not an angle"),
        ("path,yaw\n,1\n", "row 1, column 'path' is empty"),
        ("path,yaw\na.jpg,1,2,3\n", "not a readable csv table"),
        ("path,yaw\na.jpg,1\nb.jpg,1,2\n", "not a readable csv table"),
        ("path,yaw,x0,y0\na.jpg,1,0,0\n", "of the box columns it has only x0, y0"),
        ("path,yaw,x0,y0,x1,y1\na.jpg,1,0,0,5,\n", r"row 1: the box .* = \(0, 0, 5, nan\) is partly blank; fill"),
        ("path,yaw,x0,y0,x1,y1\na.jpg,1,0,0,5,inf\n", "row 1: the box .* is not finite"),
        ("path,yaw,x0,y0,x1,y1\na.jpg,1,,,,\na.jpg,1,5,0,5,9\n", r"row 2: the box .* = \(5, 0, 5, 9\) is empty"),
        ("path,yaw,x0,y0,x1,y1\na.jpg,1,0,0,wide,5\n", "row 1, column 'x1': 'wide' is not a number"),
    ],
)
def test_refuses_a_csv(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^[^\n]*faces\.csv: [^\n]*{message}[^\n]*$"):
        read_manifest(written(tmp_path, text))


def test_refuses_absent_and_repeated_targets(tmp_path: Path) -> None:
    file = written(tmp_path, "path,yaw\na.jpg,1\n")
    with pytest.raises(DataError, match="column 'roll' is missing; the columns are: path, yaw"):
        read_manifest(file, ["yaw", "roll"])
    with pytest.raises(DataError, match="a column is named twice"):
        read_manifest(file, ["yaw", "yaw"])
    with pytest.raises(DataError, match="column 'x0' is reserved for texts or boxes"):
        read_manifest(written(tmp_path, "path,x0,y0,x1,y1\na.jpg,1,2,3,4\n"), ["x0"])


def test_the_former_name_of_the_neck_roll_is_read_and_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    path.write_text("path,tilt,pan,tip\na.jpg,1,2,3\n")
    assert read_manifest(path, ["tilt", "pan", "neck_roll"]).target_values.tolist() == [[1, 2, 3]]
    with pytest.raises(DataError, match=r"the target 'tip' is now named 'neck_roll'; use that name"):
        read_manifest(path, ["tilt", "pan", "tip"])


def test_refuses_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_manifest(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"unknown suffix '\.xlsx'; a manifest is"):
        read_manifest(tmp_path / "a.xlsx")
    for name, content in (("a.parquet", b"PAR1 not really"), ("a.csv", b"path,yaw\n\xe9\xff.jpg,1\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"not a readable {name[2:]} table"):
            read_manifest(tmp_path / name)


def test_refuses_to_save_elsewhere(table: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown suffix '\.json'"):
        table.save(tmp_path / "a.json")
    with pytest.raises(DataError, match=r"a\.csv: cannot be written"):
        table.save(tmp_path / "absent" / "a.csv")


def test_frames_from_elsewhere_are_checked() -> None:
    with pytest.raises(DataError, match=r"^table: row 1, column 'yaw': the label is inf"):
        make_manifest(pd.DataFrame({"path": ["a.jpg"], "yaw": [np.inf]}))


def test_angles_reach_once_around_and_other_quantities_further() -> None:
    frame = pd.DataFrame(
        {"path": ["a.jpg", "b.jpg"], "yaw": [360, -360.0], "age": [1e9, -1e9], "neck_roll": ["left", ""]}
    )
    assert make_manifest(frame, ["yaw", "age"]).target_values.tolist() == [[360, 1e9], [-360, -1e9]]
    with pytest.raises(DataError, match=r"row 2, column 'roll': 1e\+300 is not an angle"):
        make_manifest(frame.assign(roll=[0, 1e300]), ["yaw"])


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    for name, cause in {"a.csv": "is a pipe", "zero.csv": "is a device"}.items():
        with pytest.raises(DataError, match=rf"{name}: {cause}, not a regular file"):
            read_manifest(tmp_path / name)
    with pytest.raises(DataError, match=f"{tmp_path.name}: is a folder; give a file"):
        read_manifest(tmp_path)


def test_tilt_and_pan_are_the_targets_of_a_table_without_pitch_and_yaw(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,tilt,pan\na.jpg,1,2\n")
    assert read_manifest(tmp_path / "a.csv").targets == ("tilt", "pan")
    (tmp_path / "b.csv").write_text("path,tilt,pan,yaw\na.jpg,1,2,3\n")
    assert read_manifest(tmp_path / "b.csv").targets == ("yaw",)
