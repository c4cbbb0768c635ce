"""Atomic writing: readers see either the old file or the complete new one."""

import contextlib
import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from deepgllim.errors import DataError, DeepGLLiMError

LONGEST_NAME = 200
"""Number of bytes of a file's name that its temporary file repeats. File systems allow names of 255 bytes."""

_TEMPORARY = re.compile(r"\..+\.[0-9]+-[0-9a-f]{8}\.tmp", re.DOTALL)
"""Names that `temporary_of` gives."""


def write_atomically(
    path: str | os.PathLike[str],
    write: Callable[[Path], object],
    error: type[DeepGLLiMError] = DataError,
    *,
    tidy: bool = True,
) -> None:
    """Call `write` on a temporary file in the folder of `path`, then rename the file to `path`.

    The content is synchronized with the disk before the file is renamed, and the folder after it. A power cut
    therefore does not leave an empty file either.

    Args:
        path: path of the file to write.
        write: function that takes the path of the temporary file and writes it.
        error: class of the exception.
        tidy: whether to remove first the temporary files for `path` of processes of this machine that were killed.
            This lists the folder. Use False for many files in one folder, and call `remove_abandoned` once for all.

    Raises:
        DataError: the file cannot be written. `error` is raised instead if it is given.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a.txt", lambda place: place.write_text("whole"))
        ...     (Path(folder) / "a.txt").read_text()
        'whole'
    """
    path = Path(path)
    temporary = temporary_of(path)
    if tidy:
        remove_abandoned([path])
    try:
        write(temporary)
        _sync(temporary, os.O_RDWR)
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every system can open or synchronize a folder
            _sync(path.parent, os.O_RDONLY)
    except OSError as cause:
        raise error(f"{path}: cannot be written ({cause}); check the folder and the space left") from cause
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def temporary_of(path: Path) -> Path:
    """Return the path of the temporary file that this process writes for `path`."""
    return path.with_name(f".{_shortened(path.name)}.{os.getpid()}-{_machine()}.tmp")


def unfinished(path: str | os.PathLike[str]) -> list[Path]:
    """Return the temporary files for `path` that exist: those of killed processes and of a process that is writing."""
    return sorted(_temporaries([path]))


def remove_unfinished(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove all temporary files for `paths`. The caller must hold a lock that excludes other writers of them."""
    for left in _temporaries(paths):
        left.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove all temporary files in a folder and the folders below it.

    The caller must hold a lock that excludes other writers. Other files are kept, also if they end with `.tmp`.
    """
    for path in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def remove_abandoned(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Remove the temporary files for `paths` of processes of this machine that have ended.

    The files of other machines are kept, since they may be in use.
    """
    for left in _temporaries(paths):
        process, _, machine = left.name.removesuffix(".tmp").rpartition(".")[2].partition("-")
        if machine == _machine() and process.isdecimal() and not _is_running(int(process)):
            with contextlib.suppress(OSError):
                left.unlink()


def _temporaries(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Yield the temporary files for any of `paths`. Each folder is listed once."""
    folders: dict[Path, set[str]] = {}
    for path in map(Path, paths):
        folders.setdefault(path.parent, set()).add(_shortened(path.name))
    for folder, names in folders.items():
        for entry in folder.glob(".*.[0-9]*.tmp"):
            if entry.name[1:].rsplit(".", 2)[0] in names:
                yield entry


def _shortened(name: str) -> str:
    """Return the name, or its digest if the name is too long to be extended.

    Example:
        >>> _shortened("a.txt"), len(_shortened("a" * 250))
        ('a.txt', 64)
    """
    encoded = os.fsencode(name)
    return name if len(encoded) <= LONGEST_NAME else hashlib.sha256(encoded).hexdigest()


def _machine() -> str:
    """Return a short digest of the machine's name. Process numbers are valid on one machine only."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    """Return whether a process exists, and True where the system cannot be asked safely."""
    if os.name == "nt":  # os.kill would terminate the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # the process of another user
        return True
    return True


def _sync(path: Path, flags: int) -> None:
    """Wait until a file or folder is written to the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
