"""Checks of the pictures of a table: decoding them all, and leaving out those that cannot be read."""

import csv
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from deepgllim.data.manifest import Manifest
from deepgllim.errors import DataError, ImageError
from deepgllim.imaging.images import open_image
from deepgllim.storage import write_atomically


def check_images(manifest: Manifest, workers: int | None = None) -> list[tuple[Path, str]]:
    """Decode all images of a table in threads, and return those that cannot be read, each with the cause.

    Args:
        manifest: the table; an image of several rows is read once.
        workers: number of threads; None for the default of Python.

    Example:
        >>> import pandas as pd
        >>> from deepgllim.data import make_manifest
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
