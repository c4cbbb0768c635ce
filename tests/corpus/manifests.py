"""Valid and malicious tables of faces: eight pictures, and tables of them in several formats."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepgllim.errors import DataError
from tests.corpus.drawn import EPS, JPEG, PNG
from tests.corpus.outcomes import Refused

HEAD = ["path", "subject", "x0", "y0", "x1", "y1", "pitch", "yaw", "roll"]
N = 8
ROWS = [[f"images/{i}.jpg", f"0{i % 4}", "10", "2", "54", "46", f"{i}.5", f"{-3 * i}", f"{i - 4}"] for i in range(N)]
CHANGED = 5
"""The row in which most tables differ; its yaw is -15."""


class Holds(NamedTuple):
    """What a table comes to.

    Attributes:
        faces: rows that can be used.
        broken: files or boxes that cannot, each with its cause.
        cause: a part of the first one's.
        yaw: of row `CHANGED`.
        subject: of row `CHANGED`.
    """

    faces: int = N
    broken: int = 0
    cause: str = ""
    yaw: float | None = -15.0
    subject: str | None = "01"


class Case(NamedTuple):
    """How a table is made, what it must come to, and its name."""

    make: Callable[[Path], object]
    expected: Holds | Refused
    file: str = "faces.csv"


def refused(words: str) -> Refused:
    return Refused(DataError, words)


UNREADABLE, NO_TARGET = refused("not a readable csv table"), refused("none of pitch, yaw, roll, tilt, pan, neck_roll")
NO_NUMBER, NO_ANGLE = refused("is not a number; correct it"), refused("is not an angle in degrees")
ONE_BROKEN = Holds(N - 1, 1, yaw=None, subject=None)


def make_pictures(folder: Path) -> None:
    """What the tables' paths lead to, or do not."""
    (folder / "images").mkdir()
    for row in ROWS:
        (folder / row[0]).write_bytes(JPEG)
    (folder.parent / "beside.jpg").write_bytes(JPEG)
    (folder / "eps.jpg").write_bytes(EPS)
    (folder / "half.jpg").write_bytes(JPEG[:600])
    (folder / "link.jpg").symlink_to("images/0.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jpg")


def text(rows: list[list[str]] = ROWS, head: list[str] = HEAD, sep: str = ",", end: str = "\n") -> str:
    return end.join(sep.join(row) for row in [head, *rows]) + end


def put(data: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def edited(**values: str) -> Callable[[Path], object]:
    """The table with other values in one row."""
    rows = [list(row) for row in ROWS]
    for name, value in values.items():
        rows[CHANGED][HEAD.index(name)] = value
    return put(text(rows))


def box(*edges: str) -> Callable[[Path], object]:
    return edited(**dict(zip(("x0", "y0", "x1", "y1"), edges, strict=True)))


def columns(*names: str) -> Callable[[Path], object]:
    places = [HEAD.index(name) for name in names]
    return put(text([[row[place] for place in places] for row in ROWS], list(names)))


def every(**values: str) -> Callable[[Path], object]:
    """The table with the same value in all rows."""
    return put(text([[values.get(name, value) for name, value in zip(HEAD, row, strict=True)] for row in ROWS]))


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=HEAD).astype(dict.fromkeys(HEAD[2:], float))


def parquet(table: pd.DataFrame, share: float = 1.0) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        path.write_bytes(buffer.getvalue()[: int(share * len(buffer.getvalue()))])

    return make


def with_one(column: str, value: Any) -> pd.DataFrame:
    table = frame()
    table[column] = [value if row == CHANGED else known for row, known in enumerate(table[column])]
    return table


LISTS: Any = [[1, 2]] * N
ONES: Any = [[1.0]] * N
JUNK = np.random.default_rng(0).bytes(3000)

