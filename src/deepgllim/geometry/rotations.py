"""Rotations of heads: Euler angles, neck angles, rotation vectors, distances.

    R = Rx(−pitch) · Ry(yaw) · Rz(roll)

takes a vector from the head's frame to the camera's frame: x right, y down, z forward, away from the camera. If R =
I, the head looks into the camera and its axes are those of the camera: x to the image's right, y to the chin, z out
of the back of the head. The nose points along −z. Angles are in degrees: positive pitch looks up, positive yaw turns
the face toward the image's left, positive roll tilts the head clockwise in the image. All functions take leading axes
of any shape.

`deepgllim.geometry.conventions` converts to and from the conventions of other software.
"""

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.checks import Array as Array
from deepgllim.geometry.checks import as_rotations, as_triples

ANGLES = ("pitch", "yaw", "roll")
"""Names of the Euler angles, in their order in arrays."""

NECK_ANGLES = ("tilt", "pan", "neck_roll")
"""Names of the neck angles of `rotation_from_pan_tilt`, in their order in arrays."""

MIRROR_SIGNS = {"pitch": 1.0, "yaw": -1.0, "roll": -1.0, "tilt": 1.0, "pan": -1.0, "neck_roll": -1.0}
"""Factor of each angle when the image is flipped left to right."""

AXES: Array = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
"""The drawn axes of a head in the head's frame, one a row: to the image's right, to the chin, out of the nose."""

_GIMBAL = 1e-8  # cos(yaw) below which pitch and roll have the same axis; balances rounding against truncation


def rotation_from_angles(pitch: npt.ArrayLike, yaw: npt.ArrayLike, roll: npt.ArrayLike) -> Array:
    """Return R = Rx(−pitch) · Ry(yaw) · Rz(roll).

    Args:
        pitch: degrees, (...), any real number.
        yaw: degrees, as `pitch`.
        roll: degrees, as `pitch`. The three broadcast together.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the shapes do not broadcast.

    Example:
        >>> nose = np.array([0.0, 0.0, -1.0])
        >>> (rotation_from_angles(0, 90, 0) @ nose).round(6) + 0.0  # to the image's left
        array([-1.,  0.,  0.])
    """
    p, y, r = np.broadcast_arrays(*(np.radians(np.asarray(angle, dtype=np.float64)) for angle in (pitch, yaw, roll)))
    rotation = np.empty((*p.shape, 3, 3))
    sp, cp, sy, cy, sr, cr = np.sin(-p), np.cos(p), np.sin(y), np.cos(y), np.sin(r), np.cos(r)
    rotation[..., 0, :] = np.stack([cy * cr, -cy * sr, sy], axis=-1)
    rotation[..., 1, :] = np.stack([cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy], axis=-1)
    rotation[..., 2, :] = np.stack([sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy], axis=-1)
    return rotation  # (..., 3, 3)


def angles_from_rotation(rotation: npt.ArrayLike) -> Array:
    """Return the pitch, yaw and roll of R = Rx(−pitch) · Ry(yaw) · Rz(roll).

    At gimbal lock, |yaw| = 90, only a sum of pitch and roll is determined; roll is then 0.

    Args:
        rotation: (..., 3, 3), orthogonal with determinant 1.

    Returns:
        (..., 3): pitch in [−180, 180], yaw in [−90, 90], roll in [−180, 180], degrees.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> angles_from_rotation(rotation_from_angles(10, -20, 30)).round(6)
        array([ 10., -20.,  30.])
    """
    R = as_rotations(rotation)
    cos_yaw = np.hypot(R[..., 1, 2], R[..., 2, 2])
    yaw = np.arctan2(R[..., 0, 2], cos_yaw)
    locked = cos_yaw < _GIMBAL
    sum_of_angles = -np.sign(R[..., 0, 2]) * np.arctan2(R[..., 1, 0], R[..., 1, 1])
    pitch = np.where(locked, sum_of_angles, np.arctan2(R[..., 1, 2], R[..., 2, 2]))
    # the second row of Rx(pitch) · R = Ry(yaw) · Rz(roll) is (sin roll, cos roll, 0), exactly for this pitch
    c, s = np.cos(pitch), -np.sin(pitch)
    roll = np.arctan2(c * R[..., 1, 0] + s * R[..., 2, 0], c * R[..., 1, 1] + s * R[..., 2, 1])
    angles: Array = np.degrees(np.stack([pitch, yaw, np.where(locked, 0.0, roll)], axis=-1))
    return angles  # (..., 3)


