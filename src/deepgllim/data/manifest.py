"""Manifests: tables with one row per face, which holds the image, the box, the labels and the subject."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.columns import (
    BOX_COLUMNS,
    TEXT_COLUMNS,
    Array,
    check_angles,
    choose_targets,
    is_blank,
    read_boxes,
    read_labels,
    to_number,
)
from deepgllim.errors import DataError
from deepgllim.geometry.names import present_names
from deepgllim.storage import irregular, write_atomically


@dataclass(frozen=True)
class Manifest:
    """A checked table of faces, returned by `read_manifest`, `load_data` and `make_manifest`.

    Args:
        frame: the columns `path`, `x0`, `y0`, `x1`, `y1` (NaN in all four if the box is the whole image) and the
            targets, optionally `subject`, `sequence` and `source` (text), and any others.
        targets: names of the L target columns, in the order of `target_values`.

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
        """The paths of the N images."""
        return [Path(path) for path in self.frame["path"]]

    @property
    def boxes(self) -> Array:
        """The boxes, (N, 4): x0, y0, x1, y1 in pixels; NaN if the box is the whole image."""
        return self.frame[list(BOX_COLUMNS)].to_numpy(dtype=np.float64)

    @property
    def target_values(self) -> Array:
        """The labels, (N, L), in the order of `targets`; angles in degrees."""
        return self.frame[list(self.targets)].to_numpy(dtype=np.float64)

    @property
    def subjects(self) -> npt.NDArray[np.object_]:
        """The subjects as text, (N,); None if unknown."""
        if "subject" not in self.frame:
            return np.full(len(self), None, dtype=object)
        return np.array([None if is_blank(who) else str(who) for who in self.frame["subject"]], dtype=object)

    def subset(self, rows: npt.ArrayLike) -> "Manifest":
        """Return some of the rows.

        Args:
            rows: a boolean mask (N,), or integer indices in the order of the result.

        Raises:
            DataError: no row is selected.
            IndexError: an index is out of range, or the mask has another length.

        Example:
            >>> manifest = make_manifest(pd.DataFrame({"path": ["a.jpg", "b.jpg"], "yaw": [3, 4]}))
            >>> manifest.subset([1]).target_values.tolist()
            [[4.0]]
        """
        chosen = np.arange(len(self))[np.asarray(rows)] if np.size(rows) else []
        if len(chosen) == 0:
            raise DataError(f"none of the {len(self)} rows is selected; a manifest needs at least one")
        return Manifest(self.frame.iloc[chosen].reset_index(drop=True), self.targets)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table atomically as CSV or Parquet, by the suffix. `read_manifest` reads it.

        The paths of images in the folder of the file or below it are written relative to the folder, so that the
        folder can be moved.

        Raises:
            DataError: the suffix is unknown, or the file cannot be written.
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
        path: the file. Relative paths of images start from its folder.
        targets: names of the target columns; None for those of pitch, yaw and roll that the table has, or
            else of tilt, pan and neck_roll.

    Raises:
        DataError: the file cannot be read, the table is empty, a column is missing, a label is not a finite number,
            an angle is beyond ±360, or a box is partly blank or empty. The message has the file, row, column, value
            and remedy; the first row after the header is row 1.

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
    """Check a DataFrame and return it as a manifest.

    Args:
        frame: at least the column `path` and the targets; numbers may be text.
        targets: as for `read_manifest`. An empty sequence gives a manifest without labels.
        folder: start of relative paths; with None they are not changed.
        origin: name of the table in error messages.

    Raises:
        DataError: as `read_manifest`.

    Example:
        >>> make_manifest(pd.DataFrame({"path": ["a.jpg"], "age": ["31"]}), targets=["age"]).boxes.tolist()
        [[nan, nan, nan, nan]]
    """
    frame = frame.reset_index(drop=True)
    frame.columns = pd.Index(present_names(frame.columns))
    chosen = choose_targets(frame, targets, origin)
    if len(frame) == 0:
        raise DataError(f"{origin}: the table is empty; it needs one row per face")
    names = [name for name in TEXT_COLUMNS if name in frame]
    texts = {name: ["" if is_blank(value) else str(value) for value in frame[name]] for name in names}
    texts["path"] = _resolve(texts["path"], None if folder is None else Path(folder).resolve(), origin)
    labels = {name: read_labels(frame[name], origin) for name in chosen}
    check_angles(frame, origin)
    return Manifest(frame.assign(**texts, **labels, **read_boxes(frame, origin)), chosen)


def _read_csv(path: Path) -> pd.DataFrame:
    """Read all columns as text, and convert those whose filled cells are all numbers; subject "01" stays "01"."""
    options: dict[str, Any] = {"dtype": str, "encoding": "utf-8-sig", "skipinitialspace": True}
    frame: pd.DataFrame = pd.read_csv(path, keep_default_na=False, **options)
    header = pd.read_csv(path, header=None, nrows=1, **options).iloc[0].dropna()  # pandas renames repeated columns
    if not header.is_unique:
        raise ValueError(f"column {header[header.duplicated()].iloc[0]!r} is named twice")
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("the rows hold more values than the header has columns")
    numeric = {str(name): _as_numbers(frame[name]) for name in frame if name not in (*TEXT_COLUMNS, *BOX_COLUMNS)}
    return frame.assign(**{name: values for name, values in numeric.items() if values is not None})


def _as_numbers(column: "pd.Series[str]") -> Array | None:
    try:
        return np.array([np.nan if text == "" else to_number(text) for text in column])
    except ValueError:
        return None


FORMATS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _read_csv, ".parquet": pd.read_parquet}


def _resolve(paths: list[str], folder: Path | None, origin: str) -> list[str]:
    if "" in paths:
        raise DataError(f"{origin}: row {paths.index('') + 1}, column 'path' is empty; each row needs a picture")
    return paths if folder is None else [str(folder / path) for path in paths]


def _portable(picture: Path, folder: Path) -> str:
    absolute = picture.absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)
