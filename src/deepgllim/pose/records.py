"""A pose as plain data: a nested record for JSON, exact both ways, and a flat row for a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deepgllim.errors import DataError, ModelError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array, present_names
from deepgllim.pose.calibration import Calibration

if TYPE_CHECKING:
    from deepgllim.pose.result import Pose

CONVENTION = (
    "R = Rx(-pitch) Ry(yaw) Rz(roll) takes vectors of the head to the camera's frame: x right, y down, z forward; "
    "R = I looks into the camera; +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head "
    "clockwise in the image; R = Ry(pan) Rx(-tilt) Rz(neck_roll); rotation_covariance is that of d with "
    "R = exp(d) rotation"
)

_PLAIN = ("log_density", "in_distribution", "detection_score")


def to_record(pose: "Pose", level: float) -> dict[str, Any]:
    """A dictionary of plain lists, numbers and texts; angles and intervals are there for reading, not read back.

    Example:
        >>> import json, numpy as np
        >>> from deepgllim.pose.result import Pose
        >>> record = to_record(Pose(np.eye(3), np.eye(3), box=(1, 2, 3, 4)), 0.9)
        >>> record["units"], record["angles"]["yaw"], json.loads(json.dumps(record)) == record
        ('degrees', 0.0, True)
    """
    lower, upper = pose.interval(level)
    modes = [
        {
            "probability": mode.probability,
            **_named(ANGLES, mode.angles),
            "rotation": mode.rotation.tolist(),
            "rotation_covariance": mode.rotation_covariance.tolist(),
        }
        for mode in pose.modes
    ]
    return {
        "convention": CONVENTION,
        "units": "degrees",
        "angles": _named(ANGLES, pose.angles),
        "interval": {"level": level, "lower": _named(ANGLES, lower), "upper": _named(ANGLES, upper)},
        "neck_angles": _named(NECK_ANGLES, pose.neck_angles),
        "near_gimbal_lock": pose.near_gimbal_lock,
        "unknown": list(pose.unknown),
        "rotation": pose.rotation.tolist(),
        "rotation_covariance": pose.rotation_covariance.tolist(),
        "modes": modes,
        "box": None if pose.box is None else [float(edge) for edge in pose.box],
        **{name: getattr(pose, name) for name in _PLAIN},
        "calibration": None if pose.calibration is None else pose.calibration.to_json(),
    }


def from_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a pose from `to_record`; its modes as fields too.

    Raises:
        DataError: the record lacks a part or holds something else in its place.
    """
    try:
        box, calibration = record["box"], record["calibration"]
        return {
            "rotation": record["rotation"],
            "rotation_covariance": record["rotation_covariance"],
            "modes": [
                {name: mode[name] for name in ("rotation", "rotation_covariance", "probability")}
                for mode in record["modes"]
            ],
            "box": None if box is None else _four(box),
            "calibration": None if calibration is None else Calibration.from_json(calibration),
            "unknown": present_names(record["unknown"]),
            **{name: record[name] for name in _PLAIN},
        }
    except (KeyError, TypeError, ValueError, ModelError) as error:
        raise DataError(f"not the record of a pose ({error!r}); write it with Pose.to_json") from error


def to_row(pose: "Pose", level: float) -> dict[str, float | int | bool | str | None]:
    """One flat row; angles that the network does not predict are empty.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose.result import Pose
        >>> list(to_row(Pose(np.eye(3), np.eye(3)), 0.9))[:4]
        ['pitch', 'pitch_low', 'pitch_high', 'yaw']
    """
    lower, upper = pose.interval(level)
    row: dict[str, float | int | bool | str | None] = {}
    for name, angle, low, high in zip(ANGLES, pose.angles, lower, upper, strict=True):
        known = name not in pose.unknown
        row |= {key: float(value) if known else None for key, value in _ends(name, angle, low, high).items()}
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


def _ends(name: str, angle: float, low: float, high: float) -> dict[str, float]:
    return {name: angle, f"{name}_low": low, f"{name}_high": high}


def _named(names: tuple[str, ...], values: Array) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _four(box: Any) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return x0, y0, x1, y1
