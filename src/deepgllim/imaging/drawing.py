"""Drawing on images: the axes of a head pose, arrows and labels."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from deepgllim.geometry.rotations import AXES, project_axes, rotation_from_angles
from deepgllim.imaging.conversion import to_rgb
from deepgllim.imaging.images import checked_box

Point = npt.NDArray[np.float64]

AXIS_COLOURS = ((230, 30, 30), (20, 180, 40), (40, 90, 255))
"""Colours of the axes: x red, y green, nose blue."""


def draw_axes(
    image: Image.Image,
    pitch: float,
    yaw: float,
    roll: float,
    box: Sequence[float] | None = None,
    *,
    label: str | None = None,
    width: int | None = None,
) -> Image.Image:
    """Return a copy of an image with the head's axes drawn from the centre of a box: x red, y green, nose blue.

    Args:
        image: a Pillow image.
        pitch: degrees, in the convention of `deepgllim.geometry.rotations`.
        yaw: degrees.
        roll: degrees.
        box: (x0, y0, x1, y1), pixels; by default the whole image.
        label: text under the upper left corner of the box.
        width: width of the lines, pixels; by default a 30th of the box, at least 2.

    Raises:
        ImageError: the box is empty, not finite or outside the image.

    Example:
        >>> drawn = draw_axes(Image.new("RGB", (60, 60)), pitch=0, yaw=90, roll=0)
        >>> drawn.getpixel((15, 30))  # the nose, blue, points to the image's left
        (40, 90, 255)
    """
    x0, y0, x1, y1 = checked_box(box if box is not None else (0, 0, *image.size), image.size)
    drawn = to_rgb(image).copy()
    side = max(x1 - x0, y1 - y0)
    width = width or max(2, round(side / 30))
    centre = np.array([x0 + x1, y0 + y1]) / 2
    rotation = rotation_from_angles(pitch, yaw, roll)
    ends = centre + 0.6 * side * project_axes(rotation)
    canvas = ImageDraw.Draw(drawn)
    for axis in np.argsort(-(AXES @ rotation.T)[:, 2]):  # the farthest axis first
        draw_arrow(canvas, centre, ends[axis], AXIS_COLOURS[axis], width)
    if label:
        write_label(canvas, (max(0.0, x0), max(0.0, y0)), label, height=max(10, round(side / 9)))
    return drawn


def write_label(canvas: ImageDraw.ImageDraw, corner: tuple[float, float], label: str, height: int) -> None:
    """Write white text on black.

    Args:
        canvas: the canvas of an image.
        corner: upper left corner of the text, pixels.
        label: the text, of one or several lines.
        height: height of the letters, pixels.
    """
    font = ImageFont.load_default(size=height)
    canvas.rectangle(canvas.textbbox(corner, label, font=font), fill=(0, 0, 0))
    canvas.text(corner, label, fill=(255, 255, 255), font=font)


def draw_arrow(canvas: ImageDraw.ImageDraw, start: Point, end: Point, colour: tuple[int, int, int], width: int) -> None:
    """Draw an arrow; only the dot at its start if it is shorter than twice its width.

    Args:
        canvas: the canvas of an image.
        start: (2,), pixels.
        end: (2,), pixels.
        colour: red, green and blue, 0 to 255.
        width: width of the line, pixels.
    """
    along = end - start
    length = np.hypot(*along)
    canvas.ellipse((*(start - width), *(start + width)), fill=colour)
    if length < 2 * width:
        return
    along /= length
    across = np.array([-along[1], along[0]])
    neck = end - min(3.0 * width, length) * along
    canvas.line((*start, *neck), fill=colour, width=width)
    canvas.polygon([tuple(end), tuple(neck + 1.5 * width * across), tuple(neck - 1.5 * width * across)], fill=colour)
