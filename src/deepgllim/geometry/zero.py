"""The zero of the pitch: which head has R = I, and the change to the zero of another convention.

Our zero is a head held level that looks straight ahead, at the height of its eyes. Landmarks define it: R = I if the
normal of the face plane (`FACE_PLANE_ELEVATION`) points this many degrees above the camera. Another convention may have
fixed another axis of the head as its nose; its rotation of the same head is then R·Z, where Z is a rotation about the
head's x axis. This is a subtraction from the tilt if the neck roll is 0, at any pan, and from the pitch only at yaw 0.
"""

import numpy as np

from deepgllim.geometry.checks import Array
from deepgllim.geometry.rotations import angles_from_rotation, rotation_from_angles

FACE_PLANE_ELEVATION = 10.7
"""Elevation of the normal of the face plane, degrees, of a head with R = I.

The plane contains the outer corners of the eyes (36 and 45 of iBUG's 68 landmarks, counted from 0) and the corners of
the mouth (48 and 54). The value is that of the mean head of `deepgllim.synthetic`, with a neutral expression; over its
random people it is 10.8 with a standard deviation of 2.1."""


def change_zero(rotation: Array, elevation: float) -> Array:
    """Return R·Z with Z = Rx(elevation), the same head relative to another zero.

    Args:
        rotation: R, (..., 3, 3).
        elevation: pitch, relative to the zero of R, of a head whose result is I, degrees. The negative elevation gives
            the inverse; 0 returns R itself.

    Returns:
        (..., 3, 3).

    Example:
        >>> angles_from_rotation(change_zero(np.eye(3), 7.0)).round(6) + 0.0  # the head looks 7 degrees below that zero
        array([-7.,  0.,  0.])
    """
    if elevation == 0:
        return rotation
    changed: Array = rotation @ rotation_from_angles(-elevation, 0.0, 0.0)
    return changed


def change_zero_of_angles(angles: Array, elevation: float) -> Array:
    """Return the pitch, yaw and roll of R·Z, as `change_zero`.

    Args:
        angles: pitch, yaw, roll, (..., 3), degrees.
        elevation: as for `change_zero`; 0 returns the angles themselves, even beyond the range of yaw.

    Returns:
        (..., 3), degrees, in the ranges of `angles_from_rotation` if the elevation is not 0.

    Example:
        >>> change_zero_of_angles(np.array([10.0, 0.0, 0.0]), 7.0).round(6)
        array([3., 0., 0.])
        >>> change_zero_of_angles(np.array([10.0, 60.0, 0.0]), 7.0).round(6)  # not a subtraction from the pitch
        array([ -3.797058,  59.268357, -11.919246])
    """
    if elevation == 0:
        return angles
    return angles_from_rotation(change_zero(rotation_from_angles(*np.moveaxis(angles, -1, 0)), elevation))
