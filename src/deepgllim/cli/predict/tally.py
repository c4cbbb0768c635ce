"""What `deepgllim predict` has to say at its end: how much was done, what had no face, what failed."""

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

NAMED = 3
"""Pictures without a face that are named."""


class SomeFailedError(DeepGLLiMError):
    """Some of several inputs failed; each was told."""


class Tally:
    """Counts what is seen and what failed; of failures and of pictures without a face it keeps no more than it tells.

    Args:
        sources: all inputs.

    Attributes:
        pictures, frames, faces: how many were read and found.
        unsaved: annotated pictures and videos that could not be written.
    """

    def __init__(self, sources: "Sources") -> None:
        self._sources = sources
        self._inputs = len(sources.found) + len(sources.problems)
        self.pictures = self.frames = self.faces = self.unsaved = 0
        self._empty: list[str] = []
        self._without = 0
        self._failed: set[str] = set()
        self._first: DeepGLLiMError | None = None

    def take(self, seen: "ScanResult") -> None:
        """Count a picture or frame."""
        self.faces += len(seen.faces)
        if seen.frame is not None:
            self.frames += 1
            return
        self._count_picture(seen.source.name, len(seen.faces))

    def restore(self, finished: Iterable["FinishedSource"]) -> None:
        """Count what an earlier run did, and tell again what failed then."""
        for each in finished:
            self.faces += each.faces
            if each.frames is None:
                self._count_picture(printable(each.path), each.faces)
            else:
                self.frames += each.frames
            if each.problem is not None:
                self.fail(each.path, DataError(each.problem))

    def finish(self) -> None:
        """Others speak first."""

    def _count_picture(self, name: str, faces: int) -> None:
        self.pictures += 1
        self._without += not faces
        if not faces and len(self._empty) < NAMED:
            self._empty.append(name)

    def fail_at(self, source: "Source", error: DeepGLLiMError) -> None:
        """Tell of a source that failed, by its name."""
        text = str(error)
        self.fail(source.path, error if text.startswith(source.path) else type(error)(f"{source.name}: {text}"))

    def fail(self, path: str, error: DeepGLLiMError) -> None:
        """Count a failure; tell it at once, unless it is that of the only input."""
        self._failed.add(path)
        if self._inputs > 1:
            complain(error)
        elif self._first is None:
            self._first = type(error)(str(error))  # without the traceback, which holds pictures

    def judge(self) -> None:
        """Raise what the call comes to, if anything failed.

        Raises:
            DeepGLLiMError: the only input's failure.
            SomeFailedError: of several.
        """
        if self._first is not None:
            raise self._first
        if self._failed:
            raise SomeFailedError(f"{len(self._failed)} of {self._inputs} inputs failed: see the lines above")

    def tell(self, output: Path | None, save: Path | None) -> None:
        """Print what was written."""
        counts = {"picture": self.pictures, "frame": self.frames}
        read = " and ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        if output is not None:
            results().print(f"table: {output} ({self.faces} face{'s' * (self.faces != 1)} on {read})")
        if save is not None and not (self.unsaved and self._inputs == 1):
            silent = ", without sound" if self.frames else ""
            unsaved = f", but for {self.unsaved} that could not be saved" if self.unsaved else ""
            results().print(f"annotated: {save} ({read}{silent}{unsaved})")

    def remark(self) -> None:
        """Say on standard error what was passed over, and on which of several pictures no face was found."""
        if self._sources.skipped:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in self._sources.skipped.items())
            count = sum(self._sources.skipped.values())
            complain(f"skipped {count} file{'s' * (count != 1)}, neither picture nor video: {kinds}")
        if self._without and self.pictures > 1:
            more = f" and {self._without - NAMED} more" if self._without > NAMED else ""
            names = ", ".join(self._empty)
            complain(
                f"no face found in {self._without} of {self.pictures} pictures ({names}{more}): "
                "--no-detect if each picture is a face"
            )


@contextmanager
def stop_on_interrupt(wanted: bool) -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C is noted, and a second one interrupts; what it yields tells whether there was one.

    Args:
        wanted: whether; if not, or in a thread, Ctrl-C interrupts as ever.
    """
    noted = threading.Event()
    if not wanted or threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        noted.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
