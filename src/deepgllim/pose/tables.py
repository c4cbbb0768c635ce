"""Poses as tables, a row a face: CSV, JSON Lines, Parquet; rows are on the disk as soon as they are known.

Rows go to `NAME.part`, which is renamed to `NAME` when the table is whole: a run that is killed keeps its rows.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from deepgllim.errors import ConfigurationError, DataError

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
"""Of columns that do not hold floating-point numbers."""

_GROUP = 4096  # rows of a Parquet file that are written together


class Format(NamedTuple):
    """How rows are written.

    Attributes:
        begin: start a file of columns; the result is what `write` adds rows to.
        write: add rows.
        end: close the file.
    """

    begin: Callable[[Path, Sequence[str]], Any]
    write: Callable[[Any, Sequence[Row]], None]
    end: Callable[[Any], None]


class TableWriter:
    """A table that grows.

    Args:
        path: .csv, .jsonl or .parquet; Parquet needs pyarrow.
        columns: their names; a row's other entries are left out, missing ones are empty.
        overwrite: replace a table that is there, or what is left of a run that was killed.

    Raises:
        DataError: another suffix, a table that is there already, or a folder that cannot be written.
        ConfigurationError: pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TableWriter(Path(folder, "faces.csv"), ["source", "yaw"]) as table:
        ...         table.write([{"source": "a.jpg", "yaw": 12.5}, {"source": "b.jpg", "yaw": None}])
        ...     Path(folder, "faces.csv").read_text().split()
        ['source,yaw', 'a.jpg,12.5', 'b.jpg,']
    """

    def __init__(self, path: Path, columns: Sequence[str], *, overwrite: bool = False) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self._format, self.rows = format_of(path), 0
        if path.is_dir() or (path.exists() and not overwrite):
            raise DataError(f"{path} exists already: give another path, or --overwrite to replace the file")
        if self.part.exists() and not overwrite:
            raise DataError(
                f"{self.part} is left of a run that was stopped: rename it to keep its rows, or --overwrite them"
            )
        try:
            self._file = self._format.begin(self.part, columns)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}): check the folder") from error

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            DataError: the disk is full, or the like; the rows before are in `part`.
        """
        try:
            self._format.write(self._file, rows)
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be written ({error.strerror}); the rows so far are in {self.part}: make room"
            ) from error
        self.rows += len(rows)

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._format.end(self._file)
            if kind is None:
                self.part.replace(self.path)
        except OSError as cause:
            raise DataError(
                f"{self.path}: cannot be written ({cause.strerror}); what there is, is in {self.part}: make room"
            ) from cause
        if kind is not None and not self.rows:
            self.part.unlink(missing_ok=True)


def format_of(path: Path) -> Format:
    """The format of a path's suffix.

    Raises:
        DataError: an unknown suffix.
    """
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: unknown suffix {path.suffix!r}: a table is written as one of {known}")
    return FORMATS[path.suffix.lower()]


class _Text(NamedTuple):
    file: IO[str]
    columns: Sequence[str]


def _begin_csv(path: Path, columns: Sequence[str]) -> _Text:
    text = _begin_text(path, columns)
    csv.writer(text.file).writerow(columns)
    return text


def _write_csv(text: _Text, rows: Sequence[Row]) -> None:
    csv.writer(text.file).writerows(_cells(rows, text.columns))
    text.file.flush()


def _begin_text(path: Path, columns: Sequence[str]) -> _Text:
    return _Text(path.open("w", encoding="utf-8", newline=""), columns)


def _write_lines(text: _Text, rows: Sequence[Row]) -> None:
    for cells in _cells(rows, text.columns):
        known = (None if isinstance(cell, float) and not math.isfinite(cell) else cell for cell in cells)
        text.file.write(f"{json.dumps(dict(zip(text.columns, known, strict=True)), ensure_ascii=False)}\n")
    text.file.flush()


def _end_text(text: _Text) -> None:
    text.file.close()


def _cells(rows: Iterable[Row], columns: Sequence[str]) -> Iterable[list[Value]]:
    return ([row.get(name) for name in columns] for row in rows)


class _Parquet(NamedTuple):
    writer: Any
    schema: Any
    waiting: list[Row]


def _begin_parquet(path: Path, columns: Sequence[str]) -> _Parquet:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{path}: Parquet needs pyarrow: pip install 'deepgllim[train]', or write .csv or .jsonl"
        ) from error
    arrow = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, arrow[TYPES.get(name, float)]) for name in columns])
    return _Parquet(parquet.ParquetWriter(str(path), schema), schema, [])


def _write_parquet(table: _Parquet, rows: Sequence[Row]) -> None:
    table.waiting.extend(rows)
    if len(table.waiting) >= _GROUP:
        _flush_parquet(table)


def _flush_parquet(table: _Parquet) -> None:
    import pyarrow

    if table.waiting:
        table.writer.write_table(pyarrow.Table.from_pylist(table.waiting, schema=table.schema))
        table.waiting.clear()


def _end_parquet(table: _Parquet) -> None:
    _flush_parquet(table)
    table.writer.close()


FORMATS: dict[str, Format] = {
    ".csv": Format(_begin_csv, _write_csv, _end_text),
    ".jsonl": Format(_begin_text, _write_lines, _end_text),
    ".parquet": Format(_begin_parquet, _write_parquet, _end_parquet),
}
"""By suffix."""
