"""Safe opening of images, boxes, and crops, the same for training and prediction.

Boxes are (x0, y0, x1, y1) in pixels, floats, with (0, 0) at the upper left corner of the upper left pixel and y down.
"""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from deepgllim.errors import ImageError
from deepgllim.imaging.conversion import Pixels, to_rgb
from deepgllim.imaging.files import PictureFile, has_trailing_metadata, read_picture

Box = tuple[float, float, float, float]

_MAX_BOX = 64  # largest side of a box over the longer side of its image; limits the memory of a crop
_MAX_FACE = 4  # the same for the box of a face, without margin
_ORIENTATION = 0x0112  # EXIF tag; the values 5 to 8 are rotations by 90 degrees


def open_image(source: PictureFile, *, max_pixels: int | None = None) -> Image.Image:
    """Read an image file as an upright RGB image with 8 bits a channel, fully decoded.

    The EXIF orientation is applied; an unreadable EXIF block is ignored. Grey, palette, CMYK and 16-bit images are
    converted, and 16-bit values are scaled to 8 bits. Transparent pixels are laid over white. Of an animation, the
    first frame is read. An image of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels is refused before it is decoded.

    Args:
        source: a path, or the content of a file, in one of the formats `deepgllim.imaging.files.FORMATS`.
        max_pixels: largest number of pixels; larger images are refused before they are decoded.

    Returns:
        A Pillow image of mode RGB. Its pixels are in memory and the file is closed.

    Raises:
        ImageError: the file does not exist, is a pipe or device, is not an image, is truncated or too large, or has
            floating-point pixels. The message names the path, the cause and a remedy; the exception of the decoder is
            its `__cause__`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     image = open_image(f"{folder}/grey.png")
        >>> image.mode, image.size, image.getpixel((0, 0))
        ('RGB', (4, 3), (7, 7, 7))
    """
    return read_picture(source, _upright, max_pixels=max_pixels)


def image_size(source: PictureFile, *, max_pixels: int | None = None) -> tuple[int, int]:
    """Return width and height of the upright image from the header of its file, without decoding the pixels.

    The pixels of a PNG are decoded if its EXIF block follows them.

    Args:
        source: as in `open_image`.
        max_pixels: as in `open_image`.

    Raises:
        ImageError: as in `open_image`, except for faults that only decoding finds.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     image_size(f"{folder}/grey.png")
        (4, 3)
    """
    return read_picture(source, _upright_size, max_pixels=max_pixels)


def square_box(box: Sequence[float], margin: float = 1.0) -> Box:
    """Return the square with the centre of a box and the side margin × max(width, height).

    Args:
        box: (x0, y0, x1, y1), pixels.
        margin: above 0; 1 just contains the box, 1.3 adds 15 % of its longer side at each side.

    Returns:
        (x0, y0, x1, y1), floats; it may extend beyond the image.

    Raises:
        ImageError: the box is empty or not finite.
        ValueError: the margin is not a positive number.

    Example:
        >>> square_box((10, 20, 30, 60), margin=1.5)
        (-10.0, 10.0, 50.0, 70.0)
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin is {margin}; it multiplies the longer side of the box and must be a positive number")
    x0, y0, x1, y1 = checked_box(box)
    half = margin * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def crop(image: Image.Image, box: Sequence[float], size: int) -> Pixels:
    """Crop an image to a box and resample the crop to size × size pixels.

    The interpolation is bilinear with antialiasing (Pillow's `resize` with a floating-point box). Outside the image its
    edge is repeated. A box that is not square is stretched; see `square_box`.

    Args:
        image: a Pillow image.
        box: (x0, y0, x1, y1), pixels.
        size: side of the result in pixels, at least 1.

    Returns:
        uint8, (3, size, size).

    Raises:
        ImageError: the box has a side under one pixel, is not finite, lies entirely outside the image, or is over 64
            times larger than the image.
        ValueError: `size` is under 1.

    Example:
        >>> crop(Image.new("RGB", (40, 30), "red"), (-10, 5, 20, 35), size=8)[:, 0, 0]
        array([255,   0,   0], dtype=uint8)
    """
    if size < 1:
        raise ValueError(f"size is {size}; a crop has at least one pixel a side")
    return _resample(image, checked_box(box, image.size), size)


def crop_face(image: Image.Image, box: Sequence[float] | None, margin: float, size: int) -> Pixels:
    """Crop an image to the square around a face: `crop` of `square_box`.

    Args:
        image: a Pillow image.
        box: box of the face without margin, (x0, y0, x1, y1), pixels; None for the whole image.
        margin: side of the crop over the longer side of the box.
        size: side of the result in pixels.

    Returns:
        uint8, (3, size, size).

    Raises:
        ImageError: the box is refused by `checked_face`. The margin may extend beyond the image.

    Example:
        >>> crop_face(Image.new("RGB", (40, 30), "red"), None, margin=1.4, size=8).shape
        (3, 8, 8)
    """
    face = checked_face(box if box is not None else (0, 0, *image.size), image.size)
    return _resample(image, square_box(face, margin), size)


def checked_face(box: Sequence[float], size: tuple[int, int]) -> Box:
    """Return the box of a face as four floats after checking it against the size of its image.

    Args:
        box: (x0, y0, x1, y1) without margin, pixels.
        size: width and height of the image.

    Raises:
        ImageError: the box is not finite, has a side under one pixel, lies outside the image, or is over four times
            larger than the image.

    Example:
        >>> checked_face((-3, 2, 20, 30), (40, 30))
        (-3.0, 2.0, 20.0, 30.0)
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    name, width, height = f"box {x0:g},{y0:g},{x1:g},{y1:g}", *size
    where = f"the picture of {width} x {height} pixels"
    if not all(math.isfinite(edge) for edge in (x0, y0, x1, y1)):
        raise ImageError(f"{name} is not finite: give x0,y0,x1,y1 in pixels")
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < width and y0 < height):
        raise ImageError(f"{name} lies outside {where}: give x0,y0,x1,y1 with x0 < x1 and y0 < y1 inside it")
    if min(x1 - x0, y1 - y0) < 1:
        raise ImageError(f"{name} has a side under one pixel on {where}: give x0,y0,x1,y1 in pixels")
    if max(x1 - x0, y1 - y0) > _MAX_FACE * max(size):
        raise ImageError(f"{name} is over {_MAX_FACE} times larger than {where}: give x0,y0,x1,y1 in its pixels")
    return x0, y0, x1, y1


