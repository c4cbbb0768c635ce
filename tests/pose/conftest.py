"""Fixtures: rendered heads of the bundled miniature set, 80 × 80 pixels, with their boxes."""

import csv
import io
import zipfile
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deepgllim.imaging.images import Box
from deepgllim.synthetic import bundled_miniature

FOUND = (10, 40, 120, 160, 180, 210, 260, 270)
"""Images of heads that look towards the camera."""


class Rendered(NamedTuple):
    """An image and the box of its face."""

    image: Image.Image
    box: Box


@pytest.fixture(scope="session")
def rendered() -> list[Rendered]:
    """Return some images of the miniature set."""
    with zipfile.ZipFile(bundled_miniature()) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        chosen = [rows[number] for number in FOUND]
        pictures = [Image.open(io.BytesIO(archive.read(row["path"]))).convert("RGB") for row in chosen]
    boxes = [(float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"])) for row in chosen]
    return [Rendered(*each) for each in zip(pictures, boxes, strict=True)]


@pytest.fixture(scope="session")
def head(rendered: list[Rendered]) -> npt.NDArray[np.uint8]:
    """Return pixels, (80, 80, 3), RGB."""
    return np.array(rendered[0].image)
