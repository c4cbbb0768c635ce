"""The search for faces at several scales of an image, with non-maximum suppression and conversion of the boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from deepgllim.imaging.conversion import Pixels, to_rgb
from deepgllim.imaging.images import Box
from deepgllim.pose.detection.boxes import Array, BoxMap, Candidates, merge_overlapping, non_maximum_suppression


class Face(NamedTuple):
    """A detected face.

    Attributes:
        box: (x0, y0, x1, y1), pixels of the image, square; it may extend beyond the image.
        score: confidence of the detector, in [0, 1]; not a probability, and not comparable between detectors.
    """

    box: Box
    score: float


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
        find_all: `find` for several pixel arrays; with None, one is searched after another.
    """

    find: Callable[[Pixels], Candidates]
    boxes: BoxMap
    threshold: float
    longest_side: int
    scales: Scales = CENTERFACE_SCALES
    merges: bool = False
    find_all: Callable[[Sequence[Pixels]], list[Candidates]] | None = None

    def __call__(self, image: Image.Image) -> list[Face]:
        """Return the faces that overlap the image, in the order of decreasing scores."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """Return the faces of each image."""
        pictures = [to_rgb(image) for image in images]
        found = iter(self._candidates([picture for picture in pictures if min(picture.size)]))
        return [self._faces(next(found), picture.size) if min(picture.size) else [] for picture in pictures]

    def candidates(self, picture: Image.Image) -> Candidates:
        """Return one candidate for each face, in pixels of an RGB image that is not empty, by decreasing scores."""
        return self._candidates([picture])[0]

    def _candidates(self, pictures: Sequence[Image.Image]) -> list[Candidates]:
        views = [
            (number, scale_picture(picture, side))
            for number, picture in enumerate(pictures)
            for side in self.scales.sides(min(max(picture.size), self.longest_side))
        ]
        pixels = [view for _, view in views]
        seen = [self.find(view) for view in pixels] if self.find_all is None else self.find_all(pixels)
        scales: list[list[Candidates]] = [[] for _ in pictures]
        for (number, view), found in zip(views, seen, strict=True):
            scales[number].append(in_pixels_of(pictures[number], found, view))
        return [self._best(parts) for parts in scales]

    def _best(self, scales: Sequence[Candidates]) -> Candidates:
        found = Candidates(*(np.concatenate(parts) for parts in zip(*scales, strict=True)))
        kept = non_maximum_suppression(found.boxes, found.scores)
        kept = kept[found.scores[kept] >= self.threshold]
        return merge_overlapping(found, kept) if self.merges else Candidates(*(part[kept] for part in found))

    def _faces(self, found: Candidates, size: tuple[int, int]) -> list[Face]:
        alone = non_maximum_suppression(self.boxes(found), found.scores)  # again, as the map can move boxes together
        found = Candidates(*(part[alone] for part in found))
        ours = self.boxes(found)
        on_picture = (ours[:, 2:] > 0).all(axis=1) & (ours[:, :2] < size).all(axis=1)
        large = (ours[:, 2:] - ours[:, :2] >= 1).all(axis=1)  # a crop has at least one pixel
        kept = on_picture & large
        return [Face(_as_box(row), float(score)) for row, score in zip(ours[kept], found.scores[kept], strict=True)]


def detect_at_scale(find: Callable[[Pixels], Candidates], picture: Image.Image, side: int) -> Candidates:
    """Return candidates, in pixels of an RGB image, that are found when its longer side is scaled to `side`."""
    pixels = scale_picture(picture, side)
    return in_pixels_of(picture, find(pixels), pixels)


def scale_picture(picture: Image.Image, side: int) -> Pixels:
    """Return the pixels of an RGB image, (H, W, 3), after its longer side is scaled to `side`."""
    scale = side / max(picture.size)
    width, height = (max(1, round(extent * scale)) for extent in picture.size)
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0))


def in_pixels_of(picture: Image.Image, found: Candidates, scaled: Pixels) -> Candidates:
    """Return candidates in pixels of an image, from those in pixels of its scaled copy."""
    height, width = scaled.shape[:2]
    factors = np.array([picture.width / width, picture.height / height])
    return Candidates(found.boxes * np.tile(factors, 2), found.landmarks * factors, found.scores)


def _as_box(row: Array) -> Box:
    x0, y0, x1, y1 = row.tolist()
    return x0, y0, x1, y1
