"""Head rotations: one convention, its Euler angles, distances between rotations, and other people's conventions.

    R = Rx(−pitch) · Ry(yaw) · Rz(roll)

takes a vector of the head to the camera's frame: x right, y down, z forward, away from the camera. At R = I the head
looks into the camera and its axes are the camera's: x to the image's right, y to the chin, z out of the back of the
head, so that the nose points along −z. Angles are in degrees: +pitch looks up, +yaw turns the face toward the image's
left, +roll tilts the head clockwise in the image. Every function works over leading axes (batches of any shape).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

ANGLES = ("pitch", "yaw", "roll")
"""The names of the three angles, in the order in which every array of angles holds them."""

NECK_ANGLES = ("tilt", "pan", "tip")
"""Another triple of angles, of `rotation_from_pan_tilt`: what a neck or a tripod turns by."""

MIRROR_SIGNS = {"pitch": 1.0, "yaw": -1.0, "roll": -1.0, "tilt": 1.0, "pan": -1.0, "tip": -1.0}
"""What a horizontal flip of the picture does to each label."""

AXES: Array = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
"""The head's axes as drawn, one a row, in the head's frame: to the image's right, to the chin, out of the nose."""

_GIMBAL = 1e-8  # cos(yaw) below which pitch and roll turn about the same line; balances rounding against truncation


