"""Conversion of a mixture over angles to a `Pose`."""

from collections.abc import Sequence

import numpy as np

from deepgllim.errors import ModelError
from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array, rotation_from_angles, rotation_from_pan_tilt
from deepgllim.imaging.images import Box
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.estimate import PoseMode
from deepgllim.pose.mixture import Mixture
from deepgllim.pose.propagation import rotation_covariance
from deepgllim.pose.result import Pose

UNIFORM_VARIANCE = 180.0**2 / 3
"""Variance of an unknown angle, uniform over the full circle, degrees²."""

_MIN_WEIGHT = 1e-4  # of a component
_MIN_PROBABILITY = 0.01  # of a mode
_TOLERANCE = 1e-3  # of the location of a mode, degrees


def predicted_angles(names: Sequence[str]) -> tuple[str, ...]:
    """Return the targets that determine a pose: three angles of one kind, or the first two of them.

    Args:
        names: names of all targets of a network.

    Raises:
        ModelError: the targets do not determine a pose.

    Example:
        >>> predicted_angles(["age", "yaw", "pitch"])
        ('pitch', 'yaw')
    """
    for wanted in (NECK_ANGLES, ANGLES, NECK_ANGLES[:2], ANGLES[:2]):
        if set(wanted) <= set(names):
            return wanted
    raise ModelError(
        f"the model predicts {', '.join(names)}: a pose needs tilt and pan (and neck_roll), or pitch and yaw (and "
        "roll); train with --targets tilt,pan,neck_roll"
    )


def pose_from_targets(
    names: Sequence[str],
    mixture: Mixture,
    *,
    box: Box | None = None,
    log_density: float | None = None,
    calibration: Calibration | None = None,
    detection_score: float | None = None,
) -> Pose:
    """Return the pose of a mixture over angles: its mean, its covariance to first order and its modes.

    If the targets are only tilt and pan, or pitch and yaw, the third angle is `unknown`. It is set to 0, with the
    variance of a uniform distribution over the full circle.

    Args:
        names: names of the L targets of the mixture, in any order; targets that are not angles are ignored.
        mixture: mixture over the targets, degrees.
        box: box of the face, pixels.
        log_density: log p(x) of the face.
        calibration: scales the standard deviations, and gives the radii and the threshold of log p(x).
        detection_score: score of the face detector.

    Raises:
        ModelError: the targets do not determine a pose, or the calibration has another number of targets.

    Example:
        >>> mixture = Mixture.of([1.0], [[23.0, 12.0]], [[[4.0, 0.0], [0.0, 4.0]]])
        >>> pose = pose_from_targets(["pan", "tilt"], mixture)
        >>> print(pose)
        looking up and to the image's left, pitch 13° ± 4°, yaw 22° ± 3°, roll unknown (90 %)
        >>> pose.unknown
        ('roll', 'neck_roll')
    """
    wanted = predicted_angles(names)
    rows = [list(names).index(name) for name in wanted]
    scales = np.ones(len(names)) if calibration is None else np.sqrt(np.diag(calibration.scaled(np.eye(len(names)))))
    part, factors = mixture.marginal(rows), np.multiply.outer(scales[rows], scales[rows])
    modes = part.modes(_TOLERANCE, _MIN_WEIGHT)
    kept = [mode for mode in modes if mode.probability >= _MIN_PROBABILITY] or modes[:1]
    rotation, covariance = _rotation(wanted, part.mean, part.covariance * factors)
    return Pose(
        rotation,
        covariance,
        box,
        log_density,
        None if calibration is None else calibration.is_known(log_density),
        tuple(PoseMode(*_rotation(wanted, mode.point, mode.covariance * factors), mode.probability) for mode in kept),
        calibration,
        detection_score,
        () if len(wanted) == 3 else (ANGLES[2], NECK_ANGLES[2]),
    )


def _rotation(wanted: tuple[str, ...], angles: Array, covariance: Array) -> tuple[Array, Array]:
    """Return R and Cov[δ] of two or three angles."""
    names, n = (NECK_ANGLES if wanted[0] in NECK_ANGLES else ANGLES), len(wanted)
    values, spread = np.zeros(3), UNIFORM_VARIANCE * np.eye(3)
    values[:n], spread[:n, :n] = angles, covariance
    first, second, third = values
    R = rotation_from_pan_tilt(second, first, third) if names == NECK_ANGLES else rotation_from_angles(*values)
    return R, rotation_covariance(names, values, spread)
