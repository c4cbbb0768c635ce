"""Pictures: safe opening, boxes, crops; shared, so that training and prediction see the same pixels.

Boxes are (x0, y0, x1, y1) in pixels, floats, with (0, 0) at the upper left corner of the upper left pixel and y down.
"""

import contextlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from deepgllim.errors import ImageError
from deepgllim.imaging.files import PictureFile, has_metadata_behind, read_picture

Box = tuple[float, float, float, float]
Pixels = npt.NDArray[np.uint8]

_LARGEST_BOX = 64  # times the picture's longer side; a larger one is a mistake of units, and would only cost memory
_LARGEST_FACE = 4  # likewise, of a face's box without margin
_ORIENTATION = 0x0112  # EXIF; 5 to 8 are turned by 90 degrees
_STRIP = 256  # rows that are converted together


def open_image(source: PictureFile, *, max_pixels: int | None = None) -> Image.Image:
    """The picture of a file, upright, RGB, 8 bits a channel, fully decoded.

    EXIF orientation is applied (an unreadable EXIF block is ignored). Grey, palette, CMYK and 16-bit pictures are
    converted; 16 bits are scaled to 8. Transparent pixels are laid over white. Of an animation, the first frame is
    taken. A picture of more than `PIL.Image.MAX_IMAGE_PIXELS` pixels is refused before it is decoded.

    Args:
        source: a path, or the content of a file in memory, of one of the formats `picture_files.FORMATS`.
        max_pixels: refuse a picture of more pixels, before it is decoded.

    Returns:
        A Pillow picture of mode RGB. Its pixels are in memory and the file is closed.

    Raises:
        ImageError: the file is missing, a pipe or device, not a picture, truncated, too large, or of floating-point
            pixels. The message names the path, the cause and a remedy; the decoder's own exception is its `__cause__`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     picture = open_image(f"{folder}/grey.png")
        >>> picture.mode, picture.size, picture.getpixel((0, 0))
        ('RGB', (4, 3), (7, 7, 7))
    """
    return read_picture(source, _upright, max_pixels=max_pixels)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    with contextlib.suppress(Exception):  # a damaged EXIF block does not make the pixels wrong
        ImageOps.exif_transpose(image, in_place=True)
    rgb = to_rgb(image)
    return rgb.copy() if rgb is image else rgb  # without what is kept of the file


