"""The camera: a network sees a head along the ray through its box, and an off-centre face seems turned.

    R = R_ray · R_apparent

with R_ray the smallest rotation that takes the optical axis (0, 0, 1) to the ray.
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
        fx, fy: focal lengths, pixels, positive.
        cx, cy: the principal point, pixels from the upper left corner of the upper left pixel: half a pixel more than
            OpenCV's, which counts from that pixel's centre.

    Raises:
        ConfigurationError: a focal length that is not positive, or a value that is not finite.

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
        """Of the horizontal field of view and the picture's size, with square pixels and the centre in the middle.

        Raises:
            ConfigurationError: a field of view outside (0, 180), or a size that is not positive.
        """
        if not 0 < degrees < 180 or min(width, height) <= 0:
            raise ConfigurationError(
                f"field of view {degrees} of a picture of {width} × {height}: give degrees in (0, 180), and pixels"
            )
        focal = 0.5 * width / math.tan(math.radians(0.5 * degrees))
        return cls(focal, focal, 0.5 * width, 0.5 * height)

    @classmethod
    def from_matrix(cls, matrix: npt.ArrayLike) -> "Intrinsics":
        """Of OpenCV's camera matrix K, (3, 3), whose principal point counts from a pixel's centre.

        Raises:
            ConfigurationError: another shape, or a last row that is not 0 0 1, as that of a transposed matrix.
        """
        K = np.asarray(matrix, dtype=np.float64)
        if K.shape != (3, 3):
            raise ConfigurationError(f"a camera matrix has shape (3, 3), not {K.shape}")
        if not np.array_equal(K[2], [0, 0, 1]) or K[1, 0] != 0:
            raise ConfigurationError(f"the camera matrix {K.tolist()} is not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
        return cls(float(K[0, 0]), float(K[1, 1]), float(K[0, 2]) + 0.5, float(K[1, 2]) + 0.5)

    def ray(self, x: float, y: float) -> Array:
        """The direction in which the pixel (x, y) is seen, (3,), of length 1, in the camera's frame."""
        direction = np.array([(x - self.cx) / self.fx, (y - self.cy) / self.fy, 1.0])
        unit: Array = direction / np.linalg.norm(direction)
        return unit

    def ray_rotation(self, box: Sequence[float]) -> Array:
        """R_ray of a face in `box`, (3, 3): what an apparent rotation is multiplied by, from the left.

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
        # about (0, 0, 1) × ray = (−y, x, 0), by the angle between the two
        angle = math.degrees(math.atan2(sine, z)) / sine if sine > 0 else 0.0
        return rotation_from_vector([-y * angle, x * angle, 0.0])
