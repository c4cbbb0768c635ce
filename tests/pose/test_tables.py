"""Tables that grow: the three formats hold the same, and nothing is lost or overwritten."""

import contextlib
import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.pose.tables import FORMATS, Row, TableWriter

COLUMNS = ["source", "frame", "yaw", "in_distribution"]
ROWS: list[Row] = [
    {"source": 'a, "b"é.jpg', "frame": 3, "yaw": -12.25, "in_distribution": True, "unasked": 1},
    {"source": "b.jpg", "yaw": float("nan")},
]


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_rows_come_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces{suffix}"
    with TableWriter(path, COLUMNS) as table:
        table.write(ROWS[:1])
        table.write([])
        table.write(ROWS[1:])
        assert not path.exists()
    assert table.rows == 2
    first, second = read(path)
    assert list(first) == COLUMNS
    assert first["source"] == ROWS[0]["source"]
    assert float(first["yaw"]) == -12.25
    assert str(first["in_distribution"]) == "True"
    assert not second["frame"]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_json_lines_have_no_word_for_what_is_no_number(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "a.jsonl", COLUMNS) as table:
        table.write(ROWS)
    assert read(tmp_path / "a.jsonl")[1]["yaw"] is None


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_table_of_no_rows_has_its_columns(tmp_path: Path, suffix: str) -> None:
    with TableWriter(tmp_path / f"a{suffix}", COLUMNS):
        pass
    assert read(tmp_path / f"a{suffix}") == []


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_rows_are_on_the_disk_at_once(tmp_path: Path, suffix: str) -> None:
    with TableWriter(tmp_path / f"a{suffix}", COLUMNS) as table:
        table.write(ROWS[:1])
        assert "-12.25" in table.part.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_what_stops_leaves_its_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with contextlib.suppress(KeyboardInterrupt), TableWriter(path, COLUMNS) as table:
        table.write(ROWS)
        raise KeyboardInterrupt
    assert not path.exists()
    assert len(read(table.part.rename(tmp_path / f"kept{suffix}"))) == 2


def test_what_stops_before_a_row_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TableWriter(tmp_path / "a.csv", COLUMNS):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path, part = tmp_path / "a.csv", tmp_path / "a.csv.part"
    path.write_text("mine")
    with pytest.raises(DataError, match=r"a\.csv exists already.*--overwrite"):
        TableWriter(path, COLUMNS)
    path.unlink()
    part.write_text("rows of a killed run")
    with pytest.raises(DataError, match=r"a\.csv\.part is left of a run"):
        TableWriter(path, COLUMNS)
    assert part.read_text() == "rows of a killed run"
    with TableWriter(path, COLUMNS, overwrite=True):
        pass
    assert read(path) == []


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown suffix '\.xlsx'.*\.csv"):
        TableWriter(tmp_path / "a.xlsx", COLUMNS)
    for suffix in FORMATS:
        with pytest.raises(DataError, match="cannot be written"):
            TableWriter(tmp_path / "no" / f"a{suffix}", COLUMNS)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="exists already"):
        TableWriter(tmp_path / "folder.csv", COLUMNS, overwrite=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv.part").symlink_to("/dev/full")
    with (
        pytest.raises(DataError, match=r"a\.csv: cannot be written \(No space left on device\).*make room"),
        TableWriter(tmp_path / "a.csv", COLUMNS, overwrite=True) as table,
    ):
        table.write(ROWS)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"Parquet needs pyarrow: pip install 'deepgllim\[train\]'"):
        TableWriter(tmp_path / "a.parquet", COLUMNS)
