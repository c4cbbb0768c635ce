"""Allocation of disk space before a file is mapped into memory."""

import errno
import os
from pathlib import Path


def reserve(path: Path, start: int, stop: int) -> None:
    """Allocate disk space for the bytes from `start` to `stop` of a file. Their content is undefined.

    Writing to a memory map of a file without allocated space ends the process by SIGBUS when the disk is full.

    Raises:
        OSError: the disk is full.
    """
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), start, stop - start)
        except AttributeError:  # not every system has posix_fallocate
            _write_zeros(file.fileno(), start, stop)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            _write_zeros(file.fileno(), start, stop)


def _write_zeros(descriptor: int, start: int, stop: int) -> None:
    block = bytes(1 << 20)
    os.lseek(descriptor, start, os.SEEK_SET)
    while start < stop:
        start += os.write(descriptor, block[: stop - start])
