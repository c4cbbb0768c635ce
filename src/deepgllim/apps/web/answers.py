"""From the bytes of a picture to what is said of it, as plain data: poses, conventions, and the picture drawn on."""

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from PIL import Image

from deepgllim.apps.web.limits import millions
from deepgllim.errors import ImageError
from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.imaging.images import image_size, open_image
from deepgllim.pose.batch.annotate import draw_poses
from deepgllim.pose.batch.reports import in_convention
from deepgllim.pose.result import Pose

LEVEL = 0.9
SIDES = (640, 1200)
"""Pixels of the drawn picture's longer side, least and most: captions can be read, and little is sent."""


class PredictsPoses(Protocol):
    """`deepgllim.HeadPose`, or anything alike that several threads may ask at once."""

    def predict(self, image: Image.Image) -> Sequence[Pose]:
        """The poses of the faces."""
        ...


class Wanted(NamedTuple):
    """What an answer holds beside the poses.

    Attributes:
        drawn: the picture with axes, as a data URL.
        conventions: the angles in other people's conventions.
    """

    drawn: bool = False
    conventions: bool = False


POSES_ALONE = Wanted()


def count_pixels(content: bytes, max_pixels: int) -> int:
    """Return the number of a picture's pixels, from its header alone.

    Args:
        content: of the picture's file.
        max_pixels: that are allowed.

    Raises:
        ImageError: there are more, or the file is no picture.
    """
    try:
        width, height = image_size(content, max_pixels=max_pixels)
    except ImageError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError | Image.DecompressionBombWarning):
            most = millions(min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels))
            raise ImageError(
                f"the picture has too many pixels: up to {most} megapixels are taken; scale it down"
            ) from error
        raise
    return width * height


def answer(predictor: PredictsPoses, content: bytes, wanted: Wanted = POSES_ALONE) -> dict[str, Any]:
    """Decode a picture, predict, and return what is said of it.

    Args:
        predictor: of poses.
        content: of the picture's file.
        wanted: beside the poses.

    Raises:
        ImageError: the file is no picture, or a damaged one.
    """
    picture = open_image(content)
    poses = predictor.predict(picture)
    found: dict[str, Any] = {
        "width": picture.width,
        "height": picture.height,
        "faces": [face(pose, wanted.conventions) for pose in poses],
    }
    return found | ({"drawn": data_url(drawn(picture, poses))} if wanted.drawn else {})


def face(pose: Pose, conventions: bool = False) -> dict[str, Any]:
    """What is said of a face: what `Pose.from_json` reads, a sentence, and the conventions where they are wanted.

    Example:
        >>> import numpy as np
        >>> face(Pose(np.eye(3), np.eye(3)))["description"]
        'looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %)'
    """
    said = {**pose.to_json(LEVEL), "description": pose.describe(LEVEL)}
    return said | ({"conventions": [in_convention(pose, name) for name in CONVENTIONS]} if conventions else {})


def drawn(picture: Image.Image, poses: Sequence[Pose]) -> Image.Image:
    """A copy of a picture, its longer side within `SIDES`, with poses drawn on it.

    Example:
        >>> drawn(Image.new("RGB", (3000, 1500)), []).size, drawn(Image.new("RGB", (100, 120)), []).size
        ((1200, 600), (533, 640))
    """
    longer = max(picture.size)
    factor = min(max(longer, SIDES[0]), SIDES[1]) / longer
    size = max(1, round(factor * picture.width)), max(1, round(factor * picture.height))
    canvas = picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    x, y = size[0] / picture.width, size[1] / picture.height
    return draw_poses(canvas, [_scaled(pose, x, y) for pose in poses], level=LEVEL)


def _scaled(pose: Pose, x: float, y: float) -> Pose:
    if pose.box is None:
        return pose
    x0, y0, x1, y1 = pose.box
    return replace(pose, box=(x * x0, y * y0, x * x1, y * y1))


def data_url(picture: Image.Image) -> str:
    """A picture inside a text, so that no file of it is needed.

    Example:
        >>> data_url(Image.new("RGB", (2, 2)))[:30]
        'data:image/jpeg;base64,/9j/4AA'
    """
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