def rotation_from_angles(pitch: npt.ArrayLike, yaw: npt.ArrayLike, roll: npt.ArrayLike) -> Array:
    """R = Rx(−pitch) · Ry(yaw) · Rz(roll).

    Args:
        pitch: degrees, (...), any real number. Likewise `yaw` and `roll`; the three broadcast together.

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
    """The pitch, yaw and roll with R = Rx(−pitch) · Ry(yaw) · Rz(roll).

    At gimbal lock, |yaw| = 90, only a sum of pitch and roll is determined: roll is then 0.

    Args:
        rotation: (..., 3, 3), orthogonal of determinant 1.

    Returns:
        (..., 3): pitch in [−180, 180], yaw in [−90, 90], roll in [−180, 180], degrees.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> angles_from_rotation(rotation_from_angles(10, -20, 30)).round(6)
        array([ 10., -20.,  30.])
    """
    R = _matrix(rotation)
    cos_yaw = np.hypot(R[..., 1, 2], R[..., 2, 2])
    yaw = np.arctan2(R[..., 0, 2], cos_yaw)
    locked = cos_yaw < _GIMBAL
    turn = -np.sign(R[..., 0, 2]) * np.arctan2(R[..., 1, 0], R[..., 1, 1])
    pitch = np.where(locked, turn, np.arctan2(R[..., 1, 2], R[..., 2, 2]))
    # Rx(pitch) · R = Ry(yaw) · Rz(roll), of second row (sin roll, cos roll, 0): exact for whatever pitch was found
    c, s = np.cos(pitch), -np.sin(pitch)
    roll = np.arctan2(c * R[..., 1, 0] + s * R[..., 2, 0], c * R[..., 1, 1] + s * R[..., 2, 1])
    angles: Array = np.degrees(np.stack([pitch, yaw, np.where(locked, 0.0, roll)], axis=-1))
    return angles  # (..., 3)


def rotation_from_pan_tilt(pan: npt.ArrayLike, tilt: npt.ArrayLike, tip: npt.ArrayLike = 0.0) -> Array:
    """R = Ry(pan) · Rx(−tilt) · Rz(tip): a neck that turns, then nods, then leans.

    Pan and tilt are azimuth and elevation of the nose, which points along (−sin pan · cos tilt, −sin tilt,
    −cos pan · cos tilt), and have no singularity at profile. With tilt or pan 0 they equal yaw and pitch (tip: roll);
    away from the two axes they do not: pan 75, tilt 30 is yaw 57, pitch 66.

    Args:
        pan: degrees, (...), positive toward the image's left. Likewise `tilt`, positive upwards, and `tip`, positive
            clockwise in the image; the three broadcast together.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the shapes do not broadcast.

    Example:
        >>> (rotation_from_pan_tilt(90, 30) @ [0.0, 0.0, -1.0]).round(3) + 0.0  # to the left, and up
        array([-0.866, -0.5  ,  0.   ])
    """
    p, t, r = np.broadcast_arrays(*(np.asarray(angle, dtype=np.float64) for angle in (pan, tilt, tip)))
    zero = np.zeros_like(p)
    return rotation_from_angles(zero, p, zero) @ rotation_from_angles(t, zero, r)


def pan_tilt_from_rotation(rotation: npt.ArrayLike) -> Array:
    """The tilt, pan and tip with R = Ry(pan) · Rx(−tilt) · Rz(tip).

    At |tilt| = 90 only a sum of pan and tip is determined: tip is then 0.

    Args:
        rotation: (..., 3, 3), orthogonal of determinant 1.

    Returns:
        (..., 3), in the order of `NECK_ANGLES`: tilt in [−90, 90], pan and tip in [−180, 180], degrees.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> pan_tilt_from_rotation(rotation_from_pan_tilt(pan=100, tilt=-40, tip=15)).round(6)
        array([-40., 100.,  15.])
    """
    R = _matrix(rotation)
    cos_tilt = np.hypot(R[..., 0, 2], R[..., 2, 2])
    tilt = np.arctan2(R[..., 1, 2], cos_tilt)
    locked = cos_tilt < _GIMBAL
    turn = np.arctan2(-R[..., 2, 0], R[..., 0, 0])
    pan = np.where(locked, turn, np.arctan2(R[..., 0, 2], R[..., 2, 2]))
    # Ry(−pan) · R = Rx(−tilt) · Rz(tip), of first row (cos tip, −sin tip, 0): exact for whatever pan was found
    c, s = np.cos(pan), np.sin(pan)
    tip = np.arctan2(s * R[..., 2, 1] - c * R[..., 0, 1], c * R[..., 0, 0] - s * R[..., 2, 0])
    angles: Array = np.degrees(np.stack([tilt, pan, np.where(locked, 0.0, tip)], axis=-1))
    return angles  # (..., 3)


def geodesic_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """The angle of R₁ᵀR₂: the smallest turn that takes one rotation to the other.

    It is atan2(sin, cos), with the sine from the antisymmetric part and the cosine from the trace: no precision is
    lost near 0 or near 180, where the inverse cosine alone keeps half the digits.

    Args:
        first, second: rotations, (..., 3, 3), which broadcast.

    Returns:
        Degrees, (...), in [0, 180].

    Raises:
        ValueError: the last two axes are not 3 × 3, or the leading ones do not broadcast.

    Example:
        >>> float(geodesic_distance(np.eye(3), rotation_from_angles(0, 0, 1e-7)).round(12))
        1e-07
    """
    R = np.swapaxes(_matrix(first), -1, -2) @ _matrix(second)
    skew = np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], axis=-1)
    distance: Array = np.degrees(
        np.arctan2(np.linalg.norm(skew, axis=-1), np.trace(R, axis1=-2, axis2=-1) - 1)
    )  # 2 sin, 2 cos
    return distance


def rotation_from_vector(vector: npt.ArrayLike) -> Array:
    """R = exp([v]×): the turn by ‖v‖ degrees about the axis v (Rodrigues).

        R = I + (sin θ / θ) [v]× + ½ (sin ½θ / ½θ)² [v]×²,    θ = ‖v‖, radians

    [v]× is the matrix of the cross product, [v]× u = v × u. Both factors are smooth at 0: no angle is too small. In the
    camera's frame a small (a, b, c) pitches the head down by a, turns it to the image's left by b and tilts it
    clockwise by c.

    Args:
        vector: (..., 3), degrees, of any length.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the last axis is not 3 long.

    Example:
        >>> angles_from_rotation(rotation_from_vector([0.0, 30.0, 0.0])).round(6) + 0.0
        array([ 0., 30.,  0.])
    """
    v = np.radians(_triple(vector, "a rotation vector has three components"))
    theta = np.linalg.norm(v, axis=-1)[..., None, None]
    K = np.zeros((*v.shape, 3))
    K[..., 2, 1], K[..., 0, 2], K[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    K -= np.swapaxes(K, -1, -2)
    rotation: Array = np.eye(3) + np.sinc(theta / np.pi) * K + 0.5 * np.sinc(theta / (2 * np.pi)) ** 2 * (K @ K)
    return rotation  # (..., 3, 3)


def vector_from_rotation(rotation: npt.ArrayLike) -> Array:
    """The v with R = exp([v]×) and ‖v‖ ≤ 180: the inverse of `rotation_from_vector`.

    It is read off the unit quaternion (w, x, y, z), v = 2 atan2(‖(x, y, z)‖, w) · (x, y, z) / ‖(x, y, z)‖, which is
    precise at every angle: neither the axis near 180 nor the angle near 0 is lost. At 180 itself v and −v are the same
    turn, and one of them is given.

    Args:
        rotation: (..., 3, 3), orthogonal of determinant 1.

    Returns:
        (..., 3), degrees.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> vector_from_rotation(rotation_from_angles(0, 0, 1e-7)).round(12) + 0.0
        array([0.e+00, 0.e+00, 1.e-07])
    """
    w, axis = _quaternion(_matrix(rotation))
    sine = np.linalg.norm(axis, axis=-1)
    angle_over_sine = 2 * np.arctan2(sine, w) / np.where(sine > 0, sine, 1.0)
    vector: Array = np.degrees(np.where(sine > 0, angle_over_sine, 2.0)[..., None] * axis)
    return vector  # (..., 3)


def _quaternion(R: Array) -> tuple[Array, Array]:
    """w ≥ 0, (...), and (x, y, z), (..., 3), of the unit quaternion: the row of 4·q·qᵀ whose diagonal is largest."""
    skew = np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], axis=-1)
    trace = np.trace(R, axis1=-2, axis2=-1)[..., None, None]
    squares = np.empty((*R.shape[:-2], 4, 4))
    squares[..., :1, :1] = 1 + trace
    squares[..., 0, 1:] = squares[..., 1:, 0] = skew
    squares[..., 1:, 1:] = R + np.swapaxes(R, -1, -2) + (1 - trace) * np.eye(3)
    largest = np.argmax(np.diagonal(squares, axis1=-2, axis2=-1), axis=-1)[..., None, None]
    q = np.take_along_axis(squares, largest, axis=-2)[..., 0, :]  # (..., 4)
    q = q * np.where(q[..., :1] < 0, -1, 1) / np.linalg.norm(q, axis=-1, keepdims=True)
    return q[..., 0], q[..., 1:]


def mirror_rotation(rotation: npt.ArrayLike) -> Array:
    """F·R·F with F = diag(−1, 1, 1): the rotation seen when the picture is flipped left to right.

    Args:
        rotation: (..., 3, 3).

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> angles_from_rotation(mirror_rotation(rotation_from_angles(10, 20, 30))).round(6)
        array([ 10., -20., -30.])
    """
    return _conjugate(_matrix(rotation), (-1, 1, 1))


def mirror_angles(angles: npt.ArrayLike) -> Array:
    """(pitch, −yaw, −roll): the angles seen when the picture is flipped left to right.

    Args:
        angles: (..., 3), degrees.

    Raises:
        ValueError: the last axis is not 3 long.

    Example:
        >>> mirror_angles([10.0, 20.0, 30.0])
        array([ 10., -20., -30.])
    """
    mirrored: Array = _triple(angles) * np.array([MIRROR_SIGNS[name] for name in ANGLES])
    return mirrored


def project_axes(rotation: npt.ArrayLike) -> Array:
    """Where the head's axes point in the image: the first two coordinates of R·AXESᵀ (orthographic).

    Args:
        rotation: (..., 3, 3).

    Returns:
        (..., 3, 2): for the head's right-hand-side axis, its down axis and its nose, the image direction (x right,
        y down), of length at most 1.

    Raises:
        ValueError: the last two axes are not 3 × 3.

    Example:
        >>> project_axes(rotation_from_angles(45, 0, 0))[2].round(3) + 0.0  # looking up: the nose points up
        array([ 0.   , -0.707])
    """
    return np.swapaxes(_matrix(rotation) @ AXES.T, -1, -2)[..., :2]


class Convention(NamedTuple):
    """How one source writes poses: the signs of its angles against ours, and its matrix as a function of ours.

    Each matrix rule is its own inverse. `matrix` is None where the source gives angles only.
    """

    signs: tuple[float, float, float]  # of pitch, yaw, roll
    matrix: Callable[[Array], Array] | None
    note: str


def _conjugate(rotation: Array, signs: tuple[int, int, int]) -> Array:
    """D·R·D with D = diag(signs)."""
    conjugate: Array = rotation * np.multiply.outer(signs, signs)
    return conjugate


CONVENTIONS: dict[str, Convention] = {
    "300w-lp": Convention((1, 1, 1), lambda R: R, "ours; Pose_Para of the .mat files holds it in radians"),
    "opal": Convention((1, -1, 1), lambda R: _conjugate(R, (1, 1, -1)), "P·R·P, P = diag(1, 1, −1)"),
    "6drepnet": Convention(
        (1, 1, 1), lambda R: _conjugate(np.swapaxes(R, -1, -2), (-1, 1, 1)), "Rz·Ry·Rx = E·Rᵀ·E, E = diag(−1, 1, 1)"
    ),
    "openvino": Convention((-1, -1, 1), None, "head-pose-estimation-adas-0001: angles only"),
}
"""Conventions by name; see `to_convention` and `rotation_to_convention`."""


def to_convention(angles: npt.ArrayLike, name: str) -> Array:
    """Our angles as the convention `name` writes them.

    Args:
        angles: pitch, yaw, roll, (..., 3), degrees.
        name: a key of `CONVENTIONS`.

    Returns:
        pitch, yaw, roll in that convention, (..., 3), degrees.

    Raises:
        ValueError: an unknown name, or a last axis that is not 3 long.

    Example:
        >>> to_convention([10.0, 20.0, 30.0], "openvino")
        array([-10., -20.,  30.])
    """
    written: Array = _triple(angles) * np.array(_convention(name).signs)
    return written


def from_convention(angles: npt.ArrayLike, name: str) -> Array:
    """Angles written in the convention `name`, as ours: the inverse of `to_convention`, same arguments and errors.

    Example:
        >>> from_convention([10.0, -20.0, 30.0], "opal")
        array([10., 20., 30.])
    """
    return to_convention(angles, name)  # signs are their own inverse


def rotation_to_convention(rotation: npt.ArrayLike, name: str) -> Array:
    """Our rotation as the matrix that the convention `name` writes.

    Args:
        rotation: (..., 3, 3).
        name: a key of `CONVENTIONS`.

    Raises:
        ValueError: an unknown name, one that defines angles only, or last axes that are not 3 × 3.

    Example:
        >>> rotation_to_convention(rotation_from_angles(0, 90, 0), "opal").round(6)[0] + 0.0
        array([ 0.,  0., -1.])
    """
    rule = _convention(name).matrix
    if rule is None:
        raise ValueError(f"convention {name!r} defines angles, not a matrix; use to_convention and from_convention")
    return rule(_matrix(rotation))


def rotation_from_convention(rotation: npt.ArrayLike, name: str) -> Array:
    """A matrix of the convention `name`, as ours: the inverse of `rotation_to_convention`, same arguments and errors.

    Example:
        >>> R = rotation_from_angles(10, 20, 30)
        >>> bool(np.allclose(rotation_from_convention(rotation_to_convention(R, "6drepnet"), "6drepnet"), R))
        True
    """
    return rotation_to_convention(rotation, name)  # each rule is its own inverse


def _convention(name: str) -> Convention:
    if name not in CONVENTIONS:
        raise ValueError(f"unknown convention {name!r}; the known ones are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def _matrix(rotation: npt.ArrayLike) -> Array:
    R = np.asarray(rotation, dtype=np.float64)
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"a rotation has shape (..., 3, 3), not {R.shape}; see rotation_from_angles")
    return R


def _triple(values: npt.ArrayLike, what: str = "angles are pitch, yaw, roll") -> Array:
    triple = np.asarray(values, dtype=np.float64)
    if triple.shape[-1:] != (3,):
        raise ValueError(f"{what} on the last axis, shape (..., 3), not {triple.shape}")
    return triple
