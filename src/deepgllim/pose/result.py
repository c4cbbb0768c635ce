"""What is known of one head: `Pose`.

The camera's frame is x right, y down, z forward; R takes vectors of the head there, and is I for a head that looks into
the camera. +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise in the image
(`deepgllim.geometry.rotations`). Uncertainty is that of a small rotation δ in the camera's frame, R = exp([δ]×)·R̄,
in degrees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.conventions import rotation_to_convention, to_convention
from deepgllim.geometry.rotations import (
    ANGLES,
    NECK_ANGLES,
    Array,
    angles_from_rotation,
    pan_tilt_from_rotation,
    vector_from_rotation,
)
from deepgllim.imaging.images import Box
from deepgllim.pose import records, words
from deepgllim.pose.calibration import gaussian_interval_radius, gaussian_region_radius
from deepgllim.pose.checks import checked_covariance, checked_rotation, fixed
from deepgllim.pose.propagation import angle_covariance

GIMBAL_YAW = 80.0
"""|yaw| from which pitch and roll can hardly be told apart: their deviations are then six times the rotation's."""

_HALF_TURN = 180.0  # no angle is less certain than that


class Radii(Protocol):
    """How wide intervals and regions are: `deepgllim.pose.calibration.Calibration`, or anything alike."""

    def interval_radius(self, level: float) -> float:
        """Half the width of an angle's interval in standard deviations."""

    def region_radius(self, level: float) -> float:
        """The Mahalanobis distance within which the rotation lies."""

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that `Calibration.from_json` reads."""


@dataclass(frozen=True, eq=False)
class PoseMode:
    """One of the poses that fit a face: a local maximum of the predicted density.

    Attributes:
        rotation: (3, 3).
        rotation_covariance: about it, (3, 3), degrees², as that of `Pose`.
        probability: that it is this one.

    Raises:
        DataError: `rotation` is no rotation, or `rotation_covariance` not symmetric positive definite.
    """

    rotation: Array
    rotation_covariance: Array
    probability: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", checked_rotation(self.rotation))
        object.__setattr__(self, "rotation_covariance", checked_covariance(self.rotation_covariance))

    @property
    def angles(self) -> Array:
        """pitch, yaw, roll, (3,), degrees."""
        return fixed(angles_from_rotation(self.rotation))

    @property
    def neck_angles(self) -> Array:
        """tilt, pan, neck_roll, (3,), degrees."""
        return fixed(pan_tilt_from_rotation(self.rotation))


@dataclass(frozen=True, eq=False, repr=False)
class Pose:
    """The pose of one head, with its uncertainty: R = exp([δ]×)·R̄, δ ~ (0, Cov[δ]).

    Attributes:
        rotation: R̄, (3, 3).
        rotation_covariance: Cov[δ], (3, 3), degrees², in the camera's frame.
        box: of the face, (x0, y0, x1, y1), pixels; None if it came without a picture.
        log_density: log p(x) of the face's features; None where the network does not know it.
        in_distribution: whether the face is like those of the training; None where that is not known.
        modes: the poses that fit, that of the highest density first; at least one.
        calibration: the radii of intervals and regions; those of a Gaussian when None.
        detection_score: of the face's detector.
        unknown: names of the angles that the network does not predict.

    Arrays are read-only.

    Raises:
        DataError: as `PoseMode`.

    Example:
        >>> from deepgllim.geometry.rotations import rotation_from_angles
        >>> pose = Pose(rotation_from_angles(12, 23, -3), 4.0 * np.eye(3))
        >>> print(pose)
        looking up and to the image's left, pitch 12° ± 4°, yaw 23° ± 3°, roll −3° ± 4° (90 %)
        >>> lower, upper = pose.interval(0.9)
        >>> lower.round(1), upper.round(1)
        (array([ 8.4, 19.7, -6.6]), array([15.6, 26.3,  0.6]))
    """

    rotation: Array
    rotation_covariance: Array
    box: Box | None = None
    log_density: float | None = None
    in_distribution: bool | None = None
    modes: tuple[PoseMode, ...] = ()
    calibration: Radii | None = None
    detection_score: float | None = None
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        alone = PoseMode(self.rotation, self.rotation_covariance)
        object.__setattr__(self, "rotation", alone.rotation)
        object.__setattr__(self, "rotation_covariance", alone.rotation_covariance)
        object.__setattr__(self, "modes", tuple(self.modes) or (alone,))

    @cached_property
    def angles(self) -> Array:
        """pitch in [−180, 180], yaw in [−90, 90], roll in [−180, 180], (3,), degrees."""
        return fixed(angles_from_rotation(self.rotation))

    @cached_property
    def neck_angles(self) -> Array:
        """tilt in [−90, 90], pan and neck roll in [−180, 180], (3,), degrees: without a singularity at profile."""
        return fixed(pan_tilt_from_rotation(self.rotation))

    @property
    def pitch(self) -> float:
        """Degrees, positive upwards."""
        return float(self.angles[0])

    @property
    def yaw(self) -> float:
        """Degrees, positive toward the image's left."""
        return float(self.angles[1])

    @property
    def roll(self) -> float:
        """Degrees, positive clockwise in the image."""
        return float(self.angles[2])

    @property
    def tilt(self) -> float:
        """Elevation of the nose, degrees, positive upwards."""
        return float(self.neck_angles[0])

    @property
    def pan(self) -> float:
        """Azimuth of the nose, degrees, positive toward the image's left; beyond ±90 the head faces away."""
        return float(self.neck_angles[1])

    @property
    def neck_roll(self) -> float:
        """Turn about the nose, degrees, positive clockwise in the image."""
        return float(self.neck_angles[2])

    @cached_property
    def covariance(self) -> Array:
        """Of pitch, yaw, roll, (3, 3), degrees², to first order; it grows beyond all use near gimbal lock."""
        return fixed(angle_covariance(ANGLES, self.angles, self.rotation_covariance))

    @cached_property
    def neck_covariance(self) -> Array:
        """Covariance of tilt, pan and neck roll, (3, 3), degrees², to first order; it grows towards |tilt| = 90."""
        return fixed(angle_covariance(NECK_ANGLES, self.neck_angles, self.rotation_covariance))

    @property
    def near_gimbal_lock(self) -> bool:
        """Whether |yaw| is above 80: use tilt, pan and neck roll, or the rotation itself."""
        return abs(self.yaw) > GIMBAL_YAW

    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Lower and upper ends of the intervals of pitch, yaw and roll, each of which holds its angle with `level`.

        An end may lie beyond ±180, where angles go round; no interval is wider than ±180.

        Args:
            level: probability, between 0 and 1.

        Returns:
            lower (3,), upper (3,), degrees.

        Raises:
            ConfigurationError: for another level.
        """
        return self._around(self.angles, self.covariance, level)

    def neck_interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """The same of tilt, pan and neck roll."""
        return self._around(self.neck_angles, self.neck_covariance, level)

    def in_region(self, rotation: npt.ArrayLike, level: float = 0.9) -> bool:
        """Whether a rotation lies in the region that holds the true one with probability `level`: all three at once.

        The Mahalanobis distance √(δᵀ·Cov[δ]⁻¹·δ) of δ with exp([δ]×) = R·R̄ᵀ is compared with the radius.

        Args:
            rotation: R, (3, 3).
            level: probability, between 0 and 1.

        Raises:
            DataError: `rotation` is none.
            ConfigurationError: for another level.
        """
        delta = vector_from_rotation(checked_rotation(rotation) @ self.rotation.T)
        squared = float(delta @ np.linalg.solve(self.rotation_covariance, delta))
        radius = gaussian_region_radius if self.calibration is None else self.calibration.region_radius
        return squared <= radius(level) ** 2

    def angles_in(self, name: str) -> Array:
        """The angles as another convention writes them, (3,), in its order and unit: `deepgllim.geometry.conventions`.

        Raises:
            ValueError: an unknown convention, or one that defines a matrix only.
        """
        return to_convention(self.angles, name)

    def rotation_in(self, name: str) -> Array:
        """The matrix that another convention writes: `deepgllim.geometry.conventions`.

        Raises:
            ValueError: an unknown convention, or one that defines angles only.
        """
        return rotation_to_convention(self.rotation, name)

    def rotate(self, rotation: npt.ArrayLike) -> "Pose":
        """Return the pose in the frame of another camera: T·R, with its covariance and modes.

        Args:
            rotation: T, (3, 3), from the frame of this camera to the frame of the other.

        Raises:
            DataError: `rotation` is not a rotation.
        """
        T = checked_rotation(rotation)
        modes = tuple(PoseMode(T @ m.rotation, T @ m.rotation_covariance @ T.T, m.probability) for m in self.modes)
        return replace(
            self, rotation=T @ self.rotation, rotation_covariance=T @ self.rotation_covariance @ T.T, modes=modes
        )

    def describe(self, level: float = 0.9) -> str:
        """The pose in words, with the intervals of a level."""
        return words.describe(self, level)

    def to_json(self, level: float = 0.9) -> dict[str, Any]:
        """A plain dictionary with named angles, units and the convention; `level` is that of its intervals."""
        return records.to_record(self, level)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Pose":
        """The inverse of `to_json`.

        Raises:
            DataError: the record lacks a part, or holds what is no pose.
        """
        fields = records.from_record(record)
        return cls(**fields | {"modes": tuple(PoseMode(**mode) for mode in fields["modes"])})

    def as_dict(self, level: float = 0.9) -> dict[str, float | int | bool | str | None]:
        """A flat row for a table: angles, their intervals, log p(x), verdict, box."""
        return records.to_row(self, level)

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        angles = ", ".join(f"{name}={angle:.1f}" for name, angle in zip(ANGLES, self.angles.tolist(), strict=True))
        return f"Pose({angles}, box={self.box})"

    def _around(self, angles: Array, covariance: Array, level: float) -> tuple[Array, Array]:
        radius = gaussian_interval_radius if self.calibration is None else self.calibration.interval_radius
        half = np.minimum(radius(level) * np.sqrt(np.diag(covariance)), _HALF_TURN)
        return angles - half, angles + half
