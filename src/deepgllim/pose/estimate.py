"""The estimated rotation of one head with its uncertainty, and the angles that follow from it.

The camera's frame is x right, y down, z forward. R takes vectors from the head's frame to the camera's frame; it is I
for a head that looks into the camera. Positive pitch looks up, positive yaw turns the face toward the image's left,
positive roll tilts the head clockwise in the image (`deepgllim.geometry.rotations`). The uncertainty is the
covariance of a small rotation δ in the camera's frame, R = exp([δ]×)·R̄, in degrees.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

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
from deepgllim.pose.calibration import Calibration, gaussian_interval_radius, gaussian_region_radius
from deepgllim.pose.checks import checked_covariance, checked_rotation, read_only
from deepgllim.pose.propagation import angle_covariance

GIMBAL_YAW = 80.0
"""|yaw| in degrees above which a pose is near gimbal lock: the standard deviations of pitch and roll are six times
those of the rotation there."""

_HALF_TURN = 180.0  # largest half-width of an interval, degrees


@dataclass(frozen=True, eq=False)
class PoseMode:
    """One of the poses that fit a face: a local maximum of the predicted density.

    Attributes:
        rotation: R̄ of the mode, (3, 3).
        rotation_covariance: covariance of δ about the mode, (3, 3), degrees², as in `Pose`.
        probability: probability of the mode, in [0, 1].

    Raises:
        DataError: `rotation` is not a rotation, or `rotation_covariance` is not symmetric positive definite.
    """

    rotation: Array
    rotation_covariance: Array
    probability: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", checked_rotation(self.rotation))
        object.__setattr__(self, "rotation_covariance", checked_covariance(self.rotation_covariance))

    @property
    def angles(self) -> Array:
        """Pitch, yaw and roll, (3,), degrees."""
        return read_only(angles_from_rotation(self.rotation))

    @property
    def neck_angles(self) -> Array:
        """Tilt, pan and neck roll, (3,), degrees."""
        return read_only(pan_tilt_from_rotation(self.rotation))


@dataclass(frozen=True, eq=False, repr=False)
class PoseEstimate:
    """The fields of a `Pose`, its angles, intervals and regions.

    `Pose` adds text, JSON and table rows, and documents the fields.
    """

    rotation: Array
    rotation_covariance: Array
    box: Box | None = None
    log_density: float | None = None
    in_distribution: bool | None = None
    modes: tuple[PoseMode, ...] = ()
    calibration: Calibration | None = None
    detection_score: float | None = None
    unknown: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        single = PoseMode(self.rotation, self.rotation_covariance)
        object.__setattr__(self, "rotation", single.rotation)
        object.__setattr__(self, "rotation_covariance", single.rotation_covariance)
        object.__setattr__(self, "modes", tuple(self.modes) or (single,))

    @cached_property
    def angles(self) -> Array:
        """Pitch in [−180, 180], yaw in [−90, 90] and roll in [−180, 180], (3,), degrees."""
        return read_only(angles_from_rotation(self.rotation))

    @cached_property
    def neck_angles(self) -> Array:
        """Tilt in [−90, 90], pan and neck roll in [−180, 180], (3,), degrees; not singular at profile."""
        return read_only(pan_tilt_from_rotation(self.rotation))

    @property
    def pitch(self) -> float:
        """Pitch, degrees, positive upwards."""
        return float(self.angles[0])

    @property
    def yaw(self) -> float:
        """Yaw, degrees, positive toward the image's left."""
        return float(self.angles[1])

    @property
    def roll(self) -> float:
        """Roll, degrees, positive clockwise in the image."""
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
        """Rotation about the nose, degrees, positive clockwise in the image."""
        return float(self.neck_angles[2])

    @cached_property
    def covariance(self) -> Array:
        """Covariance of pitch, yaw and roll, (3, 3), degrees², to first order; it diverges at gimbal lock."""
        return read_only(angle_covariance(ANGLES, self.angles, self.rotation_covariance))

    @cached_property
    def neck_covariance(self) -> Array:
        """Covariance of tilt, pan and neck roll, (3, 3), degrees², to first order; it diverges at |tilt| = 90."""
        return read_only(angle_covariance(NECK_ANGLES, self.neck_angles, self.rotation_covariance))

    @property
    def near_gimbal_lock(self) -> bool:
        """Whether |yaw| is above 80; then use tilt, pan and neck roll, or the rotation itself."""
        return abs(self.yaw) > GIMBAL_YAW

    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of the intervals of pitch, yaw and roll; each contains its angle with probability `level`.

        An end may lie beyond ±180, where angles wrap around. The half-width is at most 180.

        Args:
            level: probability, strictly between 0 and 1.

        Returns:
            The lower ends, (3,), and the upper ends, (3,), degrees.

        Raises:
            ConfigurationError: `level` is out of range.
        """
        return self._interval_around(self.angles, self.covariance, level)

    def neck_interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of the intervals of tilt, pan and neck roll, as `interval` does for pitch, yaw and roll."""
        return self._interval_around(self.neck_angles, self.neck_covariance, level)

    def in_region(self, rotation: npt.ArrayLike, level: float = 0.9) -> bool:
        """Return whether a rotation lies in the region that contains the true rotation with probability `level`.

        The region is √(δᵀ·Cov[δ]⁻¹·δ) ≤ r with exp([δ]×) = R·R̄ᵀ, where r is the radius of the level.

        Args:
            rotation: R, (3, 3).
            level: probability, strictly between 0 and 1.

        Raises:
            DataError: `rotation` is not a rotation.
            ConfigurationError: `level` is out of range.
        """
        delta = vector_from_rotation(checked_rotation(rotation) @ self.rotation.T)
        squared = float(delta @ np.linalg.solve(self.rotation_covariance, delta))
        radius = gaussian_region_radius if self.calibration is None else self.calibration.region_radius
        return squared <= radius(level) ** 2

    def angles_in(self, name: str, *, zero: bool = True) -> Array:
        """Return the angles in another convention, (3,), in its order and unit (`deepgllim.geometry.conventions`).

        Args:
            name: name of the convention.
            zero: whether to change the zero to that of the convention; False if the network was trained on its labels.

        Raises:
            ValueError: the convention is unknown or defines only a matrix.
        """
        return to_convention(self.angles, name, zero=zero)

    def rotation_in(self, name: str, *, zero: bool = True) -> Array:
        """Return the matrix in another convention (`deepgllim.geometry.conventions`).

        Args:
            name: name of the convention.
            zero: as in `angles_in`.

        Raises:
            ValueError: the convention is unknown or defines only angles.
        """
        return rotation_to_convention(self.rotation, name, zero=zero)

    def rotate(self, rotation: npt.ArrayLike) -> Self:
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

    def _interval_around(self, angles: Array, covariance: Array, level: float) -> tuple[Array, Array]:
        radius = gaussian_interval_radius if self.calibration is None else self.calibration.interval_radius
        half = np.minimum(radius(level) * np.sqrt(np.diag(covariance)), _HALF_TURN)
        return angles - half, angles + half
