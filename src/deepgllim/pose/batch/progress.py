"""Progress file of a table that is being written, so that an interrupted run can be resumed."""

import json
import os
import reprlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from deepgllim.errors import DataError

FORMAT_VERSION = 1


class FinishedSource(NamedTuple):
    """A source whose rows are all in the table.

    Attributes:
        path: path of the source.
        faces: number of its rows.
        frames: number of frames of a video that were read; None for an image.
        problem: description of a problem, such as a truncated video or an annotated image that could not be saved.
    """

    path: str
    faces: int
    frames: int | None = None
    problem: str | None = None


class Progress:
    """The progress file of a run: its options, then a line for each batch of finished sources.

    The open file is locked against other runs.

    Args:
        path: path of the file, which is created if it does not exist.

    Raises:
        DataError: another run has locked the file.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        if not _lock(self._file.fileno()):
            self._file.close()
            raise DataError(f"{path}: another run is writing this table: wait for its end, or give another path")

    def begin(self, options: Mapping[str, Any]) -> None:
        """Clear the file and write the options of a new run."""
        self._file.truncate(0)
        self._write({"format_version": FORMAT_VERSION, "options": options})

    def add(self, finished: Iterable[FinishedSource], end: int) -> None:
        """Write finished sources.

        Args:
            finished: the sources.
            end: position in the table file after their rows, bytes.
        """
        self._write({"end": end, "finished": list(finished)})

    def read(self, options: Mapping[str, Any], table: Path) -> tuple[list[FinishedSource], int]:
        """Return the finished sources and the position after their rows in the table file, bytes.

        Incomplete entries at the end, and entries whose rows are not in the table file, are removed.

        Args:
            options: options of the resumed run, which must equal those in the file.
            table: the table file that is being written.

        Raises:
            DataError: the options differ, or the file is not a progress file.
        """
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        self._check(lines, options)
        found: list[FinishedSource] = []
        kept, end = len(lines[0]), 0
        with table.open("rb") as rows:
            for line in lines[1:]:
                try:
                    stop, finished = _entry(line)
                except (ValueError, TypeError, KeyError, RecursionError):
                    break  # an incomplete line of a killed run
                if not _ends_line(rows, stop):
                    break
                found += finished
                kept, end = kept + len(line), stop
        self._file.truncate(kept)
        return found, end

    def close(self) -> None:
        """Release the file; remove it if it is empty."""
        with suppress(OSError, ValueError):  # the file is closed already
            if not os.fstat(self._file.fileno()).st_size:
                self.path.unlink()
        self._file.close()

    def remove(self) -> None:
        """Remove the file."""
        if os.name == "nt":  # Windows does not remove open files
            self._file.close()
        with suppress(OSError):  # a remaining file does no harm
            self.path.unlink()
        self._file.close()

    def _check(self, lines: list[bytes], options: Mapping[str, Any]) -> None:
        try:
            header = json.loads(lines[0])
            version, known = header["format_version"], dict(header["options"])
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            version, known = None, {}
        if version != FORMAT_VERSION:
            raise DataError(
                f"{self.path}: not the progress file of a run that can be resumed: start again with --overwrite alone"
            )
        shown = _Short().repr
        for name, asked in json.loads(json.dumps(options)).items():
            if name not in known or known[name] != asked:
                raise DataError(
                    f"{self.path}: the run was started with {name} = {shown(known.get(name))}, not {shown(asked)}: "
                    "give the same command with --resume, or start again with --overwrite alone"
                )

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode("ascii") + b"\n")
        self._file.flush()


class _Short(reprlib.Repr):
    """Short representations of values in messages."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100


def _entry(line: bytes) -> tuple[int, list[FinishedSource]]:
    if not line.endswith(b"\n"):
        raise ValueError("an incomplete line")
    entry = json.loads(line)
    return int(entry["end"]), [FinishedSource(*each) for each in entry["finished"]]


def _ends_line(file: Any, position: int) -> bool:
    """Return whether a line ends at a position of a file; it does not if rows were lost in a power failure."""
    if position == 0:
        return True
    file.seek(position - 1)
    return bool(file.read(1) == b"\n")


def _lock(descriptor: int) -> bool:
    """Lock a file and return whether that succeeded; True if the system has no such locks."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
