"""The settings: a detector with its options, and a transformation of the pictures."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from PIL import Image, ImageOps

from deepgllim.imaging import Box
from deepgllim.pose.detection import (
    BOX_MAPS,
    BoxMap,
    Face,
    blazeface,
    centerface,
    non_maximum_suppression,
)
from deepgllim.pose.detection.faces import BLAZEFACE_SCALES
from deepgllim.pose.detection.search import Scales, Search

LEAST_SCORE = 0.2
"""Minimum score of the faces that are recorded; metrics use higher thresholds."""

THRESHOLDS = {"blazeface": 0.5, "centerface": 0.3}
"""Default thresholds of the detectors, by the first word of a name in `DETECTORS`."""

Detect = Callable[[Image.Image], list[Face]]
View = Callable[[Image.Image, Box], tuple[Image.Image, Box]]
"""Function of a picture and its annotated box that returns another picture and the box in it."""


def center_face(longest_side: int = 640) -> Search:
    """Return CenterFace with a low threshold and one thread."""
    network = centerface.load_network(centerface.weights_file(), threads=1)
    find = partial(centerface.run_network, network, threshold=LEAST_SCORE)
    return Search(find, BOX_MAPS["centerface"]["pointing04"], LEAST_SCORE, longest_side)


def blaze_face(
    longest_side: int = 384,
    boxes: BoxMap = BOX_MAPS["blazeface"]["pointing04"],
    scales: Scales = BLAZEFACE_SCALES,
    merges: bool = True,
) -> Search:
    """Return BlazeFace with a low threshold and one thread."""
    find = partial(blazeface.run_network, blazeface.load_network(threads=1), threshold=LEAST_SCORE)
    return Search(find, boxes, LEAST_SCORE, longest_side, scales, merges)


class Mirrored:
    """A detector that also searches the mirrored picture."""

    def __init__(self, detect: Detect) -> None:
        self.detect = detect

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces of both pictures without duplicates."""
        mirrored = [
            Face((image.width - x1, y0, image.width - x0, y1), score)
            for (x0, y0, x1, y1), score in self.detect(ImageOps.mirror(image))
        ]
        found = [*self.detect(image), *mirrored]
        chosen = non_maximum_suppression([face.box for face in found], [face.score for face in found])
        return [found[index] for index in chosen]


DETECTORS: dict[str, Callable[[], Detect]] = {
    "blazeface": blaze_face,
    "blazeface, 640 pixels": partial(blaze_face, longest_side=640),
    "blazeface, 256 pixels": partial(blaze_face, longest_side=256),
    "blazeface, one look": partial(blaze_face, scales=Scales(largest_face=384, ratio=3)),
    "blazeface, ratio 2": partial(blaze_face, scales=Scales(largest_face=48, ratio=2, least=48)),
    "blazeface, best candidate": partial(blaze_face, merges=False),
    "blazeface, mirrored too": lambda: Mirrored(blaze_face()),
    "blazeface, without landmarks": partial(blaze_face, boxes=BoxMap(side=0.836, pull=0.0, down=0.0)),
    "centerface": center_face,
    "centerface, 320 pixels": partial(center_face, longest_side=320),
}
"""Detectors by their name in the table."""


def scaled(image: Image.Image, box: Box, scale: float) -> tuple[Image.Image, Box]:
    """Return the picture and the box, scaled."""
    width, height = (max(1, round(extent * scale)) for extent in image.size)
    x, y = width / image.width, height / image.height
    seen = image.resize((width, height), Image.Resampling.BICUBIC)
    return seen, (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def shrunken(image: Image.Image, box: Box, side: float) -> tuple[Image.Image, Box]:
    """Return the picture scaled to a face of the given side, pixels."""
    return scaled(image, box, side / max(box[2] - box[0], box[3] - box[1]))


def close_up(image: Image.Image, box: Box, margin: float) -> tuple[Image.Image, Box]:
    """Return the crop of box × margin within the picture, scaled to a longer side of 640 pixels."""
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, margin * max(box[2] - box[0], box[3] - box[1]) / 2
    left, top = max(0, round(x - half)), max(0, round(y - half))
    part = image.crop((left, top, min(image.width, round(x + half)), min(image.height, round(y + half))))
    moved = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    return scaled(part, moved, 640 / max(part.size))


VIEWS: dict[str, View] = {
    "as they are": lambda image, box: (image, box),
    "grey": lambda image, box: (image.convert("L"), box),
    "faces of 24 pixels": partial(shrunken, side=24.0),
    "faces of 16 pixels": partial(shrunken, side=16.0),
    "faces of 12 pixels": partial(shrunken, side=12.0),
    "close-ups": partial(close_up, margin=1.2),
}
"""Transformations of the pictures by name."""


class Setting(NamedTuple):
    """One row of the table: names in `DETECTORS` and `VIEWS`, and the step between the pictures that are used."""

    detector: str
    pictures: str = "as they are"
    every: int = 1

    @property
    def threshold(self) -> float:
        """Minimum score of a face: the default of the detector."""
        return THRESHOLDS[self.detector.partition(",")[0]]


def settings(quick: bool) -> Sequence[Setting]:
    """Return all settings: both detectors on all pictures, options on every ninth or fewer."""
    if quick:
        few = [
            ("blazeface", "as they are"),
            ("blazeface", "close-ups"),
            ("blazeface, mirrored too", "faces of 24 pixels"),
        ]
        return [Setting(*names, every=500) for names in few]
    both = ("blazeface", "centerface")
    whole = [Setting(name) for name in both]
    options = [Setting(name, every=9) for name in DETECTORS if name not in both]
    grey = [Setting(name, "grey", 9) for name in both]
    small = [Setting(name, view, 9) for name in both for view in VIEWS if view.startswith("faces")]
    large = [Setting(name, "close-ups", 27) for name in (*both, "blazeface, one look")]
    return [*whole, *options, *grey, *small, *large]
