"""Videos: written and read back frame by frame, turned upright, damaged, endless, absent; and nothing half written."""

import io
import os
import struct
import sys
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepgllim.errors import ConfigurationError, DamagedVideoWarning, DataError, ImageError
from deepgllim.pose.video import decoding, encoding
from deepgllim.pose.video.containers import missing_bytes
from deepgllim.pose.video.frames import Frame, VideoWriter, is_video, read_frames

av = pytest.importorskip("av")

COLOURS = ((200, 30, 40), (10, 180, 30), (30, 20, 230), (240, 240, 235))
TIMES = [0.0, 0.04, 0.1, 0.1005, 0.5, 0.9, 1.0]


def quarters(width: int = 64, height: int = 48, turn: int = 0) -> Image.Image:
    """A picture of four colours: upper left, upper right, lower left, lower right, taken further by `turn`."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for place, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        rows = slice(height // 2, None) if row else slice(height // 2)
        pixels[rows, slice(width // 2, None) if column else slice(width // 2)] = COLOURS[(place + turn) % 4]
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[int]:
    """Which colour each quarter has, in the order of `quarters`."""
    w, h = image.size
    seen = [
        image.getpixel(at)
        for at in ((w // 4, h // 4), (3 * w // 4, h // 4), (w // 4, 3 * h // 4), (3 * w // 4, 3 * h // 4))
    ]
    return [min(range(4), key=lambda c: np.abs(np.asarray(pixel) - COLOURS[c]).max()) for pixel in seen]


def write(path: Path, times: list[float], **options: Any) -> Path:
    with VideoWriter(path, **options) as video:
        for index, time in enumerate(times):
            video.write(quarters(turn=index), time)
    return path


def noisy(path: Path, count: int = 60) -> bytes:
    """A video that does not compress: a cut takes frames away. Its bytes."""
    rng = np.random.default_rng(0)
    with VideoWriter(path) as video:
        for index in range(count):
            video.write(Image.fromarray(rng.integers(0, 255, size=(48, 64, 3), dtype=np.uint8)), index / 30)
    return path.read_bytes()


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_come_back_with_their_times_and_colours(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CODECS", {codec: encoding.CODECS[codec]})
    path = write(tmp_path / "a.mp4", TIMES)
    with read_frames(path) as frames:
        assert frames.size == (64, 48)
        assert frames.n_frames == len(TIMES)
        seen = list(frames)
        assert frames.problem is None
    assert [frame.index for frame in seen] == list(range(len(TIMES)))
    np.testing.assert_allclose([frame.time for frame in seen], TIMES, atol=0.5 / 60_000)
    for index, frame in enumerate(seen):
        assert frame.image.mode == "RGB"
        assert corners(frame.image) == [(place + index) % 4 for place in range(4)]
    pixel = np.array(seen[0].image.getpixel((16, 12)))
    assert np.abs(pixel - COLOURS[0]).max() <= 8  # 8 bits of luma and chroma, and the codec
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == {"libx264": "h264"}.get(codec, codec)


def test_a_copy_is_as_long_as_its_source(tmp_path: Path) -> None:
    """Frames, times, rate and duration, for a rate whose frames are no whole number of milliseconds."""
    source = write(tmp_path / "a.mp4", [index * 1001 / 30000 for index in range(45)])
    with read_frames(source) as frames, VideoWriter(tmp_path / "b.mp4", like=frames) as video:
        for _, time, image in frames:
            video.write(image, time)
    with read_frames(source) as first, read_frames(tmp_path / "b.mp4") as second:
        assert second.n_frames == first.n_frames == 45
        assert second.frame_rate == pytest.approx(30000 / 1001, rel=1e-3)
        np.testing.assert_allclose([f.time for f in second], [f.time for f in first], atol=1 / 60_000)
    durations = []
    for path in (source, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            durations.append(container.duration / 1e6)
    assert durations[1] == pytest.approx(durations[0], abs=2e-3)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (1, 1)])
def test_odd_sizes_grow_by_a_pixel(size: tuple[int, int], tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as video:
        video.write(Image.new("RGB", size, "red"), 0)
    with read_frames(tmp_path / "a.mp4") as frames:
        assert frames.size == tuple(side + side % 2 for side in size)


# what a phone or a mirror does to the picture on its way into the file, and the matrix that undoes it
STORED: dict[str, tuple[Callable[[Any], Any], tuple[int, int, int, int]]] = {
    "as it is": (lambda p: p, (1, 0, 0, 1)),
    "turned left, shown turned right": (lambda p: np.rot90(p, 1), (0, 1, -1, 0)),
    "turned right, shown turned left": (lambda p: np.rot90(p, -1), (0, -1, 1, 0)),
    "upside down": (lambda p: np.rot90(p, 2), (-1, 0, 0, -1)),
    "mirrored": (lambda p: p[:, ::-1], (-1, 0, 0, 1)),
    "flipped": (lambda p: p[::-1], (1, 0, 0, -1)),
    "transposed": (lambda p: p.swapaxes(0, 1), (0, 1, 1, 0)),
    "transposed the other way": (lambda p: np.rot90(p, 2).swapaxes(0, 1), (0, -1, -1, 0)),
}


@pytest.mark.parametrize("name", STORED)
def test_frames_are_upright(name: str, tmp_path: Path) -> None:
    store, (a, b, c, d) = STORED[name]
    path = tmp_path / "a.mp4"
    with VideoWriter(path) as video:
        video.write(Image.fromarray(np.ascontiguousarray(store(np.asarray(quarters(64, 32))))), 0)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 4 + 20 + 16  # version 0: flags, times, track, reserved, layer and volume
    assert data[matrix : matrix + 4] == (65536).to_bytes(4, "big")
    for place, value in ((0, a), (1, b), (3, c), (4, d)):
        data[matrix + 4 * place : matrix + 4 * place + 4] = (65536 * value).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    with read_frames(path) as frames:
        assert frames.size == (64, 32)
        assert corners(next(frames).image) == [0, 1, 2, 3]


def test_pixels_become_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_image(quarters())))
        container.mux(stream.encode(None))
    with read_frames(path) as frames:
        assert frames.size == (96, 48)
        assert next(frames).image.size == (96, 48)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_video_cut_short_yields_what_it_has_and_says_so(share: float, tmp_path: Path) -> None:
    data = noisy(tmp_path / "whole.mp4")
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: int(share * len(data))])
    frames = read_frames(path)
    assert frames.n_frames == 60
    seen: list[Frame] = []
    with pytest.warns(DamagedVideoWarning, match=r"cut\.mp4: it ends after .* of 2\.0 s; .*copy or record it again"):
        seen.extend(frames)
    assert 60 * share - 8 < len(seen) < 60 * share + 2
    assert frames.problem is not None
    assert list(frames) == []


def test_damage_in_the_middle_is_passed_and_told(tmp_path: Path) -> None:
    data = bytearray(noisy(tmp_path / "whole.mp4"))
    data[len(data) // 2 : len(data) // 2 + 4000] = np.random.default_rng(1).bytes(4000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with pytest.warns(DamagedVideoWarning, match="frames are damaged"):
        seen = list(read_frames(path))
    assert len(seen) > 40
    assert seen[-1].time == pytest.approx(59 / 30, abs=1e-3)
    assert (np.diff([frame.time for frame in seen]) > 0).all()


def test_limits_stop_without_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [index / 25 for index in range(20)])
    assert len(list(read_frames(path, max_frames=7))) == 7
    assert read_frames(path, max_frames=7).n_frames == 7
    assert [frame.index for frame in read_frames(path, duration=0.4)] == list(range(10))
    assert len(list(read_frames(path, max_frames=100, duration=100))) == 20
    refused: list[dict[str, Any]] = [{"max_frames": 0}, {"duration": 0.0}, {"duration": float("nan")}]
    for wrong in refused:
        with pytest.raises(ConfigurationError, match="give a number"):
            read_frames(path, **wrong)


def test_a_camera_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg's test picture stands in for a camera."""
    monkeypatch.setitem(decoding._CAMERAS, sys.platform, ("lavfi", "testsrc=size=64x48:rate=20"))
    with read_frames("camera:0", max_frames=50) as frames:
        assert frames.size == (64, 48)
        assert frames.frame_rate == 20
        assert frames.n_frames is None
        np.testing.assert_allclose([frame.time for frame in frames], np.arange(50) / 20, atol=1e-6)
    with read_frames("camera:0") as frames:
        next(frames)
    assert list(frames) == []  # closed


