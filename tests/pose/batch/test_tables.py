"""Tests of incremental tables: equal content in the three formats, nothing lost or overwritten."""

import contextlib
import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.pose.batch.formats import FORMATS, Row, csv_lines
from deepgllim.pose.batch.progress import FinishedSource
from deepgllim.pose.batch.tables import TableWriter, can_resume

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


@pytest.mark.parametrize("suffix", list(FORMATS))
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
    kept = ".jsonl" if suffix == ".parquet" else suffix
    assert len(read(table.part.rename(tmp_path / f"kept{kept}"))) == 2


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
    with pytest.raises(DataError, match=r"a\.csv\.part is left of an interrupted run"):
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
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
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


def test_a_disk_that_is_full_at_the_end_keeps_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")

    def full(path: Path, write: object) -> None:
        raise DataError(f"{path}: cannot be written (No space left on device)")

    table = TableWriter(tmp_path / "a.parquet", COLUMNS, options={})
    table.write(ROWS)
    table.finish([FinishedSource("a", 2)])
    with monkeypatch.context() as patch:
        patch.setattr("deepgllim.pose.batch.formats.write_atomically", full)
        with pytest.raises(DataError, match=r"a\.parquet: cannot be written"):
            table.__exit__(None, None, None)
    with TableWriter(tmp_path / "a.parquet", COLUMNS, options={}, resume=True) as table:
        assert list(table.finished) == ["a"]
    assert len(read(table.path)) == 2


def entry(path: str, faces: int = 1) -> FinishedSource:
    return FinishedSource(path, faces)


def rows_of(*names: str) -> list[Row]:
    return [{"source": name, "frame": None, "yaw": 0.1 * len(name), "in_distribution": None} for name in names]


def stopped(path: Path, *, options: dict[str, Any] | None = None) -> TableWriter:
    """Return the table of a killed run: a and b are finished, c is not, and the last line is incomplete."""
    table = TableWriter(path, COLUMNS, options=options or {"level": 0.9})
    table.write(rows_of("a", "b"))
    table.finish([entry("a"), entry("b")])
    table.write(rows_of("c"))
    table._file.write(b'{"sour')
    for file in (table._file, table._progress):
        assert file is not None
        file.close()
    return table


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_a_run_that_goes_on_gives_the_same_table(tmp_path: Path, suffix: str) -> None:
    path, other = tmp_path / f"a{suffix}", tmp_path / f"whole{suffix}"
    with TableWriter(other, COLUMNS) as table:
        table.write(rows_of("a", "b", "c", "d"))
    stopped(path)
    assert can_resume(path)
    with TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True) as table:
        assert (list(table.finished), table.rows) == (["a", "b"], 2)
        table.write(rows_of("c", "d"))
    assert path.read_bytes() == other.read_bytes()
    assert not can_resume(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([path.name, other.name])


def test_sources_without_rows_are_finished_too(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with contextlib.suppress(KeyboardInterrupt), TableWriter(path, COLUMNS, options={}) as table:
        table.finish([entry("empty.png", 0)])
        raise KeyboardInterrupt
    with TableWriter(path, COLUMNS, options={}, resume=True) as table:
        assert list(table.finished) == ["empty.png"]


def test_going_on_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    stopped(path)
    with (
        contextlib.suppress(KeyboardInterrupt),
        TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True) as table,
    ):
        table.write(rows_of("c"))
        table.finish([entry("c")])
        raise KeyboardInterrupt
    with TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True) as table:
        assert list(table.finished) == ["a", "b", "c"]
    assert [row["source"] for row in read(path)] == ["a", "b", "c"]


def test_nothing_to_go_on_with_is_a_new_run(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "a.csv", COLUMNS, options={}, resume=True) as table:
        assert table.finished == {}
        table.write(ROWS)
    with pytest.raises(DataError, match="exists already"):
        TableWriter(tmp_path / "a.csv", COLUMNS, options={}, resume=True)


def test_a_run_with_other_options_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = stopped(path)
    before = table.part.read_bytes()
    with pytest.raises(DataError, match=r"a\.csv\.progress: the run was started with level = 0\.9, not 0\.5"):
        TableWriter(path, COLUMNS, options={"level": 0.5}, resume=True)
    for content in (b"", b"null\n", b"[" * 100_000, b"\x00" * 50, b'{"format_version": 99, "options": {}}\n'):
        (tmp_path / "a.csv.progress").write_bytes(content)
        with pytest.raises(DataError, match=r"not the progress file of a run.*--overwrite"):
            TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True)
    assert table.part.read_bytes() == before


@pytest.mark.parametrize(
    "line", ["{", "1", '{"end": 1}', '{"end": "x", "finished": []}', '{"end": 0, "finished": [[]]}']
)
def test_progress_counts_up_to_its_first_damaged_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.csv"
    stopped(path)
    with (tmp_path / "a.csv.progress").open("a") as file:
        file.write(f"{line}\n")
    with TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True) as table:
        assert list(table.finished) == ["a", "b"]


def test_rows_that_were_lost_with_the_power_are_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table = stopped(path)
    table.part.write_bytes(table.part.read_bytes()[:40])
    with TableWriter(path, COLUMNS, options={"level": 0.9}, resume=True) as table:
        assert table.finished == {}
        table.write(rows_of("a"))
    assert [row["source"] for row in read(path)] == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="locks")
@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_table_that_is_being_written_is_left_alone(tmp_path: Path, how: dict[str, bool]) -> None:
    path = tmp_path / "a.csv"
    with TableWriter(path, COLUMNS, options={}) as table:
        table.write(rows_of("a"))
        table.finish([entry("a")])
        with pytest.raises(DataError, match="another run is writing this table"):
            TableWriter(path, COLUMNS, options={}, **how)
    assert [row["source"] for row in read(path)] == ["a"]


@pytest.mark.parametrize("sign", list("=+-@＝\t\r\n"))
def test_no_name_is_a_formula(sign: str) -> None:
    name = f"{sign}1+cmd|' /C calc'!A0.jpg"
    (cells,) = csv.reader(io.StringIO(csv_lines([(name, -1.5)]), newline=""))
    assert cells == [f"./{name}", "-1.5"]


def test_no_separator_of_another_country_starts_a_formula() -> None:
    assert csv_lines([("a;=1+1.jpg", -1.5)]) == '"a;=1+1.jpg",-1.5\r\n'


@pytest.mark.parametrize("name", ["a.jpg", "a - b=c.jpg", 'é, "x".jpg', "sub/=a.jpg", "./=a.jpg", "'a.jpg", " a.jpg"])
def test_ordinary_names_stay_as_they_are(tmp_path: Path, name: str) -> None:
    with TableWriter(tmp_path / "a.csv", COLUMNS) as table:
        table.write(rows_of(name))
    assert [row["source"] for row in read(tmp_path / "a.csv")] == [name]


@pytest.mark.skipif(os.name != "posix", reason="permissions")
@pytest.mark.parametrize("suffix", list(FORMATS))
def test_tables_can_be_read_by_whom_the_umask_lets(tmp_path: Path, suffix: str) -> None:
    before = os.umask(0o022)
    try:
        with TableWriter(tmp_path / f"a{suffix}", COLUMNS, options={}) as table:
            table.write(ROWS)
            assert table.part.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)
    assert table.path.stat().st_mode & 0o777 == 0o644
