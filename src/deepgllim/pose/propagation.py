"""First-order propagation of covariances between angles and small rotations.

R = exp([δ]×)·R̄ with δ in the camera's frame. A change of an angle rotates the head about one axis of that frame; the
axes of the three angles are the columns of the Jacobian ∂δ/∂angles.
"""

import math

import numpy as np

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array, rotation_from_angles, rotation_from_pan_tilt

MIN_COSINE = 1e-3
"""Smallest cosine of yaw or tilt that is inverted: standard deviations grow at most by 1000 near gimbal lock."""

MIN_VARIANCE = 1e-6
"""Smallest variance of a rotation about any axis, degrees²; at gimbal lock the angles do not cover one axis."""

_X, _Y, _Z = np.eye(3)


def rotation_jacobian(names: tuple[str, ...], angles: Array) -> Array:
    """Return ∂δ/∂angles, whose columns are the rotation axes of the three angles in the camera's frame.

    For R = Rx(−pitch)·Ry(yaw)·Rz(roll) the axes are −e_x, Rx(−pitch)·e_y and R·e_z. For
    R = Ry(pan)·Rx(−tilt)·Rz(neck_roll), in the order tilt, pan, neck_roll, they are −Ry(pan)·e_x, e_y and R·e_z.

    Args:
        names: ("pitch", "yaw", "roll") or ("tilt", "pan", "neck_roll").
        angles: values in that order, (3,), degrees.

    Returns:
        (3, 3), with the determinant −cos(yaw) or −cos(tilt).

    Raises:
        ConfigurationError: the names are others.

    Example:
        >>> rotation_jacobian(("tilt", "pan", "neck_roll"), np.array([0.0, 90.0, 0.0])).round(6) + 0.0
        array([[0., 0., 1.],
               [0., 1., 0.],
               [1., 0., 0.]])
    """
    first, second, third = angles
    if tuple(names) == ANGLES:
        base = rotation_from_angles(first, 0, 0)
        return np.column_stack([-_X, base @ _Y, rotation_from_angles(first, second, third) @ _Z])
    if tuple(names) == NECK_ANGLES:
        base = rotation_from_pan_tilt(second, 0)
        return np.column_stack([-base @ _X, _Y, rotation_from_pan_tilt(second, first, third) @ _Z])
    raise ConfigurationError(f"angles {', '.join(names)}: use {', '.join(ANGLES)} or {', '.join(NECK_ANGLES)}")


def rotation_covariance(names: tuple[str, ...], angles: Array, covariance: Array) -> Array:
    """Return Cov[δ] = J·Cov[angles]·Jᵀ, made positive definite.

    Args:
        names: as in `rotation_jacobian`.
        angles: as in `rotation_jacobian`.
        covariance: covariance of the angles, (3, 3), degrees².

    Returns:
        (3, 3), degrees².

    Raises:
        ConfigurationError: as in `rotation_jacobian`.

    Example:
        >>> rotation_covariance(("pitch", "yaw", "roll"), np.array([0.0, 90.0, 0.0]), np.diag([1.0, 2.0, 4.0])).round(6)
        array([[5.e+00, 0.e+00, 0.e+00],
               [0.e+00, 2.e+00, 0.e+00],
               [0.e+00, 0.e+00, 1.e-06]])
    """
    J = rotation_jacobian(names, angles)
    variances, axes = np.linalg.eigh(_symmetric(J @ covariance @ J.T))
    floor = max(MIN_VARIANCE, 1e-10 * float(variances[-1]))
    return _symmetric(axes * np.maximum(variances, floor) @ axes.T)


def angle_covariance(names: tuple[str, ...], angles: Array, covariance: Array) -> Array:
    """Return Cov[angles] = J⁻¹·Cov[δ]·J⁻ᵀ, the inverse of `rotation_covariance`.

    It grows as 1/cos² of the yaw (or of the tilt) towards gimbal lock, where two of the angles have the same axis.

    Args:
        names: as in `rotation_jacobian`.
        angles: as in `rotation_jacobian`.
        covariance: covariance of δ, (3, 3), degrees².

    Returns:
        (3, 3), degrees².

    Raises:
        ConfigurationError: as in `rotation_jacobian`.

    Example:
        >>> near_profile = np.array([0.0, 84.26, 0.0])  # of cosine 0.1
        >>> np.sqrt(np.diag(angle_covariance(("pitch", "yaw", "roll"), near_profile, np.eye(3)))).round(1)
        array([10.,  1., 10.])
    """
    J = rotation_jacobian(names, angles)
    first, second, third = J.T
    determinant = float(np.linalg.det(J))
    inverse = np.array([np.cross(second, third), np.cross(third, first), np.cross(first, second)])
    inverse /= math.copysign(max(abs(determinant), MIN_COSINE), determinant)
    middle = names.index("yaw" if "yaw" in names else "tilt")
    inverse[middle] = J[:, middle]  # this axis is orthogonal to the other two, also at gimbal lock
    return _symmetric(inverse @ covariance @ inverse.T)


def _symmetric(matrix: Array) -> Array:
    return 0.5 * (matrix + matrix.T)
