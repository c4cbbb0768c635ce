"""Formulas of the conventions in `deepgllim.geometry.conventions`: their matrices and angles from ours, and back."""

import numpy as np

from deepgllim.errors import DataError
from deepgllim.geometry.checks import ROTATION_TOLERANCE, Array, checked_rotations
from deepgllim.geometry.rotations import (
    angles_from_rotation,
    rotation_from_angles,
    rotation_from_vector,
    vector_from_rotation,
)

_HALF_TURN: Array = np.diag([1.0, -1.0, -1.0])  # half a turn about x: y up, z towards the camera


def identity(R: Array) -> Array:
    """Return R itself."""
    return R


def opal(R: Array) -> Array:
    """Return P·R·P with P = diag(1, 1, −1)."""
    written: Array = R * [[1, 1, -1], [1, 1, -1], [-1, -1, 1]]
    return written


def sixdrepnet(R: Array) -> Array:
    """Return E·Rᵀ·E with E = diag(−1, 1, 1)."""
    written: Array = np.swapaxes(R, -1, -2) * [[1, -1, -1], [-1, 1, 1], [-1, 1, 1]]
    return written


def opencv(R: Array) -> Array:
    """Return R·diag(1, −1, −1), for a head model with y up and the nose along +z; its own inverse."""
    written: Array = R @ _HALF_TURN
    return written


def rq_angles(angles: Array) -> Array:
    """Return the x, y, z of RQDecomp3x3, with R·diag(1, −1, −1) = Rz(z)·Ry(y)·Rx(x), degrees."""
    R = opencv(rotation_from_angles(*np.moveaxis(angles, -1, 0)))
    # the transpose of Rz·Ry·Rx is Rx(−x)·Ry(−y)·Rz(−z), the form of our own angles
    return angles_from_rotation(np.swapaxes(R, -1, -2)) * [1.0, -1.0, -1.0]


def angles_from_rq(angles: Array) -> Array:
    """Return our pitch, yaw and roll from the x, y, z of RQDecomp3x3, degrees."""
    x, y, z = np.moveaxis(angles, -1, 0)
    return angles_from_rotation(opencv(np.swapaxes(rotation_from_angles(x, -y, -z), -1, -2)))


def rodrigues(angles: Array) -> Array:
    """Return the rotation vector of R·diag(1, −1, −1), radians."""
    vector: Array = np.radians(vector_from_rotation(opencv(rotation_from_angles(*np.moveaxis(angles, -1, 0)))))
    return vector


def angles_from_rodrigues(vector: Array) -> Array:
    """Return our pitch, yaw and roll, degrees, from the rotation vector of `rodrigues`, radians."""
    return angles_from_rotation(opencv(rotation_from_vector(np.degrees(vector))))


def mediapipe(R: Array) -> Array:
    """Return F·R·F with F = diag(1, −1, −1) as homogeneous matrices, (..., 4, 4), without a translation."""
    matrix = np.zeros((*R.shape[:-2], 4, 4))
    matrix[..., :3, :3] = _HALF_TURN @ R @ _HALF_TURN
    matrix[..., 3, 3] = 1.0
    return matrix


def rotation_from_mediapipe(matrix: Array) -> Array:
    """Return our R from the upper left 3 × 3 block, without its scale."""
    block = matrix[..., :3, :3]
    with np.errstate(all="ignore"):  # non-finite values are refused below
        scale = np.abs(np.cbrt(np.linalg.det(block)))[..., None, None]
        unscaled = np.where(scale > 0, block / scale, np.nan)
    R: Array = _HALF_TURN @ checked_rotations(unscaled, matrix_name("mediapipe")) @ _HALF_TURN
    return R


def check_last_row(matrix: Array, name: str) -> None:
    """Raise a DataError unless the last row of a homogeneous matrix is 0 0 0 1."""
    expected = np.eye(matrix.shape[-1])[-1]
    wrong = ~np.isclose(matrix[..., -1, :], expected, rtol=0, atol=ROTATION_TOLERANCE).all(axis=-1)
    if wrong.any():
        row = ", ".join(f"{number:g}" for number in matrix[wrong][0, -1])
        wanted = ", ".join(f"{number:g}" for number in expected)
        raise DataError(
            f"the last row of {matrix_name(name)} is ({row}), not ({wanted}): transpose it if columns come first"
        )


def matrix_name(convention: str) -> str:
    """Return the name of a matrix of a convention in messages."""
    return f"the matrix of {convention!r}"
