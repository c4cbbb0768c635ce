"""Correction for faces off the image centre, from the intrinsics of the camera.

A network predicts the rotation relative to the ray through the centre of the face box. The rotation relative to the
optical axis is

    R = R_ray · R_apparent

where R_ray is the smallest rotation that takes the optical axis (0, 0, 1) to the ray.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError
from deepgllim.geometry.rotations import Array, rotation_from_vector
from deepgllim.imaging.images import checked_box


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: x = fx·X/Z + cx, y = fy·Y/Z + cy.

    Attributes:
        fx: horizontal focal length, pixels, positive.
        fy: vertical focal length, pixels, positive.
        cx: horizontal coordinate of the principal point, pixels from the left edge of the first pixel; half a pixel
            more than in OpenCV, which counts from the centre of that pixel.
        cy: vertical coordinate of the principal point, pixels from the upper edge of the first pixel.

    Raises:
        ConfigurationError: a focal length is not positive, or a value is not finite.

    Example:
        >>> camera = Intrinsics.from_field_of_view(90, width=640, height=480)
        >>> round(camera.fx, 9), camera.cx, camera.cy
        (320.0, 320.0, 240.0)
        >>> camera.ray(640, 240).round(4)  # at the image's right edge: 45 degrees
        array([0.7071, 0.    , 0.7071])
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(math.isfinite(value) for value in values) or min(self.fx, self.fy) <= 0:
            raise ConfigurationError(f"intrinsics {values}: give fx, fy > 0 and cx, cy in pixels")

    @classmethod
    def from_field_of_view(cls, degrees: float, width: float, height: float) -> "Intrinsics":
        """Return intrinsics with square pixels and the principal point at the image centre.

        Args:
            degrees: horizontal field of view, strictly between 0 and 180.
            width: width of the image, pixels.
            height: height of the image, pixels.

        Raises:
            ConfigurationError: the field of view is out of range, or a size is not positive.
        """
        if not 0 < degrees < 180 or min(width, height) <= 0:
            raise ConfigurationError(
                f"field of view {degrees} of a picture of {width} × {height}: give degrees in (0, 180), and pixels"
            )
        focal = 0.5 * width / math.tan(math.radians(0.5 * degrees))
        return cls(focal, focal, 0.5 * width, 0.5 * height)

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike) -> "Intrinsics":
        """Return the intrinsics of an OpenCV camera matrix, whose principal point counts from a pixel's centre.

        Args:
            matrix: K, (3, 3), pixels.

        Raises:
            ConfigurationError: the shape is not (3, 3), or the matrix is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]].
        """
        K = np.asarray(matrix, dtype=np.float64)
        if K.shape != (3, 3):
            raise ConfigurationError(f"a camera matrix has shape (3, 3), not {K.shape}")
        if not np.array_equal(K[2], [0, 0, 1]) or K[1, 0] != 0:
            raise ConfigurationError(f"the camera matrix {K.tolist()} is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        return cls(float(K[0, 0]), float(K[1, 1]), float(K[0, 2]) + 0.5, float(K[1, 2]) + 0.5)

    def ray(self, x: float, y: float) -> Array:
        """Return the unit vector of the ray through the image point (x, y), (3,), in the camera's frame."""
        direction = np.array([(x - self.cx) / self.fx, (y - self.cy) / self.fy, 1.0])
        unit: Array = direction / np.linalg.norm(direction)
        return unit

    def ray_rotation(self, box: Sequence[float]) -> Array:
        """Return R_ray for a face box: the rotation from the optical axis to the ray through its centre.

        The rotation relative to the optical axis is R_ray · R_apparent.

        Args:
            box: (x0, y0, x1, y1), pixels.

        Returns:
            (3, 3).

        Raises:
            ImageError: the box is empty or not finite.

        Example:
            >>> from deepgllim.geometry.rotations import angles_from_rotation
            >>> camera = Intrinsics.from_field_of_view(90, width=640, height=480)
            >>> angles_from_rotation(camera.ray_rotation((620, 230, 660, 250))).round(6) + 0.0  # at the right edge
            array([ 0., 45.,  0.])
        """
        x0, y0, x1, y1 = checked_box(box)
        x, y, z = self.ray(0.5 * (x0 + x1), 0.5 * (y0 + y1))
        sine = math.hypot(x, y)
        # about (0, 0, 1) × ray = (−y, x, 0), by the angle between the two vectors
        angle = math.degrees(math.atan2(sine, z)) / sine if sine > 0 else 0.0
        return rotation_from_vector([-y * angle, x * angle, 0.0])
