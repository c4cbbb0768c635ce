"""Drawing of poses on their image: axes of the head, noses of further modes, angles and warnings."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deepgllim.geometry.rotations import AXES, Array, project_axes
from deepgllim.imaging.conversion import to_rgb
from deepgllim.imaging.drawing import AXIS_COLOURS, draw_arrow, write_label
from deepgllim.imaging.images import Box
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.detection.boxes import intersection_area
from deepgllim.pose.result import Pose
from deepgllim.pose.words import format_angles, likely_modes

KNOWN_COLOUR, UNKNOWN_COLOUR = (40, 180, 60), (230, 60, 40)
"""Colours of boxes; the second for faces unlike the training data."""

SMALLEST_SIDE = 640
"""Longer side of a picture under which a nose near the camera's direction and its caption are hard to see, pixels."""

_AXIS_LENGTH = 0.6  # length of an axis over the side of the box, as in `draw_axes`
_WHITE = 0.5  # share of white in the nose of a mode as probable as the first; less probable ones are paler


def draw_poses(
    image: Image.Image,
    poses: Sequence[Pose],
    *,
    level: float = 0.9,
    names: Sequence[str] = (),
    intrinsics: Intrinsics | None = None,
    size: tuple[int, int] | None = None,
) -> Image.Image:
    """Return a copy of an image with poses drawn on it: x red, y green, nose blue.

    Args:
        image: an upright Pillow image.
        poses: poses of its faces; a pose without a box is drawn on the whole image.
        level: probability of the intervals, strictly between 0 and 1.
        names: names of the faces, written above the angles.
        intrinsics: the intrinsics that the poses were predicted with. The axes are drawn relative to the ray through
            the box, as they appear in the image; the angles are those of the poses.
        size: width and height of the drawn copy, pixels; by default those of the image.

    Example:
        >>> frontal = Pose(np.eye(3), np.eye(3), box=(20, 20, 80, 80))
        >>> drawn = draw_poses(Image.new("RGB", (100, 160)), [frontal])
        >>> drawn.getpixel((50, 70))  # the y axis points down
        (20, 180, 40)
    """
    drawn = _resized(to_rgb(image), size)
    canvas = ImageDraw.Draw(drawn)
    given = [pose.box or (0.0, 0.0, float(image.width), float(image.height)) for pose in poses]
    x, y = drawn.width / image.width, drawn.height / image.height
    boxes = [(x * x0, y * y0, x * x1, y * y1) for x0, y0, x1, y1 in given]
    for pose, seen, box in zip(poses, given, boxes, strict=True):
        _draw_axes(canvas, pose if intrinsics is None else pose.rotate(intrinsics.ray_rotation(seen).T), box)
    for n, pose in enumerate(poses):  # after all axes, so that none is drawn over the text
        _write_caption(canvas, drawn.size, caption(pose, level, names[n] if names else ""), boxes, n)
    return drawn


def readable_size(size: tuple[int, int], longest: int | None = None) -> tuple[int, int]:
    """Return the size at which poses are drawn on a picture: a longer side of at least 640 pixels.

    Args:
        size: width and height of the picture, pixels.
        longest: largest longer side, pixels.

    Example:
        >>> readable_size((200, 250)), readable_size((3000, 1500)), readable_size((3000, 1500), longest=1200)
        ((512, 640), (3000, 1500), (1200, 600))
    """
    longer = max(size)
    factor = min(max(longer, SMALLEST_SIDE), longest or max(longer, SMALLEST_SIDE)) / longer
    return max(1, round(factor * size[0])), max(1, round(factor * size[1]))


def caption(pose: Pose, level: float, name: str = "") -> str:
    """Return the lines of text that are written next to a face.

    Example:
        >>> print(caption(Pose(np.eye(3), np.eye(3), in_distribution=False), 0.9, "face 2"))
        face 2
        pitch 0° ± 2°
        yaw 0° ± 2°
        roll 0° ± 2°
        do not trust it
    """
    lines = [name] if name else []
    lines += [f"{angle} {text}" for angle, text in format_angles(pose, level).items()]
    if len(likely_modes(pose)) > 1:
        lines.append("several poses fit")
    if pose.in_distribution is False:
        lines.append("do not trust it")
    return "\n".join(lines).replace("−", "-")  # the font has no minus sign


def pale(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """Blend a colour with a share of white.

    Example:
        >>> pale((0, 100, 255), 0.5)
        (128, 178, 255)
    """
    r, g, b = (round(part + share * (255 - part)) for part in colour)
    return r, g, b


def _draw_axes(canvas: ImageDraw.ImageDraw, pose: Pose, box: Box) -> None:
    x0, y0, x1, y1 = box
    side, centre = max(x1 - x0, y1 - y0), np.array([x0 + x1, y0 + y1]) / 2
    width = max(2, round(side / 30))
    canvas.rectangle(
        box, outline=UNKNOWN_COLOUR if pose.in_distribution is False else KNOWN_COLOUR, width=max(1, width // 3)
    )
    modes = likely_modes(pose)
    for mode in reversed(modes if len(modes) > 1 else ()):
        colour = pale(AXIS_COLOURS[2], 1 - _WHITE * mode.probability / modes[0].probability)
        draw_arrow(canvas, centre, _ends(centre, side, mode.rotation)[2], colour, max(1, width // 2))
    ends = _ends(centre, side, pose.rotation)
    for axis in np.argsort(-(AXES @ pose.rotation.T)[:, 2]):  # the farthest axis first
        draw_arrow(canvas, centre, ends[axis], AXIS_COLOURS[axis], width)


def _ends(centre: Array, side: float, rotation: Array) -> Array:
    """Return the end points of the axes in the image, (3, 2), pixels."""
    ends: Array = centre + _AXIS_LENGTH * side * project_axes(rotation)
    return ends


def _resized(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Return a copy of the given size."""
    if size is None or size == image.size:
        return image.copy()
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _write_caption(
    canvas: ImageDraw.ImageDraw, picture: tuple[int, int], text: str, boxes: Sequence[Box], own: int
) -> None:
    """Write text below, above or beside its box or in a corner of the image, where it covers the least of the faces.

    Args:
        canvas: the canvas of the image.
        picture: width and height of the image, pixels.
        text: the lines.
        boxes: boxes of all faces, pixels.
        own: index of the box of the text.
    """
    x0, y0, x1, y1 = boxes[own]
    size = max(10, round((x1 - x0) / 12))
    _, _, wide, high = canvas.textbbox((0, 0), text, font=ImageFont.load_default(size=size))
    right, bottom, gap = picture[0] - wide, picture[1] - high, 2 + size // 2
    places = [(x0, y1 + gap), (x0, y0 - high - gap), (x1 + gap, y0), (x0 - wide - gap, y0)]
    places += [(left, top) for top in (bottom, 0.0) for left in (0.0, right)]
    inside = [(min(max(0.0, left), max(0.0, right)), min(max(0.0, top), max(0.0, bottom))) for left, top in places]
    write_label(canvas, min(inside, key=lambda place: _covered(place, (wide, high), boxes)), text, size)


def _covered(corner: tuple[float, float], size: tuple[float, float], boxes: Sequence[Box]) -> float:
    """Return the area of the faces that a rectangle covers, pixels².

    Example:
        >>> _covered((0, 0), (10, 10), [(5, 5, 20, 20), (30, 30, 40, 40)])
        25.0
    """
    left, top = corner
    return float(intersection_area([(left, top, left + size[0], top + size[1])], list(boxes)).sum())
