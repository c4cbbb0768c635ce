"""Scan results as table rows, one for each face, and as JSON, one object for each image or frame."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from deepgllim.geometry.conventions import CONVENTIONS, convention
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES
from deepgllim.pose.batch.formats import Value
from deepgllim.pose.batch.scanning import ScanResult
from deepgllim.pose.result import Pose

_RAW = (*ANGLES, *NECK_ANGLES)


def row_columns(*, video: bool = False, smoothed: bool = False, convention: str | None = None) -> list[str]:
    """Return the names of the columns of `rows`.

    Args:
        video: whether to include `frame`, `time` and `track`.
        smoothed: whether to include `raw_pitch` to `raw_neck_roll`, `raw_modes` and `used`.
        convention: name of a convention of `deepgllim.geometry` whose angles are included; None for no convention.

    Example:
        >>> row_columns(video=True, convention="openface")[:9]
        ['source', 'frame', 'time', 'track', 'face', 'pitch', 'pitch_low', 'pitch_high', 'yaw']
    """
    pose = Pose(np.eye(3), np.eye(3))
    return [
        "source",
        *(("frame", "time", "track") if video else ()),
        "face",
        *pose.as_dict(),
        *(convention_angles(pose, convention) if convention else ()),
        *(_raw(pose) if smoothed else ()),
        *(("used",) if smoothed else ()),
    ]


def rows(result: ScanResult, level: float = 0.9, convention: str | None = None) -> Iterator[dict[str, Value]]:
    """Yield a row for each face: source, index of the face, angles with their intervals, box.

    For filtered or smoothed videos the columns `raw_pitch`, … are the angles from the frame alone.

    Args:
        result: the result for an image or a frame.
        level: probability of the intervals, strictly between 0 and 1.
        convention: name of a convention of `deepgllim.geometry` whose angles are included; None for no convention.
    """
    for number, (pose, raw, track, used) in enumerate(result.faces):
        yield {
            "source": result.source.name,
            "frame": result.frame,
            "time": result.time,
            "track": track,
            "face": number,
            **pose.as_dict(level),
            **(convention_angles(pose, convention) if convention else {}),
            **_raw(pose if raw is None else raw),
            "used": used,
        }


def record(result: ScanResult, level: float = 0.9, convention: str | None = None) -> dict[str, Any]:
    """Return the result for an image or a frame as plain values for JSON; `Pose.from_json` reads each face.

    Args:
        result: the result for an image or a frame.
        level: probability of the intervals, strictly between 0 and 1.
        convention: name of a convention of `deepgllim.geometry` that is included; None for no convention.
    """
    frame = {} if result.frame is None else {"frame": result.frame, "time": result.time}
    return {
        "source": result.source.name,
        **frame,
        "faces": [
            {
                **({} if track is None else {"track": track}),
                **pose.to_json(level),
                **({"in_convention": in_convention(pose, convention)} if convention else {}),
                **({} if raw is None else {"used": used, "raw": raw.to_json(level)}),
            }
            for pose, raw, track, used in result.faces
        ],
    }


def convention_angles(pose: Pose, name: str) -> dict[str, float]:
    """Return the angles of a pose in a convention by column, or the entries of its matrix if it defines no angles.

    Example:
        >>> convention_angles(Pose(np.eye(3), np.eye(3)), "openvino")
        {'openvino_pitch': 0.0, 'openvino_yaw': 0.0, 'openvino_roll': 0.0}
    """
    names = convention(name).names
    if names is not None:
        return {f"{name}_{each}": float(angle) + 0.0 for each, angle in zip(names, pose.angles_in(name), strict=True)}
    matrix = pose.rotation_in(name)
    return {f"{name}_r{i}{j}": float(entry) for (i, j), entry in np.ndenumerate(matrix)}


def in_convention(pose: Pose, name: str) -> dict[str, Any]:
    """Return angles, unit and matrix of a pose in a convention; None for those that it does not define.

    Example:
        >>> in_convention(Pose(np.eye(3), np.eye(3)), "openvino")
        {'name': 'openvino', 'units': 'degrees', 'angles': {'pitch': 0.0, 'yaw': 0.0, 'roll': 0.0}, 'matrix': None}
    """
    row = CONVENTIONS[name]
    angles = None
    if row.names is not None:
        angles = dict(zip(row.names, (pose.angles_in(name) + 0.0).tolist(), strict=True))
    matrix = None if row.to_matrix is None else pose.rotation_in(name).tolist()
    return {"name": name, "units": row.units, "angles": angles, "matrix": matrix}


def _raw(pose: Pose) -> dict[str, Value]:
    flat = pose.as_dict()
    return {**{f"raw_{name}": flat[name] for name in _RAW}, "raw_modes": len(pose.modes)}
