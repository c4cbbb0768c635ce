"""Reports on data sets: numbers of faces, images and people, poses, and broken files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.columns import BOX_COLUMNS
from deepgllim.data.manifest import Manifest, make_manifest
from deepgllim.data.pictures import decode_pictures
from deepgllim.data.readers import READERS, SURVEYS, Targets, split_source
from deepgllim.data.survey import BrokenFile, Survey, cause_without_path
from deepgllim.errors import ImageError
from deepgllim.geometry.rotations import MIRROR_SIGNS
from deepgllim.imaging.images import checked_face

Array = npt.NDArray[np.float64]
ProgressCallback = Callable[[int, int], object]

BIN_WIDTH = 15.0
"""Width of the bins of the histograms of angles, degrees."""


class AngleHistogram(NamedTuple):
    """Counts of angles in bins of `BIN_WIDTH` that are centred on its multiples and common to all angles.

    Attributes:
        centres: centres of the bins, (B,), degrees, ascending.
        counts: counts of each angle by its name, (B,).
    """

    centres: Array
    counts: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class DataReport:
    """The result of `check_data`.

    Attributes:
        source: "name:path".
        faces: the rows that can be used; there may be none.
        broken: the files that cannot be used, and the images on which a box cannot be used, each with the cause.
        left_out: number of usable faces that the usual protocol of the data set excludes.
        beyond: number of faces whose box extends beyond the image, where crops repeat the pixels of the edge.
        sizes: number of images by (width, height), the most frequent first.
        notes: further information of the reader, such as missing sequences, one line each.
    """

    source: str
    faces: Manifest
    broken: list[BrokenFile]
    left_out: int
    beyond: int
    sizes: dict[tuple[int, int], int]
    notes: Sequence[str] = ()

    @property
    def pictures(self) -> int:
        """The number of different images."""
        return len(set(self.faces.paths))

    @property
    def people(self) -> dict[str, int]:
        """The number of faces of each person, sorted by name, without the faces of unknown people."""
        return _counts(pd.Series([who for who in self.faces.subjects if who is not None], dtype=str))

    @property
    def sequences(self) -> int:
        """The number of different pairs of person and sequence."""
        if "sequence" not in self.faces.frame:
            return 0
        named = self.faces.frame["sequence"].astype(str)
        return len({pair for pair in zip(self.faces.subjects, named, strict=True) if pair[1]})

    @property
    def sources(self) -> dict[str, int]:
        """The number of faces by the column `source`, sorted."""
        frame = self.faces.frame
        return _counts(frame["source"].astype(str)) if "source" in frame else {}


def check_data(
    source: str, targets: Targets = None, *, workers: int | None = None, progress: ProgressCallback | None = None
) -> DataReport:
    """Read a data set, decode all its images, and report what can be used.

    Args:
        source, targets: as for `load_data`.
        workers: number of threads; None for the default of Python.
        progress: called with the number of decoded images and the number of all images.

    Raises:
        DataError: the name is unknown, the folder is another data set, or the table cannot be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 6)).save(f"{folder}/a.png")
        ...     _ = Path(folder, "labels.txt").write_text("a.png 10 -20\\nb.png 0 5\\n")
        ...     report = check_data(f"folder:{folder}")
        >>> len(report.faces), report.sizes, [path.name for path, _ in report.broken]
        (1, {(8, 6): 1}, ['b.png'])
    """
    faces, (_, broken, left_out, notes) = _read(source, targets)
    if len(faces) == 0:
        return DataReport(source, faces, broken, left_out, 0, {}, notes)
    sizes, undecoded = decode_pictures(faces, workers, progress)
    unreadable = [(path, cause_without_path(error, path)) for path, error in undecoded]
    seen = np.array([sizes.get(path, (np.nan, np.nan)) for path in faces.paths])  # (N, 2)
    refused = _refused_boxes(faces, sizes)
    broken = [*broken, *unreadable, *((faces.paths[row], cause) for row, cause in refused.items())]
    usable = ~np.isin(np.arange(len(faces)), list(refused)) & ~np.isnan(seen).any(axis=1)
    kept = Manifest(faces.frame[usable].reset_index(drop=True), faces.targets)
    beyond = int((_beyond(faces.boxes, seen) & usable).sum())
    return DataReport(source, kept, broken, left_out, beyond, _frequent(sizes), notes)


def angle_histogram(faces: Manifest) -> AngleHistogram:
    """Count the angles among the targets in bins that are centred on multiples of `BIN_WIDTH`.

    Example:
        >>> faces = make_manifest(pd.DataFrame({"path": ["a", "b", "c"], "yaw": [-20, 5, 7.4]}))
        >>> centres, counts = angle_histogram(faces)
        >>> centres.tolist(), counts["yaw"].tolist()
        ([-15.0, 0.0], [1, 2])
    """
    names = [name for name in faces.targets if name in MIRROR_SIGNS]
    if not names or len(faces) == 0:
        return AngleHistogram(np.empty(0), {})
    bins = np.floor(faces.frame[names].to_numpy(dtype=np.float64) / BIN_WIDTH + 0.5).astype(np.int64)  # (N, angles)
    first, last = int(bins.min()), int(bins.max())
    counts = {name: np.bincount(bins[:, i] - first, minlength=last - first + 1) for i, name in enumerate(names)}
    return AngleHistogram(np.arange(first, last + 1, dtype=np.float64) * BIN_WIDTH, counts)


def _read(source: str, targets: Targets) -> tuple[Manifest, Survey]:
    """Return the table, which may have no rows, and its survey, which is trivial if the source is a table."""
    name, path = split_source(source)
    if name not in SURVEYS:
        faces = READERS[name](path, targets)
        return faces, Survey(faces.frame, [])
    found = SURVEYS[name](path)
    if len(found.frame) == 0:
        return Manifest(pd.DataFrame(columns=["path", *BOX_COLUMNS]), ()), found
    return make_manifest(found.frame, targets, origin=path), found


def _refused_boxes(faces: Manifest, sizes: dict[Path, tuple[int, int]]) -> dict[int, str]:
    """Return the causes why the boxes of some rows cannot be used, as training would report them."""
    causes: dict[int, str] = {}
    for row, (path, box) in enumerate(zip(faces.paths, faces.boxes, strict=True)):
        if path in sizes and not np.isnan(box).any():
            try:
                checked_face(box, sizes[path])
            except ImageError as error:
                causes[row] = str(error)
    return causes


def _beyond(boxes: Array, sizes: Array) -> npt.NDArray[np.bool_]:
    """Return which boxes extend beyond their image, (N,); boxes of NaN do not."""
    x0, y0, x1, y1 = boxes.T
    width, height = sizes.T
    return np.asarray((x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height))


def _frequent(sizes: dict[Path, tuple[int, int]]) -> dict[tuple[int, int], int]:
    counts = pd.Series(list(sizes.values()), dtype=object).value_counts()
    return {size: int(count) for size, count in counts.items()}  # type: ignore[misc]


def _counts(names: "pd.Series[str]") -> dict[str, int]:
    return {str(name): int(count) for name, count in names[names != ""].value_counts().sort_index().items()}
