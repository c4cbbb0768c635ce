"""What `deepgllim predict` shows: a few faces in words, many as columns, a video as its tracks."""

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

FEW = 5
"""Faces that are told in words."""

MOST = 1000
"""Faces that are shown at all."""

NO_FACE = "no face found; --no-detect if the picture is a face"


@dataclass
class _Track:
    """One person of a video: the times of the faces, and their angles."""

    times: list[float] = field(default_factory=list)
    angles: list[Sequence[float]] = field(default_factory=list)


class Screen:
    """What is shown at the end.

    Args:
        single: whether there is one input, which needs no name.
        level: of the intervals.
        convention: in which angles are told too.
    """

    def __init__(self, single: bool, level: float, convention: str | None) -> None:
        self._single, self._level, self._convention = single, level, convention
        self._faces: list[tuple[str, int, Pose]] = []
        self._pictures = self._empty = self._more = 0
        self._tracks: dict[tuple[str, int], _Track] = {}

    def take(self, seen: "ScanResult") -> None:
        """Keep what will be shown."""
        if seen.frame is not None:
            for face in seen.faces:
                track = self._tracks.setdefault((seen.source.name, face.track or 0), _Track())
                track.times.append(seen.time or 0.0)
                track.angles.append(face.pose.angles.tolist())
            return
        self._pictures += 1
        self._empty += not seen.faces
        room = MOST - len(self._faces)
        poses = [(seen.source.name, n, face.pose) for n, face in enumerate(seen.faces)]
        self._faces += poses[:room]
        self._more += len(poses[room:])

    def finish(self) -> None:
        """Print it."""
        screen = results()
        if self._single and self._pictures and len(self._faces) < 2:
            screen.print(in_words(self._faces[0][2], self._level, self._convention) if self._faces else NO_FACE)
        elif 0 < len(self._faces) <= FEW:
            cells = [[name, n, in_words(pose, self._level, self._convention)] for name, n, pose in self._faces]
            screen.print(table(("picture", "face", "pose"), cells))
        elif self._faces:
            screen.print(table(("picture", "face", *ANGLES, "note"), map(self._columns, self._faces)))
            screen.print(f"degrees; ± holds {100 * self._level:g} %")
        if self._more:
            screen.print(f"and {self._more} more faces: --output TABLE.csv keeps them all")
        if self._tracks:
            screen.print(table(("video", "track", "from", "to", "frames", *ANGLES), self._summaries()))
            screen.print("median in degrees, and where 90 % of the frames are; --output TABLE.csv keeps every frame")

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
    """The pose in words, and in another convention.

    Example:
        >>> from deepgllim.pose.result import Pose
        >>> print(in_words(Pose(np.eye(3), np.eye(3)), 0.9, "openvino"))
        looking into the camera, pitch 0° ± 2°, yaw 0° ± 2°, roll 0° ± 2° (90 %);
        openvino: pitch 0.0, yaw 0.0, roll 0.0 (degrees)
    """
    told = pose.describe(level)
    if convention is None:
        return told
    known = in_convention(pose, convention)
    if known["angles"] is None:
        return f"{told}; {convention}: {np.round(known['matrix'], 4).tolist()}"
    decimals = 1 if known["units"] == "degrees" else 3
    angles = ", ".join(f"{name} {angle:.{decimals}f}" for name, angle in known["angles"].items())
    return f"{told}; {convention}: {angles} ({known['units']})"


def note(pose: "Pose") -> str:
    """What to beware of, in a few words.

    Example:
        >>> from deepgllim.pose.result import Pose
        >>> from deepgllim.geometry.rotations import rotation_from_pan_tilt
        >>> note(Pose(rotation_from_pan_tilt(-89, 20), np.eye(3), in_distribution=False))
        'profile: pan −89°, tilt 20°; do not trust it'
    """
    found = []
    if "pan" in format_angles(pose, 0.9):
        found.append(f"profile: pan {format_degrees(pose.pan)}, tilt {format_degrees(pose.tilt)}")
    if len(likely_modes(pose)) > 1:
        found.append("several poses fit")
    if pose.in_distribution is False:
        found.append("do not trust it")
    return "; ".join(found)
