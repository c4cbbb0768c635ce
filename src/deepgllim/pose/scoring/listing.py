"""Files below a folder, local or in an object store."""

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepgllim.errors import DataError
from deepgllim.pose.scoring.locations import Location, first_line

Listed = tuple[str, dict[str, Any]]


def list_files(place: Location, excluded: Path | None = None) -> Iterator[Listed]:
    """Yield the files below a folder in the order of their names: relative path and properties.

    Hidden files, and local links to folders, are skipped. A local folder that cannot be read is yielded with the
    property `problem`.

    Args:
        place: the folder.
        excluded: a local folder that is not searched.

    Raises:
        DataError: the folder of an object store cannot be listed.
    """
    if place.store == "file":
        yield from _walk(place, excluded)
        return
    try:
        found = place.files.find(place.path, detail=True)
    except Exception as error:  # file systems raise classes of their own
        raise DataError(f"{place.url}: cannot be listed ({first_line(error)}): check its permissions") from error
    for path in sorted(found):
        name = path.removeprefix(place.path).lstrip("/")
        if not any(part.startswith(".") for part in name.split("/")):
            yield name, found[path]


def _walk(place: Location, excluded: Path | None) -> Iterator[Listed]:
    closed: list[OSError] = []
    skipped = None if excluded is None else os.path.realpath(excluded)
    for folder, folders, names in os.walk(place.path, onerror=closed.append):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) != skipped  # noqa: PTH118
        )
        for name in sorted(names):
            path = os.path.join(folder, name)  # noqa: PTH118 - fsspec takes texts
            if not name.startswith("."):
                yield posixpath.relpath(path, place.path), local_properties(path)
    for error in closed:
        name = posixpath.relpath(str(error.filename), place.path).replace("..", "")
        yield name, {"problem": f"the folder cannot be read ({error.strerror}); check its permissions"}


def local_properties(path: str) -> dict[str, Any]:
    """Return the type, size and time of a local file; its type alone if it cannot be read."""
    try:
        found = Path(path).stat()
    except OSError:  # reported when the file is opened
        return {"type": "file"}
    return {"type": "file", "size": found.st_size, "mtime": found.st_mtime_ns}
