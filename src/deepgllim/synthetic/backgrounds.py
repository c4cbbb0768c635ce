"""Backgrounds: procedural images, or crops of image files."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from deepgllim.imaging.images import open_image
from deepgllim.synthetic.scene import Background

Pixels = npt.NDArray[np.uint8]
Rng = np.random.Generator


def render_background(background: Background, width: int, height: int) -> Pixels:
    """Return the background, RGB, uint8, (height, width, 3); it depends on the arguments only.

    Raises:
        ImageError: the image file cannot be read.

    Example:
        >>> render_background(Background("gradient", seed=1), 32, 24).shape
        (24, 32, 3)
    """
    rng = np.random.Generator(np.random.PCG64(background.seed))
    if background.kind == "picture":
        assert background.picture is not None
        return _crop(background.picture, width, height, rng)
    return np.asarray(_PAINTERS[background.kind](width, height, rng), dtype=np.uint8)


def _colour(rng: Rng) -> tuple[int, int, int]:
    """Sample a colour, mostly near grey."""
    value, tint = rng.uniform(15, 245), rng.uniform() ** 2.5
    r, g, b = np.clip(value * (1 + tint * rng.uniform(-1, 1, size=3)), 0, 255).astype(int).tolist()
    return r, g, b


def _plain(width: int, height: int, rng: Rng) -> Pixels:
    return np.full((height, width, 3), _colour(rng), dtype=np.uint8)


def _gradient(width: int, height: int, rng: Rng) -> Pixels:
    corners = np.array([_colour(rng) for _ in range(2)], dtype=np.float32)
    ends = np.stack([corners[0], corners[1], corners[1], corners[0]])[rng.permutation(4)].reshape(2, 2, 3)
    ends += rng.normal(0, 12, size=ends.shape)
    return _resize(ends, width, height)


def _noise(width: int, height: int, rng: Rng) -> Pixels:
    total = np.array(_colour(rng), dtype=np.float32) + np.zeros((height, width, 3), dtype=np.float32)
    strength, tinted = rng.uniform(10, 90), rng.uniform() < 0.4
    for octave in range(2, 7):
        cells = rng.normal(0, strength / 1.6**octave * 2, size=(2**octave, 2**octave, 3 if tinted else 1))
        total += _resize_float(np.broadcast_to(cells, (*cells.shape[:2], 3)), width, height)
    return np.asarray(total.clip(0, 255).astype(np.uint8))


def _shapes(width: int, height: int, rng: Rng) -> Pixels:
    image = Image.fromarray((_gradient if rng.uniform() < 0.5 else _noise)(width, height, rng))
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 16))):
        x, y = rng.uniform(-0.2, 1.1) * width, rng.uniform(-0.2, 1.1) * height
        w, h = rng.uniform(0.03, 0.7, size=2) * (width, height)
        kind = rng.integers(4)
        if kind == 0:
            canvas.ellipse((x, y, x + w, y + h), fill=_colour(rng))
        elif kind == 1:
            points = np.array([x, y]) + rng.uniform(0, 1, size=(int(rng.integers(3, 7)), 2)) * (w, h)
            canvas.polygon([tuple(point) for point in points.tolist()], fill=_colour(rng))
        elif kind == 2:
            canvas.line((x, y, x + w, y + h * rng.uniform(-1, 1)), fill=_colour(rng), width=max(1, int(w / 12)))
        else:
            canvas.rectangle((x, y, x + w, y + h), fill=_colour(rng))
    return _defocus(image, rng)


class _Place(NamedTuple):
    """Position and size of a piece of furniture, pixels, and its colour."""

    x: float
    y: float
    w: float
    h: float
    colour: tuple[int, int, int]


def _room(width: int, height: int, rng: Rng) -> Pixels:
    """Return a wall with shelves, windows, pictures and doors."""
    image = Image.fromarray(_gradient(width, height, rng))
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        kind, colour = rng.integers(4), _colour(rng)
        x, y = rng.uniform(-0.3, 0.9) * width, rng.uniform(-0.2, 0.8) * height
        w, h = rng.uniform(0.15, 0.8) * width, rng.uniform(0.15, 0.8) * height
        (_shelf, _window, _frame, _door)[kind](canvas, _Place(x, y, w, h, colour), image.size, rng)
    return _defocus(image, rng)


def _shelf(canvas: ImageDraw.ImageDraw, place: _Place, size: tuple[int, int], rng: Rng) -> None:
    (x, y, w, h, colour), (width, height) = place, size
    for level in np.arange(y, y + h, max(6.0, h / rng.integers(2, 5))):
        canvas.rectangle((x, level, x + w, level + max(1, height // 60)), fill=colour)
        at = x
        while at < x + w:  # books
            thickness = rng.uniform(0.01, 0.05) * width + 1
            book = max(1.0, rng.uniform(0.06, 0.16) * height)
            canvas.rectangle((at, level - book, at + thickness, level - 1), fill=_colour(rng))
            at += thickness + (rng.uniform(0, 0.1) * width if rng.uniform() < 0.2 else 0)


def _window(canvas: ImageDraw.ImageDraw, place: _Place, size: tuple[int, int], rng: Rng) -> None:
    (x, y, w, h, colour), bar = place, max(1, size[0] // 50)
    canvas.rectangle((x, y, x + w, y + h), fill=tuple(int(c) for c in rng.uniform(190, 255, size=3)))
    for share in (0.0, 0.5, 1.0):
        canvas.line((x + share * w, y, x + share * w, y + h), fill=colour, width=bar)
        canvas.line((x, y + share * h, x + w, y + share * h), fill=colour, width=bar)


def _frame(canvas: ImageDraw.ImageDraw, place: _Place, size: tuple[int, int], rng: Rng) -> None:
    x, y, w, h, colour = place
    canvas.rectangle((x, y, x + w, y + h), fill=colour, outline=_colour(rng), width=max(1, size[0] // 40))


def _door(canvas: ImageDraw.ImageDraw, place: _Place, size: tuple[int, int], rng: Rng) -> None:
    (x, _, w, _, colour), height = place, size[1]
    canvas.rectangle((x, -1, x + w / 2, height), fill=colour)
    for at in np.arange(x, x + w / 2, max(3.0, w / 12)):
        canvas.line((at, 0, at, height), fill=_colour(rng) if rng.uniform() < 0.1 else colour, width=1)


_PAINTERS: dict[str, Callable[[int, int, Rng], Pixels]] = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
    "shapes": _shapes,
    "room": _room,
}


def _defocus(image: Image.Image, rng: Rng) -> Pixels:
    if rng.uniform() < 0.7:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.025) * max(image.size)))
    return np.asarray(image)


def _resize(cells: npt.ArrayLike, width: int, height: int) -> Pixels:
    return np.asarray(_resize_float(cells, width, height).clip(0, 255).astype(np.uint8))


def _resize_float(cells: npt.ArrayLike, width: int, height: int) -> npt.NDArray[np.float32]:
    """Resize (h, w, 3) to (height, width, 3), bicubic."""
    channels = np.moveaxis(np.asarray(cells, dtype=np.float32), -1, 0)
    large = [
        np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize((width, height), Image.Resampling.BICUBIC))
        for c in channels
    ]
    return np.stack(large, axis=-1)


def _crop(path: str, width: int, height: int, rng: Rng) -> Pixels:
    """Return a random crop of an image file, mirrored half of the time."""
    image = _open(path)
    share = rng.uniform(0.4, 1.0)
    scale = share * min(image.width / width, image.height / height)
    w, h = width * scale, height * scale
    x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
    part = image.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    return np.asarray(ImageOps.mirror(part) if rng.uniform() < 0.5 else part)


@functools.lru_cache(maxsize=32)
def _open(path: str) -> Image.Image:
    return open_image(path)
