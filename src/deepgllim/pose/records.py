"""A pose as plain data: a nested record for JSON, which can be read back exactly, and a flat row for a table."""

from collections.abc import Mapping
from typing import Any

from deepgllim.errors import DataError, ModelError
from deepgllim.geometry.names import present_names
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array
from deepgllim.imaging.images import Box
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.estimate import PoseEstimate, PoseMode

CONVENTION = (
    "R = Rx(-pitch) Ry(yaw) Rz(roll) takes vectors of the head to the camera's frame: x right, y down, z forward; "
    "R = I looks into the camera; +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head "
    "clockwise in the image; R = Ry(pan) Rx(-tilt) Rz(neck_roll); rotation_covariance is that of d with "
    "R = exp(d) rotation"
)

_PLAIN = ("log_density", "in_distribution", "detection_score")
_MODE = ("rotation", "rotation_covariance", "probability")


def to_record(pose: PoseEstimate, level: float) -> dict[str, Any]:
    """Return a dictionary of lists, numbers and texts.

    `from_record` reads the rotations, not the angles and intervals, which are for human readers.

    Args:
        pose: the pose.
        level: probability of the intervals, strictly between 0 and 1.

    Example:
        >>> import json, numpy as np
        >>> from deepgllim.pose import Pose
        >>> record = to_record(Pose(np.eye(3), np.eye(3), box=(1, 2, 3, 4)), 0.9)
        >>> record["units"], record["angles"]["yaw"], json.loads(json.dumps(record)) == record
        ('degrees', 0.0, True)
    """
    lower, upper = pose.interval(level)
    return {
        "convention": CONVENTION,
        "units": "degrees",
        "angles": _by_name(ANGLES, pose.angles),
        "interval": {"level": level, "lower": _by_name(ANGLES, lower), "upper": _by_name(ANGLES, upper)},
        "neck_angles": _by_name(NECK_ANGLES, pose.neck_angles),
        "near_gimbal_lock": pose.near_gimbal_lock,
        "unknown": list(pose.unknown),
        "rotation": pose.rotation.tolist(),
        "rotation_covariance": pose.rotation_covariance.tolist(),
        "modes": [_mode_record(mode) for mode in pose.modes],
        "box": None if pose.box is None else [float(edge) for edge in pose.box],
        **{name: getattr(pose, name) for name in _PLAIN},
        "calibration": None if pose.calibration is None else pose.calibration.to_json(),
    }


def from_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a pose from a record of `to_record`; each mode is a dictionary of its fields.

    Raises:
        DataError: an entry is missing or has an invalid value.
    """
    if not isinstance(record, Mapping):
        raise DataError(
            f"the record of a pose is a dictionary, not {type(record).__name__}: read a text with json.loads first"
        )
    try:
        box, calibration = record["box"], record["calibration"]
        return {
            "rotation": record["rotation"],
            "rotation_covariance": record["rotation_covariance"],
            "modes": [{name: mode[name] for name in _MODE} for mode in record["modes"]],
            "box": None if box is None else _as_box(box),
            "calibration": None if calibration is None else Calibration.from_json(calibration),
            "unknown": present_names(record["unknown"]),
            **{name: record[name] for name in _PLAIN},
        }
    except (KeyError, TypeError, ValueError, ModelError) as error:
        raise DataError(f"not the record of a pose ({error!r}); write it with Pose.to_json") from error


def to_row(pose: PoseEstimate, level: float) -> dict[str, float | int | bool | str | None]:
    """Return one flat row; angles that the network does not predict are None.

    Args:
        pose: the pose.
        level: probability of the intervals, strictly between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose import Pose
        >>> list(to_row(Pose(np.eye(3), np.eye(3)), 0.9))[:4]
        ['pitch', 'pitch_low', 'pitch_high', 'yaw']
    """
    lower, upper = pose.interval(level)
    row: dict[str, float | int | bool | str | None] = {}
    for name, *values in zip(ANGLES, pose.angles, lower, upper, strict=True):
        for column, value in zip((name, f"{name}_low", f"{name}_high"), values, strict=True):
            row[column] = float(value) if name not in pose.unknown else None
    for name, angle in zip(NECK_ANGLES, pose.neck_angles, strict=True):
        row[name] = float(angle) if name not in pose.unknown else None
    edges: tuple[float | None, ...] = pose.box if pose.box is not None else (None,) * 4
    return {
        **row,
        "level": level,
        "near_gimbal_lock": pose.near_gimbal_lock,
        "modes": len(pose.modes),
        **{name: getattr(pose, name) for name in _PLAIN},
        **dict(zip(("x0", "y0", "x1", "y1"), edges, strict=True)),
    }


def _mode_record(mode: PoseMode) -> dict[str, Any]:
    return {
        "probability": mode.probability,
        **_by_name(ANGLES, mode.angles),
        "rotation": mode.rotation.tolist(),
        "rotation_covariance": mode.rotation_covariance.tolist(),
    }


def _by_name(names: tuple[str, ...], values: Array) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _as_box(box: Any) -> Box:
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return x0, y0, x1, y1
