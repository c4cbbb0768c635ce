"""What the model in the package accepts as known faces: rendered heads, and neither mosaics nor textures."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from deepgllim import HeadPose
from tests.pose.conftest import Rendered


def accepted(pictures: list[Image.Image]) -> float:
    """The share of whole pictures that count as known faces."""
    heads = HeadPose(detector=None, threads=1)
    poses = [heads.predict(picture, boxes=[(0, 0, *picture.size)])[0] for picture in pictures]
    return float(np.mean([bool(pose.in_distribution) for pose in poses]))


def mosaic(side: int, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize("side", [2, 4, 8, 16, 32])
@pytest.mark.parametrize("blocks", [False, True])
def test_mosaics_are_not_known_faces(side: int, blocks: bool) -> None:
    rng = np.random.default_rng(side)
    pictures = [mosaic(side, rng) for _ in range(25)]
    if blocks:
        pictures = [picture.resize((200, 200), Image.Resampling.NEAREST) for picture in pictures]
    assert accepted(pictures) <= 0.04


def test_textures_are_not_known_faces() -> None:
    rng = np.random.default_rng(5)
    found = []
    for grain in (1.0, 2.0, 4.0, 8.0) * 6:
        values = np.stack([gaussian_filter(rng.normal(size=(120, 120)), grain) for _ in range(3)], 2)
        found.append(Image.fromarray((values / values.std() * 50 + 128).clip(0, 255).astype(np.uint8)))
    assert accepted(found) <= 0.05


def test_rendered_faces_are_known(rendered: list[Rendered]) -> None:
    heads = HeadPose(detector=None, threads=1)
    verdicts = [heads.predict(face.image, boxes=[face.box])[0].in_distribution for face in rendered]
    assert np.mean([bool(verdict) for verdict in verdicts]) >= 0.8
