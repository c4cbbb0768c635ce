"""Counts of a run of `deepgllim predict`, its failures, and its interruption."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from deepgllim.cli.console import complain, results
from deepgllim.errors import DataError, DeepGLLiMError
from deepgllim.pose.batch.sources import printable

if TYPE_CHECKING:
    from deepgllim.pose.batch.progress import FinishedSource
    from deepgllim.pose.batch.scanning import ScanResult
    from deepgllim.pose.batch.sources import Source, Sources

MAX_NAMED = 3
"""Largest number of images without a face whose names are printed."""


class SomeFailedError(DeepGLLiMError):
    """Some of several inputs failed; each failure was reported."""


class Tally:
    """Sink that counts images, frames, faces and failures.

    Args:
        sources: all inputs.

    Attributes:
        images, frames, faces: numbers of images and frames that were read, and of their faces.
        unsaved: number of annotated images and videos that could not be written.
    """

    def __init__(self, sources: "Sources") -> None:
        self._sources = sources
        self._inputs = len(sources.found) + len(sources.problems)
        self.images = self.frames = self.faces = self.unsaved = 0
        self._empty: list[str] = []
        self._without = 0
        self._failed: set[str] = set()
        self._first: DeepGLLiMError | None = None

    def add(self, scanned: "ScanResult") -> None:
        """Count an image or frame."""
        self.faces += len(scanned.faces)
        if scanned.frame is not None:
            self.frames += 1
            return
        self._count_image(scanned.source.name, len(scanned.faces))

    def restore(self, finished: Iterable["FinishedSource"]) -> None:
        """Count the finished sources of an earlier run, and report their failures again."""
        for each in finished:
            self.faces += each.faces
            if each.frames is None:
                self._count_image(printable(each.path), each.faces)
            else:
                self.frames += each.frames
            if each.problem is not None:
                self.fail(each.path, DataError(each.problem))

    def finish(self) -> None:
        """Do nothing."""

    def _count_image(self, name: str, faces: int) -> None:
        self.images += 1
        self._without += not faces
        if not faces and len(self._empty) < MAX_NAMED:
            self._empty.append(name)

    def fail_at(self, source: "Source", error: DeepGLLiMError) -> None:
        """Report the failure of a source, with its name."""
        text = str(error)
        self.fail(source.path, error if text.startswith(source.path) else type(error)(f"{source.name}: {text}"))

    def fail(self, path: str, error: DeepGLLiMError) -> None:
        """Count a failure, and report it unless it is that of the only input."""
        self._failed.add(path)
        if self._inputs > 1:
            complain(error)
        elif self._first is None:
            self._first = type(error)(str(error))  # without the traceback, which refers to images

    def raise_failures(self) -> None:
        """Raise an error if inputs failed.

        Raises:
            DeepGLLiMError: the failure of the only input.
            SomeFailedError: some of several inputs failed.
        """
        if self._first is not None:
            raise self._first
        if self._failed:
            raise SomeFailedError(f"{len(self._failed)} of {self._inputs} inputs failed: see the lines above")

    def report(self, output: Path | None, save: Path | None) -> None:
        """Print which files were written."""
        counts = {"image": self.images, "frame": self.frames}
        read = " and ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        if output is not None:
            results().print(f"table: {output} ({self.faces} face{'s' * (self.faces != 1)} on {read})")
        if save is not None and not (self.unsaved and self._inputs == 1):
            silent = ", without sound" if self.frames else ""
            unsaved = f"; {self.unsaved} could not be saved" if self.unsaved else ""
            results().print(f"annotated: {save} ({read}{silent}{unsaved})")

    def report_notes(self) -> None:
        """Print on standard error the number of skipped files, and images without a face."""
        if self._sources.skipped:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in self._sources.skipped.items())
            count = sum(self._sources.skipped.values())
            complain(f"skipped {count} file{'s' * (count != 1)}, neither image nor video: {kinds}")
        if self._without and self.images > 1:
            more = f" and {self._without - MAX_NAMED} more" if self._without > MAX_NAMED else ""
            names = ", ".join(self._empty)
            complain(
                f"no face found in {self._without} of {self.images} images ({names}{more}): "
                "use --no-detect for crops of faces"
            )


@contextmanager
def stop_on_interrupt(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed; only a second Ctrl-C interrupts.

    Args:
        wanted: if false, or outside the main thread, the first Ctrl-C interrupts.
    """
    pressed = threading.Event()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
