"""Where `deepgllim predict` puts what it sees: sinks, each of which takes pictures and frames as they come."""

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from deepgllim.cli.console import print_json, results, strict
from deepgllim.pose.annotate import draw_poses
from deepgllim.pose.destinations import Destinations, picture_format
from deepgllim.pose.reports import record, rows
from deepgllim.pose.scanning import undamaged
from deepgllim.pose.tables import TableWriter
from deepgllim.pose.video import VideoWriter, read_frames
from deepgllim.storage import write_atomically

if TYPE_CHECKING:
    from PIL import Image

    from deepgllim.pose.scanning import Camera, Seen
    from deepgllim.pose.video import Frames


class Sink(Protocol):
    """What takes pictures and frames."""

    def take(self, seen: "Seen") -> None:
        """Take one, as soon as it is known."""

    def finish(self) -> None:
        """There are no more."""


class JsonSink:
    """One object for the only picture, else a line for each."""

    def __init__(self, single: bool, level: float, convention: str | None) -> None:
        self._single, self._level, self._convention = single, level, convention
        self._stream = sys.stdout  # a progress bar puts its own in the place of it

    def take(self, seen: "Seen") -> None:
        """Print it."""
        known = record(seen, self._level, self._convention)
        if self._single:
            print_json(known)
            return
        self._stream.write(f"{json.dumps(strict(known), ensure_ascii=False, allow_nan=False)}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Nothing is left."""


class TableSink:
    """Rows of a table's file."""

    def __init__(self, writer: TableWriter, level: float, convention: str | None) -> None:
        self.writer, self._level, self._convention = writer, level, convention

    def take(self, seen: "Seen") -> None:
        """Write its faces."""
        self.writer.write(list(rows(seen, self._level, self._convention)))

    def finish(self) -> None:
        """The writer's own block ends it."""


class PictureSink:
    """Annotated pictures, each in its file."""

    def __init__(self, places: Destinations, draw: "Draw") -> None:
        self._places, self._draw, self.count = places, draw, 0

    def take(self, seen: "Seen") -> None:
        """Write a picture; frames are another's."""
        if seen.frame is not None or seen.image is None:
            return
        path = self._places[seen.source]
        drawn, kind = self._draw(seen.image, seen), picture_format(path)
        options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
        write_atomically(path, lambda place: drawn.save(place, format=kind, **options))
        self.count += 1

    def finish(self) -> None:
        """All are written."""


class CameraSink:
    """A line a second about a camera's picture."""

    def __init__(self, level: float, period: float = 1.0) -> None:
        self._level, self._period = level, period
        self._last, self._frames = time.monotonic(), 0

    def take(self, seen: "Seen") -> None:
        """Print a line if it is time."""
        self._frames += 1
        passed = time.monotonic() - self._last
        if passed < self._period:
            return
        faces = "; ".join(f"track {face.track}: {face.pose.describe(self._level)}" for face in seen.faces)
        results().print(f"{seen.time or 0:.0f} s, {self._frames / passed:.1f} frames/s: {faces or 'no face found'}")
        self._last, self._frames = time.monotonic(), 0

    def finish(self) -> None:
        """The lines are printed."""


class Draw:
    """Poses drawn on their picture, people with their tracks' numbers."""

    def __init__(self, level: float, camera: "Camera | None") -> None:
        self._level, self._camera = level, camera

    def __call__(self, image: "Image.Image", seen: "Seen") -> "Image.Image":
        """The annotated picture."""
        names = ["" if face.track is None else f"track {face.track}" for face in seen.faces]
        intrinsics = None if self._camera is None else self._camera(image.size)
        poses = [face.pose for face in seen.faces]
        return draw_poses(image, poses, level=self._level, names=names, intrinsics=intrinsics)


Scan = Callable[[Callable[["Frames"], object]], Iterator["Seen"]]
"""The frames of a video; its argument wants to know the source before the first one is read."""


def record_video(
    scan: Scan, path: Path, draw: Draw, max_frames: int | None, step: Callable[[int], object]
) -> "Iterator[Seen]":
    """Frames passed on, and written as an annotated video, which replaces what is at `path`.

    Frames that come without their images, from the smoother, are read a second time, and `step` is told of each.
    """
    opened: list[Frames] = []
    frames = scan(opened.append)
    first = next(frames, None)
    if first is None:
        return
    if first.image is None:
        known = [first, *frames]
        yield from known
        _write_again(known, path, draw, max_frames, step)
        return
    with VideoWriter(path, like=opened[0], overwrite=True) as video:
        for seen in itertools.chain([first], frames):
            assert seen.image is not None
            video.write(draw(seen.image, seen), seen.time or 0.0)
            yield seen


def _write_again(
    known: "Sequence[Seen]", path: Path, draw: Draw, max_frames: int | None, step: Callable[[int], object]
) -> None:
    with (
        read_frames(known[0].source.path, max_frames=max_frames) as frames,
        VideoWriter(path, like=frames, overwrite=True) as video,
    ):
        for frame, seen in zip(undamaged(frames), known, strict=False):
            video.write(draw(frame.image, seen), frame.time)
            step(1)
