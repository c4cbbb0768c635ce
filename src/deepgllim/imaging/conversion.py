"""Conversion of images to 8-bit RGB, to arrays and back."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.errors import ImageError

Pixels = npt.NDArray[np.uint8]

_STRIP = 256  # rows that are converted at a time


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8-bit RGB: divide 16-bit values by 257, and lay transparency over white.

    Args:
        image: a Pillow image of any mode except "F".

    Returns:
        An image of mode RGB; `image` itself if it is of mode RGB without transparency.

    Raises:
        ImageError: the pixels are floating-point numbers (mode "F"), whose range is unknown.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode == "F":
        raise ImageError("the picture has floating-point pixels of unknown range; convert it to 8 bits a channel")
    if image.mode.startswith("I"):
        return _by_strips(image, _scale_16_bits)
    if image.has_transparency_data:
        return _by_strips(image, _blend_with_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def to_array(image: Image.Image) -> Pixels:
    """Return the pixels of an image, uint8, (3, H, W).

    Example:
        >>> to_array(Image.new("RGB", (5, 2))).shape
        (3, 2, 5)
    """
    return np.ascontiguousarray(np.asarray(to_rgb(image)).transpose(2, 0, 1))  # (3, H, W)


def to_image(pixels: Pixels) -> Image.Image:
    """Return the image of an array of pixels; the inverse of `to_array`.

    Args:
        pixels: uint8, (3, H, W).

    Raises:
        ValueError: the array has another shape or type.

    Example:
        >>> to_image(np.zeros((3, 2, 5), dtype=np.uint8)).size
        (5, 2)
    """
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are uint8 of shape (3, H, W), not {pixels.dtype} of shape {pixels.shape}")
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Convert an image to RGB some rows at a time; the intermediate values take many times its memory."""
    converted = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP):
        rows = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        converted.paste(convert(rows), (0, top))
    return converted


def _scale_16_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.float64) / 257.0
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _blend_with_white(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
