"""Where `deepgllim predict` puts what it sees: sinks, each of which takes pictures and frames as they come."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deepgllim.cli.console import json_text, print_json, results
from deepgllim.errors import DataError, DeepGLLiMError
from deepgllim.pose.batch.annotate import draw_poses
from deepgllim.pose.batch.destinations import Destinations, picture_format
from deepgllim.pose.batch.progress import FinishedSource
from deepgllim.pose.batch.reports import record, rows
from deepgllim.pose.batch.scanning import decodable_frames
from deepgllim.pose.batch.tables import TableWriter
from deepgllim.pose.video.frames import VideoWriter, read_frames
from deepgllim.storage import write_atomically

if TYPE_CHECKING:
    from PIL import Image

    from deepgllim.pose.batch.scanning import Camera, ScanResult
    from deepgllim.pose.batch.sources import Source
    from deepgllim.pose.video.frames import Frames


class Sink(Protocol):
    """What takes pictures and frames."""

    def take(self, seen: "ScanResult") -> None:
        """Take one, as soon as it is known."""

    def finish(self) -> None:
        """There are no more."""


class JsonSink:
    """One object for the only picture, else a line for each."""

    def __init__(self, single: bool, level: float, convention: str | None) -> None:
        self._single, self._level, self._convention = single, level, convention
        self._stream = sys.stdout  # a progress bar puts its own in the place of it

    def take(self, seen: "ScanResult") -> None:
        """Print it."""
        known = record(seen, self._level, self._convention)
        if self._single:
            print_json(known)
            return
        self._stream.write(f"{json_text(known)}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Nothing is left."""


class TableSink:
    """Rows of a table's file, and which sources are finished."""

    def __init__(self, writer: TableWriter, level: float, convention: str | None) -> None:
        self._writer, self._level, self._convention = writer, level, convention
        self._open: dict[str, FinishedSource] = {}

    def take(self, seen: "ScanResult") -> None:
        """Write its faces."""
        self._writer.write(list(rows(seen, self._level, self._convention)))
        path = seen.source.path
        known = self._open.get(path) or FinishedSource(path, 0, None if seen.frame is None else 0)
        frames = None if known.frames is None else known.frames + 1
        self._open[path] = known._replace(faces=known.faces + len(seen.faces), frames=frames)

    def fail(self, source: "Source", error: DeepGLLiMError) -> None:
        """Note what is wrong with a source that has its rows all the same; one without any is to be tried again."""
        if source.path in self._open:
            self._open[source.path] = self._open[source.path]._replace(problem=str(error))

    def finish_sources(self) -> None:
        """The sources so far are finished."""
        self._writer.finish(list(self._open.values()))
        self._open.clear()

    def finish(self) -> None:
        """The writer's own block ends it."""


Unsaved = Callable[["Source", DeepGLLiMError], None]
"""What is told of a source whose annotated picture or video cannot be written."""


class PictureSink:
    """Annotated pictures, each in its file."""

    def __init__(self, places: Destinations, draw: "Draw", failed: Unsaved) -> None:
        self._places, self._draw, self._failed = places, draw, failed

    def take(self, seen: "ScanResult") -> None:
        """Write a picture; frames are another's."""
        if seen.frame is not None or seen.image is None:
            return
        try:
            save_picture(self._draw(seen.image, seen), self._places[seen.source])
        except DataError as error:
            self._failed(seen.source, error)

    def finish(self) -> None:
        """All are written."""


def save_picture(picture: "Image.Image", path: Path) -> None:
    """Write a picture, whole or not at all, in the format of its suffix.

    Raises:
        DataError: it cannot be written, or not in this format.
    """
    kind = picture_format(path)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}

    def write(place: Path) -> None:
        try:
            picture.save(place, format=kind, **options)
        except Exception as error:  # encoders raise anything for what their format cannot hold
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the system
            size = f"{picture.width} × {picture.height}"
            raise DataError(
                f"{path}: a picture of {size} pixels cannot be saved as {kind} ({error}): save it as .png"
            ) from error

    write_atomically(path, write, tidy=False)


class CameraSink:
    """A line a second about a camera's picture."""

    def __init__(self, level: float, period: float = 1.0) -> None:
        self._level, self._period = level, period
        self._last, self._frames = time.monotonic(), 0

    def take(self, seen: "ScanResult") -> None:
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

    def __call__(self, image: "Image.Image", seen: "ScanResult") -> "Image.Image":
        """The annotated picture."""
        names = ["" if face.track is None else f"track {face.track}" for face in seen.faces]
        intrinsics = None if self._camera is None else self._camera(image.size)
        poses = [face.pose for face in seen.faces]
        return draw_poses(image, poses, level=self._level, names=names, intrinsics=intrinsics)


Scan = Callable[[Callable[["Frames"], object]], Iterator["ScanResult"]]
"""The frames of a video; its argument wants to know the source before the first one is read."""


class VideoSink:
    """An annotated video; its first failure is told, and the frames after it are not written.

    Args:
        path: of the file, which is replaced.
        like: the frames that are read.
        draw: what is drawn on them.
        failed: told of the failure.
    """

    def __init__(self, path: Path, like: "Frames", draw: "Draw", failed: Callable[[DeepGLLiMError], None]) -> None:
        self._path, self._draw, self._failed = path, draw, failed
        self._stack = ExitStack()
        self._writer: VideoWriter | None = None
        with self._told():
            self._writer = self._stack.enter_context(VideoWriter(path, like=like, overwrite=True))

    def write(self, image: "Image.Image", seen: "ScanResult", time: float) -> None:
        """Add a frame."""
        if self._writer is None:
            return
        with self._told():
            self._writer.write(self._draw(image, seen), time)

    def __enter__(self) -> "VideoSink":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writer is None:
            return
        with self._told():
            self._stack.__exit__(*error)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            self._give_up(error)
        except OSError as error:  # of a name that is too long
            self._give_up(DataError(f"{self._path}: cannot be written ({error.strerror}): save it under another name"))

    def _give_up(self, error: DataError) -> None:
        with suppress(DataError):  # nothing is left of it
            self._stack.__exit__(DataError, error, None)
        self._writer = None
        self._failed(error)


def record_video(
    scan: Scan,
    path: Path,
    draw: Draw,
    max_frames: int | None,
    step: Callable[[int], object],
    failed: Callable[[DeepGLLiMError], None],
) -> "Iterator[ScanResult]":
    """Frames passed on, and written as an annotated video, which replaces what is at `path`.

    Frames that come without their images, from the smoother, are read a second time, and `step` is told of each.
    `failed` is told if the video cannot be written.
    """
    opened: list[Frames] = []
    frames = scan(opened.append)
    first = next(frames, None)
    if first is None:
        return
    if first.image is None:
        known = [first, *frames]
        yield from known
        try:
            with read_frames(first.source.path, max_frames=max_frames) as again:
                _write_again(again, known, VideoSink(path, again, draw, failed), step)
        except DataError as error:  # the file cannot be read again
            failed(error)
        return
    with VideoSink(path, opened[0], draw, failed) as video:
        for seen in itertools.chain([first], frames):
            assert seen.image is not None
            video.write(seen.image, seen, seen.time or 0.0)
            yield seen


def _write_again(
    frames: "Frames", known: "Sequence[ScanResult]", video: VideoSink, step: Callable[[int], object]
) -> None:
    with video:
        for frame, seen in zip(decodable_frames(frames), known, strict=False):
            video.write(frame.image, seen, frame.time)
            step(1)
