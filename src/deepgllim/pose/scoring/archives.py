"""Pictures of tar archives in WebDataset form, read from beginning to end; nothing is extracted."""

import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Self

from deepgllim.pose.batch.sources import PICTURES, printable
from deepgllim.pose.scoring.entries import ShardEntry
from deepgllim.pose.scoring.locations import MAX_BYTES

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_MAX_HEADER = 1 << 20  # bytes of a long name or of extended attributes, which tarfile keeps in memory
_CONTENT_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


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
        if self.type not in _CONTENT_TYPES and self.size > _MAX_HEADER:
            raise _damage(f"a header of {self.size} bytes")
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


def _damage(text: str) -> tarfile.ReadError:
    return tarfile.ReadError(text)


def read_archive(file: IO[bytes]) -> Iterator[ShardEntry]:
    """Yield the pictures of an archive; members of other types and with other suffixes are skipped.

    Args:
        file: the archive, without or with compression by gzip, bzip2 or xz; it is not searched.

    Raises:
        tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError: the archive is damaged or cannot be read.
    """
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive:
        for member in archive:
            archive.members.clear()  # type: ignore[attr-defined]  # otherwise all headers stay in memory
            if PurePosixPath(member.name).suffix.lower() in PICTURES:
                yield _entry(archive, member)


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> ShardEntry:
    key = printable(member.name)
    if not member.isreg() or member.issparse():
        return ShardEntry(
            key, problem="the member of the archive is a link or no regular file; store the picture itself"
        )
    if member.size > MAX_BYTES:
        return ShardEntry(key, problem=f"the picture has over {MAX_BYTES >> 20} MiB: shrink it")
    opened = archive.extractfile(member)
    assert opened is not None
    with opened as file:
        return ShardEntry(key, file.read())
