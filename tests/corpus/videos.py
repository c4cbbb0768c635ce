"""Videos, healthy and hostile, made by this script: small frames of four colours, or of noise that does not pack."""

import io
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from deepgllim.errors import ImageError
from tests.corpus.drawn import NOISE, PNG, SIZE, encoded, quarters
from tests.corpus.outcomes import Refused

RATE = 10
N = 8
"""Frames of most videos."""


class Plays(NamedTuple):
    """What a video yields.

    Attributes:
        least, most: how many frames.
        size: of the first, upright.
        last: size of the last; None where all have one size.
        problem: a part of what is said at the end; None where nothing is.
        turns: quarter turns to the left of its four colours; None of noise.
        seconds: time of the last frame.
    """

    least: int = N
    most: int = N
    size: tuple[int, int] = SIZE
    last: tuple[int, int] | None = None
    problem: str | None = None
    turns: int | None = 0
    seconds: float | None = None


class Case(NamedTuple):
    """How a file is made, what it must come to, and its suffix."""

    make: Callable[[Path], object]
    expected: Plays | Refused
    suffix: str = "mp4"


NO_VIDEO = Refused(ImageError, "no video that can be read")
SAME = [quarters()] * N
_rng = np.random.default_rng(3)
STORM = [Image.fromarray(_rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(N)]


def video(
    pictures: list[Image.Image] = SAME,
    codec: str = "mpeg4",
    container: str = "mp4",
    times: list[float] | None = None,
    rate: int | Fraction = RATE,
    pixels: str = "yuv420p",
    **options: str,
) -> bytes:
    """A video of any format, each picture at its time in seconds or at the rate."""
    buffer = io.BytesIO()
    write(buffer, pictures, codec, container, times, rate, pixels, options)
    return buffer.getvalue()


def write(
    place: Any,
    pictures: list[Image.Image],
    codec: str,
    container: str,
    times: list[float] | None,
    rate: int | Fraction,
    pixels: str,
    options: dict[str, str],
) -> None:
    base = 1 / Fraction(rate) if times is None else Fraction(1, 1000)
    with av.open(place, "w", format=container, options=options) as file:
        stream: Any = file.add_stream(codec, rate=rate)
        (stream.width, stream.height), stream.pix_fmt = pictures[0].size, pixels
        stream.codec_context.time_base = base
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = index if times is None else round(1000 * times[index]), base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def indexed_first(path: Path) -> None:
    """Half an MP4 whose index comes before its pictures, for which FFmpeg must read its own file again."""
    write(str(path), STORM, "mpeg4", "mp4", None, RATE, "yuv420p", {"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def content(data: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data())


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def cut(share: float, **options: Any) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        data = video(STORM, **options)
        path.write_bytes(data[: int(share * len(data))])

    return make


def sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def no_frames() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as file:
        stream = file.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()
    return buffer.getvalue()


def shown_by(*matrix: int) -> bytes:
    """An MP4 with another display matrix: a, b, c, d of (x, y) → (a·x + c·y, b·x + d·y), in 1/65536."""
    data = bytearray(video())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0: flags, times, track, reserved, layer and volume
    for index, value in zip((0, 1, 3, 4), matrix, strict=True):
        data[place + 4 * index : place + 4 * index + 4] = value.to_bytes(4, "big", signed=True)
    return bytes(data)


def riddled() -> bytes:
    """Wrong bytes amid the pictures."""
    data = bytearray(video(STORM, container="matroska"))
    middle = len(data) // 2
    data[middle : middle + 900] = np.random.default_rng(1).bytes(900)
    return bytes(data)


def of_two_sizes(*sizes: tuple[int, int]) -> bytes:
    """The same number of frames of each size, one after the other."""
    return b"".join(video([quarters(size=size)] * (N // 2), "libx264", "h264") for size in sizes)


def gap_of_an_hour() -> list[float]:
    return [0, 0.01, 0.02, 0.5, 0.51, 3, 3600, 3600.5]


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">'
    '<Period><AdaptationSet><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:9/</BaseURL><SegmentList>'
    '<SegmentURL media="a"/></SegmentList></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
FLIC = struct.pack("<IHHHHHHI", 128, 0xAF12, 1, 64, 48, 8, 3, 50) + bytes(108)
ENDLESS_BOX = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 2**62)

HEALTHY: dict[str, Case] = {
    "mp4": Case(content(video), Plays(seconds=0.7)),
    "mp4 of h264": Case(content(lambda: video(codec="libx264")), Plays(seconds=0.7)),
    "mov": Case(content(lambda: video(codec="mjpeg", container="mov", pixels="yuvj420p")), Plays(), "mov"),
    "matroska": Case(content(lambda: video(container="matroska")), Plays(seconds=0.7), "mkv"),
    "webm": Case(content(lambda: video(codec="libvpx", container="webm")), Plays(), "webm"),
    "avi": Case(content(lambda: video(codec="mjpeg", container="avi", pixels="yuvj420p")), Plays(), "avi"),
    "flv": Case(content(lambda: video(codec="flv", container="flv")), Plays(), "flv"),
    "transport stream": Case(content(lambda: video(codec="mpeg2video", container="mpegts", rate=25)), Plays(), "ts"),
    "ogg": Case(content(lambda: video(codec="libvpx", container="ogg")), Plays(), "ogv"),
    "animated gif": Case(content(lambda: video(codec="gif", container="gif", pixels="rgb8")), Plays()),
    "full colours": Case(content(lambda: video(codec="libx264", pixels="yuv444p")), Plays()),
    "one frame": Case(content(lambda: video(SAME[:1])), Plays(1, 1)),
    "odd size": Case(content(lambda: video([quarters(size=(63, 47))] * N, container="matroska")), Plays(size=(63, 47))),
    "two pixels a side": Case(content(lambda: video([quarters(size=(2, 2))] * N)), Plays(size=(2, 2), turns=None)),
    "thin": Case(content(lambda: video([quarters(size=(16, 2000))] * 2)), Plays(2, 2, (16, 2000))),
    "variable rate": Case(content(lambda: video(times=gap_of_an_hour())), Plays(seconds=3600.5)),
    "begins at 7 s": Case(
        content(lambda: video(container="matroska", times=[7 + i / RATE for i in range(N)])), Plays(seconds=0.7), "mkv"
    ),
    "1000 a second": Case(content(lambda: video(rate=1000)), Plays(seconds=0.007)),
    "one an hour": Case(content(lambda: video(rate=Fraction(1, 3600))), Plays(seconds=7 * 3600)),
    "shown turned right": Case(content(lambda: shown_by(0, 65536, -65536, 0)), Plays(size=(48, 64), turns=3)),
    "shown upside down": Case(content(lambda: shown_by(-65536, 0, 0, -65536)), Plays(turns=2)),
    "shown by nothing": Case(content(lambda: shown_by(0, 0, 0, 0)), Plays()),
    "another size in the middle": Case(content(lambda: of_two_sizes(SIZE, (48, 64))), Plays(last=(48, 64))),
    "written without going back": Case(content(lambda: video(container="matroska", live="1")), Plays(), "mkv"),
}

HOSTILE: dict[str, Case] = {
    "mp4, half, its index before": Case(indexed_first, Plays(2, 7, problem="it ends", turns=None)),
    "mp4, half, its index lost": Case(cut(0.5), NO_VIDEO),
    "matroska, half": Case(cut(0.5, container="matroska"), Plays(2, 6, problem="it ends after", turns=None), "mkv"),
    "avi, half": Case(
        cut(0.5, codec="mjpeg", container="avi", pixels="yuvj420p"), Plays(2, 6, problem="bytes", turns=None), "avi"
    ),
    "avi, its header alone": Case(cut(0.05, codec="mjpeg", container="avi", pixels="yuvj420p"), NO_VIDEO, "avi"),
    "matroska, wrong bytes": Case(content(riddled), Plays(4, 8, problem="damaged", turns=None), "mkv"),
    "empty": Case(written(b""), NO_VIDEO),
    "text": Case(written(b"These are words.\n" * 100), NO_VIDEO),
    "zeros": Case(written(bytes(5000)), NO_VIDEO),
    "junk": Case(written(np.random.default_rng(2).bytes(5000)), NO_VIDEO),
    "no frames": Case(content(no_frames), Refused(ImageError, "video.mkv: "), "mkv"),
    "sound alone": Case(content(sound), Refused(ImageError, "contains no video stream, only audio")),
    "a box of 2^62 bytes": Case(written(ENDLESS_BOX + bytes(1000)), NO_VIDEO),
    "playlist of an address": Case(written(PLAYLIST.format("http://127.0.0.1:9/x.ts").encode()), NO_VIDEO),
    "playlist of a file": Case(written(PLAYLIST.format("file:/etc/hostname").encode()), NO_VIDEO),
    "list of files": Case(written(b"ffconcat version 1.0\nfile /etc/hostname\n"), NO_VIDEO),
    "dash": Case(written(DASH.encode()), NO_VIDEO),
    "session description": Case(written(SDP.encode()), NO_VIDEO),
    "pipe": Case(lambda path: os.mkfifo(path), Refused(ImageError, "is a pipe, not a regular file")),
    "endless zeros": Case(lambda path: path.symlink_to("/dev/zero"), Refused(ImageError, "is a device")),
    "folder": Case(lambda path: path.mkdir(), Refused(ImageError, "is a folder; give a file")),
    "missing": Case(lambda path: None, Refused(ImageError, "does not exist; check the path")),
    "an old codec": Case(
        content(lambda: video(codec="cinepak", container="avi", pixels="rgb24")),
        Refused(ImageError, "the codec cinepak"),
    ),
    "an animation of FLIC": Case(written(FLIC), NO_VIDEO),
    "subtitles": Case(written(b"1\n00:00:00,000 --> 00:00:01,000\nhi\n"), Refused(ImageError, "video.mp4: ")),
}

STILL: dict[str, bytes] = {"png": PNG, "jpeg": encoded("JPEG", NOISE)}
"""Pictures called videos: FFmpeg reads them as one frame."""

VIDEOS = {
    **HEALTHY,
    **HOSTILE,
    **{f"a {name} called mp4": Case(written(data), Plays(1, 1, turns=None)) for name, data in STILL.items()},
}
