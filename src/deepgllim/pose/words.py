"""A pose as an English sentence."""

import numpy as np

from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES, Array
from deepgllim.pose.estimate import PoseEstimate, PoseMode

MIN_ANGLE = 5.0
"""Smallest tilt, pan or roll that is mentioned, degrees."""

PROFILE = (75.0, 105.0)
"""Range of |pan| of a head in profile, degrees."""

POLE = 75.0
"""|tilt| from which the nose points straight up or down, degrees."""

MAX_DISAGREEMENT = 20.0
"""Largest difference between pitch and tilt, yaw and pan, or roll and neck roll up to which pitch, yaw and roll are
given, degrees. Beyond it, for steep or turned heads, a reader would take them for the direction of the nose."""

NEAR_CAMERA = 30.0
"""|tilt| and |pan| under which an uncertain direction is roughly that of the camera, degrees."""

MIN_MODE_PROBABILITY = 0.05
"""Smallest probability of a mode that is mentioned."""


def describe(pose: PoseEstimate, level: float) -> str:
    """Return a sentence with the direction of the nose, the angles with their intervals, and warnings.

    Args:
        pose: the pose.
        level: probability of the intervals, strictly between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose import Pose
        >>> from deepgllim.geometry.rotations import rotation_from_pan_tilt
        >>> frontal = Pose(np.eye(3), np.eye(3), in_distribution=False)
        >>> describe(frontal, 0.9)
        'looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %);
        unlike the training data: do not trust it'
        >>> describe(Pose(rotation_from_pan_tilt(-89, 20, 8), np.eye(3)), 0.5)  # of pitch 88
        "in profile to the image's right, looking up, tilted clockwise,
        tilt 20° ± 1°, pan −89° ± 1°, neck roll 8° ± 1° (50 %)"
    """
    _, upper = pose.neck_interval(level)
    tilt, pan, _ = (upper - pose.neck_angles).tolist()
    direction = describe_direction(pose.tilt, pose.pan, tilt, pan)
    _, centre, halves = _printed(pose, level)
    roll = "" if "neck_roll" in pose.unknown else describe_roll(centre.tolist()[2], halves.tolist()[2])
    angles = ", ".join(f"{name} {text}" for name, text in format_angles(pose, level).items())
    parts = [direction, *([roll] if roll else []), f"{angles} ({100 * level:g} %)"]
    return "; ".join([", ".join(parts), *_warnings(pose)])


def describe_direction(tilt: float, pan: float, tilt_half: float = 0.0, pan_half: float = 0.0) -> str:
    """Return the direction of the nose in words; a direction whose interval contains 0 is left out.

    Args:
        tilt: elevation of the nose, degrees.
        pan: azimuth of the nose, degrees.
        tilt_half: half-width of the interval of the tilt, degrees.
        pan_half: half-width of the interval of the pan, degrees.

    Example:
        >>> describe_direction(-20, 3), describe_direction(0, -40), describe_direction(2, 170)
        ('looking down', "looking to the image's right", 'facing away from the camera')
        >>> describe_direction(-8, -16, 17, 19), describe_direction(-8, -16, 17, 10)
        ('looking roughly into the camera', "looking to the image's right")
    """
    upright = "" if abs(tilt) < max(MIN_ANGLE, tilt_half) else "up" if tilt > 0 else "down"
    sideways = "" if abs(pan) < max(MIN_ANGLE, pan_half) else f"to the image's {'left' if pan > 0 else 'right'}"
    if upright and abs(tilt) >= POLE:
        return f"looking straight {upright}"
    if not sideways or abs(pan) < PROFILE[0]:
        named = " and ".join(filter(None, (upright, sideways)))
        return f"looking {named}" if named else _without_direction(max(abs(tilt), abs(pan)))
    looking = f", looking {upright}" if upright else ""
    if abs(pan) <= PROFILE[1]:
        return f"in profile {sideways}{looking}"
    beyond = abs(pan) >= 165 or abs(pan) + pan_half >= 180
    return f"facing away from the camera{'' if beyond else f', {sideways}'}{looking}"


