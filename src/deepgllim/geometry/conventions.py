"""Conventions of head pose in other software: conversion of angles and matrices to and from ours.

`CONVENTIONS` has the names, order, unit, signs and zero of the angles of each convention, and its matrix. In our
convention (`deepgllim.geometry.rotations`) the camera's frame is x right, y down, z forward, and the nose of a head
that looks into the camera points along −z. All functions take leading axes of any shape.

The zero of the pitch (`deepgllim.geometry.zero`) is converted too where it is known to differ from ours; with
`zero=False` the functions convert order, unit, signs and axes only, and the zero remains that of the input.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.geometry import formulas
from deepgllim.geometry.checks import Array, as_triples, checked_rotations
from deepgllim.geometry.rotations import ANGLES
from deepgllim.geometry.zero import change_zero, change_zero_of_angles

Function = Callable[[Array], Array]


class Convention(NamedTuple):
    """Conversions between one convention and ours; those that it does not define are None.

    The functions do not change the zero: `to_convention` and the others do, before or after them.

    Attributes:
        note: the definition, in one line.
        names: names of its three angles, in its order.
        units: unit of its angles.
        to_angles: function from our pitch, yaw, roll in degrees, (..., 3), to its angles, (..., 3).
        from_angles: the inverse of `to_angles`.
        to_matrix: function from our R, (..., 3, 3), to its matrix.
        from_matrix: the inverse of `to_matrix`.
        size: number of rows and columns of its matrix.
        zero: pitch of a head with the angles 0, 0, 0 of the convention, relative to our zero, degrees: its rotation is
            R·Rx(zero). 0 if it is not known to differ.
    """

    note: str
    names: tuple[str, str, str] | None = None
    units: Literal["degrees", "radians"] | None = None
    to_angles: Function | None = None
    from_angles: Function | None = None
    to_matrix: Function | None = None
    from_matrix: Function | None = None
    size: int = 3
    zero: float = 0.0


def _signed(
    names: tuple[str, str, str],
    note: str,
    *,
    order: tuple[int, int, int] = (0, 1, 2),
    signs: tuple[int, int, int] = (1, 1, 1),
    radians: bool = False,
    matrix: Function | None = None,
    zero: float = 0.0,
) -> Convention:
    """Return a convention whose angles differ from ours in order, sign, unit and zero only.

    If the zero is 0, or not converted, angles beyond the usual range stay there. Otherwise they are converted as a
    rotation, so that the results are in the ranges of `angles_from_rotation`: a yaw beyond 90 is described by another
    pitch and roll.

    Args:
        names: names of its angles.
        note: the definition, in one line.
        order: index of our angle for each of its angles.
        signs: factor of our angle for each of its angles.
        radians: whether its angles are in radians.
        matrix: function from our matrix to its matrix, which must be its own inverse.
        zero: as in `Convention`.
    """
    factors = np.array(signs) * (math.pi / 180 if radians else 1.0)
    back = np.argsort(order)
    return Convention(
        note,
        names,
        "radians" if radians else "degrees",
        to_angles=lambda angles: angles[..., list(order)] * factors,
        from_angles=lambda angles: (angles / factors)[..., back],
        to_matrix=matrix,
        from_matrix=matrix,
        zero=zero,
    )


_YAW_FIRST: tuple[int, int, int] = (1, 0, 2)

ZERO_300W_LP = 7.0
"""Zero of the labels of 300W-LP and AFLW2000-3D, and of networks trained on them, degrees, uncertain by about 2.

