"""Poses as plain data, and the size of a picture that was sent."""

from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

from deepgllim.apps.http.limits import millions
from deepgllim.errors import ImageError
from deepgllim.geometry.conventions import CONVENTIONS
from deepgllim.imaging.images import image_size
from deepgllim.pose.batch.reports import in_convention
from deepgllim.pose.result import Pose

LEVEL = 0.9
"""Probability of the intervals, unless a request gives another."""


class PosePredictor(Protocol):
    """`deepgllim.HeadPose`, or another predictor that several threads can use at once."""

    def predict(self, image: Image.Image) -> Sequence[Pose]:
        """Return the poses of the faces."""
        ...


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


def face_record(pose: Pose, conventions: bool = False, level: float = LEVEL) -> dict[str, Any]:
    """Return a pose as `Pose.from_json` reads it, with a sentence and optionally the angles in other conventions.

    Example:
        >>> import numpy as np
        >>> face_record(Pose(np.eye(3), np.eye(3)))["description"]
        'looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %)'
    """
    record = {**pose.to_json(level), "description": pose.describe(level)}
    return record | ({"conventions": [in_convention(pose, name) for name in CONVENTIONS]} if conventions else {})