def checked_box(box: Sequence[float], size: tuple[int, int] | None = None) -> Box:
    """Return a box as four floats, or raise an ImageError.

    Args:
        box: (x0, y0, x1, y1), pixels.
        size: width and height of the image; None to check only that the box is finite and not empty.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    where = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g})" + (f" on a picture of {size[0]}×{size[1]}" if size else "")
    if not all(math.isfinite(edge) for edge in (x0, y0, x1, y1)):
        raise ImageError(f"{where} is not finite; give four numbers x0, y0, x1, y1 in pixels")
    smallest = 1.0 if size else 0.0  # Pillow stores boxes in single precision
    if x1 <= x0 or y1 <= y0 or min(x1 - x0, y1 - y0) < smallest:
        raise ImageError(f"{where} is empty; it needs x0 < x1 and y0 < y1, a pixel apart or more")
    if size is None:
        return x0, y0, x1, y1
    if x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0:
        raise ImageError(f"{where} lies entirely outside it; boxes are in pixels of the upright picture")
    if max(x1 - x0, y1 - y0) > _MAX_BOX * max(size):
        raise ImageError(f"{where} is over {_MAX_BOX} times larger; boxes are in pixels of the picture")
    return x0, y0, x1, y1


class _Axis:
    """One axis of a crop: the output pixels that depend on the image, and the padding before resampling.

    Output pixels before `first` or from `last` on depend only on the repeated edge. They are copies of their neighbour,
    so that a box far larger than the image costs little.
    """

    def __init__(self, start: float, stop: float, length: int, size: int) -> None:
        step = (stop - start) / size
        reach = max(1.0, step)  # half the width of the bilinear filter, in pixels of the image
        self.first = max(0, math.floor((-start - reach) / step) - 1)
        self.last = min(size, math.ceil((length + reach - start) / step) + 1)
        low, high = start + self.first * step, start + self.last * step
        self.padding = (0, 0)
        if low + step / 2 < reach or high - step / 2 > length - reach:  # the outermost filters extend beyond the edge
            self.padding = (max(0, math.ceil(reach - low)), max(0, math.ceil(high + reach - length)))
        self.start, self.stop = low + self.padding[0], high + self.padding[0]


def _resample(image: Image.Image, box: Box, size: int) -> Pixels:
    """Return the crop of a checked box, (3, size, size)."""
    x0, y0, x1, y1 = box
    columns, rows = _Axis(x0, x1, image.width, size), _Axis(y0, y1, image.height, size)
    padded = to_rgb(image)
    padding = (rows.padding, columns.padding, (0, 0))
    if np.any(padding):
        padded = Image.fromarray(np.pad(np.asarray(padded), padding, mode="edge"))  # (H, W, 3)
    inner = padded.resize(
        (columns.last - columns.first, rows.last - rows.first),
        Image.Resampling.BILINEAR,
        box=(columns.start, rows.start, columns.stop, rows.stop),
    )
    around = (rows.first, size - rows.last), (columns.first, size - columns.last), (0, 0)
    return np.ascontiguousarray(np.pad(np.asarray(inner), around, mode="edge").transpose(2, 0, 1))  # (3, size, size)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    with contextlib.suppress(Exception):  # a damaged EXIF block does not affect the pixels
        ImageOps.exif_transpose(image, in_place=True)
    rgb = to_rgb(image)
    return rgb.copy() if rgb is image else rgb  # drops the metadata of the file


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    rotated = False
    with contextlib.suppress(Exception):  # a damaged EXIF block, as in `_upright`
        complete = isinstance(image, PngImageFile) and image.fp is not None and not has_trailing_metadata(image.fp)
        exif = Image.Image.getexif(image) if complete else image.getexif()  # PngImageFile.getexif decodes the pixels
        rotated = exif.get(_ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if rotated else (width, height)
