"""What `deepgllim predict` has to say at its end: how much was done, what had no face, what failed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from deepgllim.cli.console import complain, results
from deepgllim.errors import DeepGLLiMError

if TYPE_CHECKING:
    from deepgllim.pose.scanning import Seen
    from deepgllim.pose.sources import Source, Sources

NAMED = 3
"""Pictures without a face that are named."""


class SomeFailedError(DeepGLLiMError):
    """Some of several inputs failed; each was told."""


class Tally:
    """Counts what is seen, and keeps what failed.

    Args:
        sources: all inputs.

    Attributes:
        pictures, frames, faces: how many were read and found.
        without: pictures without a face.
        failures: inputs that could not be read, or not to their end.
    """

    def __init__(self, sources: "Sources") -> None:
        self._sources = sources
        self._inputs = len(sources.found) + len(sources.problems)
        self.pictures = self.frames = self.faces = 0
        self.without: list[str] = []
        self.failures: list[DeepGLLiMError] = []

    def take(self, seen: "Seen") -> None:
        """Count a picture or frame."""
        self.faces += len(seen.faces)
        if seen.frame is not None:
            self.frames += 1
            return
        self.pictures += 1
        if not seen.faces:
            self.without.append(seen.source.name)

    def finish(self) -> None:
        """Others speak first."""

    def fail_at(self, source: "Source", error: DeepGLLiMError) -> None:
        """Tell of a source that failed, by its name."""
        text = str(error)
        self.fail(error if text.startswith(source.path) else type(error)(f"{source.name}: {text}"))

    def fail(self, error: DeepGLLiMError) -> None:
        """Keep a failure; tell it at once, unless it is that of the only input."""
        self.failures.append(error)
        if self._inputs > 1:
            complain(error)

    def judge(self) -> None:
        """Raise what the call comes to, if anything failed.

        Raises:
            DeepGLLiMError: the only input's failure.
            SomeFailedError: of several.
        """
        if not self.failures:
            return
        if self._inputs == 1:
            raise self.failures[0]
        raise SomeFailedError(f"{len(self.failures)} of {self._inputs} inputs failed: see the lines above")

    def tell(self, output: Path | None, save: Path | None) -> None:
        """Print what was written."""
        counts = {"picture": self.pictures, "frame": self.frames}
        read = " and ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        if output is not None:
            results().print(f"table: {output} ({self.faces} face{'s' * (self.faces != 1)} on {read})")
        if save is not None:
            silent = ", without sound" if self.frames else ""
            results().print(f"annotated: {save} ({read}{silent})")

    def remark(self) -> None:
        """Say on standard error what was passed over, and on which of several pictures no face was found."""
        if self._sources.skipped:
            kinds = ", ".join(f"{suffix} {count}" for suffix, count in self._sources.skipped.items())
            count = sum(self._sources.skipped.values())
            complain(f"skipped {count} file{'s' * (count != 1)}, neither picture nor video: {kinds}")
        if self.without and self.pictures > 1:
            more = f" and {len(self.without) - NAMED} more" if len(self.without) > NAMED else ""
            names = ", ".join(self.without[:NAMED])
            complain(
                f"no face found in {len(self.without)} of {self.pictures} pictures ({names}{more}): "
                "--whole if each picture is a face"
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
