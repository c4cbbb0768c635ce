"""Backgrounds: procedural pictures from a seed, or a part of one of the user's."""

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from deepgllim.imaging.images import open_image
from deepgllim.synthetic.scene import Background

Pixels = npt.NDArray[np.uint8]
Rng = np.random.Generator


def render_background(background: Background, width: int, height: int) -> Pixels:
    """The background of a picture, (H, W, 3); the same for the same values.

    Raises:
        ImageError: a picture of the user's that cannot be read.

    Example:
        >>> render_background(Background("gradient", seed=1), 32, 24).shape
        (24, 32, 3)
    """
    rng = np.random.Generator(np.random.PCG64(background.seed))
    if background.kind == "picture":
        assert background.picture is not None
        return _part(background.picture, width, height, rng)
    return np.asarray(_PAINTERS[background.kind](width, height, rng), dtype=np.uint8)


def _colour(rng: Rng) -> tuple[int, int, int]:
    """Mostly near grey, as walls are."""
    value, tint = rng.uniform(15, 245), rng.uniform() ** 2.5
    r, g, b = np.clip(value * (1 + tint * rng.uniform(-1, 1, size=3)), 0, 255).astype(int).tolist()
    return r, g, b


def _plain(width: int, height: int, rng: Rng) -> Pixels:
    return np.full((height, width, 3), _colour(rng), dtype=np.uint8)


def _gradient(width: int, height: int, rng: Rng) -> Pixels:
    corners = np.array([_colour(rng) for _ in range(2)], dtype=np.float32)
    ends = np.stack([corners[0], corners[1], corners[1], corners[0]])[rng.permutation(4)].reshape(2, 2, 3)
    ends += rng.normal(0, 12, size=ends.shape)
    return _enlarged(ends, width, height)


def _noise(width: int, height: int, rng: Rng) -> Pixels:
    total = np.array(_colour(rng), dtype=np.float32) + np.zeros((height, width, 3), dtype=np.float32)
    strength, tinted = rng.uniform(10, 90), rng.uniform() < 0.4
    for octave in range(2, 7):
        cells = rng.normal(0, strength / 1.6**octave * 2, size=(2**octave, 2**octave, 3 if tinted else 1))
        total += _enlarged_float(np.broadcast_to(cells, (*cells.shape[:2], 3)), width, height)
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
    return _out_of_focus(image, rng)


def _room(width: int, height: int, rng: Rng) -> Pixels:
    """A wall with what stands and hangs before it: shelves, windows, pictures, door frames, the edge of a table."""
    image = Image.fromarray(_gradient(width, height, rng))
    canvas = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 5))):
        kind, tone = rng.integers(4), _colour(rng)
        x, y = rng.uniform(-0.3, 0.9) * width, rng.uniform(-0.2, 0.8) * height
        w, h = rng.uniform(0.15, 0.8) * width, rng.uniform(0.15, 0.8) * height
        if kind == 0:  # shelf: boards with books
            for level in np.arange(y, y + h, max(6.0, h / rng.integers(2, 5))):
                canvas.rectangle((x, level, x + w, level + max(1, height // 60)), fill=tone)
                at = x
                while at < x + w:
                    thick = rng.uniform(0.01, 0.05) * width + 1
                    tall = max(1.0, rng.uniform(0.06, 0.16) * height)
                    canvas.rectangle((at, level - tall, at + thick, level - 1), fill=_colour(rng))
                    at += thick + (rng.uniform(0, 0.1) * width if rng.uniform() < 0.2 else 0)
        elif kind == 1:  # window: bright, with bars
            canvas.rectangle((x, y, x + w, y + h), fill=tuple(int(c) for c in rng.uniform(190, 255, size=3)))
            for share in (0.0, 0.5, 1.0):
                canvas.line((x + share * w, y, x + share * w, y + h), fill=tone, width=max(1, width // 50))
                canvas.line((x, y + share * h, x + w, y + share * h), fill=tone, width=max(1, width // 50))
        elif kind == 2:  # picture or screen
            canvas.rectangle((x, y, x + w, y + h), fill=tone, outline=_colour(rng), width=max(1, width // 40))
        else:  # door, column or curtain
            canvas.rectangle((x, -1, x + w / 2, height), fill=tone)
            for at in np.arange(x, x + w / 2, max(3.0, w / 12)):
                canvas.line((at, 0, at, height), fill=_colour(rng) if rng.uniform() < 0.1 else tone, width=1)
    return _out_of_focus(image, rng)


_PAINTERS: dict[str, Callable[[int, int, Rng], Pixels]] = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
    "shapes": _shapes,
    "room": _room,
}


def _out_of_focus(image: Image.Image, rng: Rng) -> Pixels:
    if rng.uniform() < 0.7:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.025) * max(image.size)))
    return np.asarray(image)


def _enlarged(cells: npt.ArrayLike, width: int, height: int) -> Pixels:
    return np.asarray(_enlarged_float(cells, width, height).clip(0, 255).astype(np.uint8))


def _enlarged_float(cells: npt.ArrayLike, width: int, height: int) -> npt.NDArray[np.float32]:
    """(h, w, 3) → (height, width, 3), bicubic."""
    channels = np.moveaxis(np.asarray(cells, dtype=np.float32), -1, 0)
    large = [
        np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize((width, height), Image.Resampling.BICUBIC))
        for c in channels
    ]
    return np.stack(large, axis=-1)


def _part(path: str, width: int, height: int, rng: Rng) -> Pixels:
    """A random part of a picture, half of them mirrored."""
    image = _opened(path)
    share = rng.uniform(0.4, 1.0)
    scale = share * min(image.width / width, image.height / height)
    w, h = width * scale, height * scale
    x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
    part = image.resize((width, height), Image.Resampling.BILINEAR, box=(x, y, x + w, y + h))
    return np.asarray(ImageOps.mirror(part) if rng.uniform() < 0.5 else part)


@functools.lru_cache(maxsize=32)
def _opened(path: str) -> Image.Image:
    return open_image(path)
