"""The pose of one head: `Pose`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepgllim.geometry.rotations import ANGLES
from deepgllim.pose import records, words
from deepgllim.pose.estimate import PoseEstimate, PoseMode


@dataclass(frozen=True, eq=False, repr=False)
class Pose(PoseEstimate):
    """The pose of one head with its uncertainty: R = exp([δ]×)·R̄, δ ~ (0, Cov[δ]).

    Arrays are read-only.

    Attributes:
        rotation: R̄, (3, 3), from the head's frame to the camera's frame.
        rotation_covariance: Cov[δ], (3, 3), degrees², in the camera's frame.
        box: box of the face, (x0, y0, x1, y1), pixels; None if there is no picture.
        log_density: log p(x) of the face's features; None if the network does not compute it.
        in_distribution: whether the face resembles the training data; None if that is unknown.
        modes: local maxima of the predicted density, the highest first; at least one.
        calibration: radii of intervals and regions; None for the radii of a Gaussian.
        detection_score: score of the face detector; None if the box was given.
        unknown: names of the angles that the network does not predict.

    Raises:
        DataError: `rotation` is not a rotation, or `rotation_covariance` is not symmetric positive definite.

    Example:
        >>> import numpy as np
        >>> from deepgllim.geometry.rotations import rotation_from_angles
        >>> pose = Pose(rotation_from_angles(12, 23, -3), 4.0 * np.eye(3))
        >>> print(pose)
        looking up and to the image's left, pitch 12° ± 4°, yaw 23° ± 3°, roll −3° ± 4° (90 %)
        >>> lower, upper = pose.interval(0.9)
        >>> lower.round(1), upper.round(1)
        (array([ 8.4, 19.7, -6.6]), array([15.6, 26.3,  0.6]))
    """

    def describe(self, level: float = 0.9) -> str:
        """Return the pose in words, with intervals of the given level."""
        return words.describe(self, level)

    def to_json(self, level: float = 0.9) -> dict[str, Any]:
        """Return a dictionary of plain values with named angles, units and the convention.

        Args:
            level: probability of the intervals, strictly between 0 and 1.
        """
        return records.to_record(self, level)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Pose":
        """Return the pose of a dictionary written by `to_json`.

        Raises:
            DataError: an entry is missing or has an invalid value.
        """
        fields = records.from_record(record)
        return cls(**fields | {"modes": tuple(PoseMode(**mode) for mode in fields["modes"])})

    def as_dict(self, level: float = 0.9) -> dict[str, float | int | bool | str | None]:
        """Return a flat row for a table: angles, intervals, log p(x), `in_distribution`, box.

        Args:
            level: probability of the intervals, strictly between 0 and 1.
        """
        return records.to_row(self, level)

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        angles = ", ".join(f"{name}={angle:.1f}" for name, angle in zip(ANGLES, self.angles.tolist(), strict=True))
        return f"Pose({angles}, box={self.box})"
