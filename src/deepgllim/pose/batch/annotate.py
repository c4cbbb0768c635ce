"""Drawing of poses on their image: axes of the head, noses of further modes, angles and warnings."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deepgllim.geometry.rotations import AXES, Array, project_axes
from deepgllim.imaging.conversion import to_rgb
from deepgllim.imaging.drawing import AXIS_COLOURS, draw_arrow, write_label
from deepgllim.imaging.images import Box
from deepgllim.pose.camera import Intrinsics
from deepgllim.pose.result import Pose
from deepgllim.pose.words import format_angles, likely_modes

KNOWN_COLOUR, UNKNOWN_COLOUR = (40, 180, 60), (230, 60, 40)
"""Colours of boxes; the second for faces unlike the training data."""

_AXIS_LENGTH = 0.6  # length of an axis over the side of the box, as in `draw_axes`
_WHITE = 0.5  # share of white in the nose of a mode as probable as the first; less probable ones are paler


def draw_poses(
    image: Image.Image,
    poses: Sequence[Pose],
    *,
    level: float = 0.9,
    names: Sequence[str] = (),
    intrinsics: Intrinsics | None = None,
) -> Image.Image:
    """Return a copy of an image with poses drawn on it: x red, y green, nose blue.

    Args:
        image: an upright Pillow image.
        poses: poses of its faces; a pose without a box is drawn on the whole image.
        level: probability of the intervals, strictly between 0 and 1.
        names: names of the faces, written above the angles.
        intrinsics: the intrinsics that the poses were predicted with. The axes are drawn relative to the ray through
            the box, as they appear in the image; the angles are those of the poses.

    Example:
        >>> frontal = Pose(np.eye(3), np.eye(3), box=(20, 20, 80, 80))
        >>> drawn = draw_poses(Image.new("RGB", (100, 100)), [frontal])
        >>> drawn.getpixel((50, 70))  # the y axis points down
        (20, 180, 40)
    """
    drawn = to_rgb(image).copy()
    canvas = ImageDraw.Draw(drawn)
    boxes = [pose.box or (0.0, 0.0, float(drawn.width), float(drawn.height)) for pose in poses]
    for pose, box in zip(poses, boxes, strict=True):
        _draw_axes(canvas, pose if intrinsics is None else pose.rotate(intrinsics.ray_rotation(box).T), box)
    for n, (pose, box) in enumerate(
        zip(poses, boxes, strict=True)
    ):  # after all axes, so that none is drawn over the text
        _write_caption(canvas, drawn.size, caption(pose, level, names[n] if names else ""), box)
    return drawn


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


def _write_caption(canvas: ImageDraw.ImageDraw, picture: tuple[int, int], text: str, box: Box) -> None:
    """Write text below the box, above it or at the edge of the image, where it fits."""
    x0, y0, x1, y1 = box
    size = max(10, round((x1 - x0) / 12))
    _, _, wide, high = canvas.textbbox((0, 0), text, font=ImageFont.load_default(size=size))
    top = y1 + 2 if y1 + 2 + high <= picture[1] else y0 - high - 2
    left, top = (min(max(0.0, at), max(0.0, end)) for at, end in ((x0, picture[0] - wide), (top, picture[1] - high)))
    write_label(canvas, (left, top), text, size)
