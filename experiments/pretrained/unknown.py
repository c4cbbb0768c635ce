"""Pictures without a face to judge, cropped as faces are: does log p(x) tell that they are nothing it knows?"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepgllim.data import Manifest
from deepgllim.geometry.rotations import rotation_from_pan_tilt
from deepgllim.imaging.images import crop, open_image
from deepgllim.synthetic import (
    Background,
    Renderer,
    SceneSampler,
    apply_capture,
    fit_camera,
    load_head_model,
    render_background,
)

Pixels = NDArray[np.uint8]
Rng = np.random.Generator

WITHOUT_PEOPLE = (
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
"""Pictures in scikit-image's wheel; a cat is among them."""

BEYOND = 0.5
"""Of the face's size: a head reaches that far beyond the box of its face."""


def things(n: int, size: int, rng: Rng) -> Pixels:
    """Random squares of photographs and scans of things, from scikit-image's and scikit-learn's wheels."""
    import skimage.data
    import sklearn.datasets

    places = [Path(skimage.data.__file__).parent / name for name in WITHOUT_PEOPLE]
    places += [Path(sklearn.datasets.__file__).parent / "images" / name for name in ("china.jpg", "flower.jpg")]
    pictures = [open_image(place) for place in places]
    return np.stack([_square(pictures[i % len(pictures)], size, rng) for i in range(n)])


def _square(picture: Image.Image, size: int, rng: Rng) -> Pixels:
    side = min(picture.size) * rng.uniform(0.25, 0.9)
    x, y = (rng.uniform(0, extent - side) for extent in picture.size)
    return crop(picture, (x, y, x + side, y + side), size)


def surroundings(photographs: Manifest, size: int, rng: Rng) -> Pixels:
    """Of each photograph a square beside the head, of the head's size or half of it: walls, shelves, shirts."""
    found = []
    for path, (x0, y0, x1, y1) in zip(photographs.paths, photographs.boxes, strict=True):
        picture, face = open_image(path), max(x1 - x0, y1 - y0)
        for _ in range(100):
            side = face * rng.uniform(0.6, 1.4)
            x, y = (rng.uniform(0, extent - side) for extent in picture.size)
            beside = x > x1 + BEYOND * face or x + side < x0 - BEYOND * face
            if beside or y > y1 + BEYOND * face or y + side < y0 - BEYOND * face:
                found.append(crop(picture, (x, y, x + side, y + side), size))
                break
    return np.stack(found)


def backs(n: int, size: int, rng: Rng) -> Pixels:
    """Rendered heads that look away: pan 135 to 225 degrees."""
    sampler, model = SceneSampler("wide", identities=n, size=size, seed=909), load_head_model()
    pictures = []
    with Renderer() as renderer:
        for i in range(n):
            rotation = rotation_from_pan_tilt(rng.uniform(135, 225), rng.uniform(-30, 30), rng.uniform(-20, 20))
            scene = fit_camera(replace(sampler(i), rotation=rotation), model, margin=rng.uniform(1.2, 1.6))
            pictures.append(np.asarray(apply_capture(renderer.draw(scene), scene.capture)))
    return np.stack(pictures).transpose(0, 3, 1, 2)


def noise(n: int, size: int, rng: Rng) -> Pixels:
    """White noise, grey and coloured, and smooth fields, gradients and shapes."""
    kinds: tuple[Callable[[int], Pixels], ...] = (
        lambda i: rng.integers(0, 256, (size, size, 3)).astype(np.uint8),
        lambda i: np.repeat(rng.integers(0, 256, (size, size, 1)), 3, axis=2).astype(np.uint8),
        lambda i: render_background(Background("noise", i), size, size),
        lambda i: render_background(Background("shapes", i), size, size),
        lambda i: render_background(Background("gradient", i), size, size),
    )
    return np.stack([kinds[i % len(kinds)](i) for i in range(n)]).transpose(0, 3, 1, 2)
