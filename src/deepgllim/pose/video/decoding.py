"""Decoding of videos and cameras with PyAV: opening, decoding past damaged frames, rotating upright."""

import os
import re
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deepgllim.errors import ConfigurationError, ImageError
from deepgllim.storage import irregular, is_address

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

_CAMERA = re.compile(r"camera:(\d+)")
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"), "win32": ("dshow", "video={}")}
"""For each platform, the FFmpeg format of cameras, and the pattern of their names."""

_CONTAINERS = (
    *("apng", "asf", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "m4v", "matroska", "mjpeg", "mov", "mpeg"),
    *("mpegts", "mpegvideo", "mxf", "obu", "ogg", "yuv4mpegpipe", "jpeg_pipe", "png_pipe", "webp_pipe"),
)
"""FFmpeg's names of the formats that are read. The others, mostly of games and old programs, are rarely tested."""

_CODECS = (
    *("apng", "av1", "dnxhd", "dvvideo", "ffv1", "ffvhuff", "flv1", "gif", "h263", "h264", "hevc", "huffyuv"),
    *("jpeg2000", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "png", "prores", "qtrle"),
    *("rawvideo", "theora", "utvideo", "v210", "vc1", "vp6f", "vp8", "vp9", "vvc", "webp", "wmv1", "wmv2", "wmv3"),
)
"""FFmpeg's names of the codecs that are decoded."""

_RETRY = 0.005  # seconds between attempts to read a camera


def import_av(what: str) -> Any:
    """Import PyAV, which is part of the extra `video`.

    Args:
        what: the source that needs it, for the message.

    Raises:
        ConfigurationError: PyAV is not installed.
    """
    try:
        return import_module("av")
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{what}: videos need PyAV: install it with pip install 'deepgllim[video]'") from error


def is_camera(source: str) -> bool:
    """Return whether a source is a camera: `camera:` and its number.

    Example:
        >>> is_camera("camera:1"), is_camera("camera.mp4")
        (True, False)
    """
    return _CAMERA.fullmatch(source) is not None


def open_source(source: str) -> Any:
    """Open a file or a camera as a container, `av.container.InputContainer`.

    Raises:
        ImageError: the source does not exist, or FFmpeg does not support it.
        ConfigurationError: PyAV is not installed.
    """
    if is_address(source):
        raise ImageError(
            f"{source}: addresses are not opened: record it to a file, with ffmpeg -i ADDRESS -t 60 walk.mp4, "
            "and give that"
        )
    av = import_av(source)
    try:
        if is_camera(source):
            return _open_camera(av, source)
        _check_file(source)
        # with "file:" a path with a colon is not an address; with the whitelist a playlist opens no address
        whitelist = {"protocol_whitelist": "file", "format_whitelist": ",".join(_CONTAINERS)}
        return av.open(f"file:{source}", options=whitelist, metadata_errors="ignore")
    except av.error.FFmpegError as error:
        raise ImageError(f"{source}: {_explanation(source, error)}") from error


def _open_camera(av: Any, source: str) -> Any:
    number = int(source.partition(":")[2])
    if sys.platform not in _CAMERAS:
        raise ImageError(f"{source}: cameras of {sys.platform} are not supported: record a video and give its file")
    kind, name = _CAMERAS[sys.platform]
    if kind == "dshow":  # which names cameras by their descriptions
        devices = [d for d in av.device.enumerate_input_devices(kind) if "video" in d.media_types]
        if number >= len(devices):
            raise ImageError(f"{source}: this computer has {len(devices)} cameras, counted from camera:0")
        return av.open(name.format(devices[number].description), format=kind)
    if kind == "v4l2" and not Path(name.format(number)).exists():
        raise ImageError(f"{source}: there is no {name.format(number)}: connect a camera, or give a video's file")
    return av.open(name.format(number), format=kind)


def _check_file(source: str) -> None:
    path = Path(source)
    if source.startswith("camera:"):
        raise ImageError(f"{source}: a camera is given by its number, as camera:0")
    if not path.exists():
        raise ImageError(f"{source}: the video does not exist; check the path")
    cause = irregular(path)
    if cause is not None:
        raise ImageError(f"{source}: {cause}")


def _explanation(source: str, error: Any) -> str:
    if is_camera(source):
        return f"the camera cannot be opened ({error.strerror}); close other programs that use it, or allow its use"
    if isinstance(error, PermissionError) and not os.access(source, os.R_OK):  # FFmpeg raises it for other reasons too
        return "the video cannot be opened (permission denied); check its permissions"
    return (
        f"no video that can be read ({error.strerror}); it is cut short, damaged or in a container that is not "
        "supported: copy it again, or convert it to mp4"
    )


