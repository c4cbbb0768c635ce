"""Tables with a row for each face, as CSV, JSON Lines or Parquet, written incrementally.

Rows are written to `NAME.part`, which is renamed to `NAME` when the table is complete. A Parquet file cannot be
written incrementally, so its rows are first written as JSON Lines, to `NAME.part.jsonl`. The rows of a killed run
remain, and the run can be resumed if it recorded its finished sources.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from deepgllim.errors import DataError
from deepgllim.pose.batch.formats import Row, format_of
from deepgllim.pose.batch.progress import FinishedSource, Progress


class TableWriter:
    """Write a table incrementally.

    Args:
        path: .csv, .jsonl or .parquet; Parquet needs pyarrow.
        columns: names of the columns; other entries of a row are ignored, missing ones are empty.
        overwrite: whether to replace an existing table, or the rows of an interrupted run.
        options: all options that the rows depend on, as values for JSON. If they are given, finished sources are
            recorded in `NAME.progress`, which is locked against other writers.
        resume: whether to resume an interrupted run with the same options, if there is one.

    Attributes:
        path: path of the table.
        part: path of the file that is written incrementally.
        rows: number of rows.
        finished: finished sources of the interrupted run, by path.

    Raises:
        DataError: the suffix is unknown, the table exists, its folder is not writable, the interrupted run has other
            options, or another run is writing the table.
        ConfigurationError: pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TableWriter(Path(folder, "faces.csv"), ["source", "yaw"]) as table:
        ...         table.write([{"source": "a.jpg", "yaw": 12.5}, {"source": "b.jpg", "yaw": None}])
        ...     Path(folder, "faces.csv").read_text().split()
        ['source,yaw', 'a.jpg,12.5', 'b.jpg,']
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        overwrite: bool = False,
        options: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self._format, self._columns = format_of(path), list(columns)
        self.path, self.part = path, path.with_name(f"{path.name}{self._format.part}")
        self.rows, self.finished = 0, dict[str, FinishedSource]()
        self._progress: Progress | None = None
        self._kept = False  # whether there are rows to keep
        self._refuse(overwrite, resume)
        self._format.check(path)
        try:
            self._file = self._open_part(options, resume)
        except OSError as error:
            raise DataError(f"{path}: cannot be written ({error.strerror}): check the folder") from error

    def write(self, rows: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            DataError: the rows cannot be written; earlier rows remain in `part`.
        """
        try:
            self._file.write(self._format.lines(rows, self._columns).encode("utf-8", "replace"))
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error
        self.rows += len(rows)
        self._kept = self._kept or bool(rows)

    def finish(self, sources: Sequence[FinishedSource]) -> None:
        """Record sources whose rows are all written, so that the run can be resumed after them.

        Raises:
            DataError: as in `write`.
        """
        if self._progress is None or not sources:
            return
        try:
            self._file.flush()
            self._progress.add(sources, self._file.tell())
        except OSError as error:
            raise self._failure(error) from error
        self._kept = True

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._close(whole=kind is None)
        except OSError as cause:
            raise self._failure(cause) from cause
        finally:
            if self._progress is not None:
                self._progress.close()

    def _refuse(self, overwrite: bool, resume: bool) -> None:
        """Raise a DataError if the table or the rows of an interrupted run exist and must not be replaced."""
        if os.path.isdir(self.path) or (os.path.lexists(self.path) and not overwrite):  # noqa: PTH112 - for names of any length
            raise DataError(f"{self.path} exists already: give another path, or --overwrite to replace the file")
        if os.path.exists(self.part) and not (overwrite or resume):  # noqa: PTH110
            raise DataError(
                f"{self.part} is left of an interrupted run: continue it by --resume, rename it to keep its "
                "rows, or --overwrite them"
            )

    def _open_part(self, options: Mapping[str, Any] | None, resume: bool) -> IO[bytes]:
        """Open the file that is written incrementally: a new one, or that of the interrupted run."""
        if options is not None:
            self._progress = Progress(_progress_of(self.path))
            try:
                end = self._read_progress(self._progress, options) if resume and self.part.exists() else 0
                if self.finished:
                    os.truncate(self.part, end)
                    return self.part.open("ab")
                self._progress.begin(options)
            except BaseException:
                self._progress.close()
                raise
        file = self.part.open("wb")
        file.write(self._format.head(self._columns).encode("utf-8"))  # written to the disk with the first rows
        return file

    def _read_progress(self, progress: Progress, options: Mapping[str, Any]) -> int:
        """Read the finished sources and return the position after their rows, bytes."""
        found, end = progress.read(options, self.part)
        self.finished = {each.path: each for each in found}
        self.rows, self._kept = sum(each.faces for each in found), bool(found)
        return end

    def _close(self, whole: bool) -> None:
        if whole:
            os.fsync(self._file.fileno())
        self._file.close()
        if whole:
            if self._format.convert is None:
                self.part.replace(self.path)
            else:
                self._format.convert(self.part, self.path, self._columns)
                self.part.unlink()
        elif not self._kept:
            self.part.unlink(missing_ok=True)
        if self._progress is not None and (whole or not self._kept):
            self._progress.remove()

    def _failure(self, error: OSError) -> DataError:
        how = "" if self._progress is None else ", then continue with --resume"
        return DataError(
            f"{self.path}: cannot be written ({error.strerror}); the rows so far are in {self.part}: make room{how}"
        )


def can_resume(path: Path) -> bool:
    """Return whether an interrupted run of a table can be resumed."""
    part = path.with_name(f"{path.name}{format_of(path).part}")
    return os.path.isfile(part) and os.path.isfile(_progress_of(path))  # noqa: PTH113 - for names of any length


def _progress_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.progress")
