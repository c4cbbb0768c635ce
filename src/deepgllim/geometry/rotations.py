"""Head rotations: one convention, its Euler angles, rotation vectors, distances (others' conventions: `conventions`).

    R = Rx(−pitch) · Ry(yaw) · Rz(roll)

takes a vector of the head to the camera's frame: x right, y down, z forward, away from the camera. At R = I the head
looks into the camera and its axes are the camera's: x to the image's right, y to the chin, z out of the back of the
head, so that the nose points along −z. Angles are in degrees: +pitch looks up, +yaw turns the face toward the image's
left, +roll tilts the head clockwise in the image. Every function works over leading axes (batches of any shape).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError

Array = npt.NDArray[np.float64]

ANGLES = ("pitch", "yaw", "roll")
"""The names of the three angles, in the order in which every array of angles holds them."""

NECK_ANGLES = ("tilt", "pan", "neck_roll")
"""Names of the neck angles of `rotation_from_pan_tilt`, in their order in arrays."""

FORMER_NAMES = {"tip": "neck_roll"}
"""Names of targets in files of earlier versions, each with the present name."""

MIRROR_SIGNS = {"pitch": 1.0, "yaw": -1.0, "roll": -1.0, "tilt": 1.0, "pan": -1.0, "neck_roll": -1.0}
"""What a horizontal flip of the picture does to each label."""

AXES: Array = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
"""The head's axes as drawn, one a row, in the head's frame: to the image's right, to the chin, out of the nose."""

ROTATION_SLACK = 1e-3
"""By how much an entry of R·Rᵀ may differ from that of I; files give matrices to four digits or more."""

_GIMBAL = 1e-8  # cos(yaw) below which pitch and roll turn about the same line; balances rounding against truncation


def present_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of targets with those of earlier versions replaced, unless the present name is there too.

    Example:
        >>> present_names(["tilt", "pan", "tip"])
        ('tilt', 'pan', 'neck_roll')
    """
    given = tuple(names)
    return tuple(name if FORMER_NAMES.get(name, name) in given else FORMER_NAMES[name] for name in given)


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
    R = as_rotations(rotation)
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


def rotation_from_pan_tilt(pan: npt.ArrayLike, tilt: npt.ArrayLike, neck_roll: npt.ArrayLike = 0.0) -> Array:
    """R = Ry(pan) · Rx(−tilt) · Rz(neck_roll): the angles of a neck.

    Pan and tilt are azimuth and elevation of the nose, which points along (−sin pan · cos tilt, −sin tilt,
    −cos pan · cos tilt), and have no singularity at profile. If tilt or pan is 0, the angles equal pitch, yaw and
    roll; otherwise they differ: pan 75, tilt 30 is yaw 57, pitch 66.

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

    At |tilt| = 90 only a sum of pan and neck roll is determined: the neck roll is then 0.

    Args:
        rotation: (..., 3, 3), orthogonal of determinant 1.

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
    turn = np.arctan2(-R[..., 2, 0], R[..., 0, 0])
    pan = np.where(locked, turn, np.arctan2(R[..., 0, 2], R[..., 2, 2]))
    # Ry(−pan) · R = Rx(−tilt) · Rz(r), whose first row is (cos r, −sin r, 0)
    c, s = np.cos(pan), np.sin(pan)
    roll = np.arctan2(s * R[..., 2, 1] - c * R[..., 0, 1], c * R[..., 0, 0] - s * R[..., 2, 0])
    angles: Array = np.degrees(np.stack([tilt, pan, np.where(locked, 0.0, roll)], axis=-1))
    return angles  # (..., 3)


def rotation_from_vector(vector: npt.ArrayLike) -> Array:
    """exp([δ]×): the right-handed turn about the direction of δ by the length of δ (Rodrigues).

    Args:
        vector: δ, (..., 3), degrees.

    Returns:
        Rotations, (..., 3, 3), float64.

    Raises:
        ValueError: the last axis is not 3 long.

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
    """The shortest δ with R = exp([δ]×); precise for small and for half turns, where its sign is arbitrary.

    Args:
        rotation: (..., 3, 3), orthogonal of determinant 1.

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