A model trained on rendered heads, whose zero is ours, predicts a pitch 5 to 9 degrees above such labels for nearly
frontal faces. For labels of other data sets the difference is 0 to 4 degrees: their zeros are left at 0."""

CONVENTIONS: dict[str, Convention] = {
    "300w-lp": _signed(
        ANGLES,
        "our axes; zero 7 ± 2 degrees; Pose_Para of the .mat files holds the angles in radians",
        matrix=formulas.identity,
        zero=ZERO_300W_LP,
    ),
    "hopenet": _signed(
        ("yaw", "pitch", "roll"),
        "300W-LP's labels, in degrees, in the order of its outputs; zero 7 ± 2 degrees, as theirs",
        order=_YAW_FIRST,
        zero=ZERO_300W_LP,
    ),
    "whenet": _signed(
        ("yaw", "pitch", "roll"),
        "300W-LP's labels, in degrees, zero 7 ± 2 degrees; beyond profile from CMU Panoptic, whose order of rotations "
        "and zero are not documented",
        order=_YAW_FIRST,
        zero=ZERO_300W_LP,
    ),
    "biwi": _signed(
        ANGLES,
        "the matrix of pose.txt is R, in the depth camera's frame; its readers take our angles",
        matrix=formulas.identity,
    ),
    "opal": _signed(ANGLES, "P·R·P, P = diag(1, 1, −1): yaw negated", signs=(1, -1, 1), matrix=formulas.opal),
    "6drepnet": _signed(
        ANGLES,
        "get_R: Rz(roll)·Ry(yaw)·Rx(pitch) = E·Rᵀ·E, E = diag(−1, 1, 1); zero 7 ± 2 degrees, as 300W-LP",
        matrix=formulas.sixdrepnet,
        zero=ZERO_300W_LP,
    ),
    "openvino": _signed(
        ANGLES, "head-pose-estimation-adas-0001: yaw and pitch negated, angles only", signs=(-1, -1, 1)
    ),
    "openface": _signed(
        ("pose_Rx", "pose_Ry", "pose_Rz"),
        "R = Rx·Ry·Rz (Euler2RotationMatrix) in our frame: +pose_Rx looks down, +pose_Ry to the image's left",
        signs=(-1, 1, 1),
        radians=True,
        matrix=formulas.identity,
    ),
    "opencv": Convention(
        "solvePnP's R for a head model with x to the image's right, y up, the nose along +z: R·diag(1, −1, −1) = "
        "Rz·Ry·Rx with the angles of RQDecomp3x3; a head that looks into the camera has x = ±180",
        ("x", "y", "z"),
        "degrees",
        formulas.rq_angles,
        formulas.angles_from_rq,
        formulas.opencv,
        formulas.opencv,
    ),
    "opencv-rvec": Convention(
        "the same as the rotation vector that solvePnP returns (Rodrigues)",
        ("rx", "ry", "rz"),
        "radians",
        formulas.rodrigues,
        formulas.angles_from_rodrigues,
        formulas.opencv,
        formulas.opencv,
    ),
    "mediapipe": Convention(
        "facial transformation matrix: F·R·F, F = diag(1, −1, −1): x right, y up, camera along −z, nose along +z",
        to_matrix=formulas.mediapipe,
        from_matrix=formulas.rotation_from_mediapipe,
        size=4,
    ),
}
"""The conventions by name."""


def to_convention(angles: npt.ArrayLike, name: str, *, zero: bool = True) -> Array:
    """Convert our angles to another convention.

    Args:
        angles: pitch, yaw, roll, (..., 3), degrees.
        name: a key of `CONVENTIONS`.
        zero: whether to change the zero to that of the convention. With False the result has the zero of `angles`: for
            angles that already have the zero of the convention, such as predictions of a network trained on its labels.

    Returns:
        Angles in the order and unit of `CONVENTIONS[name].names` and `.units`, (..., 3).

    Raises:
        ValueError: the name is unknown, the convention defines only a matrix, or the last axis does not have length 3.

    Example:
        >>> to_convention([10.0, 20.0, 30.0], "openvino")
        array([-10., -20.,  30.])
        >>> to_convention([10.0, 20.0, 30.0], "openface").round(3)  # radians
        array([-0.175,  0.349,  0.524])
        >>> to_convention([10.0, 0.0, 0.0], "300w-lp").round(6), to_convention([10.0, 0.0, 0.0], "300w-lp", zero=False)
        (array([3., 0., 0.]), array([10.,  0.,  0.]))
    """
    row = convention(name)
    if row.to_angles is None:
        raise ValueError(f"convention {name!r} defines a matrix, not angles; use rotation_to_convention")
    return row.to_angles(change_zero_of_angles(as_triples(angles), row.zero if zero else 0.0))


def from_convention(angles: npt.ArrayLike, name: str, *, zero: bool = True) -> Array:
    """Convert angles of another convention to ours; the inverse of `to_convention`.

    Args:
        angles: angles of the convention, (..., 3), in its order and unit.
        name: a key of `CONVENTIONS`.
        zero: whether to change the zero of the convention to ours. With False the result has the zero of `angles`: for
            comparisons with published numbers.

    Returns:
        Pitch, yaw, roll, (..., 3), degrees.

    Raises:
        ValueError: as in `to_convention`.

    Example:
        >>> from_convention([10.0, -20.0, 30.0], "opal")
        array([10., 20., 30.])
        >>> from_convention([170.0, 20.0, 0.0], "opencv").round(6) + 0.0  # looking up and to the image's left
        array([10.627584, 19.683498,  3.616442])
    """
    row = convention(name)
    if row.from_angles is None:
        raise ValueError(f"convention {name!r} defines a matrix, not angles; use rotation_from_convention")
    return change_zero_of_angles(row.from_angles(as_triples(angles)), -row.zero if zero else 0.0)


def rotation_to_convention(rotation: npt.ArrayLike, name: str, *, zero: bool = True) -> Array:
    """Convert our rotation to the matrix of another convention.

    Args:
        rotation: R, (..., 3, 3).
        name: a key of `CONVENTIONS`.
        zero: as in `to_convention`.

    Returns:
        (..., 3, 3); (..., 4, 4) for "mediapipe".

    Raises:
        ValueError: the name is unknown, the convention defines only angles, or the last axes are not 3 × 3.
        DataError: a matrix is not a rotation.

    Example:
        >>> from deepgllim.geometry import rotation_from_angles
        >>> rotation_to_convention(rotation_from_angles(0, 90, 0), "opal").round(6)[0] + 0.0
        array([ 0.,  0., -1.])
    """
    row = convention(name)
    if row.to_matrix is None:
        raise ValueError(f"convention {name!r} defines angles, not a matrix; use to_convention")
    return row.to_matrix(change_zero(checked_rotations(rotation, "the rotation"), row.zero if zero else 0.0))


def rotation_from_convention(matrix: npt.ArrayLike, name: str, *, zero: bool = True) -> Array:
    """Convert a matrix of another convention to our R; the inverse of `rotation_to_convention`.

    A scale and a translation in a matrix of "mediapipe" are ignored. A transposed matrix is a valid rotation; it is
    detected only if it is 4 × 4 with a translation, which is then in its last row.

    Args:
        matrix: (..., 3, 3); (..., 4, 4) for "mediapipe".
        name: a key of `CONVENTIONS`.
        zero: as in `from_convention`.

    Returns:
        R, (..., 3, 3).

    Raises:
        ValueError: as in `rotation_to_convention`.
        DataError: a matrix is not a rotation, is a reflection, or is 4 × 4 and its last row is not 0 0 0 1.

    Example:
        >>> from deepgllim.geometry import rotation_from_angles
        >>> R = rotation_from_angles(10, 20, 30)
        >>> bool(np.allclose(rotation_from_convention(rotation_to_convention(R, "6drepnet"), "6drepnet"), R))
        True
    """
    row, written = convention(name), np.asarray(matrix, dtype=np.float64)
    if row.from_matrix is None:
        raise ValueError(f"convention {name!r} defines angles, not a matrix; use from_convention")
    if written.shape[-2:] != (row.size, row.size):
        raise ValueError(f"a matrix of {name!r} has shape (..., {row.size}, {row.size}), not {written.shape}")
    if row.size == 3:
        written = checked_rotations(written, formulas.matrix_name(name))
    else:
        formulas.check_last_row(written, name)
    return change_zero(row.from_matrix(written), -row.zero if zero else 0.0)


def convention(name: str) -> Convention:
    """Return the convention of a name, or raise a ValueError with the known names."""
    if name not in CONVENTIONS:
        raise ValueError(f"unknown convention {name!r}; the known ones are {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]
