"""Calibration of a network on people that it was not trained on: widths of intervals, threshold of the density.

Without a calibration the radii are those of a Gaussian: the quantile of |z| for an angle, of √χ²₃ for a rotation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.geometry.rotations import Array


def gaussian_interval_radius(level: float) -> float:
    """Return r with P(|z| ≤ r) = level for a standard normal z.

    Args:
        level: probability, strictly between 0 and 1.

    Raises:
        ConfigurationError: `level` is out of range.

    Example:
        >>> round(gaussian_interval_radius(0.9), 4)
        1.6449
    """
    return -NormalDist().inv_cdf(0.5 * (1.0 - checked_level(level)))  # precise for levels near 1


def gaussian_region_radius(level: float) -> float:
    """Return r with P(|z| ≤ r) = level for a standard normal z of three dimensions.

    The probability is erf(r/√2) − √(2/π)·r·exp(−r²/2).

    Args:
        level: probability, strictly between 0 and 1.

    Raises:
        ConfigurationError: `level` is out of range.

    Example:
        >>> round(gaussian_region_radius(0.9) ** 2, 4)  # the quantile of χ² with 3 degrees of freedom
        6.2514
    """
    checked_level(level)
    low, high = 0.0, 40.0
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        within = math.erf(middle / math.sqrt(2)) - math.sqrt(2 / math.pi) * middle * math.exp(-0.5 * middle**2)
        low, high = (middle, high) if within < level else (low, middle)
    return 0.5 * (low + high)


@dataclass(frozen=True)
class Calibration:
    """Scales and conformal radii, stored in the file of a network.

    Attributes:
        scales: factors of the standard deviations of the L targets.
        levels: probabilities of `region` and `interval`, strictly increasing.
        region: for each level, the Mahalanobis distance that contains the true rotation with that probability.
        interval: for each level, the number of standard deviations that contains a true angle with that probability.
        log_density_threshold: log p(x) below which a face is unlike the training data; None if it is unknown.

    Raises:
        ModelError: lengths differ, levels are outside (0, 1) or do not increase, scales or radii are not positive,
            radii decrease, or the threshold is not finite.

    Example:
        >>> known = Calibration((1.0, 1.0, 1.0), levels=(0.5, 0.9), region=(1.6, 2.9), interval=(0.7, 1.9))
        >>> known.interval_radius(0.9), round(known.interval_radius(0.95), 3)
        (1.9, 2.264)
    """

    scales: tuple[float, ...]
    levels: tuple[float, ...]
    region: tuple[float, ...]
    interval: tuple[float, ...]
    log_density_threshold: float | None = None

    def __post_init__(self) -> None:
        if not self.scales or not all(math.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ModelError(f"calibration: scales {self.scales} are not positive numbers; calibrate the model again")
        if not self.levels or not _increases(self.levels) or not 0 < self.levels[0] <= self.levels[-1] < 1:
            raise ModelError(
                f"calibration: levels {self.levels} do not increase within (0, 1); calibrate the model again"
            )
        for name, radii in (("region", self.region), ("interval", self.interval)):
            falls = any(b < a for a, b in pairwise(radii))
            if len(radii) != len(self.levels) or falls or not all(math.isfinite(r) and r > 0 for r in radii):
                raise ModelError(
                    f"calibration: {name} {radii} is not one positive radius for each of the levels {self.levels}, "
                    "in ascending order; calibrate the model again"
                )
        threshold = self.log_density_threshold
        if threshold is not None and not math.isfinite(threshold):
            raise ModelError(f"calibration: log_density_threshold {threshold} is not finite; calibrate the model again")

    def interval_radius(self, level: float) -> float:
        """Return the half-width of the interval of an angle in standard deviations.

        Up to the highest level of the calibration it is interpolated linearly in the radius of a Gaussian; above, it is
        proportional to that radius.

        Args:
            level: probability, strictly between 0 and 1.

        Raises:
            ConfigurationError: `level` is out of range.
        """
        return self._radius(level, self.interval, gaussian_interval_radius)

    def region_radius(self, level: float) -> float:
        """Return the Mahalanobis distance that contains the true rotation, interpolated as in `interval_radius`.

        Args:
            level: probability, strictly between 0 and 1.

        Raises:
            ConfigurationError: `level` is out of range.
        """
        return self._radius(level, self.region, gaussian_region_radius)

    def scaled(self, covariance: Array) -> Array:
        """Return covariances of the targets with each standard deviation multiplied by its scale.

        Args:
            covariance: (..., L, L).

        Returns:
            (..., L, L).

        Raises:
            ModelError: L is not the number of scales.

        Example:
            >>> Calibration((1.0, 2.0), (0.9,), (2.5,), (1.6,)).scaled(np.ones((2, 2)))
            array([[1., 2.],
                   [2., 4.]])
        """
        if covariance.shape[-1] != len(self.scales):
            raise ModelError(
                f"calibration: {len(self.scales)} scales for {covariance.shape[-1]} targets; calibrate the model again"
            )
        scaled: Array = covariance * np.multiply.outer(self.scales, self.scales)
        return scaled

    def is_known(self, log_density: float | None) -> bool | None:
        """Return whether a face with this log p(x) resembles the training data; None if that is unknown."""
        if log_density is None or self.log_density_threshold is None:
            return None
        return log_density >= self.log_density_threshold

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of lists and numbers."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Calibration":
        """Return the calibration of a dictionary written by `to_json`.

        Raises:
            ModelError: a name is missing or unknown, or a value is not a number.

        Example:
            >>> known = Calibration((1.0,), (0.9,), (2.5,), (1.6,), log_density_threshold=-40.0)
            >>> Calibration.from_json(known.to_json()) == known
            True
        """
        try:
            values = dict(record)
            threshold = values.pop("log_density_threshold", None)
            lists = {name: _floats(name, numbers) for name, numbers in values.items()}
            return cls(**lists, log_density_threshold=None if threshold is None else _floats("", [threshold])[0])
        except (TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"calibration: this version cannot read it ({error}); calibrate the model again"
            ) from error

    def _radius(self, level: float, radii: Sequence[float], gaussian: Callable[[float], float]) -> float:
        known = [0.0, *(gaussian(each) for each in self.levels)]
        radius, wanted = [0.0, *radii], gaussian(level)
        if wanted >= known[-1]:
            return radius[-1] * wanted / known[-1]
        return float(np.interp(wanted, known, radius))


def _floats(name: str, numbers: Any) -> tuple[float, ...]:
    """Return the numbers of a JSON list; values that are not numbers, such as strings of digits, raise an error."""
    if not isinstance(numbers, list | tuple) or any(type(number) not in (int, float) for number in numbers):
        raise TypeError(f"{name} is not a list of numbers")
    return tuple(float(number) for number in numbers)


def checked_level(level: float) -> float:
    """Return `level`, or raise a ConfigurationError unless it is strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise ConfigurationError(f"level {level}: use a value strictly between 0 and 1, such as 0.9")
    return level


def _increases(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))
