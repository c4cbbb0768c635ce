"""Detection of truncated video files by the lengths stored in them.

Durations are not reliable for this: FFmpeg adjusts the duration of a truncated AVI file, that of a Matroska file counts
from 0 s even if its frames begin later, and the last frame of many files has no duration.
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_SLACK = 16  # bytes; some programs count padding that they do not write


def missing_bytes(path: str | os.PathLike[str]) -> int | None:
    """Return the number of bytes that are missing at the end of a video file.

    AVI, Matroska, WebM, MP4 and QuickTime files store their total length. FLV files and MPEG transport streams
    consist of packets of known lengths, so that only a truncated packet is detected.

    Args:
        path: path of the file.

    Returns:
        The number of bytes; None if the file stores no lengths or has another format.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.avi").write_bytes(b"RIFF" + (100).to_bytes(4, "little") + b"AVI " + bytes(26))
        ...     missing_bytes(Path(folder, "a.avi"))
        70
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(200)
        file.seek(0)
        end = next((find(file, size) for is_format, find in _FORMATS if is_format(start)), None)
    if end is None:
        return None
    return end - size if end > size + _SLACK else 0


def _riff_end(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last of consecutive RIFF chunks; a long AVI file has several."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":
            break
        if length in (0, 0xFFFFFFFF):  # written without seeking back
            return None
        end += 8 + length + length % 2
    return end


def _segment_end(file: BinaryIO, size: int) -> int | None:
    """Return the end of the segment after the EBML header; None if its length is unknown, as in a live stream."""
    file.seek(4)
    header = _variable_length(file)
    if header is None:
        return None
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return None
    length = _variable_length(file)
    return None if length is None else file.tell() + length


def _variable_length(file: BinaryIO) -> int | None:
    """Read an EBML length, whose number of bytes is that of leading zeros plus one; None if it is unknown."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    count = 9 - first[0].bit_length()
    rest = file.read(count - 1)
    mask = (1 << (7 * count)) - 1
    value = int.from_bytes(first + rest, "big") & mask
    return None if len(rest) < count - 1 or value == mask else value


def _boxes_end(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last of consecutive MP4 boxes; None if that is the end of the file."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        length, kind = struct.unpack(">I4s", file.read(8))
        if length == 1:
            extended = file.read(8)
            length = int.from_bytes(extended, "big") if len(extended) == 8 else 0
        if length < 8 or not kind.isascii():  # the rest of the file, or not a box
            return end if end and length else None
        end += length
    return end


def _tags_end(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last tag of an FLV file if it is truncated."""
    end = 9 + 4
    while end + 11 <= size:
        file.seek(end)
        header = file.read(4)
        end += 11 + int.from_bytes(header[1:], "big") + 4
    return end if end > size + _SLACK else None


def _packets_end(file: BinaryIO, size: int) -> int | None:
    """Return the end of the last packet of an MPEG transport stream if it is truncated."""
    length = packet_length(file.read(200))
    end = -(-size // length) * length
    return end if end > size + _SLACK else None


def packet_length(start: bytes) -> int:
    """Return the length of the packets of an MPEG transport stream; 0 if the file is not one.

    Packets begin with "G" and have 188 bytes, or 192 with a time stamp.

    Args:
        start: the first 197 bytes of the file or more.

    Example:
        >>> packet_length(b"G" + bytes(187) + b"G"), packet_length(b"const a = 1;")
        (188, 0)
    """
    return next((b - a for a, b in ((0, 188), (4, 196)) if start[a : a + 1] == start[b : b + 1] == b"G"), 0)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int | None]], ...] = (
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", _riff_end),
    (lambda start: start[:4] == _EBML, _segment_end),
    (lambda start: start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), _boxes_end),
    (lambda start: start[:3] == b"FLV", _tags_end),
    (lambda start: packet_length(start) > 0, _packets_end),
)
