"""Predictions of another program, in a table with a row per picture."""

from collections import Counter
from pathlib import Path

import numpy as np

from deepgllim.data import Manifest, read_manifest
from deepgllim.errors import DataError
from deepgllim.geometry import ANGLES
from research.compare_peers.presets import Array, Poses, angle_poses, matrix_poses

ENTRIES = tuple(f"r{row}{column}" for row in range(3) for column in range(3))
"""Columns of a rotation matrix, row by row."""

_LARGEST_FAULT = 0.01  # of RᵀR − 1, since tables are rounded


def read_predictions(file: Path, faces: Manifest, convention: str) -> Poses:
    """Read the poses of all faces from a CSV or Parquet table, in the order of the faces.

    Args:
        file: table with the columns path and either pitch, yaw, roll (degrees) or r00, r01, …, r22. Pictures are
            matched by file name if names are unique, else by path, relative to the folder of the table.
        faces: the faces; other rows of the table are ignored.
        convention: convention of the table, a key of `deepgllim.geometry.CONVENTIONS`.

    Raises:
        DataError: a column or picture is absent, a picture is listed twice, or a matrix is not a rotation.
        ConfigurationError: the convention is unknown, or has no matrices.
    """
    columns = read_manifest(file, ()).frame.columns
    names = ENTRIES if "r00" in columns and not set(ANGLES) <= set(columns) else ANGLES
    table = read_manifest(file, names)
    values = table.target_values[_rows(file, table, faces)]
    if names == ANGLES:
        return angle_poses(values, convention)
    return matrix_poses(_checked(file, values.reshape(-1, 3, 3)), convention)


def _rows(file: Path, table: Manifest, faces: Manifest) -> list[int]:
    """Return the row of each face in the table."""
    wanted, listed = _keys(table, faces)
    twice = [key for key, count in Counter(listed).items() if count > 1]
    if twice:
        raise DataError(f"{file}: {twice[0]} is listed {Counter(listed)[twice[0]]} times; keep one row per picture")
    row = {key: number for number, key in enumerate(listed)}
    missing = [key for key in wanted if key not in row]
    if missing:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DataError(f"{file}: no row for {missing[0]}{more}, of {len(wanted)} pictures; predict all of them")
    return [row[key] for key in wanted]


def _keys(table: Manifest, faces: Manifest) -> tuple[list[str], list[str]]:
    """Return the keys of the faces and of the table: file names if they are unique, else paths."""
    wanted = [path.name for path in faces.paths]
    if len(set(wanted)) == len(wanted) and len({path.name for path in table.paths}) == len(set(table.paths)):
        return wanted, [path.name for path in table.paths]
    return [str(path.resolve()) for path in faces.paths], [str(path.resolve()) for path in table.paths]


def _checked(file: Path, matrices: Array) -> Array:
    """Return the matrices; raise a DataError if one is not a rotation up to rounding."""
    fault = np.abs(np.swapaxes(matrices, -1, -2) @ matrices - np.eye(3)).max(axis=(-1, -2))
    fault = np.where(np.linalg.det(matrices) > 0, fault, np.inf)
    if fault.max() > _LARGEST_FAULT:
        row = int(np.argmax(fault))
        raise DataError(
            f"{file}: the matrix for picture {row + 1} is not a rotation (RᵀR ≠ 1 or det < 0): check r00 to r22"
        )
    return matrices