def test_what_is_no_video_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("These are words.\n" * 100)
    (tmp_path / "empty.mp4").touch()
    data = noisy(tmp_path / "whole.mp4", 5)
    (tmp_path / "end.mp4").write_bytes(data[len(data) // 2 :])
    causes = {
        str(tmp_path / "text.mp4"): "no video that can be read",
        str(tmp_path / "empty.mp4"): "no video that can be read",
        str(tmp_path / "end.mp4"): "no video that can be read",
        str(tmp_path / "absent.mp4"): "does not exist; check the path",
        str(tmp_path): "is a folder",
        "camera:97": "camera",
        "camera:front": "given by its number, as camera:0",
        "http://127.0.0.1/a.mp4": "addresses are not opened: record it to a file, say by ffmpeg -i",
        "rtsp://user@127.0.0.1:554/stream?channel=1": "addresses are not opened",
    }
    for source, cause in causes.items():
        with pytest.raises(ImageError, match=cause) as caught:
            read_frames(source)
        assert str(caught.value).startswith(source)
        assert "\n" not in str(caught.value)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ImageError, match=r"song\.mp4: holds no moving pictures, only audio; give the file of a video"):
        read_frames(path)


def test_nothing_is_replaced_and_nothing_half_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", TIMES)
    before = path.read_bytes()
    with pytest.raises(DataError, match="is there already"):
        VideoWriter(path)
    with pytest.raises(DataError, match=r"a\.mp4: is the video that is read"), read_frames(path) as frames:
        VideoWriter(path, like=frames, overwrite=True)

    def broken() -> None:
        with VideoWriter(path, overwrite=True) as video:
            video.write(quarters(), 0)
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block"):
        broken()
    assert path.read_bytes() == before
    write(path, TIMES[:2], overwrite=True)
    assert read_frames(path).n_frames == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_refuses_what_cannot_be_a_video(tmp_path: Path) -> None:
    for name in ("a.gif", "a"):
        with pytest.raises(DataError, match="unknown suffix"):
            VideoWriter(tmp_path / name)
    with pytest.raises(DataError, match="there is no folder"):
        VideoWriter(tmp_path / "none" / "a.mp4")
    with pytest.raises(DataError, match="no frame was written"), VideoWriter(tmp_path / "a.mp4"):
        pass
    with VideoWriter(tmp_path / "b.mp4") as video:
        video.write(quarters(), 1.0)
        for time in (1.0, 0.5, float("nan"), -1.0):
            with pytest.raises(DataError, match="does not follow 1 s"):
                video.write(quarters(), time)
    assert [file.name for file in tmp_path.iterdir()] == ["b.mp4"]


def test_pyav_is_asked_for_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for what in (lambda: read_frames("a.mp4"), lambda: VideoWriter(tmp_path / "a.mp4")):
        with pytest.raises(ConfigurationError, match=r"a\.mp4: videos need PyAV: .*pip install 'deepgllim\[video\]'"):
            what()
    assert is_video("a.mp4")
    assert not is_video("a.png")


# --- files that are whole, and files that are not

RATE = 25


def encode(
    path: Path, pictures: list[Image.Image], codec: str, times: list[float] | None = None, **options: Any
) -> bytes:
    """A video of any format, each picture at its time in milliseconds, or at 25 a second. Its bytes."""
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg does not write {codec}")
    base = Fraction(1, RATE if times is None else 1000)
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = base
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = index if times is None else round(1000 * times[index]), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def noise(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, size=(48, 64, 3), dtype=np.uint8)) for _ in range(count)]


