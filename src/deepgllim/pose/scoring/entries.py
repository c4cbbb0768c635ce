"""Entries of shards: a picture with its key, or the reason why there is none."""

import lzma
import tarfile
import zlib
from typing import NamedTuple

from deepgllim.pose.batch.sources import printable

MAX_NAME = 4096
"""Largest number of characters of a key; keys are in memory for all rows of a group."""


class ShardEntry(NamedTuple):
    """A picture of a shard.

    Attributes:
        key: name of the picture in its shard.
        content: content of its file; None if it cannot be read.
        problem: why it cannot be read.
        damaged: whether the shard ends here because it is damaged; `key` is then the name of the shard.
    """

    key: str
    content: bytes | None = None
    problem: str | None = None
    damaged: bool = False


def too_long(key: str) -> ShardEntry | None:
    """Return the failed entry of a picture whose key has more than `MAX_NAME` characters; None for other keys."""
    if len(key) <= MAX_NAME:
        return None
    return ShardEntry(
        printable(key[:MAX_NAME]), problem=f"the name of the picture has {len(key)} characters: shorten it"
    )


def is_damage(error: BaseException) -> bool:
    """Return whether an error is due to the content of a file, and not to the access to it.

    Access may succeed later; damaged content will not.

    Example:
        >>> is_damage(EOFError()), is_damage(PermissionError(13, "Permission denied")), is_damage(OSError("bad block"))
        (True, False, True)
    """
    if isinstance(error, (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)):
        return True  # ValueError: pyarrow.ArrowInvalid
    return isinstance(error, OSError) and error.errno is None and type(error).__module__ in ("builtins", "gzip")
