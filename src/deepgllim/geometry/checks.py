"""Checks of arrays of rotations and angles."""

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError

Array = npt.NDArray[np.float64]

ROTATION_TOLERANCE = 1e-3
"""Largest absolute entry of R·Rᵀ − I of a rotation; files store matrices with four digits or more."""


def as_rotations(rotation: npt.ArrayLike) -> Array:
    """Return rotations as float64, (..., 3, 3), or raise a ValueError."""
    R = np.asarray(rotation, dtype=np.float64)
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"a rotation has shape (..., 3, 3), not {R.shape}; see rotation_from_angles")
    return R


def as_triples(angles: npt.ArrayLike) -> Array:
    """Return triples of angles as float64, (..., 3), or raise a ValueError."""
    values = np.asarray(angles, dtype=np.float64)
    if values.shape[-1:] != (3,):
        raise ValueError(f"angles have shape {values.shape}; give three on the last axis, (..., 3)")
    return values


def checked_rotations(rotation: npt.ArrayLike, name: str = "the matrix") -> Array:
    """Return rotations as float64 after checking that R·Rᵀ = I, up to `ROTATION_TOLERANCE`, and det R = 1.

    Args:
        rotation: (..., 3, 3).
        name: name of the matrices in messages.

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: the last two axes are not 3 × 3.
        DataError: a matrix is not a rotation; the message names its index and whether it is a reflection.

    Example:
        >>> checked_rotations(np.diag([-1.0, 1.0, 1.0]), "the matrix of 'biwi'")
        Traceback (most recent call last):
        deepgllim.errors.DataError: the matrix of 'biwi' is not a rotation but a reflection (det = -1): an axis is ...
    """
    R = as_rotations(rotation)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(axis=(-2, -1), initial=0.0)  # (...)
        wrong = ~(error <= ROTATION_TOLERANCE)  # NaN is wrong too
    if wrong.any():
        first = np.argwhere(wrong)[0]
        found = R[tuple(first)].round(4).tolist()
        raise DataError(f"{_numbered(name, first)} is not a rotation (R·Rᵀ = I): {found}; check where it is from")
    reflected = np.linalg.det(R) < 0
    if reflected.any():
        which = _numbered(name, np.argwhere(reflected)[0])
        raise DataError(f"{which} is not a rotation but a reflection (det = -1): an axis is reversed, check its signs")
    return R


def _numbered(name: str, index: npt.NDArray[np.intp]) -> str:
    """Return the name of one of several matrices in a message."""
    return f"{name}, number {', '.join(str(i) for i in index)}," if len(index) else name
