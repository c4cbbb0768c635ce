"""Conversion of paths, Pillow images and arrays to upright RGB images."""

import contextlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from deepgllim.errors import ImageError
from deepgllim.imaging.conversion import to_rgb
from deepgllim.imaging.images import open_image

_PROGRAMS = ("EPS", "WMF")  # formats that Pillow decodes by running another program

Picture = str | os.PathLike[str] | Image.Image | npt.NDArray[Any]


def as_picture(image: Picture) -> Image.Image:
    """Return an image as an upright Pillow image of mode RGB.

    Args:
        image: a path; a Pillow image, to which its EXIF orientation is applied; or an array, uint8 or uint16, of shape
            (H, W) for grey, (H, W, 3) for RGB or (H, W, 4) for RGBA. Convert the BGR of OpenCV with `image[..., ::-1]`.

    Raises:
        ImageError: the file cannot be read, or the array has another shape or type.

    Example:
        >>> as_picture(np.full((2, 5), 65535, dtype=np.uint16)).getpixel((0, 0))
        (255, 255, 255)
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if not isinstance(image, Image.Image):
        return open_image(image)
    if image.format in _PROGRAMS:
        raise ImageError(
            f"the picture was opened as {image.format}, which is a program and not pixels: open pictures with "
            "deepgllim.imaging.images.open_image, or convert it"
        )
    try:
        image.load()
    except OSError as error:
        raise ImageError(f"the picture cannot be decoded ({error}); it is truncated or damaged") from error
    with contextlib.suppress(Exception):  # a damaged EXIF block, as in `open_image`
        image = ImageOps.exif_transpose(image)
    return to_rgb(image)


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype not in (np.uint8, np.uint16) or not shaped or not array.size:
        raise ImageError(
            f"an array of {array.dtype} and shape {array.shape} is no picture: give H × W, H × W × 3 (RGB) or "
            "H × W × 4, uint8 or uint16"
        )
    if array.dtype == np.uint16:
        array = (array / 257.0).round()
    return to_rgb(Image.fromarray(np.ascontiguousarray(array, dtype=np.uint8)))
