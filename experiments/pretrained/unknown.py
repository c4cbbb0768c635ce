"""Pictures without a face, cropped like faces, to test whether log p(x) separates them from faces."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from deepgllim.data import Manifest
from deepgllim.geometry import rotation_from_pan_tilt
from deepgllim.imaging import crop, crop_face, open_image
from deepgllim.synthetic import Background, Renderer, SceneSampler, load_head_model
from deepgllim.synthetic.backgrounds import render_background
from deepgllim.synthetic.capture import apply_capture
from deepgllim.synthetic.posing import fit_camera

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
"""Pictures of scikit-image without people; one shows a cat."""

BEYOND = 0.5
"""Distance by which a head extends beyond the box of its face, relative to the size of the face."""


def things(n: int, size: int, rng: Rng) -> Pixels:
    """Return random squares of photographs and scans of things from scikit-image and scikit-learn."""
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
    """Return a square outside the head of each photograph, 0.6 to 1.4 times as large as the face."""
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
    """Return rendered heads seen from behind, with a pan of 135 to 225 degrees."""
    sampler, model = SceneSampler("wide", identities=n, size=size, seed=909), load_head_model()
    pictures = []
    with Renderer() as renderer:
        for i in range(n):
            rotation = rotation_from_pan_tilt(rng.uniform(135, 225), rng.uniform(-30, 30), rng.uniform(-20, 20))
            scene = fit_camera(replace(sampler(i), rotation=rotation), model, margin=rng.uniform(1.2, 1.6))
            pictures.append(np.asarray(apply_capture(renderer.draw(scene), scene.capture)))
    return np.stack(pictures).transpose(0, 3, 1, 2)


def noise(n: int, size: int, rng: Rng) -> Pixels:
    """Return white noise, grey and coloured, smooth fields, gradients and shapes."""
    kinds: tuple[Callable[[int], Pixels], ...] = (
        lambda i: rng.integers(0, 256, (size, size, 3)).astype(np.uint8),
        lambda i: np.repeat(rng.integers(0, 256, (size, size, 1)), 3, axis=2).astype(np.uint8),
        lambda i: render_background(Background("noise", i), size, size),
        lambda i: render_background(Background("shapes", i), size, size),
        lambda i: render_background(Background("gradient", i), size, size),
    )
    return np.stack([kinds[i % len(kinds)](i) for i in range(n)]).transpose(0, 3, 1, 2)


def mosaics(n: int, side: int, blocks: bool, size: int, margin: float, rng: Rng) -> Pixels:
    """Return mosaics of side × side random colours, enlarged smoothly or as blocks."""
    found = []
    for _ in range(n):
        picture = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture = picture.resize((200, 200), Image.Resampling.NEAREST) if blocks else picture
        found.append(crop_face(picture, (0, 0, *picture.size), margin, size))
    return np.stack(found)


def textures(n: int, size: int, rng: Rng) -> Pixels:
    """Return colour noise, smoothed with a standard deviation of 1 to 12 pixels."""
    found = []
    for _ in range(n):
        grain = rng.uniform(1, 12)
        values = np.stack([gaussian_filter(rng.normal(size=(size, size)), grain) for _ in range(3)])
        values = values / values.std() * 50 + 128
        found.append(values.clip(0, 255).astype(np.uint8))
    return np.stack(found)


def texts(n: int, size: int, rng: Rng) -> Pixels:
    """Return dark letters on light paper."""
    found = []
    for _ in range(n):
        light, dark = (tuple(int(v) for v in rng.integers(*span, 3)) for span in ((150, 256), (0, 100)))
        picture = Image.new("RGB", (size, size), light)
        for y in range(0, size, 14):
            letters = "".join(chr(int(code)) for code in rng.integers(97, 123, 20))
            ImageDraw.Draw(picture).text((0, y), letters, fill=dark)
        found.append(np.asarray(picture).transpose(2, 0, 1))
    return np.stack(found)


def all_kinds(photographs: Manifest | None, count: int, size: int, margin: float) -> dict[str, Pixels]:
    """Return pictures without a face, by kind.

    Args:
        photographs: photographs whose surroundings of the faces are used, if any.
        count: number of backs of heads and of pictures of noise; there are twice as many things.
        size: side of the pictures, pixels.
        margin: margin of the crops of mosaics.
    """
    rng = np.random.default_rng(0)
    found = {
        "things": things(2 * count, size, rng),
        "backs of heads": backs(count, size, rng),
        "noise": noise(count, size, rng),
        "textures": textures(count, size, rng),
        "text": texts(count, size, rng),
    }
    for side in (4, 8, 16, 32):
        for blocks in (False, True):
            kind = f"mosaics of {side} × {side}" + (", blocks" if blocks else "")
            found[kind] = mosaics(count, side, blocks, size, margin, rng)
    if photographs is not None:
        found["walls, shirts, shelves"] = surroundings(photographs, size, rng)
    return found
