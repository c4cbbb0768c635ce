"""The table of faces: one row a face, with its picture, its box, its labels and whom it shows."""

import os
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.errors import DataError
from deepgllim.geometry.names import FORMER_NAMES, present_names
from deepgllim.geometry.rotations import ANGLES, MIRROR_SIGNS
from deepgllim.storage import irregular, write_atomically

Array = npt.NDArray[np.float64]

BOX_COLUMNS = ("x0", "y0", "x1", "y1")
TEXT_COLUMNS = ("path", "subject", "sequence", "source")

LARGEST_ANGLE = 360.0
"""Of the columns pitch, yaw, roll, tilt, pan, neck_roll, degrees: what is beyond it is in another unit, or none."""


@dataclass(frozen=True)
class Manifest:
    """Rows (path, box, targets, subject, …), checked. Made by `read_manifest`, `load_data` or `make_manifest`.

    Args:
        frame: columns `path`, the four box columns `x0, y0, x1, y1` (NaN in all four: the whole picture is the box),
            the target columns; optionally `subject`, `sequence`, `source` (text) and any others, which are kept.
        targets: names of the target columns, L of them, in the order of `target_values`.

    Example:
        >>> manifest = make_manifest(pd.DataFrame({"path": ["a.jpg", "b.jpg"], "pitch": [1, 2], "yaw": [3, 4]}))
        >>> len(manifest), manifest.targets, manifest.target_values.tolist()
        (2, ('pitch', 'yaw'), [[1.0, 3.0], [2.0, 4.0]])
    """

    frame: pd.DataFrame
    targets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def paths(self) -> list[Path]:
        """The pictures' paths, N."""
        return [Path(path) for path in self.frame["path"]]

    @property
    def boxes(self) -> Array:
        """(N, 4): x0, y0, x1, y1 in pixels; a row of NaN where the whole picture is the box."""
        return self.frame[list(BOX_COLUMNS)].to_numpy(dtype=np.float64)

    @property
    def target_values(self) -> Array:
        """(N, L), in the order of `targets`; angles in degrees."""
        return self.frame[list(self.targets)].to_numpy(dtype=np.float64)

    @property
    def subjects(self) -> npt.NDArray[np.object_]:
        """(N,): who is seen, as text; None where it is not known."""
        if "subject" not in self.frame:
            return np.full(len(self), None, dtype=object)
        return np.array([None if _blank(who) else str(who) for who in self.frame["subject"]], dtype=object)

    def subset(self, rows: npt.ArrayLike) -> "Manifest":
        """The rows given by a boolean mask (N,) or by integer indices, in their order.

        Raises:
            DataError: no row is left.
            IndexError: an index or a mask that does not fit the table.

        Example:
            >>> manifest = make_manifest(pd.DataFrame({"path": ["a.jpg", "b.jpg"], "yaw": [3, 4]}))
            >>> manifest.subset([1]).target_values.tolist()
            [[4.0]]
        """
        chosen = np.arange(len(self))[np.asarray(rows)] if np.size(rows) else []
        if len(chosen) == 0:
            raise DataError(f"no row of the {len(self)} is chosen; a manifest holds at least one")
        return Manifest(self.frame.iloc[chosen].reset_index(drop=True), self.targets)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table, atomically, as CSV or Parquet by the suffix; `read_manifest` gives it back.

        Pictures in the file's folder or below it are written relative to it, so that the folder can be moved.

        Raises:
            DataError: another suffix, or a file that cannot be written.
        """
        path = Path(path)
        folder = path.parent.resolve()
        frame = self.frame.assign(path=[_portable(picture, folder) for picture in self.paths])
        if path.suffix == ".csv":
            write_atomically(path, lambda place: frame.to_csv(place, index=False))
        elif path.suffix == ".parquet":
            write_atomically(path, lambda place: frame.to_parquet(place, index=False))
        else:
            raise DataError(f"{path}: unknown suffix {path.suffix!r}; a manifest is saved as .csv or .parquet")


def read_manifest(path: str | os.PathLike[str], targets: Sequence[str] | None = None) -> Manifest:
    """Read a table of faces from CSV (UTF-8, commas) or Parquet.

    Args:
        path: the file. Relative picture paths in it start from its folder.
        targets: target columns; by default those of pitch, yaw and roll that are there.

    Raises:
        DataError: a file that is missing or unreadable, an empty table, an absent column, a label that is not a finite
            number, an angle beyond ±360, a half-filled or empty box. One line with file, row, column, value and
            remedy; the first row after the header is row 1.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "faces.csv"
        ...     _ = file.write_text("path,subject,pitch,yaw\\na.jpg,01,10,-20\\n")
        ...     manifest = read_manifest(file)
        >>> manifest.targets, manifest.paths[0].name, manifest.subjects.tolist()
        (('pitch', 'yaw'), 'a.jpg', ['01'])
    """
    path = Path(path)
    if (cause := irregular(path)) is not None:
        raise DataError(f"{path}: {cause}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of a CSV or Parquet table")
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown suffix {path.suffix!r}; a manifest is a .csv or .parquet file")
    try:
        frame = reader(path)
    except Exception as error:  # pandas and pyarrow raise many kinds for a damaged file
        cause = " ".join(str(error).split())
        raise DataError(
            f"{path}: not a readable {path.suffix[1:]} table ({cause}); check how it was written"
        ) from error
    return make_manifest(frame, targets, folder=path.parent, origin=str(path))


def make_manifest(
    frame: pd.DataFrame,
    targets: Sequence[str] | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    origin: str = "table",
) -> Manifest:
    """A checked manifest from a DataFrame.

    Args:
        frame: at least a column `path` and the targets; numbers may be text.
        targets: as for `read_manifest`. An empty sequence makes a manifest without labels.
        folder: where relative paths start; by default they are left as they are.
        origin: what error messages call the table.

    Raises:
        DataError: as `read_manifest`.

    Example:
        >>> make_manifest(pd.DataFrame({"path": ["a.jpg"], "age": ["31"]}), targets=["age"]).boxes.tolist()
        [[nan, nan, nan, nan]]
    """
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index(present_names(frame.columns))
    chosen = _choose_targets(frame, targets, origin)
    if len(frame) == 0:
        raise DataError(f"{origin}: the table is empty; it needs a row for each face")
    names = [name for name in TEXT_COLUMNS if name in frame]
    texts = {name: ["" if _blank(value) else str(value) for value in frame[name]] for name in names}
    texts["path"] = _resolve(texts["path"], None if folder is None else Path(folder).resolve(), origin)
    labels = {name: _finite(_numbers(frame[name], origin), name, origin) for name in chosen}
    _check_angles(frame, origin)
    return Manifest(frame.assign(**texts, **labels, **_boxes(frame, origin)), chosen)


def _read_csv(path: Path) -> pd.DataFrame:
    """All columns as text, then numbers where every filled cell is one: subject "01" stays "01"."""
    options: dict[str, Any] = {"dtype": str, "encoding": "utf-8-sig", "skipinitialspace": True}
    frame: pd.DataFrame = pd.read_csv(path, keep_default_na=False, **options)
    header = pd.read_csv(path, header=None, nrows=1, **options).iloc[0].dropna()  # pandas renames what is there twice
    if not header.is_unique:
        raise ValueError(f"column {header[header.duplicated()].iloc[0]!r} is named twice")
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("the rows hold more values than the header has columns")
    numeric = {str(name): _as_numbers(frame[name]) for name in frame if name not in (*TEXT_COLUMNS, *BOX_COLUMNS)}
    return frame.assign(**{name: values for name, values in numeric.items() if values is not None})


def _as_numbers(column: "pd.Series[str]") -> Array | None:
    try:
        return np.array([np.nan if text == "" else _number(text) for text in column])
    except ValueError:
        return None


FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _read_csv, ".parquet": pd.read_parquet}


def _choose_targets(frame: pd.DataFrame, targets: Sequence[str] | None, origin: str) -> tuple[str, ...]:
    present = ", ".join(map(str, frame.columns)) or "none"
    if isinstance(targets, str):
        raise TypeError(f"targets is the text {targets!r}; give a sequence of column names, as [{targets!r}]")
    chosen = tuple(targets) if targets is not None else tuple(name for name in ANGLES if name in frame)
    if targets is None and not chosen:
        raise DataError(f"{origin}: none of {', '.join(ANGLES)} is a column; name the targets among: {present}")
    for name in ("path", *chosen):
        if name not in frame:
            if name in FORMER_NAMES:
                raise DataError(f"{origin}: the target {name!r} is named {FORMER_NAMES[name]!r} now; give that name")
            raise DataError(f"{origin}: column {name!r} is absent; the columns there are: {present}")
    reserved = [name for name in chosen if name in (*TEXT_COLUMNS, *BOX_COLUMNS)]
    if reserved:
        raise DataError(f"{origin}: column {reserved[0]!r} has a meaning of its own (text or box); rename the target")
    if len(set(chosen)) < len(chosen) or not frame.columns.is_unique:
        raise DataError(f"{origin}: a column is named twice; targets are {', '.join(chosen)}, columns are: {present}")
    return chosen


def _blank(value: Any) -> bool:
    """Whether a cell is empty; one of a Parquet table may hold a list."""
    return bool(pd.api.types.is_scalar(value) and (pd.isna(value) or value == ""))


def _resolve(paths: list[str], folder: Path | None, origin: str) -> list[str]:
    if "" in paths:
        raise DataError(f"{origin}: row {paths.index('') + 1}, column 'path' is empty; every row names a picture")
    return paths if folder is None else [str(folder / path) for path in paths]


def _portable(picture: Path, folder: Path) -> str:
    absolute = picture.absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def _numbers(column: "pd.Series[str]", origin: str) -> Array:
    """The column as float64; blank cells become NaN."""
    values = np.full(len(column), np.nan)
    for row, value in enumerate(column.astype(object)):
        if _blank(value):
            continue
        try:
            values[row] = _number(value)
        except (TypeError, ValueError):
            where = f"{origin}: row {row + 1}, column {column.name!r}"
            shown = reprlib.repr(value) if pd.api.types.is_scalar(value) else f"a {type(value).__name__}"
            raise DataError(f"{where}: {shown} is not a number; correct it or leave the row out") from None
    return values


def _number(value: Any) -> float:
    """As `float`, which also reads lists of one, and underscores, as in Python's own 1_000: here they are slips."""
    if not pd.api.types.is_scalar(value) or (isinstance(value, str) and "_" in value):
        raise ValueError("not a number")
    return float(value)


