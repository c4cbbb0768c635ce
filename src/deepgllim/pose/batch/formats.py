"""Formats of tables: CSV, JSON Lines, Parquet."""

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deepgllim.errors import ConfigurationError, DataError
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
