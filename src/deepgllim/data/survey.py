"""What a look through a data set's folder finds: the rows that can be used, and the files that cannot."""

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

Row = dict[str, object]
BrokenFile = tuple[Path, str]
Item = TypeVar("Item")
Read = TypeVar("Read")

COPY_AGAIN = "copy the data set again"
"""The remedy for a file that its owners distribute otherwise."""


class Survey(NamedTuple):
    """What is in a folder.

    Attributes:
        frame: a row for each face that can be used, as `make_manifest` takes it.
        broken: the files that cannot be used, each with the cause and the remedy (without its name).
        left_out: how many faces are in order, but not of the data set's usual protocol.
        notes: what else is worth knowing though nothing is wrong, a line each.
    """

    frame: pd.DataFrame
    broken: list[BrokenFile]
    left_out: int = 0
    notes: Sequence[str] = ()


class BrokenFileError(DataError):
    """A file of a data set that cannot be used. `path` is the file, `cause` says why and what to do."""

    def __init__(self, path: str | os.PathLike[str], cause: str) -> None:
        super().__init__(f"{os.fspath(path)}: {cause}")
        self.path, self.cause = Path(path), cause


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse pipes, devices, sockets and folders, which would not end, or are no files.

    Raises:
        BrokenFileError: it is one of them.
    """
    cause = irregular(path)
    if cause is not None:
        raise BrokenFileError(path, cause)


def matching_names(folder: Path, pattern: str) -> list[str]:
    """The names in a folder that match as a whole, sorted; none if there is no such folder.

    Others (previews, a file system's own) are not of the data set.
    """
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in names if re.fullmatch(pattern, name))


def check_size(picture: Path, expected: tuple[int, int], reason: str) -> None:
    """Labels in pixels fit the picture only as it was published. Its header is read, pixels are not decoded.

    Args:
        picture: the file.
        expected: width and height, pixels.
        reason: which size that is, as "rgb.cal says".

    Raises:
        BrokenFileError: the header cannot be read, or another size.
    """
    try:
        width, height = image_size(picture)
    except ImageError as error:
        raise BrokenFileError(picture, cause_without_path(error, picture)) from error
    if (width, height) != expected:
        found = f"the picture has {width} × {height} pixels where {reason} {expected[0]} × {expected[1]}"
        raise BrokenFileError(picture, f"{found}, so that its labels do not fit; {COPY_AGAIN}")


def cause_without_path(error: Exception, path: Path) -> str:
    """The message without the file's name, which a list of broken files has beside it."""
    return str(error).removeprefix(f"{path}: ")


def read_rows(items: Iterable[Item], read: Callable[[Item], Read]) -> tuple[list[Read], list[BrokenFile]]:
    """What `read` makes of the items, rows for example, and the files that it refused with a `BrokenFileError`.

    Example:
        >>> def read(name: str) -> Row:
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
    """The table of a survey.

    Args:
        survey: of `folder`.
        folder: where relative paths start.
        targets: as for `make_manifest`.
        skip_broken: whether to go on without the broken files.

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
        remedy = f"mend them or take them out{', or read the rest with skip_broken=True' if rows else ''}"
        counts = f"{len(broken)} broken file(s) beside {rows} faces in order"
        raise DataError(f"{path}: {cause} ({counts}; `deepgllim data check` lists them: {remedy})")
    if rows == 0:
        raise DataError(f"{folder}: none of its {survey.left_out} faces is of the usual protocol; ask for all of them")
    return make_manifest(survey.frame, targets, folder=folder, origin=str(folder))
