"""Responses of the server: from the bytes of a picture to its poses as plain data, with an annotated picture."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from PIL import Image

from deepgllim.apps.web.limits import millions
from deepgllim.errors import ImageError
from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.imaging.images import image_size, open_image
from deepgllim.pose.batch.annotate import draw_poses, readable_size
from deepgllim.pose.batch.reports import in_convention
from deepgllim.pose.result import Pose

LEVEL = 0.9
LARGEST_SIDE = 1200
"""Largest longer side of the annotated picture, pixels."""


class PosePredictor(Protocol):
    """`deepgllim.HeadPose`, or another predictor that several threads can use at once."""

    def predict(self, image: Image.Image) -> Sequence[Pose]:
        """Return the poses of the faces."""
        ...


class ResponseOptions(NamedTuple):
    """The optional contents of a response.

    Attributes:
        drawn: whether to include the picture with axes, as a data URL.
        conventions: whether to include the angles in other conventions.
    """

    drawn: bool = False
    conventions: bool = False


def count_pixels(content: bytes, max_pixels: int) -> int:
    """Return the number of pixels of a picture, read from its header.

    Args:
        content: content of the file of the picture.
        max_pixels: largest allowed number of pixels.

    Raises:
        ImageError: the picture has more pixels, or the file is not a picture.
    """
    try:
        width, height = image_size(content, max_pixels=max_pixels)
    except ImageError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError | Image.DecompressionBombWarning):
            most = millions(min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels))
            raise ImageError(
                f"the picture has too many pixels: the limit is {most} megapixels; scale it down"
            ) from error
        raise
    return width * height


def predict_response(
    predictor: PosePredictor,
    content: bytes,
    options: ResponseOptions = ResponseOptions(),  # noqa: B008 - an immutable tuple
) -> dict[str, Any]:
    """Decode a picture, predict its poses, and return the response.

    Args:
        predictor: predictor of the poses.
        content: content of the file of the picture.
        options: optional contents.

    Raises:
        ImageError: the file is not a picture, or it is damaged.
    """
    picture = open_image(content)
    poses = predictor.predict(picture)
    response: dict[str, Any] = {
        "width": picture.width,
        "height": picture.height,
        "faces": [face_record(pose, options.conventions) for pose in poses],
    }
    return response | ({"drawn": data_url(draw_annotated(picture, poses))} if options.drawn else {})


def face_record(pose: Pose, conventions: bool = False) -> dict[str, Any]:
    """Return a pose as `Pose.from_json` reads it, with a sentence and optionally the angles in other conventions.

    Example:
        >>> import numpy as np
        >>> face_record(Pose(np.eye(3), np.eye(3)))["description"]
        'looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %)'
    """
    record = {**pose.to_json(LEVEL), "description": pose.describe(LEVEL)}
    return record | ({"conventions": [in_convention(pose, name) for name in CONVENTIONS]} if conventions else {})


def draw_annotated(picture: Image.Image, poses: Sequence[Pose]) -> Image.Image:
    """Return a copy of a picture, scaled to a longer side of 640 to 1200 pixels, with the axes of the poses.

    Example:
        >>> draw_annotated(Image.new("RGB", (3000, 1500)), []).size
        (1200, 600)
    """
    return draw_poses(picture, poses, level=LEVEL, size=readable_size(picture.size, LARGEST_SIDE))


def data_url(picture: Image.Image) -> str:
    """Return a picture as a data URL.

    Example:
        >>> data_url(Image.new("RGB", (2, 2)))[:30]
        'data:image/jpeg;base64,/9j/4AA'
    """
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
