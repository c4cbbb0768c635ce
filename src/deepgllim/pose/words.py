"""A pose in words, for people."""

from typing import TYPE_CHECKING

import numpy as np

from deepgllim.geometry.rotations import ANGLES, NECK_ANGLES

if TYPE_CHECKING:
    from deepgllim.pose.result import Pose, PoseMode

SMALL = 5.0
"""Degrees below which a turn is not mentioned."""

PROFILE = (75.0, 105.0)
"""|pan| of a head in profile."""

POLE = 75.0
"""|tilt| from which the nose points straight up or down."""

MIN_MODE_PROBABILITY = 0.05
"""Probability of a mode that is worth a mention."""


def describe(pose: "Pose", level: float) -> str:
    """Where the head looks, its angles with their intervals, and what to beware of.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose.result import Pose
        >>> from deepgllim.geometry.rotations import rotation_from_pan_tilt
        >>> frontal = Pose(np.eye(3), np.eye(3), in_distribution=False)
        >>> describe(frontal, 0.9)
        'looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %);
        unlike anything the model knows: do not trust it'
        >>> describe(Pose(rotation_from_pan_tilt(-89, 20, 8), np.eye(3)), 0.5)  # of pitch 88
        "in profile to the image's right, looking up, tilted clockwise,
        tilt 20° ± 1°, pan −89° ± 1°, neck roll 8° ± 1° (50 %)"
    """
    lean = "" if "neck_roll" in pose.unknown else describe_roll(pose.neck_roll if _by_neck(pose) else pose.roll)
    parts = [describe_direction(pose.tilt, pose.pan), *([lean] if lean else []), _numbers(pose, level)]
    return "; ".join([", ".join(parts), *_warnings(pose)])


def describe_direction(tilt: float, pan: float) -> str:
    """Where the nose points.

    Example:
        >>> describe_direction(-20, 3), describe_direction(0, -40), describe_direction(2, 170)
        ('looking down', "looking to the image's right", 'facing away from the camera')
    """
    upright = "" if abs(tilt) < SMALL else "up" if tilt > 0 else "down"
    side = "the image's left" if pan > 0 else "the image's right"
    if abs(tilt) >= POLE:
        return f"looking straight {upright}"
    if abs(pan) < PROFILE[0]:
        sideways = "" if abs(pan) < SMALL else f"to {side}"
        return f"looking {' and '.join(filter(None, (upright, sideways))) or 'into the camera'}"
    looking = f", looking {upright}" if upright else ""
    if abs(pan) <= PROFILE[1]:
        return f"in profile to {side}{looking}"
    return f"facing away from the camera{f', to {side}' if abs(pan) < 165 else ''}{looking}"


def describe_roll(roll: float) -> str:
    """How the head leans, nothing if it hardly does.

    Example:
        >>> describe_roll(12), describe_roll(-1)
        ('tilted clockwise', '')
    """
    if abs(roll) < SMALL:
        return ""
    return "tilted clockwise" if roll > 0 else "tilted anticlockwise"


def format_degrees(angle: float) -> str:
    """A whole number of degrees.

    Example:
        >>> format_degrees(-3.4), format_degrees(-0.2)
        ('−3°', '0°')
    """
    return f"{round(angle)}°".replace("-", "−")


def label(name: str) -> str:
    """Return the name of an angle as sentences have it.

    Example:
        >>> label("neck_roll")
        'neck roll'
    """
    return name.replace("_", " ")


def _by_neck(pose: "Pose | PoseMode") -> bool:
    """Whether tilt, pan and neck roll tell more: at profile a pitch of 90 may mean 20 degrees upwards."""
    tilt, pan, _ = np.abs(pose.neck_angles).tolist()
    return bool(pan >= PROFILE[0] and tilt < POLE)


def format_angles(pose: "Pose", level: float) -> dict[str, str]:
    """The three angles that suit the pose, by name, each with half the width of its interval.

    Example:
        >>> import numpy as np
        >>> from deepgllim.pose.result import Pose
        >>> format_angles(Pose(np.eye(3), np.eye(3), unknown=("roll",)), 0.9)
        {'pitch': '0° ± 2°', 'yaw': '0° ± 2°', 'roll': 'unknown'}
    """
    neck = _by_neck(pose)
    names, middle = (NECK_ANGLES, pose.neck_angles) if neck else (ANGLES, pose.angles)
    _, upper = pose.neck_interval(level) if neck else pose.interval(level)
    rows = zip(names, middle.tolist(), (upper - middle).tolist(), strict=True)
    return {
        label(name): "unknown" if name in pose.unknown else f"{format_degrees(angle)} ± {format_degrees(half)}"
        for name, angle, half in rows
    }


def _numbers(pose: "Pose", level: float) -> str:
    return f"{', '.join(f'{name} {text}' for name, text in format_angles(pose, level).items())} ({100 * level:g} %)"


def _warnings(pose: "Pose") -> list[str]:
    found = []
    if pose.near_gimbal_lock:
        found.append("so near profile pitch and roll cannot be told apart")
    likely = likely_modes(pose)
    if len(likely) > 1:
        found.append(f"several poses fit: {' or '.join(map(_mode, likely))}")
    if pose.in_distribution is False:
        found.append("unlike anything the model knows: do not trust it")
    return found


def likely_modes(pose: "Pose") -> list["PoseMode"]:
    """The modes that are worth a mention, the likeliest first."""
    return [mode for mode in pose.modes if mode.probability >= MIN_MODE_PROBABILITY]


def _mode(mode: "PoseMode") -> str:
    names, angles = (NECK_ANGLES, mode.neck_angles) if _by_neck(mode) else (ANGLES, mode.angles)
    told = (f"{label(name)} {format_degrees(angle)}" for name, angle in zip(names, angles.tolist(), strict=True))
    return f"{', '.join(told)} ({100 * mode.probability:.0f} %)"
