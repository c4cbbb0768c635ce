"""Covariances of angles and of the small rotation they make, to first order.

R = exp([δ]×)·R̄ with δ in the camera's frame: a change of an angle turns the head about one axis of that frame, and the
three axes are the columns of the Jacobian.
"""

import math

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array, rotation_from_angles, rotation_from_pan_tilt

SMALLEST_COSINE = 1e-3
"""Of yaw (or tilt), where its inverse is taken: a standard deviation grows at most a thousandfold near gimbal lock."""

SMALLEST_VARIANCE = 1e-6
"""Degrees², of a rotation about any axis; at gimbal lock the three angles leave one axis without any."""

_X, _Y, _Z = np.eye(3)


def rotation_jacobian(names: tuple[str, ...], angles: Array) -> Array:
    """∂δ/∂angles: the axes, in the camera's frame, that the three angles turn about, as columns.

    For R = Rx(−pitch)·Ry(yaw)·Rz(roll) the axes are −e_x, Rx(−pitch)·e_y and R·e_z. For
    R = Ry(pan)·Rx(−tilt)·Rz(neck_roll), in the order tilt, pan, neck_roll, they are −Ry(pan)·e_x, e_y and R·e_z.

    Args:
        names: ("pitch", "yaw", "roll") or ("tilt", "pan", "neck_roll").
        angles: in that order, (3,), degrees.

    Returns:
        (3, 3), of determinant −cos(yaw), or −cos(tilt).

    Raises:
        ConfigurationError: for other names.

    Example:
        >>> rotation_jacobian(("tilt", "pan", "neck_roll"), np.array([0.0, 90.0, 0.0])).round(6) + 0.0
        array([[0., 0., 1.],
               [0., 1., 0.],
               [1., 0., 0.]])
    """
    first, second, third = angles
    if tuple(names) == ANGLES:
        turned = rotation_from_angles(first, 0, 0)
        return np.column_stack([-_X, turned @ _Y, rotation_from_angles(first, second, third) @ _Z])
    if tuple(names) == NECK_ANGLES:
        turned = rotation_from_pan_tilt(second, 0)
        return np.column_stack([-turned @ _X, _Y, rotation_from_pan_tilt(second, first, third) @ _Z])
    raise ConfigurationError(f"angles {', '.join(names)}: use {', '.join(ANGLES)} or {', '.join(NECK_ANGLES)}")


def rotation_covariance(names: tuple[str, ...], angles: Array, covariance: Array) -> Array:
    """Cov[δ] = J·Cov[angles]·Jᵀ, positive definite.

    Args:
        names, angles: as `rotation_jacobian`.
        covariance: of the angles, (3, 3), degrees².

    Raises:
        ConfigurationError: as `rotation_jacobian`.

    Example:
        >>> rotation_covariance(("pitch", "yaw", "roll"), np.array([0.0, 90.0, 0.0]), np.diag([1.0, 2.0, 4.0])).round(6)
        array([[5.e+00, 0.e+00, 0.e+00],
               [0.e+00, 2.e+00, 0.e+00],
               [0.e+00, 0.e+00, 1.e-06]])
    """
    J = rotation_jacobian(names, angles)
    variances, axes = np.linalg.eigh(_symmetric(J @ covariance @ J.T))
    floor = max(SMALLEST_VARIANCE, 1e-10 * float(variances[-1]))
    return _symmetric(axes * np.maximum(variances, floor) @ axes.T)


def angle_covariance(names: tuple[str, ...], angles: Array, covariance: Array) -> Array:
    """Cov[angles] = J⁻¹·Cov[δ]·J⁻ᵀ: the inverse of `rotation_covariance`.

    It grows as 1/cos² of the yaw (or of the tilt) towards gimbal lock, where two of the angles cannot be told apart.

    Args:
        names, angles: as `rotation_jacobian`.
        covariance: of δ, (3, 3), degrees².

    Raises:
        ConfigurationError: as `rotation_jacobian`.

    Example:
        >>> near_profile = np.array([0.0, 84.26, 0.0])  # of cosine 0.1
        >>> np.sqrt(np.diag(angle_covariance(("pitch", "yaw", "roll"), near_profile, np.eye(3)))).round(1)
        array([10.,  1., 10.])
    """
    J = rotation_jacobian(names, angles)
    first, second, third = J.T
    determinant = float(np.linalg.det(J))
    inverse = np.array([np.cross(second, third), np.cross(third, first), np.cross(first, second)])
    inverse /= math.copysign(max(abs(determinant), SMALLEST_COSINE), determinant)
    upright = names.index("yaw" if "yaw" in names else "tilt")
    inverse[upright] = J[:, upright]  # this axis is at right angles to the other two, at gimbal lock too
    return _symmetric(inverse @ covariance @ inverse.T)


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)
