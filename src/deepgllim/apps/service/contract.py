"""The parts of the OpenAPI document that FastAPI does not derive: the upload, the failures, and the examples."""

from typing import Any

import numpy as np
from PIL import Image

from deepgllim.apps.http.answers import face_record
from deepgllim.apps.service.batching import Poses
from deepgllim.apps.service.schema import Failure, PosesAnswer
from deepgllim.geometry.rotations import rotation_from_angles
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.result import Pose

UPLOAD = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a picture. Addresses of pictures are not fetched.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/jpeg", "image/png", "application/octet-stream")
        },
    }
}
"""The body of `POST /v1/poses`."""

FAILURES = {
    403: "host 'heads.example' is not a name of this server: open the address that it printed, or start it with "
    "--allow-host NAME",
    408: "the upload took too long: send it again, or send a smaller picture",
    413: "the file has more than 20 MB: send a smaller file",
    415: "the body is a form: send the bytes of a picture, as image/jpeg, image/png or application/octet-stream",
    422: "the picture has too many pixels: the limit is 40 megapixels; scale it down",
    429: "too many requests: try again in a second",
    500: "the prediction failed: see the log of the server",
    503: "the server is busy: there was no answer within 30 s; try again later",
    504: "the prediction took more than 30 s: send a smaller picture, or start the server with --timeout",
}
"""Status and example of each failure."""

_RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}


def poses_answer(picture: Image.Image, poses: Poses, *, level: float, conventions: bool = False) -> dict[str, Any]:
    """Return the answer of `POST /v1/poses`.

    Args:
        picture: the picture.
        poses: poses of its faces.
        level: probability of the intervals.
        conventions: whether to include the angles in other conventions.
    """
    records = [{**face_record(pose, conventions, level), "covariance": pose.covariance.tolist()} for pose in poses]
    return {"width": picture.width, "height": picture.height, "faces": records}


def example_answer() -> dict[str, Any]:
    """Return the answer for a picture with one face."""
    covariance = np.array([[20.0, 3.0, 0.0], [3.0, 16.0, 1.0], [0.0, 1.0, 9.0]])
    pose = Pose(
        rotation_from_angles(12, -23, 4),
        covariance,
        box=(212.0, 130.5, 428.0, 346.5),
        log_density=41.25,
        in_distribution=True,
        detection_score=0.94,
        calibration=Calibration((1.1, 1.1, 1.2), (0.5, 0.9), (1.2, 2.4), (0.5, 1.5), log_density_threshold=-20.0),
    )
    return poses_answer(Image.new("RGB", (640, 480)), [pose], level=0.9)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of failures for FastAPI.

    Args:
        statuses: keys of `FAILURES`.
    """
    return {
        status: {
            "model": Failure,
            "content": {"application/json": {"example": {"error": FAILURES[status]}}},
            **({"headers": _RETRY} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def poses_responses() -> dict[int | str, dict[str, Any]]:
    """Return the description of all answers of `POST /v1/poses` for FastAPI."""
    success = {"model": PosesAnswer, "content": {"application/json": {"example": example_answer()}}}
    return {200: success, **responses(*FAILURES)}