def _finite(values: Array, name: str, origin: str) -> Array:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        what = f"row {bad[0] + 1}, column {name!r}: the label is {values[bad[0]]} (or blank)"
        raise DataError(f"{origin}: {what}, in {len(bad)} row(s); correct it or leave the rows out")
    return values


def _check_angles(frame: pd.DataFrame, origin: str) -> None:
    """Refuse angles that are none, also in columns that are not targets, since those may be converted to targets."""
    for name in MIRROR_SIGNS:
        values = pd.to_numeric(frame[name].astype(str), errors="coerce") if name in frame else np.empty(0)
        bad = np.flatnonzero(np.abs(np.asarray(values, dtype=np.float64)) > LARGEST_ANGLE)
        if len(bad):
            where = f"{origin}: row {bad[0] + 1}, column {name!r}"
            limit = f"is no angle in degrees, which are within ±{LARGEST_ANGLE:g}, in {len(bad)} row(s)"
            raise DataError(f"{where}: {frame[name].iloc[bad[0]]} {limit}; correct it, or rename another quantity")


def _boxes(frame: pd.DataFrame, origin: str) -> dict[str, Array]:
    """The four box columns, checked; all NaN where the table has none."""
    present = [name for name in BOX_COLUMNS if name in frame]
    if not present:
        return {name: np.full(len(frame), np.nan) for name in BOX_COLUMNS}
    if len(present) < 4:
        raise DataError(
            f"{origin}: of the box columns only {', '.join(present)} are there; give x0, y0, x1, y1 or none"
        )
    boxes = np.stack([_numbers(frame[name], origin) for name in BOX_COLUMNS], axis=1)  # (N, 4)
    blank = np.isnan(boxes)
    x0, y0, x1, y1 = boxes.T
    faults = [
        (blank.any(axis=1) & ~blank.all(axis=1), "is half filled", "fill x0, y0, x1, y1 or leave all four blank"),
        (np.isinf(boxes).any(axis=1), "is not finite", "give it in pixels"),
        ((x1 <= x0) | (y1 <= y0), "is empty", "it needs x0 < x1 and y0 < y1"),
    ]
    for fault, what, remedy in faults:
        if fault.any():
            row = int(np.flatnonzero(fault)[0])
            box = ", ".join(f"{edge:g}" for edge in boxes[row])
            raise DataError(f"{origin}: row {row + 1}: the box x0, y0, x1, y1 = ({box}) {what}; {remedy}")
    return dict(zip(BOX_COLUMNS, boxes.T, strict=True))
