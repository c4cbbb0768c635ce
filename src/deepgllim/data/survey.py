"""Surveys of the folders of data sets: the rows that can be used, and the files that cannot."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from deepgllim.data.manifest import Manifest, make_manifest
from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import image_size
from deepgllim.storage import irregular

ManifestRow = dict[str, object]
BrokenFile = tuple[Path, str]
Item = TypeVar("Item")
Read = TypeVar("Read")

COPY_AGAIN = "copy the data set again"
"""Remedy for a file that differs from the distributed one."""


class Survey(NamedTuple):
    """The content of a folder.

    Attributes:
        frame: one row per usable face, as `make_manifest` takes it.
        broken: the files that cannot be used, each with the cause and the remedy (without its name).
        left_out: number of usable faces that the usual protocol of the data set excludes.
        notes: further information, one line each.
    """

    frame: pd.DataFrame
    broken: list[BrokenFile]
    left_out: int = 0
    notes: Sequence[str] = ()


class BrokenFileError(DataError):
    """A file of a data set cannot be used.

    Attributes:
        path: the file.
        cause: cause and remedy, without the path.
    """

    def __init__(self, path: str | os.PathLike[str], cause: str) -> None:
        super().__init__(f"{os.fspath(path)}: {cause}")
        self.path, self.cause = Path(path), cause


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise an error if a path is a pipe, a device, a socket or a folder.

    Raises:
        BrokenFileError: the path is one of them.
    """
    cause = irregular(path)
    if cause is not None:
        raise BrokenFileError(path, cause)


def matching_names(folder: Path, pattern: str) -> list[str]:
    """Return the names in a folder that match a pattern as a whole, sorted; none if the folder does not exist."""
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if re.fullmatch(pattern, name))


def check_size(picture: Path, expected: tuple[int, int], reason: str) -> None:
    """Check the size of an image, on which labels in pixels depend. Pixels are not decoded.

    Args:
        picture: the file.
        expected: width and height, pixels.
        reason: origin of the expected size, such as "rgb.cal says".

    Raises:
        BrokenFileError: the header cannot be read, or the size is another.
    """
    try:
        width, height = image_size(picture)
    except ImageError as error:
        raise BrokenFileError(picture, cause_without_path(error, picture)) from error
    if (width, height) != expected:
        found = f"the picture has {width} × {height} pixels, but {reason} {expected[0]} × {expected[1]}"
        raise BrokenFileError(picture, f"{found}, so its labels do not fit; {COPY_AGAIN}")


def cause_without_path(error: Exception, path: Path) -> str:
    """Return an error message without the path at its start."""
    return str(error).removeprefix(f"{path}: ")


def read_rows(items: Iterable[Item], read: Callable[[Item], Read]) -> tuple[list[Read], list[BrokenFile]]:
    """Call a function on each item, and collect its results and the files of its `BrokenFileError`s.

    Example:
        >>> def read(name: str) -> ManifestRow:
        ...     if name.endswith(".txt"):
        ...         raise BrokenFileError(Path(name), "is a text")
        ...     return {"path": name}
        >>> read_rows(["a.jpg", "b.txt"], read)
        ([{'path': 'a.jpg'}], [(PosixPath('b.txt'), 'is a text')])
    """
    rows: list[Read] = []
    broken: list[BrokenFile] = []
    for item in items:
        try:
            rows.append(read(item))
        except BrokenFileError as error:
            broken.append((error.path, error.cause))
    return rows, broken


def manifest_from_survey(
    survey: Survey, folder: Path, targets: Sequence[str] | None = None, *, skip_broken: bool = False
) -> Manifest:
    """Return the table of a survey.

    Args:
        survey: the survey of `folder`.
        folder: start of relative paths.
        targets: as for `make_manifest`.
        skip_broken: leave out broken files instead of raising an error.

    Raises:
        DataError: there are broken files and `skip_broken` is false, or no row is left.

    Example:
        >>> frame = pd.DataFrame({"path": ["a.jpg"], "yaw": [3.0]})
        >>> found = Survey(frame, [(Path("b.mat"), "is empty; copy it again")])
        >>> manifest_from_survey(found, Path("."), skip_broken=True).target_values.tolist()
        [[3.0]]
    """
    broken, rows = survey.broken, len(survey.frame)
    if broken and not (skip_broken and rows):
        path, cause = broken[0]
        remedy = f"fix or remove them{', or read the rest with skip_broken=True' if rows else ''}"
        counts = f"{len(broken)} broken file(s), {rows} usable faces"
        raise DataError(f"{path}: {cause} ({counts}; `deepgllim data check` lists them: {remedy})")
    if rows == 0:
        raise DataError(
            f"{folder}: none of its {survey.left_out} faces is within the usual protocol; raise the limit of the angles"
        )
    return make_manifest(survey.frame, targets, folder=folder, origin=str(folder))
