"""What is known of a data set before anything is trained on it: whom it shows, how they look, what is broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.data.manifest import BOX_COLUMNS, Manifest, make_manifest
from deepgllim.data.readers import READERS, SURVEYS, Targets, decode_pictures, split_source
from deepgllim.data.survey import BrokenFile, Survey, cause_without_path
from deepgllim.errors import ImageError
from deepgllim.geometry.rotations import MIRROR_SIGNS
from deepgllim.imaging.images import checked_face

Array = npt.NDArray[np.float64]
Progress = Callable[[int, int], object]

BIN_WIDTH = 15.0
"""Of the histograms of angles, degrees."""


class AngleHistogram(NamedTuple):
    """Counts of angles in bins of `BIN_WIDTH` around its multiples, which several angles share.

    Attributes:
        centres: (B,), degrees, ascending.
        counts: angle's name → (B,).
    """

    centres: Array
    counts: dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found.

    Attributes:
        source: "name:path".
        faces: the rows that can be used; it may have none.
        broken: every file that cannot be used, and pictures whose box cannot be used on them, each with the cause.
        left_out: faces in order that the reader leaves out, as the data set's usual protocol does.
        beyond: faces whose box reaches beyond the picture, which repeats its edge there.
        sizes: pictures by (width, height), the most frequent first.
        notes: what the reader says besides, as which sequences are not there; a line each.
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
        """How many different files the faces are on."""
        return len(set(self.faces.paths))

    @property
    def people(self) -> dict[str, int]:
        """Faces by person, sorted by name; those whose person is not known are not among them."""
        return _counts(pd.Series([who for who in self.faces.subjects if who is not None], dtype=str))

    @property
    def sequences(self) -> int:
        """How many series of pictures there are: different pairs of person and sequence."""
        if "sequence" not in self.faces.frame:
            return 0
        named = self.faces.frame["sequence"].astype(str)
        return len({pair for pair in zip(self.faces.subjects, named, strict=True) if pair[1]})

    @property
    def sources(self) -> dict[str, int]:
        """Faces by the entry of the column `source`, sorted."""
        frame = self.faces.frame
        return _counts(frame["source"].astype(str)) if "source" in frame else {}


def check_data(
    source: str, targets: Targets = None, *, workers: int | None = None, progress: Progress | None = None
) -> DataReport:
    """Read a data set and decode every picture of it.

    Args:
        source: "name:path", as for `load_data`.
        targets: as for `load_data`.
        workers: threads; by default Python's choice.
        progress: is told how many pictures of how many are decoded.

    Raises:
        DataError: an unknown name, a folder of another kind, or a table that its reader refuses.

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
    """The angles among the targets, counted in bins that are centred on multiples of `BIN_WIDTH`.

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
    """The table, maybe without rows, and the survey that it is of; of a table there is nothing to survey."""
    name, path = split_source(source)
    if name not in SURVEYS:
        faces = READERS[name](path, targets)
        return faces, Survey(faces.frame, [])
    found = SURVEYS[name](path)
    if len(found.frame) == 0:
        return Manifest(pd.DataFrame(columns=["path", *BOX_COLUMNS]), ()), found
    return make_manifest(found.frame, targets, origin=path), found


def _refused_boxes(faces: Manifest, sizes: dict[Path, tuple[int, int]]) -> dict[int, str]:
    """Why the boxes of some rows cannot be used on their pictures, as training would refuse them."""
    causes: dict[int, str] = {}
    for row, (path, box) in enumerate(zip(faces.paths, faces.boxes, strict=True)):
        if path in sizes and not np.isnan(box).any():
            try:
                checked_face(box, sizes[path])
            except ImageError as error:
                causes[row] = str(error)
    return causes


def _beyond(boxes: Array, sizes: Array) -> npt.NDArray[np.bool_]:
    """Which boxes reach beyond their picture; NaN does not."""
    x0, y0, x1, y1 = boxes.T
    width, height = sizes.T
    return np.asarray((x0 < 0) | (y0 < 0) | (x1 > width) | (y1 > height))


def _frequent(sizes: dict[Path, tuple[int, int]]) -> dict[tuple[int, int], int]:
    counts = pd.Series(list(sizes.values()), dtype=object).value_counts()
    return {size: int(count) for size, count in counts.items()}  # type: ignore[misc]


def _counts(names: "pd.Series[str]") -> dict[str, int]:
    return {str(name): int(count) for name, count in names[names != ""].value_counts().sort_index().items()}