def video_stream(container: "InputContainer", source: str) -> "VideoStream":
    """Return the first video stream of a container; the cover image of an audio file is ignored.

    Raises:
        ImageError: there is no video stream, its codec is not supported, or its frames are too large.
    """
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition):
            _check_codec(stream, source)
            check_pixels(stream.codec_context.width, stream.codec_context.height, source)
            stream.thread_type = "SLICE" if is_camera(source) else "AUTO"  # AUTO delays frames by the number of threads
            return stream
    raise ImageError(f"{source}: contains no video stream, only {_kinds(container)}; give the file of a video")


def _check_codec(stream: "VideoStream", source: str) -> None:
    codec = stream.codec_context.codec.canonical_name
    if codec not in _CODECS and not is_camera(source):
        raise ImageError(f"{source}: the codec {codec} is not supported: convert the video to h264")


def check_pixels(width: int, height: int, source: str) -> None:
    """Check that frames have at most `PIL.Image.MAX_IMAGE_PIXELS` pixels.

    Raises:
        ImageError: they have more.
    """
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ImageError(f"{source}: frames of {width} x {height} pixels are too large; scale the video down")


def _kinds(container: "InputContainer") -> str:
    kinds = sorted({"a still picture" if stream.type == "video" else stream.type for stream in container.streams})
    return " and ".join(kinds) or "nothing"


def stated_duration(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the duration in the header of a file, seconds; None if it has none."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # otherwise it may be the duration of the sound
    return container.duration / 1e6 if alone and container.duration is not None else None


class Decoder:
    """Iteration over the frames of a stream in the order of their times, without those that cannot be decoded.

    Attributes:
        damaged: number of frames that could not be decoded completely.
        error: message of the error that ended the stream early; empty if there was none.
        ended: whether the end of the stream was reached.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream", source: str) -> None:
        self._av, self._container, self._stream = import_av(source), container, stream
        self.damaged, self.error, self.ended = 0, "", False

    def pictures(self) -> Iterator["VideoFrame"]:
        """Yield the frames, each as soon as it is decoded."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.error.BlockingIOError:
                time.sleep(_RETRY)
                packets = self._container.demux(self._stream)
                continue
            except self._av.error.FFmpegError as error:
                self.error = str(error.strerror)
                packet = None
            yield from self._decoded(packet)
            if packet is None:
                break
        self.ended = True

    def _decoded(self, packet: Any) -> "list[VideoFrame]":
        try:
            pictures: list[VideoFrame] = self._stream.decode(packet)
        except self._av.error.EOFError:  # the decoder was flushed already
            return []
        except self._av.error.FFmpegError:
            self.damaged += 1
            return []
        self.damaged += sum(picture.is_corrupt for picture in pictures)
        return pictures


def upright(picture: "VideoFrame", size: tuple[int, int]) -> Image.Image:
    """Return a frame as an RGB image, rotated by the display matrix of its file.

    Args:
        picture: the frame.
        size: width and height before the rotation, pixels.
    """
    pixels: Any = picture.to_ndarray(format="rgb24", width=size[0], height=size[1])  # (H, W, 3)
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        pixels = rotate_pixels(pixels, np.frombuffer(bytes(matrix), dtype=np.int32))
    return Image.fromarray(np.ascontiguousarray(pixels))


def rotate_pixels(pixels: npt.NDArray[np.uint8], matrix: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Rotate pixels by multiples of 90 degrees, or mirror them: (x, y) moves to (a·x + c·y, b·x + d·y).

    Args:
        pixels: (H, W, 3).
        matrix: display matrix a, b, u, c, d, v, …; the larger of a and b determines the axes, the signs the directions.

    Returns:
        (H, W, 3), or (W, H, 3) for a quarter turn.

    Example:
        >>> rotate_pixels(np.array([[[1], [2], [3]]], dtype=np.uint8), np.array([0, 1, 0, -1, 0]))[..., 0]  # clockwise
        array([[1],
               [2],
               [3]], dtype=uint8)
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(b) > abs(a):
        pixels, right, down = pixels.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def square_pixels(picture: "VideoFrame", stream: "VideoStream") -> tuple[int, int]:
    """Return width and height at which the pixels of a frame are square, before it is rotated."""
    ratio = stream.sample_aspect_ratio
    return round(picture.width * float(ratio)) if ratio else picture.width, picture.height