def _without_direction(largest: float) -> str:
    """Return the words for a nose whose largest angle is not distinguishable from 0."""
    if largest < MIN_ANGLE:
        return "looking into the camera"
    return "looking roughly into the camera" if largest < NEAR_CAMERA else "looking in an uncertain direction"


def describe_roll(roll: float, half: float = 0.0) -> str:
    """Return the direction of a roll in words; an empty text for one under 5 degrees or whose interval contains 0.

    Example:
        >>> describe_roll(12), describe_roll(-1), describe_roll(12, half=15)
        ('tilted clockwise', '', '')
    """
    if abs(roll) < max(MIN_ANGLE, half):
        return ""
    return "tilted clockwise" if roll > 0 else "tilted anticlockwise"


def format_degrees(angle: float) -> str:
    """Return an angle rounded to a whole number of degrees.

    Example:
        >>> format_degrees(-3.4), format_degrees(-0.2)
        ('−3°', '0°')
    """
    return f"{round(angle)}°".replace("-", "−")


def format_angles(pose: PoseEstimate, level: float) -> dict[str, str]:
    """Return three angles by name, each with the half-width of its interval.

    The angles are tilt, pan and neck roll near profile, where pitch and roll are ill-conditioned, and where the two
    descriptions differ by more than 20 degrees; pitch, yaw and roll otherwise.

    Args:
        pose: the pose.
        level: probability of the intervals, strictly between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose import Pose
        >>> format_angles(Pose(np.eye(3), np.eye(3), unknown=("roll",)), 0.9)
        {'pitch': '0° ± 2°', 'yaw': '0° ± 2°', 'roll': 'unknown'}
    """
    names, centre, halves = _printed(pose, level)
    rows = zip(names, centre.tolist(), halves.tolist(), strict=True)
    return {
        _label(name): "unknown" if name in pose.unknown else f"{format_degrees(angle)} ± {format_degrees(half)}"
        for name, angle, half in rows
    }


def likely_modes(pose: PoseEstimate) -> list[PoseMode]:
    """Return the modes with a probability of at least 5 %, that of the highest density first."""
    return [mode for mode in pose.modes if mode.probability >= MIN_MODE_PROBABILITY]


def _printed(pose: PoseEstimate, level: float) -> tuple[tuple[str, ...], Array, Array]:
    """Return the names of the three angles that are given, their values and the half-widths of their intervals."""
    neck = _uses_neck(pose)
    names, centre = (NECK_ANGLES, pose.neck_angles) if neck else (ANGLES, pose.angles)
    _, upper = pose.neck_interval(level) if neck else pose.interval(level)
    return names, centre, upper - centre


def _uses_neck(pose: PoseEstimate | PoseMode) -> bool:
    """Return whether tilt, pan and neck roll describe the pose better than pitch, yaw and roll.

    They do near profile and where the two descriptions disagree, but not where the nose points straight up or down.
    """
    tilt, pan, _ = np.abs(pose.neck_angles).tolist()
    apart = np.abs((pose.neck_angles - pose.angles + 180.0) % 360.0 - 180.0).max()
    return bool((pan >= PROFILE[0] or apart > MAX_DISAGREEMENT) and tilt < POLE)


def _warnings(pose: PoseEstimate) -> list[str]:
    found = []
    if pose.near_gimbal_lock:
        found.append("so near profile pitch and roll cannot be separated")
    likely = likely_modes(pose)
    if len(likely) > 1:
        found.append(f"several poses fit: {' or '.join(map(_describe_mode, likely))}")
    if pose.in_distribution is False:
        found.append("unlike the training data: do not trust it")
    return found


def _describe_mode(mode: PoseMode) -> str:
    names, angles = (NECK_ANGLES, mode.neck_angles) if _uses_neck(mode) else (ANGLES, mode.angles)
    texts = (f"{_label(name)} {format_degrees(angle)}" for name, angle in zip(names, angles.tolist(), strict=True))
    return f"{', '.join(texts)} ({100 * mode.probability:.0f} %)"


def _label(name: str) -> str:
    """Return the name of an angle as printed: "neck roll" for "neck_roll"."""
    return name.replace("_", " ")
