"""What a look through a data set's folder finds: the rows that can be used, and the files that cannot."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from deepgllim.data.manifest import Manifest, make_manifest
from deepgllim.errors import DataError

Row = dict[str, object]
Broken = tuple[Path, str]
Item = TypeVar("Item")


class Survey(NamedTuple):
    """What is in a folder.

    Attributes:
        frame: a row for each face that can be used, as `make_manifest` takes it.
        broken: the files that cannot be used, each with the cause and the remedy (without its name).
        left_out: how many faces are in order, but not of the data set's usual protocol.
    """

    frame: pd.DataFrame
    broken: list[Broken]
    left_out: int = 0


class BrokenFileError(DataError):
    """A file of a data set that cannot be used. `path` is the file, `cause` says why and what to do."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path, self.cause = path, cause


def read_rows(items: Iterable[Item], read: Callable[[Item], Row]) -> tuple[list[Row], list[Broken]]:
    """The rows that `read` makes of the items, and the files that it refused with a `BrokenFileError`.

    Example:
        >>> def read(name: str) -> Row:
        ...     if name.endswith(".txt"):
        ...         raise BrokenFileError(Path(name), "is a text")
        ...     return {"path": name}
        >>> read_rows(["a.jpg", "b.txt"], read)
        ([{'path': 'a.jpg'}], [(PosixPath('b.txt'), 'is a text')])
    """
    rows: list[Row] = []
    broken: list[Broken] = []
    for item in items:
        try:
            rows.append(read(item))
        except BrokenFileError as error:
            broken.append((error.path, error.cause))
    return rows, broken


def manifest_of(
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
        >>> manifest_of(found, Path("."), skip_broken=True).target_values.tolist()
        [[3.0]]
    """
    broken, rows = survey.broken, len(survey.frame)
    if broken and not (skip_broken and rows):
        path, cause = broken[0]
        remedy = "mend them or take them out, or read the rest with skip_broken=True"
        counts = f"{len(broken)} broken file(s) beside {rows} faces in order"
        raise DataError(f"{path}: {cause} ({counts}; `deepgllim data check` lists them: {remedy})")
    if rows == 0:
        raise DataError(f"{folder}: none of its {survey.left_out} faces is of the usual protocol; ask for all of them")
    return make_manifest(survey.frame, targets, folder=folder, origin=str(folder))
