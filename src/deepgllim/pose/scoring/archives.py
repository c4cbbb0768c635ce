"""Pictures of tar archives in WebDataset form, read from beginning to end; nothing is extracted."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import PurePosixPath
from typing import IO, Any, NoReturn, Self

from deepgllim.pose.batch.sources import PICTURES, printable
from deepgllim.pose.scoring.entries import ShardEntry, too_long
from deepgllim.pose.scoring.locations import MAX_BYTES

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

MAX_HEADER = 1 << 20
"""Largest size of a long name or of extended attributes, bytes; tarfile keeps them in memory."""

MAX_MEMBER = 1 << 40
"""Largest size of a member, bytes. A stream is read to the end of the members that are skipped."""

_CONTENT_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_OPENERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
"""Functions that decompress, by the first bytes. Unlike tarfile, they read files of several compressed streams."""


class _Member(tarfile.TarInfo):
    """A member of an archive whose damaged headers are errors.

    `tarfile` takes a damaged or missing header after the first member as the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except Exception as error:
            if type(error).__name__ == "EOFHeaderError":  # the end mark
                raise
            raise _damage(str(error)) from None

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in _CONTENT_TYPES and self.size > MAX_HEADER:
            raise _damage(f"a header of {self.size} bytes")
        self._check_size()
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member

    def _apply_pax_info(self, *values: Any) -> None:
        super()._apply_pax_info(*values)  # type: ignore[misc]
        self._check_size()

    def _check_size(self) -> None:
        if not 0 <= self.size <= MAX_MEMBER:
            raise _damage(f"a member of {self.size} bytes")

    def _refuse_map(self, *_: Any) -> NoReturn:
        raise _damage("a sparse member: its map of holes can have any size")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_map


def _damage(text: str) -> tarfile.ReadError:
    return tarfile.ReadError(text)


def read_archive(file: IO[bytes]) -> Iterator[ShardEntry]:
    """Yield the pictures of an archive; members of other types and with other suffixes are skipped.

    Args:
        file: the archive, without or with compression by gzip, bzip2 or xz; after its first bytes it is read once.

    Raises:
        tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError: the archive is damaged or cannot be read.
    """
    with _decompressed(file) as plain, tarfile.open(fileobj=plain, mode="r|", tarinfo=_Member) as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise all headers stay in memory
            if PurePosixPath(member.name).suffix.lower() in PICTURES:
                yield _entry(archive, member)


def _decompressed(file: IO[bytes]) -> AbstractContextManager[Any]:
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _OPENERS if start.startswith(magic)), None)
    return nullcontext(file) if opener is None else opener(file, "rb")


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> ShardEntry:
    failed = too_long(member.name)
    if failed is not None:
        return failed
    key = printable(member.name)
    if not member.isreg():
        return ShardEntry(
            key, problem="the member of the archive is a link or no regular file; store the picture itself"
        )
    if member.size > MAX_BYTES:
        return ShardEntry(key, problem=f"the picture has over {MAX_BYTES >> 20} MiB: shrink it")
    opened = archive.extractfile(member)
    assert opened is not None
    with opened as file:
        return ShardEntry(key, file.read())
