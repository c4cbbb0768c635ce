"""Text output of `deepgllim predict`: sentences for few faces, a table for many faces, tracks for videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from deepgllim.cli.console import results, table
from deepgllim.geometry.rotations import ANGLES
from deepgllim.pose.batch.reports import in_convention
from deepgllim.pose.words import format_angles, format_degrees, likely_modes

if TYPE_CHECKING:
    from deepgllim.pose.batch.scanning import ScanResult
    from deepgllim.pose.result import Pose

MAX_DESCRIBED = 5
"""Largest number of faces that are described in words."""

MAX_SHOWN = 1000
"""Largest number of faces that are printed."""

NO_FACE = "no face found; use --no-detect for a crop of a face"


@dataclass
class _Track:
    """A track in a video: times and angles of its faces."""

    times: list[float] = field(default_factory=list)
    angles: list[Sequence[float]] = field(default_factory=list)


class Screen:
    """A sink that prints all results at the end.

    Args:
        single: whether there is a single input, whose name is not printed.
        level: probability of the intervals.
        convention: an additional convention of the angles.
    """

    def __init__(self, single: bool, level: float, convention: str | None) -> None:
        self._single, self._level, self._convention = single, level, convention
        self._faces: list[tuple[str, int, Pose]] = []
        self._images = self._more = 0
        self._tracks: dict[tuple[str, int], _Track] = {}

    def add(self, scanned: "ScanResult") -> None:
        """Store the poses of an image or frame."""
        if scanned.frame is not None:
            for face in scanned.faces:
                track = self._tracks.setdefault((scanned.source.name, face.track or 0), _Track())
                track.times.append(scanned.time or 0.0)
                track.angles.append(face.pose.angles.tolist())
            return
        self._images += 1
        room = MAX_SHOWN - len(self._faces)
        poses = [(scanned.source.name, n, face.pose) for n, face in enumerate(scanned.faces)]
        self._faces += poses[:room]
        self._more += len(poses[room:])

    def finish(self) -> None:
        """Print the results."""
        screen = results()
        if self._single and self._images and len(self._faces) < 2:
            screen.print(in_words(self._faces[0][2], self._level, self._convention) if self._faces else NO_FACE)
        elif 0 < len(self._faces) <= MAX_DESCRIBED:
            cells = [[name, n, in_words(pose, self._level, self._convention)] for name, n, pose in self._faces]
            screen.print(table(("image", "face", "pose"), cells))
        elif self._faces:
            screen.print(table(("image", "face", *ANGLES, "note"), map(self._columns, self._faces)))
            screen.print(f"degrees; ± is half the width of the {100 * self._level:g} % interval")
        if self._more:
            screen.print(f"{self._more} more faces are not shown: --output TABLE.csv writes all of them")
        if self._tracks:
            screen.print(table(("video", "track", "from", "to", "frames", *ANGLES), self._summaries()))
            screen.print("median and central 90 % of the frames, degrees; --output TABLE.csv writes every frame")

    def _columns(self, face: "tuple[str, int, Pose]") -> list[object]:
        name, number, pose = face
        _, upper = pose.interval(self._level)
        halves = (upper - pose.angles).tolist()
        rows = zip(ANGLES, pose.angles.tolist(), halves, strict=True)
        angles = [
            "?" if each in pose.unknown else f"{format_degrees(a)} ± {format_degrees(half)}" for each, a, half in rows
        ]
        return [name, number, *angles, note(pose)]

    def _summaries(self) -> Iterator[list[object]]:
        for (name, number), track in self._tracks.items():
            low, middle, high = np.quantile(track.angles, (0.05, 0.5, 0.95), axis=0)
            spans = zip(middle.tolist(), low.tolist(), high.tolist(), strict=True)
            angles = [f"{format_degrees(m)} ({format_degrees(a)} to {format_degrees(b)})" for m, a, b in spans]
            yield [name, number, f"{track.times[0]:.2f} s", f"{track.times[-1]:.2f} s", len(track.times), *angles]


def in_words(pose: "Pose", level: float, convention: str | None = None) -> str:
    """Describe a pose in words, and in an additional convention.

    Example:
        >>> from deepgllim.pose.result import Pose
        >>> print(in_words(Pose(np.eye(3), np.eye(3)), 0.9, "openvino"))
        looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %);
        openvino: pitch 0.0, yaw 0.0, roll 0.0 (degrees)
    """
    text = pose.describe(level)
    if convention is None:
        return text
    converted = in_convention(pose, convention)
    if converted["angles"] is None:
        return f"{text}; {convention}: {np.round(converted['matrix'], 4).tolist()}"
    decimals = 1 if converted["units"] == "degrees" else 3
    angles = ", ".join(f"{name} {angle:.{decimals}f}" for name, angle in converted["angles"].items())
    return f"{text}; {convention}: {angles} ({converted['units']})"


def note(pose: "Pose") -> str:
    """Return the neck angles of a pose if they describe it better than pitch, yaw and roll, and warnings.

    Example:
        >>> from deepgllim.pose.result import Pose
        >>> from deepgllim.geometry.rotations import rotation_from_pan_tilt
        >>> note(Pose(rotation_from_pan_tilt(-89, 20), np.eye(3), in_distribution=False))
        'tilt 20°, pan −89°, neck roll 0°; do not trust it'
    """
    notes = []
    angles = format_angles(pose, 0.9)
    if "pan" in angles:
        notes.append(", ".join(f"{name} {text.split(' ± ')[0]}" for name, text in angles.items()))
    if len(likely_modes(pose)) > 1:
        notes.append("several poses fit")
    if pose.in_distribution is False:
        notes.append("do not trust it")
    return "; ".join(notes)
