"""Locks of folders between processes."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from deepgllim.errors import DataError

LOCK, HOLDER = ".lock", ".lock.pid"
"""Files of a locked folder: the lock, and the name of the process that owns it."""


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Lock a folder against other processes and other threads that lock it too.

    The lock belongs to the operating system and ends with the process. A killed process leaves the lock's files behind,
    but not the lock.

    Args:
        folder: an existing folder.

    Raises:
        DataError: another process has locked the folder, or the folder cannot be locked.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, locked_folder(folder):
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['.lock', '.lock.pid']
    """
    from filelock import FileLock, Timeout, UnixFileLock

    folder = Path(folder)
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(timeout=0.5)  # gives the owner time to write its name
    except Timeout:
        raise DataError(
            f"{folder}: in use by {_holder(holder)}: wait until it ends, stop it, or give another folder"
        ) from None
    except OSError as cause:
        raise DataError(f"{folder}: cannot be locked ({cause}): give a folder that can be written") from cause
    try:
        with contextlib.suppress(OSError):  # the lock is valid without the name, for example if the disk is full
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
            if isinstance(lock, UnixFileLock):  # other locks remove it on release; a waiting process opens a new one
                (folder / LOCK).unlink()
        lock.release()


def _holder(path: Path) -> str:
    """Return the name of the process that owns a lock, as far as it is known."""
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except (OSError, ValueError):
        return "another process"