def rotation_from_pan_tilt(pan: npt.ArrayLike, tilt: npt.ArrayLike, neck_roll: npt.ArrayLike = 0.0) -> Array:
    """Return R = Ry(pan) · Rx(−tilt) · Rz(neck_roll), the rotation of three neck angles.

    Pan and tilt are azimuth and elevation of the nose, which points along (−sin pan · cos tilt, −sin tilt,
    −cos pan · cos tilt). They are not singular at profile. If tilt or pan is 0, the angles equal pitch, yaw and roll;
    otherwise they differ: pan 75, tilt 30 is yaw 57, pitch 66.

    Args:
        pan: azimuth of the nose, degrees, (...), positive toward the image's left.
        tilt: elevation of the nose, degrees, positive upwards.
        neck_roll: rotation about the nose, degrees, positive clockwise in the image. The three broadcast together.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the shapes do not broadcast.

    Example:
        >>> (rotation_from_pan_tilt(90, 30) @ [0.0, 0.0, -1.0]).round(3) + 0.0  # to the left, and up
        array([-0.866, -0.5  ,  0.   ])
    """
    p, t, r = np.broadcast_arrays(*(np.asarray(angle, dtype=np.float64) for angle in (pan, tilt, neck_roll)))
    zero = np.zeros_like(p)
    return rotation_from_angles(zero, p, zero) @ rotation_from_angles(t, zero, r)


def pan_tilt_from_rotation(rotation: npt.ArrayLike) -> Array:
    """Return the tilt, pan and neck roll of R = Ry(pan) · Rx(−tilt) · Rz(neck_roll).

    At |tilt| = 90 only a sum of pan and neck roll is determined; the neck roll is then 0.

    Args:
        rotation: (..., 3, 3), orthogonal with determinant 1.

    Returns:
        (..., 3), in the order of `NECK_ANGLES`: tilt in [−90, 90], pan and neck roll in [−180, 180], degrees.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> pan_tilt_from_rotation(rotation_from_pan_tilt(pan=100, tilt=-40, neck_roll=15)).round(6)
        array([-40., 100.,  15.])
    """
    R = as_rotations(rotation)
    cos_tilt = np.hypot(R[..., 0, 2], R[..., 2, 2])
    tilt = np.arctan2(R[..., 1, 2], cos_tilt)
    locked = cos_tilt < _GIMBAL
    sum_of_angles = np.arctan2(-R[..., 2, 0], R[..., 0, 0])
    pan = np.where(locked, sum_of_angles, np.arctan2(R[..., 0, 2], R[..., 2, 2]))
    # the first row of Ry(−pan) · R = Rx(−tilt) · Rz(r) is (cos r, −sin r, 0), exactly for this pan
    c, s = np.cos(pan), np.sin(pan)
    roll = np.arctan2(s * R[..., 2, 1] - c * R[..., 0, 1], c * R[..., 0, 0] - s * R[..., 2, 0])
    angles: Array = np.degrees(np.stack([tilt, pan, np.where(locked, 0.0, roll)], axis=-1))
    return angles  # (..., 3)


def rotation_from_vector(vector: npt.ArrayLike) -> Array:
    """Return exp([δ]×), the right-handed rotation about δ by its length (Rodrigues).

    Args:
        vector: δ, (..., 3), degrees.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the last axis does not have length 3.

    Example:
        >>> (rotation_from_vector([0, 90, 0]) @ [0.0, 0.0, -1.0]).round(6) + 0.0  # about y, which points down
        array([-1.,  0.,  0.])
    """
    radians = np.radians(as_triples(vector))
    half = 0.5 * np.linalg.norm(radians, axis=-1, keepdims=True)
    q = 0.5 * np.sinc(half / np.pi) * radians  # the quaternion is (cos(half), q)
    K = np.cross(np.eye(3), q[..., None, :])  # K·v = q × v
    rotation: Array = np.eye(3) + 2 * np.cos(half)[..., None] * K + 2 * K @ K
    return rotation


