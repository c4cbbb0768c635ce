"""Readers of data sets by name, such as "pointing04:DIR" or "manifest:FILE", and checks of the images."""

import csv
import math
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from deepgllim.data.biwi import read_biwi, survey_biwi
from deepgllim.data.landmarked import read_300w_lp, read_aflw2000, survey_300w_lp, survey_aflw2000
from deepgllim.data.manifest import Manifest, make_manifest, read_manifest
from deepgllim.data.survey import (
    COPY_AGAIN,
    BrokenFileError,
    ManifestRow,
    Survey,
    check_regular,
    manifest_from_survey,
    read_rows,
)
from deepgllim.errors import DataError, ImageError
from deepgllim.geometry.rotations import ANGLES
from deepgllim.imaging.images import open_image
from deepgllim.storage import irregular, write_atomically

Targets = Sequence[str] | None

FOLDER_FILES = ("manifest.csv", "manifest.parquet", "labels.csv", "labels.txt")

_POINTING04_NAME = re.compile(r"person(\d\d)([12])\d\d([+-]\d{1,2})([+-]\d{1,2})\.jpg", re.IGNORECASE)


def load_data(source: str, targets: Targets = None) -> Manifest:
    """Read a data set given as "name:path".

    Args:
        source: "pointing04:DIR", "biwi:DIR", "300w-lp:DIR" or "aflw2000:DIR" (data sets as they are distributed; their
            readers have more options), "manifest:FILE" (CSV or Parquet), "folder:DIR" (a folder with one table in it)
            or "text:FILE" (lines `image.jpg y1 y2 … yL`).
        targets: names of the targets; None for those of pitch, yaw and roll that the source has.

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
        raise DataError(f"unknown data source {source!r}; the known ones are {known}")
    return name, path


def read_pointing04(folder: str | os.PathLike[str], targets: Targets = None, *, skip_broken: bool = False) -> Manifest:
    """Read Pointing'04: pitch = tilt and yaw = pan, in degrees, without roll.

    Subjects are "01" to "15", sequences "1" and "2". The columns `tilt` and `pan` have the published labels. The boxes
    are those of the `.txt` file of each image.

    Args:
        folder: the folder of `Person01`, …, `Person15`.
        targets: some of pitch, yaw, tilt, pan; None for pitch and yaw.
        skip_broken: leave out files that cannot be used instead of raising an error.

    Raises:
        DataError: there are no such folders or images, the name of an image is not one of the data set, an image has
            no `.txt` file or the reverse, or a `.txt` file has no box.
    """
    return manifest_from_survey(survey_pointing04(folder), Path(folder), targets, skip_broken=skip_broken)


def survey_pointing04(folder: str | os.PathLike[str]) -> Survey:
    """Return the survey of a folder of Pointing'04.

    Raises:
        DataError: the folder is not Pointing'04.
    """
    root = Path(folder)
    persons = sorted(place for place in root.glob("Person[0-9][0-9]") if place.is_dir())
    pictures = [path for place in persons for path in sorted(place.glob("person*.jpg")) if not _repeated(path)]
    if not pictures:
        expected = "folders Person01 … Person15 of pictures such as person01146+0+0.jpg"
        raise DataError(f"{root}: not a Pointing'04 folder; expected {expected}")
    sidecars = (path for place in persons for path in sorted(place.glob("person*.txt")) if not _repeated(path))
    alone = [path for path in sidecars if not path.with_suffix(".jpg").exists()]
    lost = [(path, f"its picture {path.stem}.jpg is missing; {COPY_AGAIN}") for path in alone]
    rows, broken = read_rows(pictures, _pointing04_row)
    return Survey(pd.DataFrame(rows), lost + broken)


def _repeated(path: Path) -> bool:
    """Return whether a file is one of the frontal images that the data set has twice, `personne…`."""
    return path.name.lower().startswith("personne")


def _pointing04_row(picture: Path) -> ManifestRow:
    match = _POINTING04_NAME.fullmatch(picture.name)
    if match is None:
        cause = "not a name of Pointing'04, such as person01146+0+0.jpg; remove it from the folder"
        raise BrokenFileError(picture, cause)
    tilt, pan = float(match[3]), float(match[4])
    row: ManifestRow = {
        "path": str(picture.absolute()),
        "subject": match[1],
        "sequence": match[2],
        "source": "pointing04",
    }
    return row | _pointing04_box(picture.with_suffix(".txt")) | {"pitch": tilt, "yaw": pan, "tilt": tilt, "pan": pan}


def _pointing04_box(sidecar: Path) -> ManifestRow:
    """Read the box of a sidecar: lines of file name, blank, "Face", centre x, centre y, width, height."""
    check_regular(sidecar)
    try:
        lines = sidecar.read_text(encoding="utf-8").split()
        x, y, width, height = (float(number) for number in lines[lines.index("Face") + 1 :])
    except OSError as error:
        cause = f"the box of the face cannot be read ({error.strerror}); {COPY_AGAIN}"
        raise BrokenFileError(sidecar, cause) from error
    except ValueError as error:
        expected = "lines of the file name, a blank, Face, centre x, centre y, width, height"
        raise BrokenFileError(sidecar, f"it has no box ({error}); expected {expected}") from error
    if not (0 < width < math.inf and 0 < height < math.inf):
        cause = f"the box of {width:g} × {height:g} pixels is empty or infinite; {COPY_AGAIN}"
        raise BrokenFileError(sidecar, cause)
    return {"x0": x - width / 2, "y0": y - height / 2, "x1": x + width / 2, "y1": y + height / 2}


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


def check_images(manifest: Manifest, workers: int | None = None) -> list[tuple[Path, str]]:
    """Decode all images of a table in threads, and return those that cannot be read, each with the cause.

    Args:
        manifest: the table; an image of several rows is read once.
        workers: number of threads; None for the default of Python.

    Example:
        >>> absent = make_manifest(pd.DataFrame({"path": ["no/such.jpg"], "yaw": [0]}))
        >>> check_images(absent)
        [(PosixPath('no/such.jpg'), 'no/such.jpg: the picture does not exist; check the path')]
    """
    _, broken = decode_pictures(manifest, workers)
    return [(path, str(error)) for path, error in broken]


def decode_pictures(
    manifest: Manifest, workers: int | None = None, progress: Callable[[int, int], object] | None = None
) -> tuple[dict[Path, tuple[int, int]], list[tuple[Path, ImageError]]]:
    """Decode all images of a table in threads.

    Args:
        manifest, workers: as for `check_images`.
        progress: called with the number of decoded images and the number of all images.

    Returns:
        Width and height of each image that can be decoded, and the others with their errors, in the order of the table.
    """
    paths = list(dict.fromkeys(manifest.paths))
    sizes: dict[Path, tuple[int, int]] = {}
    broken: list[tuple[Path, ImageError]] = []
    with ThreadPoolExecutor(workers) as pool:
        for done, (path, found) in enumerate(zip(paths, pool.map(_decoded, paths), strict=True), start=1):
            if isinstance(found, ImageError):
                broken.append((path, found))
            else:
                sizes[path] = found
            if progress is not None:
                progress(done, len(paths))
    return sizes, broken


def _decoded(path: Path) -> tuple[int, int] | ImageError:
    try:
        return open_image(path).size
    except ImageError as error:
        return error


def drop_unreadable(manifest: Manifest, report: Sequence[tuple[Path, str]]) -> Manifest:
    """Return the rows whose image is not in `report`, the list that `check_images` returns.

    Raises:
        DataError: no image can be read.
    """
    bad = {path for path, _ in report}
    kept = np.array([path not in bad for path in manifest.paths])
    if not kept.any():
        raise DataError(f"none of the {len(manifest)} pictures can be read; the first: {report[0][1]}")
    return manifest.subset(kept)


def write_report(report: Sequence[tuple[Path, str]], path: str | os.PathLike[str]) -> None:
    """Write the list that `check_images` returns as CSV with the columns path, cause.

    Raises:
        DataError: the file cannot be written.
    """
    write_atomically(path, partial(_write_rows, [("path", "cause"), *report]))


def _write_rows(rows: Sequence[tuple[Path | str, str]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


READERS: dict[str, Callable[[str, Targets], Manifest]] = {
    "pointing04": read_pointing04,
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
