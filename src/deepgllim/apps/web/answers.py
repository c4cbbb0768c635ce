"""Responses of the server: from the bytes of a picture to its poses as plain data, with an annotated picture."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image

from deepgllim.apps.http.answers import LEVEL, PosePredictor, face_record
from deepgllim.imaging.images import open_image
from deepgllim.pose.batch.annotate import draw_poses, readable_size
from deepgllim.pose.result import Pose

LARGEST_SIDE = 1200
"""Largest longer side of the annotated picture, pixels."""


class ResponseOptions(NamedTuple):
    """The optional contents of a response.

    Attributes:
        drawn: whether to include the picture with axes, as a data URL.
        conventions: whether to include the angles in other conventions.
    """

    drawn: bool = False
    conventions: bool = False


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
    return picture_response(picture, predictor.predict(picture), options)


def picture_response(picture: Image.Image, poses: Sequence[Pose], options: ResponseOptions) -> dict[str, Any]:
    """Return the response for a decoded picture.

    Args:
        picture: the picture.
        poses: poses of its faces.
        options: optional contents.

    Example:
        >>> picture_response(Image.new("RGB", (4, 3)), [], ResponseOptions())
        {'width': 4, 'height': 3, 'faces': []}
    """
    response: dict[str, Any] = {
        "width": picture.width,
        "height": picture.height,
        "faces": [face_record(pose, options.conventions) for pose in poses],
    }
    return response | ({"drawn": data_url(draw_annotated(picture, poses))} if options.drawn else {})


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