def image_size(source: PictureFile, *, max_pixels: int | None = None) -> tuple[int, int]:
    """Width and height of the upright picture, from the file's header; pixels are not decoded.

    (Those of a PNG are where its EXIF block lies behind them.)

    Raises:
        ImageError: as `open_image`, except for what decoding finds.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("L", (4, 3), 7).save(f"{folder}/grey.png")
        ...     image_size(f"{folder}/grey.png")
        (4, 3)
    """
    return read_picture(source, _upright_size, max_pixels=max_pixels)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    turned = False
    with contextlib.suppress(Exception):  # a damaged EXIF block, as in `open_image`
        known = isinstance(image, PngImageFile) and image.fp is not None and not has_metadata_behind(image.fp)
        exif = Image.Image.getexif(image) if known else image.getexif()  # which would decode a PNG to look behind it
        turned = exif.get(_ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` as 8-bit RGB, itself if it is so: 16 bits are divided by 257, transparency is laid over white.

    Raises:
        ImageError: the pixels are floating-point numbers (mode "F"), whose range is unknown.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode == "F":
        raise ImageError("the picture holds floating-point pixels of unknown range; convert it to 8 bits a channel")
    if image.mode.startswith("I"):
        return _by_strips(image, _eight_bits)
    if image.has_transparency_data:
        return _by_strips(image, _over_white)
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """A picture converted to RGB some rows at a time, since what lies between has many times its size."""
    found = Image.new("RGB", image.size)
    for top in range(0, image.height, _STRIP):
        rows = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        found.paste(convert(rows), (0, top))
    return found


def _eight_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.float64) / 257.0
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    seen = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def to_array(image: Image.Image) -> Pixels:
    """A picture's pixels, uint8, (3, H, W).

    Example:
        >>> to_array(Image.new("RGB", (5, 2))).shape
        (3, 2, 5)
    """
    return np.ascontiguousarray(np.asarray(to_rgb(image)).transpose(2, 0, 1))  # (3, H, W)


def to_image(pixels: Pixels) -> Image.Image:
    """The picture of pixels (3, H, W), uint8: the inverse of `to_array`.

    Raises:
        ValueError: another shape or type.

    Example:
        >>> to_image(np.zeros((3, 2, 5), dtype=np.uint8)).size
        (5, 2)
    """
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"pixels are uint8 of shape (3, H, W), not {pixels.dtype} of shape {pixels.shape}")
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def square_box(box: Sequence[float], margin: float = 1.0) -> Box:
    """The square with the centre of `box` and side = margin × max(width, height).

    Args:
        box: (x0, y0, x1, y1), pixels.
        margin: above 0; 1 holds just the box, 1.3 leaves 15 % of its longer side on either side.

    Returns:
        (x0, y0, x1, y1), floats; it may reach beyond the picture.

    Raises:
        ImageError: the box is empty or not finite.
        ValueError: the margin is not a positive number.

    Example:
        >>> square_box((10, 20, 30, 60), margin=1.5)
        (-10.0, 10.0, 50.0, 70.0)
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin is {margin}; it multiplies the box's longer side and must be a positive number")
    x0, y0, x1, y1 = checked_box(box)
    half = margin * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return x - half, y - half, x + half, y + half


def crop(image: Image.Image, box: Sequence[float], size: int) -> Pixels:
    """The part of `image` in `box`, resampled to size × size pixels.

    Bilinear with antialiasing (Pillow's `resize` with a floating-point box). What lies outside the picture repeats
    the picture's edge. A box that is not square is stretched: see `square_box`.

    Args:
        image: a Pillow picture.
        box: (x0, y0, x1, y1), pixels.
        size: side of the result in pixels, at least 1.

    Returns:
        uint8, (3, size, size).

    Raises:
        ImageError: the box is empty (a side under one pixel), not finite, entirely outside the picture, or over 64
            times its size.
        ValueError: `size` is under 1.

    Example:
        >>> crop(Image.new("RGB", (40, 30), "red"), (-10, 5, 20, 35), size=8)[:, 0, 0]
        array([255,   0,   0], dtype=uint8)
    """
    if size < 1:
        raise ValueError(f"size is {size}; a crop has at least one pixel a side")
    return _resampled(image, checked_box(box, image.size), size)


def _resampled(image: Image.Image, box: Box, size: int) -> Pixels:
    """The crop of a box that was checked."""
    x0, y0, x1, y1 = box
    columns, rows = _Span(x0, x1, image.width, size), _Span(y0, y1, image.height, size)
    padded = to_rgb(image)
    padding = (rows.padding, columns.padding, (0, 0))
    if np.any(padding):
        padded = Image.fromarray(np.pad(np.asarray(padded), padding, mode="edge"))  # (H, W, 3)
    seen = padded.resize(
        (columns.last - columns.first, rows.last - rows.first),
        Image.Resampling.BILINEAR,
        box=(columns.start, rows.start, columns.stop, rows.stop),
    )
    around = (rows.first, size - rows.last), (columns.first, size - columns.last), (0, 0)
    return np.ascontiguousarray(np.pad(np.asarray(seen), around, mode="edge").transpose(2, 0, 1))  # (3, size, size)


def crop_face(image: Image.Image, box: Sequence[float] | None, margin: float, size: int) -> Pixels:
    """The square around a face as the network sees it: `crop` of `square_box`; for training and prediction alike.

    Args:
        image: a Pillow picture.
        box: of the face, without margin; the whole picture when None.
        margin: side of the crop over the box's longer side.
        size: side of the result in pixels.

    Raises:
        ImageError: a box that `checked_face` refuses; its margin may reach beyond the picture.

    Example:
        >>> crop_face(Image.new("RGB", (40, 30), "red"), None, margin=1.4, size=8).shape
        (3, 8, 8)
    """
    tight = checked_face(box if box is not None else (0, 0, *image.size), image.size)
    return _resampled(image, square_box(tight, margin), size)


def checked_face(box: Sequence[float], picture: tuple[int, int]) -> Box:
    """The box of a face, without margin, as training, prediction and the check of data sets take it.

    Args:
        box: x0, y0, x1, y1, pixels.
        picture: its width and height.

    Raises:
        ImageError: the box is not finite, has a side under one pixel, lies outside the picture, or is over four times
            its size.

    Example:
        >>> checked_face((-3, 2, 20, 30), (40, 30))
        (-3.0, 2.0, 20.0, 30.0)
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    name, width, height = f"box {x0:g},{y0:g},{x1:g},{y1:g}", *picture
    where = f"the picture of {width} x {height} pixels"
    if not all(math.isfinite(edge) for edge in (x0, y0, x1, y1)):
        raise ImageError(f"{name} is not finite: give x0,y0,x1,y1 in pixels")
    if not (x0 < x1 and y0 < y1 and x1 > 0 and y1 > 0 and x0 < width and y0 < height):
        raise ImageError(f"{name} lies outside {where}: give x0,y0,x1,y1 with x0 < x1 and y0 < y1 inside it")
    if min(x1 - x0, y1 - y0) < 1:
        raise ImageError(f"{name} has a side under one pixel on {where}: give x0,y0,x1,y1 in pixels")
    if max(x1 - x0, y1 - y0) > _LARGEST_FACE * max(picture):
        raise ImageError(f"{name} is over {_LARGEST_FACE} times larger than {where}: give x0,y0,x1,y1 in its pixels")
    return x0, y0, x1, y1


class _Span:
    """One axis of a crop: which output pixels see the picture at all, and how much edge to add before resampling.

    Output pixels before `first` or from `last` on see only the repeated edge: they copy their neighbour, and a box far
    larger than the picture costs little.
    """

    def __init__(self, start: float, stop: float, length: int, size: int) -> None:
        step = (stop - start) / size
        reach = max(1.0, step)  # half the width of the bilinear filter, in picture's pixels
        self.first = max(0, math.floor((-start - reach) / step) - 1)
        self.last = min(size, math.ceil((length + reach - start) / step) + 1)
        low, high = start + self.first * step, start + self.last * step
        self.padding = (0, 0)
        if low + step / 2 < reach or high - step / 2 > length - reach:  # the outermost filters see beyond the edge
            self.padding = (max(0, math.ceil(reach - low)), max(0, math.ceil(high + reach - length)))
        self.start, self.stop = low + self.padding[0], high + self.padding[0]


def checked_box(box: Sequence[float], picture: tuple[int, int] | None = None) -> Box:
    """`box` as four floats, or ImageError."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    where = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g})" + (f" on a picture of {picture[0]}×{picture[1]}" if picture else "")
    if not all(math.isfinite(edge) for edge in (x0, y0, x1, y1)):
        raise ImageError(f"{where} is not finite; give four numbers x0, y0, x1, y1 in pixels")
    smallest = 1.0 if picture else 0.0  # Pillow keeps boxes in single precision
    if x1 <= x0 or y1 <= y0 or min(x1 - x0, y1 - y0) < smallest:
        raise ImageError(f"{where} is empty; it needs x0 < x1 and y0 < y1, a pixel apart or more")
    if picture is None:
        return x0, y0, x1, y1
    if x0 >= picture[0] or y0 >= picture[1] or x1 <= 0 or y1 <= 0:
        raise ImageError(f"{where} lies entirely outside it; boxes are in pixels of the upright picture")
    if max(x1 - x0, y1 - y0) > _LARGEST_BOX * max(picture):
        raise ImageError(f"{where} is over {_LARGEST_BOX} times larger; boxes are in pixels of the picture")
    return x0, y0, x1, y1