def vector_from_rotation(rotation: npt.ArrayLike) -> Array:
    """Return the shortest δ with R = exp([δ]×).

    The result is precise for small rotations and near half turns, where the sign of δ is arbitrary.

    Args:
        rotation: (..., 3, 3), orthogonal with determinant 1.

    Returns:
        (..., 3), degrees, of length at most 180.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> vector_from_rotation(rotation_from_vector([1.0, -20.0, 3.0])).round(6)
        array([  1., -20.,   3.])
    """
    q = _quaternion(as_rotations(rotation))
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    half = np.arctan2(sine, q[..., :1])
    vector: Array = np.degrees(2 * q[..., 1:] * np.divide(half, sine, out=np.ones_like(sine), where=sine > 0))
    return vector


def geodesic_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """Return the angle of R₁ᵀR₂, the smallest rotation between two rotations.

    It is the atan2 of sine and cosine, which is precise near 0 and 180, unlike the inverse cosine.

    Args:
        first: R₁, (..., 3, 3).
        second: R₂, (..., 3, 3); the two broadcast.

    Returns:
        (...), degrees, in [0, 180].

    Raises:
        ValueError: the last two axes are not 3 × 3, or the leading axes do not broadcast.

    Example:
        >>> float(geodesic_distance(np.eye(3), rotation_from_angles(0, 0, 1e-7)).round(12))
        1e-07
    """
    R = np.swapaxes(as_rotations(first), -1, -2) @ as_rotations(second)
    sine, cosine = np.linalg.norm(_skew(R), axis=-1), np.trace(R, axis1=-2, axis2=-1) - 1  # both doubled
    distance: Array = np.degrees(np.arctan2(sine, cosine))
    return distance


def mirror_rotation(rotation: npt.ArrayLike) -> Array:
    """Return F·R·F with F = diag(−1, 1, 1), the rotation in the image flipped left to right.

    Args:
        rotation: (..., 3, 3).

    Returns:
        (..., 3, 3).

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> angles_from_rotation(mirror_rotation(rotation_from_angles(10, 20, 30))).round(6)
        array([ 10., -20., -30.])
    """
    mirrored: Array = as_rotations(rotation) * [[1, -1, -1], [-1, 1, 1], [-1, 1, 1]]
    return mirrored


def mirror_angles(angles: npt.ArrayLike) -> Array:
    """Return (pitch, −yaw, −roll), the angles in the image flipped left to right.

    Args:
        angles: (..., 3), degrees.

    Returns:
        (..., 3), degrees.

    Raises:
        ValueError: the last axis does not have length 3.

    Example:
        >>> mirror_angles([10.0, 20.0, 30.0])
        array([ 10., -20., -30.])
    """
    mirrored: Array = as_triples(angles) * np.array([MIRROR_SIGNS[name] for name in ANGLES])
    return mirrored


def project_axes(rotation: npt.ArrayLike) -> Array:
    """Return the orthographic projection of the head's axes: the first two coordinates of R·AXESᵀ.

    Args:
        rotation: (..., 3, 3).

    Returns:
        (..., 3, 2): for each row of `AXES`, its direction in the image (x right, y down), of length at most 1.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> project_axes(rotation_from_angles(45, 0, 0))[2].round(3) + 0.0  # looking up: the nose points up
        array([ 0.   , -0.707])
    """
    return np.swapaxes(as_rotations(rotation) @ AXES.T, -1, -2)[..., :2]


def _quaternion(R: Array) -> Array:
    """Return (w, x, y, z) with w ≥ 0, (..., 4): the row of 4qqᵀ, linear in R, with the largest diagonal entry."""
    outer, trace = np.empty((*R.shape[:-2], 4, 4)), np.trace(R, axis1=-2, axis2=-1)
    outer[..., 0, 0] = 1 + trace
    outer[..., 0, 1:] = outer[..., 1:, 0] = _skew(R)
    outer[..., 1:, 1:] = R + np.swapaxes(R, -1, -2) + (1 - trace)[..., None, None] * np.eye(3)
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    unit: Array = np.where(q[..., :1] < 0, -q, q) / np.linalg.norm(q, axis=-1, keepdims=True)
    return unit


def _skew(R: Array) -> Array:
    """Return the vector of R − Rᵀ, the axis times twice the sine of the angle, (..., 3)."""
    return np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], axis=-1)
