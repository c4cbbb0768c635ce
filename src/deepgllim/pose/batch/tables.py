"""Tables with a row for each face, as CSV, JSON Lines or Parquet, written incrementally.

Rows are written to `NAME.part`, which is renamed to `NAME` when the table is complete. A Parquet file cannot be
written incrementally, so its rows are first written as JSON Lines, to `NAME.part.jsonl`. The rows of a killed run
remain, and the run can be resumed if it recorded its finished sources.
"""

import csv
import io
import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.pose.batch.progress import FinishedSource, Progress
from deepgllim.storage import write_atomically

Value = float | int | bool | str | None
Row = Mapping[str, Value]

TYPES: dict[str, type] = {
    "source": str,
    "frame": int,
    "track": int,
    "face": int,
    "modes": int,
    "raw_modes": int,
    "used": bool,
    "near_gimbal_lock": bool,
    "in_distribution": bool,
}
"""Types of the columns that are not floating-point numbers."""

_GROUP = 4096  # rows of a Parquet file in memory at a time
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_SEPARATORS = (";", "\t")


class Format(NamedTuple):
    """A file format of tables.

    Attributes:
        part: suffix of the file that is written incrementally.
        head: function from the columns to the first lines.
        lines: function from rows and columns to lines.
        convert: function that writes the table from the complete file; None if the file is the table itself.
        check: function of the path that raises an error if the table cannot be written.
    """

    part: str
    head: Callable[[Sequence[str]], str]
    lines: Callable[[Sequence[Row], Sequence[str]], str]
    convert: Callable[[Path, Path, Sequence[str]], None] | None = None
    check: Callable[[Path], object] = lambda path: None


class TableWriter:
    """Write a table incrementally.

    Args:
        path: .csv, .jsonl or .parquet; Parquet needs pyarrow.
        columns: names of the columns; other entries of a row are ignored, missing ones are empty.
        overwrite: whether to replace an existing table, or the rows of an interrupted run.
        options: all options that the rows depend on, as values for JSON. If they are given, finished sources are
            recorded in `NAME.progress`, which is locked against other writers.
        resume: whether to resume an interrupted run with the same options, if there is one.

    Attributes:
        path: path of the table.
        part: path of the file that is written incrementally.
        rows: number of rows.
        finished: finished sources of the interrupted run, by path.

    Raises:
        DataError: the suffix is unknown, the table exists, its folder is not writable, the interrupted run has other
            options, or another run is writing the table.
        ConfigurationError: pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TableWriter(Path(folder, "faces.csv"), ["source", "yaw"]) as table:
        ...         table.write([{"source": "a.jpg", "yaw": 12.5}, {"source": "b.jpg", "yaw": None}])
        ...     Path(folder, "faces.csv").read_text().split()
        ['source,yaw', 'a.jpg,12.5', 'b.jpg,']
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        overwrite: bool = False,
        options: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self._format, self._columns = format_of(path), list(columns)
        self.path, self.part = path, path.with_name(f"{path.name}{self._format.part}")
        self.rows, self.finished = 0, dict[str, FinishedSource]()
        self._progress: Progress | None = None
        self._kept = False  # whether there are rows to keep
        self._refuse(overwrite, resume)
        self._format.check(path)
        try:
            self._file = self._open_part(options, resume)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}): check the folder") from error

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            DataError: the rows cannot be written; earlier rows remain in `part`.
        """
        try:
            self._file.write(self._format.lines(rows, self._columns).encode("utf-8", "replace"))
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error
        self.rows += len(rows)
        self._kept = self._kept or bool(rows)

    def finish(self, sources: Sequence[FinishedSource]) -> None:
        """Record sources whose rows are all written, so that the run can be resumed after them.

        Raises:
            DataError: as in `write`.
        """
        if self._progress is None or not sources:
            return
        try:
            self._file.flush()
            self._progress.add(sources, self._file.tell())
        except OSError as error:
            raise self._failure(error) from error
        self._kept = True

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._close(whole=kind is None)
        except OSError as cause:
            raise self._failure(cause) from cause
        finally:
            if self._progress is not None:
                self._progress.close()

    def _refuse(self, overwrite: bool, resume: bool) -> None:
        """Raise a DataError if the table or the rows of an interrupted run exist and must not be replaced."""
        if os.path.isdir(self.path) or (os.path.lexists(self.path) and not overwrite):  # noqa: PTH112 - for names of any length
            raise DataError(f"{self.path} exists already: give another path, or --overwrite to replace the file")
        if os.path.exists(self.part) and not (overwrite or resume):  # noqa: PTH110
            raise DataError(
                f"{self.part} is left of an interrupted run: continue it by --resume, rename it to keep its "
                "rows, or --overwrite them"
            )

    def _open_part(self, options: Mapping[str, Any] | None, resume: bool) -> IO[bytes]:
        """Open the file that is written incrementally: a new one, or that of the interrupted run."""
        if options is not None:
            self._progress = Progress(_progress_of(self.path))
            try:
                end = self._read_progress(self._progress, options) if resume and self.part.exists() else 0
                if self.finished:
                    os.truncate(self.part, end)
                    return self.part.open("ab")
                self._progress.begin(options)
            except BaseException:
                self._progress.close()
                raise
        file = self.part.open("wb")
        file.write(self._format.head(self._columns).encode("utf-8"))  # written to the disk with the first rows
        return file

    def _read_progress(self, progress: Progress, options: Mapping[str, Any]) -> int:
        """Read the finished sources and return the position after their rows, bytes."""
        found, end = progress.read(options, self.part)
        self.finished = {each.path: each for each in found}
        self.rows, self._kept = sum(each.faces for each in found), bool(found)
        return end

    def _close(self, whole: bool) -> None:
        if whole:
            os.fsync(self._file.fileno())
        self._file.close()
        if whole:
            if self._format.convert is None:
                self.part.replace(self.path)
            else:
                self._format.convert(self.part, self.path, self._columns)
                self.part.unlink()
        elif not self._kept:
            self.part.unlink(missing_ok=True)
        if self._progress is not None and (whole or not self._kept):
            self._progress.remove()

    def _failure(self, error: OSError) -> DataError:
        how = "" if self._progress is None else ", then continue with --resume"
        return DataError(
            f"{self.path}: cannot be written ({error.strerror}); the rows so far are in {self.part}: make room{how}"
        )


