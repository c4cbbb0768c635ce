"""Checks of the arrays of a pose, which become read-only."""

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import Array

_TOLERANCE = 1e-6  # files and networks have single precision


def checked_rotation(rotation: npt.ArrayLike) -> Array:
    """Return a read-only rotation, (3, 3), or raise a DataError."""
    R = _as_float64(rotation)
    if R.shape != (3, 3):
        raise DataError(
            f"a rotation has shape (3, 3), not {R.shape}; see deepgllim.geometry.rotations.rotation_from_angles"
        )
    if not (np.abs(R @ R.T - np.eye(3)) < _TOLERANCE).all() or np.linalg.det(R) < 0:
        raise DataError(f"the matrix {R.round(4).tolist()} is not a rotation: give R with R·Rᵀ = I and det R = 1")
    return read_only(R)


def checked_covariance(covariance: npt.ArrayLike) -> Array:
    """Return a read-only covariance, (3, 3), or raise a DataError."""
    S = _as_float64(covariance)
    if S.shape != (3, 3):
        raise DataError(f"the covariance of a rotation has shape (3, 3), not {S.shape}, in degrees²")
    symmetric = bool(np.isfinite(S).all()) and bool((np.abs(S - S.T) <= _TOLERANCE * np.abs(S).max()).all())
    if not symmetric or np.linalg.eigvalsh(S)[0] <= 0:
        raise DataError(f"the covariance {S.round(4).tolist()} is not symmetric positive definite; check its source")
    return read_only(0.5 * (S + S.T))


def read_only(array: Array) -> Array:
    """Make an array read-only and return it."""
    array.setflags(write=False)
    return array


def _as_float64(values: npt.ArrayLike) -> Array:
    """Return a copy as float64, or raise a DataError."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{values!r} is not a 3 × 3 matrix of numbers: {error}") from error