def said(path: Path) -> tuple[int, str | None]:
    """How many frames a video yields, and its problem."""
    frames = read_frames(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        return len(list(frames)), frames.problem


def with_duration(data: bytes, mark: bytes, skipped: int, seconds: float) -> bytes:
    """A file with another duration, a float64 behind a mark in its header."""
    place = data.index(mark) + len(mark) + skipped
    return data[:place] + struct.pack(">d", seconds) + data[place + 8 :]


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx"), ("flv", "flv"), ("mp4", "libx264")]
)
def test_a_video_may_begin_late(suffix: str, codec: str, tmp_path: Path) -> None:
    """As a part of a longer recording does; Matroska's duration, and many programs' of FLV, count from 0 s."""
    path = tmp_path / f"a.{suffix}"
    data = encode(path, noise(20), codec, [7 + index / RATE for index in range(20)])
    if suffix == "flv":
        path.write_bytes(with_duration(data, b"duration", 1, 7.8))
    assert said(path) == (20, None)
    with read_frames(path) as frames:
        assert next(frames).time == 0.0


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx"), ("flv", "flv")])
def test_the_last_picture_may_last_as_long_as_others(suffix: str, codec: str, tmp_path: Path) -> None:
    """A recorded screen has pictures when something changes, and files do not tell how long each is seen."""
    path = tmp_path / f"a.{suffix}"
    data = encode(path, noise(5), codec, [0, 1, 2, 5, 9])
    mark, skipped = (b"duration", 1) if suffix == "flv" else (b"\x44\x89", 1)
    scale = 1 if suffix == "flv" else 1000
    path.write_bytes(with_duration(data, mark, skipped, 12.5 * scale))
    assert said(path) == (5, None)


