"""Conventions of head pose of other software: their angles and matrices from ours (`rotations`), and back.

A convention is a row of `CONVENTIONS`: which angles it writes, in which order, unit and sign, and what its matrix is.
Our frame is x right, y down, z forward; our head's axes are the camera's when it looks into the camera, its nose along
−z. Every function works over leading axes.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.geometry.rotations import (
    ANGLES,
    ROTATION_SLACK,
    Array,
    angles_from_rotation,
    as_triples,
    checked_rotations,
    rotation_from_angles,
    rotation_from_vector,
    vector_from_rotation,
)

Function = Callable[[Array], Array]


class Convention(NamedTuple):
    """How one source writes poses; what it does not define is None.

    Attributes:
        names: of its three angles, in its order.
        units: of its angles.
        to_angles: our pitch, yaw, roll in degrees, (..., 3) → its angles, (..., 3).
        from_angles: the inverse.
        to_matrix: our R, (..., 3, 3) → its matrix.
        from_matrix: the inverse.
        note: the definition, in a line.
        side: of its matrix.
    """

    names: tuple[str, str, str] | None
    units: Literal["degrees", "radians"] | None
    to_angles: Function | None
    from_angles: Function | None
    to_matrix: Function | None
    from_matrix: Function | None
    note: str
    side: int = 3


_TURNED: Array = np.diag([1.0, -1.0, -1.0])  # half a turn about x: y up, z towards the camera


def _alike(
    names: tuple[str, str, str],
    note: str,
    *,
    order: tuple[int, int, int] = (0, 1, 2),
    signs: tuple[int, int, int] = (1, 1, 1),
    radians: bool = False,
    matrix: Function | None = None,
) -> Convention:
    """A convention whose angles are ours but for order, sign and unit, and whose matrix rule is its own inverse.

    Angles beyond the usual range stay there. `order` and `signs` are those of its angles: the first is `signs[0]` times
    our angle number `order[0]`.
    """
    factors = np.array(signs) * (math.pi / 180 if radians else 1.0)
    back = np.argsort(order)
    return Convention(
        names,
        "radians" if radians else "degrees",
        lambda angles: angles[..., list(order)] * factors,
        lambda angles: (angles / factors)[..., back],
        matrix,
        matrix,
        note,
    )


def _same(R: Array) -> Array:
    return R


def _opal(R: Array) -> Array:
    """P·R·P with P = diag(1, 1, −1)."""
    written: Array = R * [[1, 1, -1], [1, 1, -1], [-1, -1, 1]]
    return written


def _sixd(R: Array) -> Array:
    """E·Rᵀ·E with E = diag(−1, 1, 1)."""
    written: Array = np.swapaxes(R, -1, -2) * [[1, -1, -1], [-1, 1, 1], [-1, 1, 1]]
    return written


def _opencv(R: Array) -> Array:
    """R·diag(1, −1, −1), from a head model of y up and nose along +z; its own inverse."""
    written: Array = R @ _TURNED
    return written


def _rq_angles(angles: Array) -> Array:
    """x, y, z with R·diag(1, −1, −1) = Rz(z)·Ry(y)·Rx(x), as RQDecomp3x3 returns them, degrees."""
    R = _opencv(rotation_from_angles(*np.moveaxis(angles, -1, 0)))
    # with Rz·Ry·Rx = M the transpose is Rx(−x)·Ry(−y)·Rz(−z), which is the form of our own three angles
    return angles_from_rotation(np.swapaxes(R, -1, -2)) * [1.0, -1.0, -1.0]


def _from_rq_angles(angles: Array) -> Array:
    x, y, z = np.moveaxis(angles, -1, 0)
    return angles_from_rotation(_opencv(np.swapaxes(rotation_from_angles(x, -y, -z), -1, -2)))


def _rodrigues(angles: Array) -> Array:
    """The rotation vector of R·diag(1, −1, −1), radians."""
    vector: Array = np.radians(vector_from_rotation(_opencv(rotation_from_angles(*np.moveaxis(angles, -1, 0)))))
    return vector


def _from_rodrigues(vector: Array) -> Array:
    return angles_from_rotation(_opencv(rotation_from_vector(np.degrees(vector))))


def _mediapipe(R: Array) -> Array:
    """F·R·F with F = diag(1, −1, −1), as (..., 4, 4) without a translation."""
    matrix = np.zeros((*R.shape[:-2], 4, 4))
    matrix[..., :3, :3] = _TURNED @ R @ _TURNED
    matrix[..., 3, 3] = 1.0
    return matrix


def _from_mediapipe(matrix: Array) -> Array:
    """The upper left block without its scale, as ours."""
    block = matrix[..., :3, :3]
    with np.errstate(all="ignore"):  # what is not finite is refused below
        scale = np.abs(np.cbrt(np.linalg.det(block)))[..., None, None]
        unscaled = np.where(scale > 0, block / scale, np.nan)
    R: Array = _TURNED @ checked_rotations(unscaled, _name("mediapipe")) @ _TURNED
    return R


def _check_last_row(matrix: Array, name: str) -> None:
    """Refuse a matrix of homogeneous coordinates whose last row is not 0 0 0 1."""
    expected = np.eye(matrix.shape[-1])[-1]
    wrong = ~np.isclose(matrix[..., -1, :], expected, rtol=0, atol=ROTATION_SLACK).all(axis=-1)
    if wrong.any():
        row = ", ".join(f"{number:g}" for number in matrix[wrong][0, -1])
        wanted = ", ".join(f"{number:g}" for number in expected)
        raise DataError(f"the last row of {_name(name)} is ({row}), not ({wanted}): transpose it if columns come first")


def _name(convention: str) -> str:
    return f"the matrix of {convention!r}"


_YAW_FIRST: tuple[int, int, int] = (1, 0, 2)

CONVENTIONS: dict[str, Convention] = {
    "300w-lp": _alike(ANGLES, "ours; Pose_Para of the .mat files holds the angles in radians", matrix=_same),
    "hopenet": _alike(
        ("yaw", "pitch", "roll"), "300W-LP's labels, in degrees, in the order of its outputs", order=_YAW_FIRST
    ),
    "whenet": _alike(
        ("yaw", "pitch", "roll"),
        "300W-LP's labels, in degrees; beyond profile they come from CMU Panoptic, whose order of turns is not told",
        order=_YAW_FIRST,
    ),
    "biwi": _alike(
        ANGLES, "the matrix of pose.txt is R, in the depth camera's frame; its readers take our angles", matrix=_same
    ),
    "opal": _alike(ANGLES, "P·R·P, P = diag(1, 1, −1): yaw negated", signs=(1, -1, 1), matrix=_opal),
    "6drepnet": _alike(ANGLES, "get_R: Rz(roll)·Ry(yaw)·Rx(pitch) = E·Rᵀ·E, E = diag(−1, 1, 1)", matrix=_sixd),
    "openvino": _alike(ANGLES, "head-pose-estimation-adas-0001: yaw and pitch negated, angles only", signs=(-1, -1, 1)),
    "openface": _alike(
        ("pose_Rx", "pose_Ry", "pose_Rz"),
        "R = Rx·Ry·Rz (Euler2RotationMatrix) in our frame: +pose_Rx looks down, +pose_Ry to the image's left",
        signs=(-1, 1, 1),
        radians=True,
        matrix=_same,
    ),
    "opencv": Convention(
        ("x", "y", "z"),
        "degrees",
        _rq_angles,
        _from_rq_angles,
        _opencv,
        _opencv,
        "solvePnP's R for a head model with x to the image's right, y up, the nose along +z: R·diag(1, −1, −1) = "
        "Rz·Ry·Rx with the angles of RQDecomp3x3; a head that looks into the camera has x = ±180",
    ),
    "opencv-rvec": Convention(
        ("rx", "ry", "rz"),
        "radians",
        _rodrigues,
        _from_rodrigues,
        _opencv,
        _opencv,
        "the same as the rotation vector that solvePnP returns (Rodrigues)",
    ),
    "mediapipe": Convention(
        None,
        None,
        None,
        None,
        _mediapipe,
        _from_mediapipe,
        "facial transformation matrix: F·R·F, F = diag(1, −1, −1): x right, y up, camera along −z, nose along +z",
        side=4,
    ),
}
"""Conventions by name; see `to_convention` and `rotation_to_convention`."""


def to_convention(angles: npt.ArrayLike, name: str) -> Array:
    """Our angles as the convention `name` writes them.

    Args:
        angles: pitch, yaw, roll, (..., 3), degrees.
        name: a key of `CONVENTIONS`.

    Returns:
        Its angles in its order and unit (`CONVENTIONS[name].names`, `.units`), (..., 3).

    Raises:
        ValueError: an unknown name, one that defines a matrix only, or a last axis that is not 3 long.

    Example:
        >>> to_convention([10.0, 20.0, 30.0], "openvino")
        array([-10., -20.,  30.])
        >>> to_convention([10.0, 20.0, 30.0], "openface").round(3)  # radians
        array([-0.175,  0.349,  0.524])
    """
    rule = convention(name).to_angles
    if rule is None:
        raise ValueError(f"convention {name!r} defines a matrix, not angles; use rotation_to_convention")
    return rule(as_triples(angles))


def from_convention(angles: npt.ArrayLike, name: str) -> Array:
    """Angles written in the convention `name`, as ours: pitch, yaw, roll; the inverse of `to_convention`.

    Raises:
        ValueError: as `to_convention`.

    Example:
        >>> from_convention([10.0, -20.0, 30.0], "opal")
        array([10., 20., 30.])
        >>> from_convention([170.0, 20.0, 0.0], "opencv").round(6) + 0.0  # looking up and to the image's left
        array([10.627584, 19.683498,  3.616442])
    """
    rule = convention(name).from_angles
    if rule is None:
        raise ValueError(f"convention {name!r} defines a matrix, not angles; use rotation_from_convention")
    return rule(as_triples(angles))


def rotation_to_convention(rotation: npt.ArrayLike, name: str) -> Array:
    """Our rotation as the matrix that the convention `name` writes.

    Args:
        rotation: (..., 3, 3).
        name: a key of `CONVENTIONS`.

    Returns:
        (..., 3, 3); (..., 4, 4) for "mediapipe".

    Raises:
        ValueError: an unknown name, one that defines angles only, or last axes that are not 3 × 3.
        DataError: a matrix that is no rotation.

    Example:
        >>> rotation_to_convention(rotation_from_angles(0, 90, 0), "opal").round(6)[0] + 0.0
        array([ 0.,  0., -1.])
    """
    rule = convention(name).to_matrix
    if rule is None:
        raise ValueError(f"convention {name!r} defines angles, not a matrix; use to_convention")
    return rule(checked_rotations(rotation, "the rotation"))


def rotation_from_convention(matrix: npt.ArrayLike, name: str) -> Array:
    """A matrix of the convention `name`, as our R; the inverse of `rotation_to_convention`.

    That of "mediapipe" may have a scale and a translation, which are left out. A matrix that is transposed is another
    rotation, which only a translation, then in its last row, tells.

    Raises:
        ValueError: as `rotation_to_convention`.
        DataError: a matrix that is no rotation, is mirrored, or whose last row is not 0 0 0 1 where it has four.

    Example:
        >>> R = rotation_from_angles(10, 20, 30)
        >>> bool(np.allclose(rotation_from_convention(rotation_to_convention(R, "6drepnet"), "6drepnet"), R))
        True
    """
    row, written = convention(name), np.asarray(matrix, dtype=np.float64)
    if row.from_matrix is None:
        raise ValueError(f"convention {name!r} defines angles, not a matrix; use from_convention")
    if written.shape[-2:] != (row.side, row.side):
        raise ValueError(f"a matrix of {name!r} has shape (..., {row.side}, {row.side}), not {written.shape}")
    if row.side == 3:
        return row.from_matrix(checked_rotations(written, _name(name)))
    _check_last_row(written, name)
    return row.from_matrix(written)


def convention(name: str) -> Convention:
    """A row of `CONVENTIONS`, or ValueError with the known names."""
    if name not in CONVENTIONS:
        raise ValueError(f"unknown convention {name!r}; the known ones are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
