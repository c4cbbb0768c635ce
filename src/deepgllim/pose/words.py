"""A pose as an English sentence."""

from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES
from deepgllim.pose.estimate import PoseEstimate, PoseMode

MIN_ANGLE = 5.0
"""Smallest tilt, pan or roll that is mentioned, degrees."""

PROFILE = (75.0, 105.0)
"""Range of |pan| of a head in profile, degrees."""

POLE = 75.0
"""|tilt| from which the nose points straight up or down, degrees."""

MAX_ROLL_DIFFERENCE = 20.0
"""Largest difference of roll and neck roll up to which a pose is described by pitch, yaw and roll, degrees."""

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
    roll = "" if "neck_roll" in pose.unknown else describe_roll(pose.neck_roll if _uses_neck(pose) else pose.roll)
    angles = ", ".join(f"{name} {text}" for name, text in format_angles(pose, level).items())
    parts = [describe_direction(pose.tilt, pose.pan), *([roll] if roll else []), f"{angles} ({100 * level:g} %)"]
    return "; ".join([", ".join(parts), *_warnings(pose)])


def describe_direction(tilt: float, pan: float) -> str:
    """Return the direction of the nose in words.

    Args:
        tilt: elevation of the nose, degrees.
        pan: azimuth of the nose, degrees.

    Example:
        >>> describe_direction(-20, 3), describe_direction(0, -40), describe_direction(2, 170)
        ('looking down', "looking to the image's right", 'facing away from the camera')
    """
    upright = "" if abs(tilt) < MIN_ANGLE else "up" if tilt > 0 else "down"
    side = "the image's left" if pan > 0 else "the image's right"
    if abs(tilt) >= POLE:
        return f"looking straight {upright}"
    if abs(pan) < PROFILE[0]:
        sideways = "" if abs(pan) < MIN_ANGLE else f"to {side}"
        return f"looking {' and '.join(filter(None, (upright, sideways))) or 'into the camera'}"
    looking = f", looking {upright}" if upright else ""
    if abs(pan) <= PROFILE[1]:
        return f"in profile to {side}{looking}"
    return f"facing away from the camera{f', to {side}' if abs(pan) < 165 else ''}{looking}"


def describe_roll(roll: float) -> str:
    """Return the direction of a roll in words; an empty text for a roll under 5 degrees.

    Example:
        >>> describe_roll(12), describe_roll(-1)
        ('tilted clockwise', '')
    """
    if abs(roll) < MIN_ANGLE:
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

    The angles are tilt, pan and neck roll near profile, where pitch and roll are ill-conditioned, and where roll and
    neck roll differ by more than 20 degrees; otherwise pitch, yaw and roll.

    Args:
        pose: the pose.
        level: probability of the intervals, strictly between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose import Pose
        >>> format_angles(Pose(np.eye(3), np.eye(3), unknown=("roll",)), 0.9)
        {'pitch': '0° ± 2°', 'yaw': '0° ± 2°', 'roll': 'unknown'}
    """
    neck = _uses_neck(pose)
    names, centre = (NECK_ANGLES, pose.neck_angles) if neck else (ANGLES, pose.angles)
    _, upper = pose.neck_interval(level) if neck else pose.interval(level)
    rows = zip(names, centre.tolist(), (upper - centre).tolist(), strict=True)
    return {
        _label(name): "unknown" if name in pose.unknown else f"{format_degrees(angle)} ± {format_degrees(half)}"
        for name, angle, half in rows
    }


def likely_modes(pose: PoseEstimate) -> list[PoseMode]:
    """Return the modes with a probability of at least 5 %, that of the highest density first."""
    return [mode for mode in pose.modes if mode.probability >= MIN_MODE_PROBABILITY]


def _uses_neck(pose: PoseEstimate | PoseMode) -> bool:
    """Return whether tilt, pan and neck roll describe the pose better than pitch, yaw and roll.

    This is so near profile, and for a head turned far aside and up or down, whose roll is large although the head is
    not tilted sideways.
    """
    tilt, pan, neck_roll = pose.neck_angles.tolist()
    apart = abs((pose.angles[2] - neck_roll + 180.0) % 360.0 - 180.0)
    return bool(abs(tilt) < POLE and (abs(pan) >= PROFILE[0] or apart > MAX_ROLL_DIFFERENCE))


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
