"""Tests of checks of rotations: index of the wrong matrix and kind of its fault."""

import numpy as np
import pytest

from deepgllim.errors import DataError
from deepgllim.geometry import checked_rotations, rotation_from_angles


def test_the_message_names_the_wrong_matrix() -> None:
    R = rotation_from_angles(np.arange(6.0).reshape(2, 3), 20, 30)
    np.testing.assert_array_equal(checked_rotations(R), R)
    R[1, 2] *= 1.01
    with pytest.raises(DataError, match=r"the matrix, number 1, 2, is not a rotation \(R·Rᵀ = I\): \[\["):
        checked_rotations(R)
    R[1, 2] = -np.eye(3)
    with pytest.raises(DataError, match=r"number 1, 2, is not a rotation but a reflection \(det = -1\)"):
        checked_rotations(R)