def can_resume(path: Path) -> bool:
    """Return whether an interrupted run of a table can be resumed."""
    part = path.with_name(f"{path.name}{format_of(path).part}")
    return os.path.isfile(part) and os.path.isfile(_progress_of(path))  # noqa: PTH113 - for names of any length


def _progress_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.progress")


def format_of(path: Path) -> Format:
    """Return the format of the suffix of a path.

    Raises:
        DataError: the suffix is unknown.
    """
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: unknown suffix {path.suffix!r}: a table is written as one of {known}")
    return FORMATS[path.suffix.lower()]


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV in which no spreadsheet finds a formula.

    A text that starts like a formula, with =, +, -, @, a tab or a line break, is prefixed by `./`: texts are paths, and
    `./=a.jpg` is the same file as `=a.jpg`. A text with a separator other than the comma is quoted, since a spreadsheet
    that splits lines there might find a formula after it. Numbers are not changed.

    Args:
        rows: cells of each row.

    Example:
        >>> csv_lines([("=1+1.jpg", -3.5), ("a;=1.jpg", None), ("plain - name.jpg", 2)]).splitlines()
        ['./=1+1.jpg,-3.5', '"a;=1.jpg",""', 'plain - name.jpg,2']
    """
    text = io.StringIO()
    plain, quoted = csv.writer(text), csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    for row in rows:
        cells = [f"./{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row]
        split = any(sign in cell for cell in cells if isinstance(cell, str) for sign in _SEPARATORS)
        (quoted if split else plain).writerow(cells)
    return text.getvalue()


def json_lines(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Return rows as JSON Lines, with null for numbers that are not finite."""
    lines = []
    for cells in _cells(rows, columns):
        known = (None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells)
        lines.append(f"{json.dumps(dict(zip(columns, known, strict=True)), ensure_ascii=False)}\n")
    return "".join(lines)


def _cells(rows: Iterable[Row], columns: Sequence[str]) -> Iterable[list[Value]]:
    return ([row.get(name) for name in columns] for row in rows)


def _require_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path}: Parquet needs pyarrow: pip install 'deepgllim[train]', or write .csv or .jsonl"
        ) from error


def _to_parquet(part: Path, path: Path, columns: Sequence[str]) -> None:
    """Convert JSON Lines to a Parquet file, a group of rows at a time."""
    import pyarrow
    from pyarrow import parquet

    arrow = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, arrow[TYPES.get(name, float)]) for name in columns])

    def write(place: Path) -> None:
        with part.open("rb") as lines, parquet.ParquetWriter(str(place), schema) as writer:
            while group := [json.loads(line) for line in itertools.islice(lines, _GROUP)]:
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))

    write_atomically(path, write)


FORMATS: dict[str, Format] = {
    ".csv": Format(
        ".part", lambda columns: csv_lines([columns]), lambda rows, columns: csv_lines(_cells(rows, columns))
    ),
    ".jsonl": Format(".part", lambda columns: "", json_lines),
    ".parquet": Format(".part.jsonl", lambda columns: "", json_lines, _to_parquet, _require_pyarrow),
}
"""Formats by suffix."""