FORMS: dict[str, Case] = {
    "csv": Case(put(text()), Holds()),
    "csv of Windows": Case(put(text(end="\r\n")), Holds()),
    "csv of old Macs": Case(put(text(end="\r")), Holds()),
    "byte order mark": Case(put(b"\xef\xbb\xbf" + text().encode()), Holds()),
    "blank lines": Case(put(text(end="\n\n")), Holds()),
    "upper suffix": Case(put(text()), Holds(), "faces.CSV"),
    "spaces after commas": Case(put(text(sep=", ")), Holds()),
    "numbers in quotes": Case(edited(yaw='"-15"'), Holds()),
    "path in quotes": Case(edited(path='"images/1.jpg"'), Holds()),
    "line feed in quotes": Case(edited(subject='"a\nb"'), Holds(subject="a\nb")),
    "300 more columns": Case(
        put(text([[*row, *["1"] * 300] for row in ROWS], [*HEAD, *(f"c{i}" for i in range(300))])), Holds()
    ),
    "parquet": Case(parquet(frame()), Holds(), "faces.parquet"),
    "parquet of float16": Case(parquet(frame().astype({"yaw": "float16"})), Holds(), "faces.parquet"),
    "parquet of text": Case(parquet(frame().astype({"yaw": str})), Holds(), "faces.parquet"),
    "parquet with lists": Case(parquet(frame().assign(extra=LISTS)), Holds(), "faces.parquet"),
    "utf-16": Case(put(text().encode("utf-16")), UNREADABLE),
    "latin-1": Case(put(text().replace("01", "Zo\xeb").encode("latin-1")), UNREADABLE),
    "semicolons": Case(put(text(sep=";")), NO_TARGET),
    "tabs": Case(put(text(sep="\t")), NO_TARGET),
    "empty": Case(put(b""), UNREADABLE),
    "header alone": Case(put(text([])), refused("the table is empty")),
    "html": Case(put("<html><body>404</body></html>"), NO_TARGET),
    "junk": Case(put(JUNK), UNREADABLE),
    "zeros": Case(put(bytes(3000)), Refused(DataError, "faces.csv: ")),
    "png": Case(put(PNG), UNREADABLE),
    "quote without an end": Case(edited(path='"images/1.jpg'), UNREADABLE),
    "100,001 quotes": Case(put("path,yaw\n" + '"' * 100_001 + "\n"), Refused(DataError, "faces.csv: ")),
    "more values in a row": Case(edited(roll="1,2,3"), UNREADABLE),
    "more values in all rows": Case(put(text([[*row, "1"] for row in ROWS])), UNREADABLE),
    "fewer values in a row": Case(
        put(text([row[:5] if i == CHANGED else row for i, row in enumerate(ROWS)])), Refused(DataError, "row 6")
    ),
    "parquet of junk": Case(put(JUNK), refused("not a readable parquet table"), "faces.parquet"),
    "parquet, half": Case(parquet(frame(), 0.5), refused("not a readable parquet table"), "faces.parquet"),
    "parquet with NaN": Case(parquet(with_one("yaw", np.nan)), refused("the label is nan"), "faces.parquet"),
    "parquet with a list": Case(
        parquet(frame().assign(yaw=LISTS)), refused("row 1, column 'yaw': a ndarray is not a number"), "faces.parquet"
    ),
    "parquet with lists of one": Case(
        parquet(frame().assign(yaw=ONES)), refused("row 1, column 'yaw': a ndarray is not a number"), "faces.parquet"
    ),
    "parquet with lists for paths": Case(
        parquet(frame().assign(path=LISTS)), Holds(0, 1, "does not exist", None, None), "faces.parquet"
    ),
    "another suffix": Case(put(text()), refused("unknown suffix '.xlsx'"), "faces.xlsx"),
    "missing": Case(lambda path: None, refused("no such file")),
    "folder": Case(lambda path: path.mkdir(), refused("is a folder; give a file")),
    "pipe": Case(lambda path: os.mkfifo(path), refused("is a pipe, not a regular file")),
    "endless zeros": Case(lambda path: path.symlink_to("/dev/zero"), refused("is a device, not a regular file")),
}

COLUMNS: dict[str, Case] = {
    "path and yaw alone": Case(columns("path", "yaw"), Holds(subject=None)),
    "no subject": Case(columns(*(name for name in HEAD if name != "subject")), Holds(subject=None)),
    "blank subject": Case(edited(subject=""), Holds(subject=None)),
    "subject of a formula": Case(edited(subject="=cmd|'/c calc'!A1"), Holds(subject="=cmd|'/c calc'!A1")),
    "subject of all": Case(every(subject="a"), Holds(subject="a")),
    "no path": Case(columns(*HEAD[1:]), refused("column 'path' is missing")),
    "no labels": Case(columns(*HEAD[:6]), NO_TARGET),
    "no x1": Case(columns(*(name for name in HEAD if name != "x1")), refused("it has only x0, y0, y1")),
    "upper names": Case(put(text(head=[name.upper() for name in HEAD])), NO_TARGET),
    "yaw twice": Case(put(text([[*row, "7"] for row in ROWS], [*HEAD, "yaw"])), refused("named twice")),
}

