"""Data sources by name, and pictures that cannot be read."""

import csv
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepgllim.data import check_images, drop_unreadable, load_data, make_manifest, write_report
from deepgllim.errors import DataError

# --- Pointing'04


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two pictures in the layout of Pointing'04, and a frontal one repeated."""
    folder = tmp_path / "set"
    for place in ("Person03", "Front"):
        (folder / place).mkdir(parents=True)
    for name in ("Person03/person03146+0+0", "Person03/person03200-90+0", "Front/personne03146+0+0"):
        Image.new("RGB", (384, 288)).save(folder / f"{name}.jpg")
        (folder / f"{name}.txt").write_text(f"{name}.jpg\n\nFace\n192\n237\n126\n94\n")
    return folder


def test_reads_the_real_set(pointing04_dir: Path) -> None:
    manifest = load_data(f"pointing04:{pointing04_dir}")
    assert len(manifest) == 2790
    assert manifest.targets == ("pitch", "yaw")
    assert sorted(set(manifest.subjects)) == [f"{person:02d}" for person in range(1, 16)]
    assert Counter(manifest.frame["sequence"]) == {"1": 1395, "2": 1395}
    assert not np.isnan(manifest.boxes).any()
    pitch, yaw = manifest.target_values.T
    assert set(np.abs(pitch)) == {0, 15, 30, 60, 90}
    assert set(np.abs(yaw)) == {0, 15, 30, 45, 60, 75, 90}
    assert len(Counter(zip(pitch, yaw, strict=True))) == 93
    assert all(path.is_file() for path in manifest.paths[:5])


def test_real_pictures_are_readable(pointing04_dir: Path) -> None:
    assert check_images(load_data(f"pointing04:{pointing04_dir}").subset(np.arange(20))) == []


def test_reads_labels_and_boxes(small: Path) -> None:
    manifest = load_data(f"pointing04:{small}")
    assert manifest.target_values.tolist() == [[0, 0], [-90, 0]]
    assert manifest.boxes.tolist() == [[129, 190, 255, 284]] * 2
    assert manifest.frame[["subject", "sequence"]].to_numpy().tolist() == [["03", "1"], ["03", "2"]]
    assert manifest.frame["tilt"].tolist() == [0, -90]
    assert load_data(f"pointing04:{small}", ["pan"]).target_values.tolist() == [[0], [0]]


def test_leaves_out_the_repeated_pictures(small: Path) -> None:
    shutil.copy(small / "Front" / "personne03146+0+0.jpg", small / "Person03")
    assert len(load_data(f"pointing04:{small}")) == 2


def test_refuses_a_picture_without_sidecar(small: Path) -> None:
    (small / "Person03" / "person03146+0+0.txt").unlink()
    with pytest.raises(
        DataError, match=r"person03146\+0\+0\.txt: the box of the face cannot be read .*copy the data set"
    ):
        load_data(f"pointing04:{small}")


def test_refuses_a_sidecar_without_picture(small: Path) -> None:
    (small / "Person03" / "person03146+0+0.jpg").unlink()
    with pytest.raises(DataError, match=r"person03146\+0\+0\.txt: its picture .* is missing"):
        load_data(f"pointing04:{small}")


@pytest.mark.parametrize(
    "text", ["", "a.jpg\n\nFace\n1\n2\n3\n", "a.jpg\n\nFace\n1\n2\n3\nx\n", "a\n\nNose\n1\n2\n3\n4\n"]
)
def test_refuses_a_sidecar_without_box(small: Path, text: str) -> None:
    (small / "Person03" / "person03146+0+0.txt").write_text(text)
    with pytest.raises(DataError, match=r"person03146\+0\+0\.txt: it has no box \(.*expected lines of the file name"):
        load_data(f"pointing04:{small}")


def test_refuses_a_sidecar_with_an_empty_box(small: Path) -> None:
    (small / "Person03" / "person03146+0+0.txt").write_text("a.jpg\n\nFace\n1\n2\n0\n4\n")
    with pytest.raises(DataError, match=r"person03146\+0\+0\.txt: the box of 0 × 4 pixels is empty"):
        load_data(f"pointing04:{small}")


def test_pipes_in_the_place_of_files_are_not_waited_for(small: Path, tmp_path: Path) -> None:
    sidecar = small / "Person03" / "person03146+0+0.txt"
    sidecar.unlink()
    os.mkfifo(sidecar)
    with pytest.raises(DataError, match=r"person03146\+0\+0\.txt: is a pipe, not a regular file"):
        load_data(f"pointing04:{small}")
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(DataError, match=r"list\.txt: is a pipe, not a regular file"):
        load_data(f"text:{tmp_path / 'list.txt'}")
    os.mkfifo(tmp_path / "a.jpg")
    faces = make_manifest(pd.DataFrame({"path": ["a.jpg"], "yaw": [0]}), folder=tmp_path)
    (broken,) = check_images(faces)
    assert "a.jpg: is a pipe" in broken[1]


def test_refuses_a_foreign_name(small: Path) -> None:
    shutil.copy(small / "Person03" / "person03146+0+0.jpg", small / "Person03" / "person3.jpg")
    with pytest.raises(DataError, match=r"person3\.jpg: not a name of Pointing'04, such as"):
        load_data(f"pointing04:{small}")


