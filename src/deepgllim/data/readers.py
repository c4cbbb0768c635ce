"""Readers of data sets by name, such as "pointing04:DIR" or "manifest:FILE"."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from deepgllim.data.biwi import read_biwi, survey_biwi
from deepgllim.data.landmarked import read_300w_lp, read_aflw2000, survey_300w_lp, survey_aflw2000
from deepgllim.data.manifest import Manifest, make_manifest, read_manifest
from deepgllim.data.pointing04 import read_pointing04, survey_pointing04
from deepgllim.data.survey import (
    Survey,
)
from deepgllim.errors import DataError
from deepgllim.geometry.rotations import ANGLES
from deepgllim.storage import irregular

Targets = Sequence[str] | None

FOLDER_FILES = ("manifest.csv", "manifest.parquet", "labels.csv", "labels.txt")


def load_data(source: str, targets: Targets = None) -> Manifest:
    """Read a data set given as "name:path".

    Args:
        source: "pointing04:DIR", "pointing04-head:DIR" (with the tilt of the head for each label), "biwi:DIR",
            "300w-lp:DIR" or "aflw2000:DIR" (data sets as they are distributed; their readers have more options),
            "manifest:FILE" (CSV or Parquet), "folder:DIR" (a folder with one table in it) or "text:FILE" (lines
            `image.jpg y1 y2 … yL`).
        targets: names of the targets; None for those of pitch, yaw and roll that the source has, or else for those of
            tilt, pan and neck_roll.

    Raises:
        DataError: the name is unknown, or the reader raises an error.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "labels.txt"
        ...     _ = file.write_text("a.jpg 10 -20 5\\n")
        ...     load_data(f"text:{file}").targets
        ('pitch', 'yaw', 'roll')
    """
    name, path = split_source(source)
    return READERS[name](path, targets)


def split_source(source: str) -> tuple[str, str]:
    """Return the name and the path of "name:path".

    Raises:
        DataError: the name is unknown, or there is no path.

    Example:
        >>> split_source("folder:data/faces")
        ('folder', 'data/faces')
    """
    name, colon, path = source.partition(":")
    if name not in READERS or not colon or not path:
        known = ", ".join(f"{reader}:PATH" for reader in READERS)
        folder = source if not colon and Path(source).is_dir() else "my_faces"
        raise DataError(
            f"unknown data source {source!r}; the known ones are {known}; for a folder with a table: folder:{folder}"
        )
    return name, path


def read_folder(folder: str | os.PathLike[str], targets: Targets = None) -> Manifest:
    """Read a folder that contains one of manifest.csv, manifest.parquet, labels.csv, labels.txt.

    Raises:
        DataError: it contains none or several of these, or the table cannot be read.
    """
    root = Path(folder)
    found = [root / name for name in FOLDER_FILES if (root / name).is_file()]
    if not found:
        raise DataError(f"{root}: contains none of {', '.join(FOLDER_FILES)}; add one, or use manifest:FILE")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{root}: contains several tables ({names}); choose one with manifest:FILE or text:FILE")
    return (read_text if found[0].suffix == ".txt" else read_manifest)(found[0], targets)


def read_text(path: str | os.PathLike[str], targets: Targets = None) -> Manifest:
    """Read lines `image.jpg y1 y2 … yL`, the format of the authors of the paper.

    Args:
        path: the text file, UTF-8. Images are in its folder, names have no spaces, blank lines are skipped.
        targets: L names; None for pitch, yaw if L = 2, pitch, yaw, roll if L = 3, otherwise target1, …, targetL.

    Raises:
        DataError: the file is missing or empty, lines have different lengths, a label is not a finite number, or the
            number of names is not L.
    """
    path = Path(path)
    if (cause := irregular(path)) is not None:
        raise DataError(f"{path}: {cause}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error}); check the path") from error
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise DataError(f"{path}: the file is empty; it needs one line `image.jpg y1 y2 … yL` per face")
    length = len(rows[0][1]) - 1
    for number, words in rows:
        if len(words) != length + 1 or length == 0:
            found = f"line {number} has {len(words)} words, but the first has {length + 1}"
            raise DataError(f"{path}: {found}; expected `image.jpg y1 … yL`, without spaces in names")
    names = _text_names(length, targets, path)
    frame = pd.DataFrame([words for _, words in rows], columns=["path", *names])
    return make_manifest(frame.assign(source="text"), names, folder=path.parent, origin=str(path))


def _text_names(length: int, targets: Targets, path: Path) -> tuple[str, ...]:
    if targets is None:
        return ANGLES[:length] if length in (2, 3) else tuple(f"target{i + 1}" for i in range(length))
    if len(targets) != length:
        raise DataError(
            f"{path}: its lines have {length} labels, but {len(targets)} targets are named ({', '.join(targets)})"
        )
    return tuple(targets)


READERS: dict[str, Callable[[str, Targets], Manifest]] = {
    "pointing04": read_pointing04,
    "pointing04-head": partial(read_pointing04, labels="head"),
    "biwi": read_biwi,
    "300w-lp": read_300w_lp,
    "aflw2000": read_aflw2000,
    "manifest": read_manifest,
    "folder": read_folder,
    "text": read_text,
}
"""Readers by the name of the source of `load_data`."""

SURVEYS: dict[str, Callable[[str], Survey]] = {
    "pointing04": survey_pointing04,
    "biwi": survey_biwi,
    "300w-lp": survey_300w_lp,
    "aflw2000": survey_aflw2000,
}
"""Surveys of the data sets with many files; they do not stop at the first broken file."""
