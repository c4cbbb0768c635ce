"""Arrays that a pose is made of: checked, then read-only."""

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import Array

_SLACK = 1e-6  # files and networks give single precision


def checked_rotation(rotation: npt.ArrayLike) -> Array:
    """A read-only rotation, (3, 3), or DataError."""
    R = _numbers(rotation)
    if R.shape != (3, 3):
        raise DataError(
            f"a rotation has shape (3, 3), not {R.shape}; see deepgllim.geometry.rotations.rotation_from_angles"
        )
    if not (np.abs(R @ R.T - np.eye(3)) < _SLACK).all() or np.linalg.det(R) < 0:
        raise DataError(f"the matrix {R.round(4).tolist()} is no rotation: R·Rᵀ = I and det R = 1 are wanted")
    return fixed(R)


def checked_covariance(covariance: npt.ArrayLike) -> Array:
    """A read-only covariance, (3, 3), or DataError."""
    S = _numbers(covariance)
    if S.shape != (3, 3):
        raise DataError(f"a rotation's covariance has shape (3, 3), not {S.shape}, in degrees²")
    whole = bool(np.isfinite(S).all()) and bool((np.abs(S - S.T) <= _SLACK * np.abs(S).max()).all())
    if not whole or np.linalg.eigvalsh(S)[0] <= 0:
        raise DataError(f"the covariance {S.round(4).tolist()} is not symmetric positive definite; check its source")
    return fixed(0.5 * (S + S.T))


def _numbers(values: npt.ArrayLike) -> Array:
    """A copy as float64, or DataError."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{values!r} is no matrix of numbers, 3 × 3: {error}") from error


def fixed(array: Array) -> Array:
    """The array itself, now read-only."""
    array.setflags(write=False)
    return array