@pytest.mark.parametrize("folder", ["absent", "."])
def test_refuses_a_folder_that_is_not_pointing04(tmp_path: Path, folder: str) -> None:
    with pytest.raises(DataError, match="not a Pointing'04 folder; expected folders Person01 … Person15"):
        load_data(f"pointing04:{tmp_path / folder}")


# --- tables and text


def test_reads_a_folder(face_folder: Path) -> None:
    manifest = load_data(f"folder:{face_folder}")
    assert len(manifest) == 24
    assert set(manifest.subjects) == {"01", "02", "03", "04"}
    assert check_images(manifest) == []
    by_file = load_data(f"manifest:{face_folder / 'manifest.csv'}", targets=["yaw"])
    np.testing.assert_array_equal(by_file.target_values[:, 0], manifest.target_values[:, 1])


@pytest.mark.parametrize("name", ["labels.csv", "labels.txt", "manifest.parquet"])
def test_a_folder_may_hold_other_tables(face_folder: Path, name: str) -> None:
    manifest = load_data(f"folder:{face_folder}")
    (face_folder / "manifest.csv").unlink()
    if name.endswith("txt"):
        rows = zip(manifest.paths, *manifest.target_values.T, strict=True)
        (face_folder / name).write_text("".join(f"{path.name} {pitch} {yaw}\n" for path, pitch, yaw in rows))
    else:
        manifest.save(face_folder / name)
    again = load_data(f"folder:{face_folder}")
    assert again.paths == manifest.paths
    np.testing.assert_array_equal(again.target_values, manifest.target_values)


def test_refuses_folders_without_or_with_two_tables(face_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"contains none of manifest\.csv, manifest\.parquet, labels\.csv, labels\.txt"):
        load_data(f"folder:{tmp_path}")
    (face_folder / "labels.txt").write_text("face00.jpg 1 2\n")
    with pytest.raises(DataError, match=r"several tables \(manifest\.csv, labels\.txt\); choose one with"):
        load_data(f"folder:{face_folder}")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("a.jpg 1 2", ("pitch", "yaw")),
        ("a.jpg 1 2 3", ("pitch", "yaw", "roll")),
        ("a.jpg 1", ("target1",)),
        ("a.jpg 1 2 3 4", ("target1", "target2", "target3", "target4")),
    ],
)
def test_reads_the_authors_text(tmp_path: Path, line: str, names: tuple[str, ...]) -> None:
    (tmp_path / "list.txt").write_text(f"{line}\n\nsub/{line}\n")
    manifest = load_data(f"text:{tmp_path / 'list.txt'}")
    assert manifest.targets == names
    assert manifest.paths == [tmp_path / "a.jpg", tmp_path / "sub" / "a.jpg"]
    assert manifest.target_values[0].tolist() == list(range(1, len(names) + 1))
    renamed = tuple(f"t{name}" for name in names)
    assert load_data(f"text:{tmp_path / 'list.txt'}", renamed).targets == renamed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "the file is empty; it needs one line"),
        (b"a.jpg\n", "line 1 has 1 words"),
        (b"a.jpg 1 2\n\nb.jpg 1\n", "line 3 has 2 words, but the first has 3"),
        (b"a.jpg 1 2\nb.jpg 1 x\n", "row 2, column 'yaw': 'x' is not a number"),
        (b"a.jpg 1 2\nb.jpg 1 1e9\n", "row 2, column 'yaw': 1e9 is not an angle in degrees"),
        (b"a.jpg 1 nan\n", "row 1, column 'yaw': the label is nan"),
        (b"\xff\xfe\x00", "cannot be read as UTF-8"),
    ],
)
def test_refuses_a_text(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"list\.txt: {message}"):
        load_data(f"text:{tmp_path / 'list.txt'}")


def test_refuses_absent_text_and_wrong_number_of_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_data(f"text:{tmp_path / 'absent.txt'}")
    (tmp_path / "list.txt").write_text("a.jpg 1 2\n")
    with pytest.raises(DataError, match=r"have 2 labels, but 1 targets are named \(yaw\)"):
        load_data(f"text:{tmp_path / 'list.txt'}", ["yaw"])


@pytest.mark.parametrize("source", ["nonsense:/data", "manifest", "text:", "faces.csv"])
def test_refuses_an_unknown_source(source: str) -> None:
    with pytest.raises(
        DataError,
        match=r"unknown data source .*; the known ones are pointing04:PATH, pointing04-head:PATH, .*folder:my_faces$",
    ):
        load_data(source)


# --- unreadable pictures


def test_lists_and_drops_unreadable_pictures(face_folder: Path, tmp_path: Path) -> None:
    manifest = load_data(f"folder:{face_folder}")
    (face_folder / "face03.jpg").unlink()
    cut = face_folder / "face07.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    report = check_images(manifest, workers=2)
    assert [path.name for path, _ in report] == ["face03.jpg", "face07.jpg"]
    assert "does not exist" in report[0][1]
    kept = drop_unreadable(manifest, report)
    assert len(kept) == 22
    assert not {path for path, _ in report} & set(kept.paths)

    write_report(report, tmp_path / "unreadable.csv")
    with (tmp_path / "unreadable.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["path", "cause"], *([str(path), cause] for path, cause in report)]


def test_refuses_when_nothing_is_left(face_folder: Path) -> None:
    manifest = load_data(f"folder:{face_folder}").subset([0, 1])
    with pytest.raises(DataError, match="none of the 2 pictures can be read; the first: gone"):
        drop_unreadable(manifest, [(path, "gone") for path in manifest.paths])