WHOLE = [
    *(("avi", "mjpeg", {}), ("mkv", "libx264", {}), ("webm", "libvpx", {}), ("flv", "flv", {})),
    *(
        ("mp4", "libx264", {"options": {"movflags": "+faststart"}}),
        ("mov", "mjpeg", {"options": {"movflags": "faststart"}}),
    ),
    *(("ts", "mpeg2video", {}), ("m2ts", "mpeg2video", {"format": "mpegts", "options": {"mpegts_m2ts_mode": "1"}})),
]


@pytest.mark.parametrize("share", [0.9, 0.5])
@pytest.mark.parametrize(("suffix", "codec", "options"), WHOLE, ids=[suffix for suffix, _, _ in WHOLE])
def test_a_cut_is_told_and_a_whole_file_is_not(
    suffix: str, codec: str, options: dict[str, Any], share: float, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    data = encode(path, noise(20), codec, **options)
    assert said(path) == (20, None)
    assert missing_bytes(path) in (0, None)
    cut = int(share * len(data)) // 188 * 188 + 100
    path.write_bytes(data[:cut])
    count, problem = said(path)
    assert count < 20
    assert problem is not None
    if suffix in ("avi", "mkv", "webm", "mp4", "mov"):
        assert missing_bytes(path) == len(data) - cut


def test_lengths_that_a_file_does_not_know_are_no_cut(tmp_path: Path) -> None:
    """Written without going back, as broadcasts and killed programs do."""
    path = tmp_path / "a.avi"
    data = encode(path, noise(5), "mjpeg")
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        path.write_bytes(data[:4] + length + data[8:])
        assert missing_bytes(path) is None
    data = encode(tmp_path / "a.mkv", noise(5), "libx264", options={"live": "1"})
    assert missing_bytes(tmp_path / "a.mkv") is None
    assert said(tmp_path / "a.mkv") == (5, None)
    for content in (b"", b"RIFF", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"FLV", b"\0\0\0\1ftyp", b"words" * 90):
        (tmp_path / "short").write_bytes(content)
        assert missing_bytes(tmp_path / "short") in (0, None)


def test_suffixes_that_are_read(tmp_path: Path) -> None:
    for suffix in ("ts", "m2ts"):
        encode(tmp_path / f"a.{suffix}", [quarters()] * 5, "mpeg2video", format="mpegts")
        assert is_video(f"a.{suffix}")
        with read_frames(tmp_path / f"a.{suffix}") as frames:
            assert corners(next(frames).image) == [0, 1, 2, 3]
    encode(tmp_path / "a.ogv", [quarters()] * 5, "libvpx", format="ogg")
    assert is_video("a.OGV")
    assert said(tmp_path / "a.ogv") == (5, None)


def changing(path: Path, sizes: list[tuple[int, int]]) -> Path:
    """Two frames of each size in one WebM, as a browser records a phone that is turned."""
    packets: list[tuple[bytes, bool]] = []
    for size in sizes:
        data = io.BytesIO()
        with av.open(data, "w", format="webm") as container:
            stream = container.add_stream("libvpx", rate=RATE)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            frames = [av.VideoFrame.from_image(quarters(*size)) for _ in range(2)]
            for index, frame in enumerate(frames):
                frame.pts, frame.time_base = index, Fraction(1, RATE)
            found = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
            packets += [(bytes(packet), packet.is_keyframe) for packet in found]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *sizes[0], "yuv420p"
        for index, (content, is_keyframe) in enumerate(packets):
            packet = av.Packet(content)
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe, packet.duration = (
                Fraction(1, RATE),
                stream,
                is_keyframe,
                1,
            )
            container.mux(packet)
    return path


def test_frames_keep_their_own_size(tmp_path: Path) -> None:
    """None is squeezed into the shape of the first."""
    if "libvpx" not in av.codecs_available:
        pytest.skip("this FFmpeg does not write VP8")
    sizes = [(64, 48), (48, 64), (128, 96)]
    with read_frames(changing(tmp_path / "a.webm", sizes)) as frames:
        assert frames.size == (64, 48)
        seen = list(frames)
        assert frames.problem is None
    assert [frame.image.size for frame in seen] == [size for size in sizes for _ in range(2)]
    assert all(corners(frame.image) == [0, 1, 2, 3] for frame in seen)


def test_a_frame_of_another_size_is_fitted_into_the_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as video:
        video.write(quarters(64, 48), 0.0)
        video.write(Image.new("RGB", (48, 96), "white"), 1.0)
    with read_frames(tmp_path / "a.mp4") as frames:
        _, second = frames
    assert second.image.size == (64, 48)
    bright = np.asarray(second.image.convert("L")) > 128
    assert abs(int(bright.sum()) - 24 * 48) <= 2 * 48  # as high as the first, and a quarter as wide
    assert bright[:, 24:40].all()


def test_frames_have_no_more_pixels_than_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(3, 2)
        container.mux(stream.encode(av.VideoFrame.from_image(quarters())))
        container.mux(stream.encode(None))
    for most, size in ((64 * 48 - 1, "64 x 48"), (96 * 48 - 1, "96 x 48")):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(ImageError, match=rf"a\.mkv: frames of {size} pixels are too large"):
            read_frames(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert said(path) == (1, None)


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "folder.mp4").mkdir()
    for name, cause in {"a": "is a pipe", "zero": "is a device", "folder": "is a folder"}.items():
        with pytest.raises(ImageError, match=rf"{name}\.mp4: {cause}"):
            read_frames(tmp_path / f"{name}.mp4")


@pytest.mark.parametrize("length", [200, 246, 255])
def test_a_long_name_is_no_obstacle(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / ("a" * (length - 4) + ".mp4"), [0.0, 0.1])
    assert list(tmp_path.iterdir()) == [path]
    with read_frames(path) as frames:
        assert len(list(frames)) == 2