def _quaternion(R: Array) -> Array:
    """(w, x, y, z) with w ≥ 0, (..., 4): the row of 4qqᵀ, which is linear in R, whose diagonal entry is largest."""
    outer, trace = np.empty((*R.shape[:-2], 4, 4)), np.trace(R, axis1=-2, axis2=-1)
    outer[..., 0, 0] = 1 + trace
    outer[..., 0, 1:] = outer[..., 1:, 0] = _skew(R)
    outer[..., 1:, 1:] = R + np.swapaxes(R, -1, -2) + (1 - trace)[..., None, None] * np.eye(3)
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    q = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    unit: Array = np.where(q[..., :1] < 0, -q, q) / np.linalg.norm(q, axis=-1, keepdims=True)
    return unit


def geodesic_distance(first: npt.ArrayLike, second: npt.ArrayLike) -> Array:
    """The angle of R₁ᵀR₂: the smallest turn that takes one rotation to the other.

    Precise near 0 and near 180, where an inverse cosine keeps half the digits: it is atan2 of sine and cosine.

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
    R = np.swapaxes(as_rotations(first), -1, -2) @ as_rotations(second)
    sine, cosine = np.linalg.norm(_skew(R), axis=-1), np.trace(R, axis1=-2, axis2=-1) - 1  # both doubled
    distance: Array = np.degrees(np.arctan2(sine, cosine))
    return distance


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
    mirrored: Array = as_rotations(rotation) * [[1, -1, -1], [-1, 1, 1], [-1, 1, 1]]
    return mirrored


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
    mirrored: Array = as_triples(angles) * np.array([MIRROR_SIGNS[name] for name in ANGLES])
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
    return np.swapaxes(as_rotations(rotation) @ AXES.T, -1, -2)[..., :2]


def _skew(R: Array) -> Array:
    """The vector of R − Rᵀ: the axis times twice the sine of the angle, (..., 3)."""
    return np.stack([R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]], axis=-1)


def as_rotations(rotation: npt.ArrayLike) -> Array:
    """Rotations as float64, (..., 3, 3), or ValueError."""
    R = np.asarray(rotation, dtype=np.float64)
    if R.shape[-2:] != (3, 3):
        raise ValueError(f"a rotation has shape (..., 3, 3), not {R.shape}; see rotation_from_angles")
    return R


def checked_rotations(rotation: npt.ArrayLike, name: str = "the matrix") -> Array:
    """Rotations as float64, (..., 3, 3), checked to be some: R·Rᵀ = I and det R = 1, up to `ROTATION_SLACK`.

    Args:
        rotation: (..., 3, 3).
        name: what the message calls them.

    Raises:
        ValueError: the last two axes are not 3 × 3.
        DataError: one of them is no rotation; the message says which, and whether it is a mirror image.

    Example:
        >>> checked_rotations(np.diag([-1.0, 1.0, 1.0]), "the matrix of 'biwi'")
        Traceback (most recent call last):
        deepgllim.errors.DataError: the matrix of 'biwi' is no rotation but a mirror image (det = -1): an axis is ...
    """
    R = as_rotations(rotation)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(axis=(-2, -1), initial=0.0)  # (...)
        wrong = ~(error <= ROTATION_SLACK)  # NaN too
    if wrong.any():
        first = np.argwhere(wrong)[0]
        found = R[tuple(first)].round(4).tolist()
        raise DataError(f"{_numbered(name, first)} is no rotation (R·Rᵀ = I): {found}; check where it is from")
    mirrored = np.linalg.det(R) < 0
    if mirrored.any():
        which = _numbered(name, np.argwhere(mirrored)[0])
        raise DataError(f"{which} is no rotation but a mirror image (det = -1): an axis is reversed, check its signs")
    return R


def _numbered(name: str, place: npt.NDArray[np.intp]) -> str:
    """What a message calls one of several matrices."""
    return f"{name}, number {', '.join(str(index) for index in place)}," if len(place) else name


def as_triples(angles: npt.ArrayLike) -> Array:
    """Triples of angles as float64, (..., 3), or ValueError."""
    values = np.asarray(angles, dtype=np.float64)
    if values.shape[-1:] != (3,):
        raise ValueError(f"three angles on the last axis, shape (..., 3), are wanted, not {values.shape}")
    return values
