"""Outputs of `deepgllim predict`: sinks that receive each scanned image or frame."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deepgllim.cli.console import json_text, print_json, results
from deepgllim.errors import DataError, DeepGLLiMError
from deepgllim.pose.batch.annotate import draw_poses, readable_size
from deepgllim.pose.batch.destinations import Destinations, picture_format
from deepgllim.pose.batch.progress import FinishedSource
from deepgllim.pose.batch.reports import record, rows
from deepgllim.pose.batch.scanning import decodable_frames
from deepgllim.pose.batch.tables import TableWriter
from deepgllim.pose.video.frames import VideoWriter, read_frames
from deepgllim.storage import write_atomically

if TYPE_CHECKING:
    from PIL import Image

    from deepgllim.pose.batch.scanning import Camera, ErrorHandler, ScanResult
    from deepgllim.pose.batch.sources import Source
    from deepgllim.pose.video.frames import Frames


class Sink(Protocol):
    """A receiver of scanned images and frames."""

    def add(self, scanned: "ScanResult") -> None:
        """Add an image or frame."""

    def finish(self) -> None:
        """Finish after the last image or frame."""


class JsonSink:
    """JSON on standard output: one object for a single image, otherwise one line for each image or frame."""

    def __init__(self, single: bool, level: float, convention: str | None) -> None:
        self._single, self._level, self._convention = single, level, convention
        self._stream = sys.stdout  # a progress bar replaces sys.stdout

    def add(self, scanned: "ScanResult") -> None:
        """Print an image or frame."""
        result = record(scanned, self._level, self._convention)
        if self._single:
            print_json(result)
            return
        self._stream.write(f"{json_text(result)}\n")
        self._stream.flush()

    def finish(self) -> None:
        """Do nothing."""


class TableSink:
    """Rows of a table file, and its finished sources."""

    def __init__(self, writer: TableWriter, level: float, convention: str | None) -> None:
        self._writer, self._level, self._convention = writer, level, convention
        self._open: dict[str, FinishedSource] = {}

    def add(self, scanned: "ScanResult") -> None:
        """Write the rows of an image or frame."""
        self._writer.write(list(rows(scanned, self._level, self._convention)))
        path = scanned.source.path
        entry = self._open.get(path) or FinishedSource(path, 0, None if scanned.frame is None else 0)
        frames = None if entry.frames is None else entry.frames + 1
        self._open[path] = entry._replace(faces=entry.faces + len(scanned.faces), frames=frames)

    def fail(self, source: "Source", error: DeepGLLiMError) -> None:
        """Record the problem of a source that has rows; one without rows is tried again when the run is resumed."""
        if source.path in self._open:
            self._open[source.path] = self._open[source.path]._replace(problem=str(error))

    def finish_sources(self) -> None:
        """Mark the sources so far as finished."""
        self._writer.finish(list(self._open.values()))
        self._open.clear()

    def finish(self) -> None:
        """Do nothing; the context of the writer finishes the table."""


class ImageSink:
    """Annotated images, each in its own file."""

    def __init__(self, places: Destinations, draw: "Draw", failed: "ErrorHandler") -> None:
        self._places, self._draw, self._failed = places, draw, failed

    def add(self, scanned: "ScanResult") -> None:
        """Write the annotated image; frames of videos are ignored."""
        if scanned.frame is not None or scanned.image is None:
            return
        try:
            save_image(self._draw(scanned.image, scanned), self._places[scanned.source])
        except DataError as error:
            self._failed(scanned.source, error)

    def finish(self) -> None:
        """Do nothing."""


def save_image(image: "Image.Image", path: Path) -> None:
    """Write an image atomically in the format of the suffix.

    Raises:
        DataError: the format cannot store the image.
    """
    kind = picture_format(path)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}

    def write(place: Path) -> None:
        try:
            image.save(place, format=kind, **options)
        except Exception as error:  # encoders raise errors of any class
            if isinstance(error, OSError) and error.errno is not None:
                raise  # an error of the operating system
            size = f"{image.width} × {image.height}"
            raise DataError(
                f"{path}: an image of {size} pixels cannot be saved as {kind} ({error}): save it as .png"
            ) from error

    write_atomically(path, write, tidy=False)


class CameraSink:
    """A line on standard output for each second of a camera stream."""

    def __init__(self, level: float, period: float = 1.0) -> None:
        self._level, self._period = level, period
        self._last, self._frames = time.monotonic(), 0

    def add(self, scanned: "ScanResult") -> None:
        """Print a line if the period has passed."""
        self._frames += 1
        passed = time.monotonic() - self._last
        if passed < self._period:
            return
        faces = "; ".join(f"track {face.track}: {face.pose.describe(self._level)}" for face in scanned.faces)
        results().print(f"{scanned.time or 0:.0f} s, {self._frames / passed:.1f} frames/s: {faces or 'no face found'}")
        self._last, self._frames = time.monotonic(), 0

    def finish(self) -> None:
        """Do nothing."""


class Draw:
    """Function that draws poses and track numbers on an image."""

    def __init__(self, level: float, camera: "Camera | None") -> None:
        self._level, self._camera = level, camera

    def __call__(self, image: "Image.Image", scanned: "ScanResult") -> "Image.Image":
        """Return the annotated image; a small picture is enlarged, a frame is not."""
        names = ["" if face.track is None else f"track {face.track}" for face in scanned.faces]
        intrinsics = None if self._camera is None else self._camera(image.size)
        poses = [face.pose for face in scanned.faces]
        size = readable_size(image.size) if scanned.frame is None else None
        return draw_poses(image, poses, level=self._level, names=names, intrinsics=intrinsics, size=size)


Scan = Callable[[Callable[["Frames"], object]], Iterator["ScanResult"]]
"""Function that scans a video; its argument is called with the opened video before the first frame is read."""


class VideoSink:
    """An annotated video; after the first error, which is reported, no frame is written.

    Args:
        path: path of the file, which is replaced.
        like: the frames of the original video.
        draw: function that annotates a frame.
        failed: function that is called with the error.
    """

    def __init__(self, path: Path, like: "Frames", draw: "Draw", failed: Callable[[DeepGLLiMError], None]) -> None:
        self._path, self._draw, self._failed = path, draw, failed
        self._stack = ExitStack()
        self._writer: VideoWriter | None = None
        with self._report_errors():
            self._writer = self._stack.enter_context(VideoWriter(path, like=like, overwrite=True))

    def write(self, image: "Image.Image", scanned: "ScanResult", time: float) -> None:
        """Add a frame."""
        if self._writer is None:
            return
        with self._report_errors():
            self._writer.write(self._draw(image, scanned), time)

    def __enter__(self) -> "VideoSink":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writer is None:
            return
        with self._report_errors():
            self._stack.__exit__(*error)

    @contextmanager
    def _report_errors(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            self._give_up(error)
        except OSError as error:  # for example a name that is too long
            self._give_up(DataError(f"{self._path}: cannot be written ({error.strerror}): save it under another name"))

    def _give_up(self, error: DataError) -> None:
        with suppress(DataError):  # the unfinished file is removed
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
    """Yield the frames of a scan and write them as an annotated video, which replaces the file at `path`.

    Smoothed frames have no image: the video is read again, and `step` is called for each frame. `failed` is called if
    the video cannot be written.
    """
    opened: list[Frames] = []
    frames = scan(opened.append)
    first = next(frames, None)
    if first is None:
        return
    if first.image is None:
        scans = [first, *frames]
        yield from scans
        try:
            with read_frames(first.source.path, max_frames=max_frames) as again:
                _write_again(again, scans, VideoSink(path, again, draw, failed), step)
        except DataError as error:  # the file cannot be read again
            failed(error)
        return
    with VideoSink(path, opened[0], draw, failed) as video:
        for scanned in itertools.chain([first], frames):
            assert scanned.image is not None
            video.write(scanned.image, scanned, scanned.time or 0.0)
            yield scanned


def _write_again(
    frames: "Frames", scans: "Sequence[ScanResult]", video: VideoSink, step: Callable[[int], object]
) -> None:
    with video:
        for frame, scanned in zip(decodable_frames(frames), scans, strict=False):
            video.write(frame.image, scanned, frame.time)
            step(1)
