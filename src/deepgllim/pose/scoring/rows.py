"""Rows of an output shard: one for each face, each picture without a face, and each failure."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from deepgllim.pose.batch.formats import TYPES
from deepgllim.pose.records import CONVENTION
from deepgllim.pose.result import Pose
from deepgllim.pose.scoring.entries import ShardEntry

if TYPE_CHECKING:
    import pyarrow

FACE, NO_FACE, FAILED, DAMAGED = "face", "no_face", "failed", "damaged_shard"
"""Values of the column `status`."""

MATRICES = ("rotation", "rotation_covariance")

PREFIX = "deepgllim."
"""Beginning of the keys of the metadata of an output shard."""


@cache
def _pose_columns() -> tuple[str, ...]:
    return tuple(name for name in Pose(np.eye(3), np.eye(3)).as_dict() if name != "level")


def make_schema(metadata: Mapping[str, str] | None = None) -> "pyarrow.Schema":
    """Return the schema of an output shard.

    Args:
        metadata: metadata in addition to the convention and the units.
    """
    import pyarrow

    kinds = {str: pyarrow.string(), int: pyarrow.int32(), bool: pyarrow.bool_(), float: pyarrow.float32()}
    matrix = pyarrow.list_(pyarrow.float32(), 9)
    fields = [
        pyarrow.field("key", pyarrow.string(), nullable=False),
        pyarrow.field("picture", pyarrow.int64(), nullable=False),
        pyarrow.field("status", pyarrow.string(), nullable=False),
        ("face", pyarrow.int32()),
        *((name, kinds[TYPES.get(name, float)]) for name in _pose_columns()),
        *((name, matrix) for name in MATRICES),
        ("error", pyarrow.string()),
    ]
    known = {"convention": CONVENTION, "units": "degrees; covariances in degrees², boxes in pixels", **(metadata or {})}
    return pyarrow.schema(fields, metadata={f"{PREFIX}{name}": value for name, value in known.items()})


def pose_rows(key: str, picture: int, poses: Sequence[Pose], level: float) -> Iterator[dict[str, Any]]:
    """Yield the rows of a picture that was predicted.

    Args:
        key: name of the picture.
        picture: index of the picture in its shard.
        poses: the poses of its faces.
        level: probability of the intervals.

    Example:
        >>> list(pose_rows("a.jpg", 0, [], 0.9))
        [{'key': 'a.jpg', 'picture': 0, 'status': 'no_face'}]
    """
    for face, pose in enumerate(poses):
        matrices = {name: getattr(pose, name).ravel().tolist() for name in MATRICES}
        values = pose.as_dict(level)
        known = {name: values[name] for name in _pose_columns()}
        yield {"key": key, "picture": picture, "status": FACE, "face": face, **known, **matrices}
    if not poses:
        yield {"key": key, "picture": picture, "status": NO_FACE}


def problem_row(entry: ShardEntry, picture: int, problem: str) -> dict[str, Any]:
    """Return the row of a picture that failed, or of the end of a damaged shard."""
    status = DAMAGED if entry.damaged else FAILED
    return {"key": entry.key, "picture": picture, "status": status, "error": problem}
