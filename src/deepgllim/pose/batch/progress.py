"""Which sources of a growing table are finished, kept beside it: a run that was stopped goes on where it was."""

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
    """A source all of whose rows are in the table.

    Attributes:
        path: of the source.
        faces: how many rows it has.
        frames: how many were read of a video; None for a picture.
        problem: what was wrong with it all the same: a video that is cut, an annotated picture that was not saved.
    """

    path: str
    faces: int
    frames: int | None = None
    problem: str | None = None


class Progress:
    """The file of a run's progress: its options, then a line for each batch of sources that is finished.

    While it is open no other run can open it.

    Args:
        path: of the file; it is made if it is not there.

    Raises:
        DataError: another run has it open.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        if not _lock(self._file.fileno()):
            self._file.close()
            raise DataError(f"{path}: another run is writing this table: wait for its end, or give another path")

    def begin(self, options: Mapping[str, Any]) -> None:
        """Forget what is there, and keep the options of a new run."""
        self._file.truncate(0)
        self._write({"format_version": FORMAT_VERSION, "options": options})

    def add(self, finished: Iterable[FinishedSource], end: int) -> None:
        """Keep that sources are finished, whose rows end at a byte of the table's file."""
        self._write({"end": end, "finished": list(finished)})

    def read(self, options: Mapping[str, Any], table: Path) -> tuple[list[FinishedSource], int]:
        """The sources that are finished, and where their rows end in the table's file; what follows is forgotten.

        Args:
            options: of the run that goes on; they must be those that it was begun with.
            table: the growing file; entries whose rows it does not hold are left out.

        Raises:
            DataError: other options, or a file that is no progress.
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
                    break  # the last line that a killed run wrote
                if not _ends_line(rows, stop):
                    break
                found += finished
                kept, end = kept + len(line), stop
        self._file.truncate(kept)
        return found, end

    def close(self) -> None:
        """Let other runs have it; a file without a run is removed."""
        with suppress(OSError, ValueError):  # it is closed already
            if not os.fstat(self._file.fileno()).st_size:
                self.path.unlink()
        self._file.close()

    def remove(self) -> None:
        """Remove the file."""
        if os.name == "nt":  # where no open file can be removed
            self._file.close()
        with suppress(OSError):  # it is of no use any more
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
                f"{self.path}: not the progress of a run that can go on: begin again with --overwrite alone"
            )
        shown = _Short().repr
        for name, asked in json.loads(json.dumps(options)).items():
            if name not in known or known[name] != asked:
                raise DataError(
                    f"{self.path}: the run was begun with {name} = {shown(known.get(name))}, not {shown(asked)}: "
                    "give the same command with --resume, or begin again with --overwrite alone"
                )

    def _write(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode("ascii") + b"\n")
        self._file.flush()


class _Short(reprlib.Repr):
    """Values as messages show them."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100


def _entry(line: bytes) -> tuple[int, list[FinishedSource]]:
    if not line.endswith(b"\n"):
        raise ValueError("a line that is cut")
    entry = json.loads(line)
    return int(entry["end"]), [FinishedSource(*each) for each in entry["finished"]]


def _ends_line(file: Any, position: int) -> bool:
    """Whether a line ends before a byte of a file, which it does not where the rows were lost with the power."""
    if position == 0:
        return True
    file.seek(position - 1)
    return bool(file.read(1) == b"\n")


def _lock(descriptor: int) -> bool:
    """Whether nobody else has the file; where the system has no such locks, True."""
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
