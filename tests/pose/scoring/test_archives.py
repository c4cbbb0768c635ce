"""Test archives: what is read, what is refused, and how damage is found."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from types import GeneratorType

import numpy as np
import pytest

from deepgllim.pose.scoring import archives
from deepgllim.pose.scoring.archives import read_archive
from deepgllim.pose.scoring.entries import MAX_NAME, ShardEntry, is_damage
from tests.pose.scoring.inputs import archive, picture, pictures


def entries(content: bytes) -> list[ShardEntry]:
    return list(read_archive(io.BytesIO(content)))


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_pictures_in_order_with_their_names(compression: str) -> None:
    files = {
        "a/000.png": picture(1),
        "a/000.json": b"{}",
        "b.cls": b"1",
        "001.JPG": picture(2),
        "../up.png": picture(3),
    }
    found = entries(archive(files, compression))
    assert [(entry.key, entry.content) for entry in found] == [
        (name, files[name]) for name in ("a/000.png", "001.JPG", "../up.png")
    ]


def test_links_devices_and_large_members_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE), ("dev.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("large.png")
        member.size = 100
        tar.addfile(member, io.BytesIO(bytes(100)))
        member = tarfile.TarInfo("small.png")
        member.size = 10
        tar.addfile(member, io.BytesIO(bytes(10)))
    monkeypatch.setattr(archives, "MAX_BYTES", 50)
    found = entries(buffer.getvalue())
    assert [entry.content for entry in found] == [None] * 4 + [bytes(10)]
    assert all("link or no regular file" in (entry.problem or "") for entry in found[:3])
    assert "over 0 MiB" in (found[3].problem or "")


def test_a_header_that_would_fill_the_memory_is_refused() -> None:
    content = archive({f"{'x' * (2 << 20)}.png": b""}, "gz")
    assert len(content) < 50_000
    with pytest.raises(tarfile.ReadError, match="a header of"):
        entries(content)


def with_records(**records: str) -> bytes:
    """Return an archive of one member with extended attributes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.png")
        member.pax_headers = records
        tar.addfile(member, io.BytesIO())
    return buffer.getvalue()


def sparse() -> bytes:
    """Return an archive whose member is of GNU's type for files with holes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        member = tarfile.TarInfo("a.png")
        member.type = tarfile.GNUTYPE_SPARSE
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_records(size="9" * 20), "a member of 9+ bytes"),
        (with_records(size="-1"), "a member of -1 bytes"),
        (with_records(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "a sparse member"),
        (with_records(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}), "a sparse member"),
        (sparse(), "a sparse member"),
    ],
)
def test_members_that_take_endless_time_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(tarfile.ReadError, match=message):
        entries(content)


def test_a_long_name_is_a_failure_of_its_picture() -> None:
    first, second = entries(archive({f"{'x' * 5000}.png": picture(1), "b.png": picture(2)}))
    assert (len(first.key), second.content) == (MAX_NAME, picture(2))
    assert "has 5004 characters: shorten it" in (first.problem or "")


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_several_compressed_streams_are_one_archive(compress: Callable[[bytes], bytes]) -> None:
    """As pbzip2, bgzip and pixz write them."""
    whole = archive(pictures(5))
    assert len(entries(compress(whole[:1000]) + compress(whole[1000:]))) == 5


def until_damage(content: bytes) -> Iterator[ShardEntry | BaseException]:
    try:
        yield from read_archive(io.BytesIO(content))
    except Exception as error:
        yield error


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_a_truncated_archive_is_damaged(compression: str, part: float) -> None:
    content = np.random.default_rng(0).bytes(40 * 2048)  # cannot be compressed
    whole = archive({f"{n}.png": content[2048 * n : 2048 * (n + 1)] for n in range(40)}, compression)
    end = len(whole) if compression else len(whole.rstrip(b"\0"))
    *found, error = until_damage(whole[: int(part * end)])
    assert isinstance(error, Exception)
    assert is_damage(error)
    assert all(isinstance(entry, ShardEntry) for entry in found)


def test_cuts_between_members_and_broken_headers_are_found() -> None:
    """`tarfile` takes both as the end of the archive."""
    files = {f"{n}.png": bytes(512) for n in range(5)}
    whole = archive(files)
    for content in (whole[: 2 * 1024], whole[: 2 * 1024] + b"\x07" * 512 + whole[2 * 1024 + 512 :]):
        *found, error = until_damage(content)
        assert len(found) == 2
        assert isinstance(error, tarfile.ReadError)
    assert len(entries(whole)) == 5


def test_other_files_are_damaged_archives() -> None:
    for content in (b"", b"not an archive" * 100, picture(3)):
        (error,) = until_damage(content)
        assert isinstance(error, Exception)
        assert is_damage(error)


def test_no_headers_are_kept() -> None:
    """Memory would grow with the number of members."""
    reader = read_archive(io.BytesIO(archive(pictures(20))))
    assert isinstance(reader, GeneratorType)
    kept = [len(reader.gi_frame.f_locals["archive"].members) for _ in reader if reader.gi_frame is not None]
    assert kept == [0] * 20
