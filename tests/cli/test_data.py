"""`deepgllim data check`: its output, its files, and its exit codes."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deepgllim.cli.data import BAR, SHOWN_FILES, SHOWN_PEOPLE, people
from tests.data.biwi_trees import write_frame
from tests.data.trees import head, write_300w_lp, write_aflw2000

Call = Callable[..., Any]
WRITTEN = ["contact_sheet.png", "histograms.png", "manifest.csv", "unreadable.csv"]


@pytest.fixture
def faces(shared_faces: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder for tests that change it."""
    return Path(shutil.copytree(shared_faces, tmp_path / "faces"))


def cells(out: str, name: str) -> list[str]:
    """Return the cells of the table row that begins with `name`."""
    lines = ([cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│"))
    found = [line for line in lines if line[0] == name]
    assert len(found) == 1, (name, out)
    return found[0][1:]


def test_valid_data(call: Call, shared_faces: Path, unchanged: Callable[[Path], None]) -> None:
    unchanged(shared_faces)
    called = call("data", "check", f"folder:{shared_faces}")
    assert (called.code, called.err) == (0, "")
    for name, value in (("faces", "12"), ("people", "4"), ("broken files", "0"), ("images of 64 × 48", "12")):
        assert cells(called.out, name) == [value]
    assert "faces of each person: 01 3, 02 3, 03 3, 04 3" in called.out
    assert "written" not in called.out


def test_the_histogram_counts_every_face(call: Call, shared_faces: Path) -> None:
    out = call("data", "check", f"folder:{shared_faces}").out
    rows = [line.strip("│").split("│") for line in out.splitlines() if line.startswith(("│   ", "│  +", "│  -"))]
    counts = [[int(cell.split()[0]) if cell.strip() else 0 for cell in row[1:]] for row in rows]
    assert [sum(column) for column in zip(*counts, strict=True)] == [12, 12]
    assert max(cell.count("█") for row in rows for cell in row) == BAR


@pytest.mark.parametrize("names", [("tilt", "pan"), ("pan",), ("tilt", "pan", "neck_roll")])
def test_labels_of_the_neck_are_found(call: Call, faces: Path, names: tuple[str, ...]) -> None:
    table = pd.read_csv(faces / "manifest.csv").drop(columns=["pitch", "yaw"])
    table.assign(**dict.fromkeys(names, 5.0)).to_csv(faces / "manifest.csv", index=False)
    called = call("data", "check", f"folder:{faces}", "--output", faces.parent / "check", "--quiet")
    assert (called.code, called.err) == (0, "")
    assert all(name in called.out for name in names)


def test_files_are_written(call: Call, shared_faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "check"
    called = call("data", "check", f"folder:{shared_faces}", "--output", output, "--quiet")
    assert called.code == 0
    assert sorted(path.name for path in output.iterdir()) == WRITTEN
    assert called.out.splitlines()[-1] == f"written: {', '.join(WRITTEN)} in {output}"


def test_an_output_that_is_not_empty_is_kept(call: Call, refused: Call, shared_faces: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    words = ("data", "check", f"folder:{shared_faces}", "--output", tmp_path)
    assert "--overwrite" in refused(*words).err
    assert call(*words, "--overwrite").code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_broken_files_exit_with_1(call: Call, faces: Path, tmp_path: Path) -> None:
    for number in range(7):
        (faces / f"{number}.png").write_text("no picture")
    output = tmp_path / "check"
    called = call("data", "check", f"folder:{faces}", "--output", output)
    assert called.code == 1
    assert cells(called.out, "broken files") == ["7"]
    assert cells(called.out, "faces") == ["5"]
    assert cells(called.out, f"… and {7 - SHOWN_FILES} more")
    assert called.err.startswith(f"deepgllim: folder:{faces}: 7 broken file(s), see above: fix them, or train on the")
    assert called.err.count("\n") == 1
    with (output / "unreadable.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == [f"{number}.png" for number in range(7)]
    again = call("data", "check", f"manifest:{output / 'manifest.csv'}")  # the file that the message names
    assert again.code == 0
    assert cells(again.out, "faces") == ["5"]


def test_the_remedy_without_output_names_the_option(call: Call, faces: Path) -> None:
    (faces / "0.png").unlink()
    called = call("data", "check", f"folder:{faces}")
    assert called.code == 1
    assert "--output lists all of them" in called.err


def test_nothing_but_broken_files(call: Call, tmp_path: Path) -> None:
    root = write_aflw2000(tmp_path / "set", [head(0)])
    (root / "image00002.mat").unlink()
    called = call("data", "check", f"aflw2000:{root}", "--output", tmp_path / "check")
    assert called.code == 1
    assert cells(called.out, "faces") == ["0"]
    assert "all are listed in" in called.err
    assert [path.name for path in (tmp_path / "check").iterdir()] == ["unreadable.csv"]


def test_sets_of_many_files(call: Call, tmp_path: Path) -> None:
    root = write_300w_lp(tmp_path / "lp", {f"AFW_{number}_0": head(number) for number in range(3)})
    called = call("data", "check", f"300w-lp:{root}", "--output", tmp_path / "check")
    assert called.code == 0
    assert cells(called.out, "source 300w-lp:AFW_Flip") == ["3"]
    assert cells(called.out, "people") == ["3"]


def test_missing_sequences_are_reported(call: Call, tmp_path: Path) -> None:
    for number in range(1, 23):
        write_frame(tmp_path / f"{number:02d}", 3)
    called = call("data", "check", f"biwi:{tmp_path}")
    assert called.code == 0
    assert cells(called.out, "people") == ["18"]
    assert "sequences without usable frames: 23, 24\n" in called.out
    for number in (23, 24):
        write_frame(tmp_path / f"{number:02d}", 3)
    assert "no frame can be used" not in call("data", "check", f"biwi:{tmp_path}").out


def test_other_targets(call: Call, refused: Call, faces: Path) -> None:
    table = faces / "manifest.csv"
    table.write_text(table.read_text().replace("pitch,yaw", "age,height"))
    assert "name the targets" in refused("data", "check", f"folder:{faces}").err
    called = call("data", "check", f"folder:{faces}", "--targets", "age,height")
    assert called.code == 0
    assert "degrees" not in called.out


@pytest.mark.parametrize(
    ("words", "code"), [(["biwy:x"], 1), (["folder:absent"], 1), (["aflw2000:."], 1), ([], 2), (["a:b", "--colour"], 2)]
)
def test_invalid_sources_and_options(refused: Call, words: list[str], code: int) -> None:
    assert refused("data", "check", *words).code == code


def test_many_people_are_summarized() -> None:
    text = people({f"{number:03d}": number for number in range(1, 101)})
    assert f"{SHOWN_PEOPLE:03d} {SHOWN_PEOPLE}," in text
    assert text.endswith(f"… and {100 - SHOWN_PEOPLE} more, 1 to 100 faces each")