LABELS: dict[str, Case] = {
    "exponent": Case(edited(yaw="-1.5e1"), Holds()),
    "spaces": Case(edited(yaw=" -15 "), Holds()),
    "plus": Case(edited(yaw="+15"), Holds(yaw=15.0)),
    "Arabic digits": Case(edited(yaw="\u0661\u0662"), Holds(yaw=12.0)),
    "tiny": Case(edited(yaw="1e-200"), Holds(yaw=1e-200)),
    "360": Case(edited(yaw="-360"), Holds(yaw=-360.0)),
    "the same in all rows": Case(every(pitch="3", yaw="3", roll="3"), Holds(yaw=3.0)),
    "nan": Case(edited(yaw="nan"), refused("column 'yaw': the label is nan")),
    "infinite": Case(edited(yaw="-inf"), refused("column 'yaw': the label is -inf")),
    "blank": Case(edited(yaw=""), refused("row 6, column 'yaw': the label is nan (or blank)")),
    "word": Case(edited(yaw="left"), NO_NUMBER),
    "comma": Case(edited(yaw='"12,5"'), NO_NUMBER),
    "degrees": Case(edited(yaw="12\N{DEGREE SIGN}"), NO_NUMBER),
    "typographic minus": Case(edited(yaw="\N{MINUS SIGN}12"), NO_NUMBER),
    "hexadecimal": Case(edited(yaw="0x10"), NO_NUMBER),
    "underscore": Case(edited(yaw="1_0"), NO_NUMBER),
    "361": Case(edited(yaw="361"), NO_ANGLE),
    "5000": Case(edited(yaw="5000"), NO_ANGLE),
    "1e300": Case(edited(yaw="-1e300"), NO_ANGLE),
    "1e9 in all rows": Case(every(pitch="1e9"), NO_ANGLE),
}

BOXES: dict[str, Case] = {
    "no box": Case(box("", "", "", ""), Holds()),
    "box over the edge": Case(box("-5", "-5", "70", "50"), Holds()),
    "half a box": Case(edited(x0=""), refused("row 6: the box x0, y0, x1, y1 = (nan, 2, 54, 46) is partly blank")),
    "box of nothing": Case(box("50", "50", "50", "50"), refused("is empty")),
    "box the wrong way": Case(box("60", "46", "10", "2"), refused("is empty")),
    "infinite box": Case(box("0", "0", "inf", "inf"), refused("is not finite")),
    "box beside the picture": Case(box("5000", "5000", "6000", "6000"), Holds(7, 1, "lies outside", None, None)),
    "huge box": Case(box("-1e9", "-1e9", "1e9", "1e9"), Holds(7, 1, "4 times larger", None, None)),
    "tiny box": Case(box("10", "10", "10.5", "10.5"), Holds(7, 1, "a side under one pixel", None, None)),
}

PATHS: dict[str, Case] = {
    "above the folder": Case(edited(path="../beside.jpg"), Holds()),
    "link": Case(edited(path="link.jpg"), Holds()),
    "the same twice": Case(edited(path="images/0.jpg"), Holds()),
    "absolute": Case(lambda path: edited(path=str(path.parent / "images" / "3.jpg"))(path), Holds()),
    "missing picture": Case(edited(path="images/none.jpg"), ONE_BROKEN._replace(cause="does not exist")),
    "blank path": Case(edited(path=""), refused("row 6, column 'path' is empty")),
    "no picture": Case(edited(path="/etc/passwd"), ONE_BROKEN._replace(cause="not a picture")),
    "half a picture": Case(edited(path="half.jpg"), ONE_BROKEN._replace(cause="truncated or damaged")),
    "program": Case(edited(path="eps.jpg"), ONE_BROKEN._replace(cause="not a picture")),
    "path of a folder": Case(edited(path="images"), ONE_BROKEN._replace(cause="is a folder")),
    "path of a pipe": Case(edited(path="pipe.jpg"), ONE_BROKEN._replace(cause="is a pipe")),
    "path of a device": Case(edited(path="zero.jpg"), ONE_BROKEN._replace(cause="is a device")),
    "path of the terminal": Case(edited(path="/dev/tty"), ONE_BROKEN),
    "address": Case(edited(path="http://127.0.0.1:9/x.jpg"), ONE_BROKEN),
    "space behind": Case(edited(path="images/1.jpg "), ONE_BROKEN._replace(cause="does not exist")),
    "backslash": Case(edited(path="images\\1.jpg"), ONE_BROKEN._replace(cause="does not exist")),
    "null": Case(edited(path="a\0b.jpg"), ONE_BROKEN),
    "5000 characters": Case(edited(path="x" * 5000), ONE_BROKEN._replace(cause="File name too long")),
}

MANIFESTS = {**FORMS, **COLUMNS, **LABELS, **BOXES, **PATHS}
