"""From a network's mixture over angles to a `Pose`."""

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
"""Degrees², of an angle of which nothing is known: uniform over the whole turn."""

_LEAST_WEIGHT = 1e-4  # of a component that may be a mode
_LEAST_PROBABILITY = 0.01  # of a mode that is told
_TOLERANCE = 1e-3  # degrees, of a mode's place


def predicted_angles(names: Sequence[str]) -> tuple[str, ...]:
    """Which of a network's targets the pose is made from: three angles of one kind, or the first two of one.

    Raises:
        ModelError: the targets determine no pose.

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
    """The pose that a mixture over angles tells: its mean, its covariance to first order, its modes.

    With two angles only (tilt and pan, or pitch and yaw) the third, the turn about the nose, is `unknown`: it is set to
    0 with the variance of an angle that is uniform over the whole turn.

    Args:
        names: of the mixture's L targets, in any order; others than angles are left aside.
        mixture: over them, degrees.
        box, log_density, detection_score: passed on.
        calibration: scales the standard deviations; gives the radii and the verdict on log p(x).

    Raises:
        ModelError: the targets determine no pose, or the calibration is for another number of them.

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
    modes = part.modes(_TOLERANCE, _LEAST_WEIGHT)
    told = [mode for mode in modes if mode.probability >= _LEAST_PROBABILITY] or modes[:1]
    rotation, covariance = _rotation(wanted, part.mean, part.covariance * factors)
    return Pose(
        rotation,
        covariance,
        box,
        log_density,
        None if calibration is None else calibration.is_known(log_density),
        tuple(PoseMode(*_rotation(wanted, mode.point, mode.covariance * factors), mode.probability) for mode in told),
        calibration,
        detection_score,
        () if len(wanted) == 3 else (ANGLES[2], NECK_ANGLES[2]),
    )


def _rotation(wanted: tuple[str, ...], angles: Array, covariance: Array) -> tuple[Array, Array]:
    """R and Cov[δ] of two or three angles."""
    names, n = (NECK_ANGLES if wanted[0] in NECK_ANGLES else ANGLES), len(wanted)
    whole, spread = np.zeros(3), UNIFORM_VARIANCE * np.eye(3)
    whole[:n], spread[:n, :n] = angles, covariance
    first, second, third = whole
    R = rotation_from_pan_tilt(second, first, third) if names == NECK_ANGLES else rotation_from_angles(*whole)
    return R, rotation_covariance(names, whole, spread)
