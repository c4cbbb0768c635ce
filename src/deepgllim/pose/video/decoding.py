"""What PyAV needs around it: a source opened with clear errors, its pictures decoded past damage, turned upright."""

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
"""By platform: the format that FFmpeg reads a camera by, and the camera's name in it."""

_RETRY = 0.005  # seconds to wait for a camera that has no frame yet


def import_av(what: str) -> Any:
    """PyAV, which the light install leaves out.

    Raises:
        ConfigurationError: it is not installed; `what` is what needs it.
    """
    try:
        return import_module("av")
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{what}: videos need PyAV: install it with pip install 'deepgllim[video]'") from error


def is_camera(source: str) -> bool:
    """Whether a source is a camera, `camera:` and its number.

    Example:
        >>> is_camera("camera:1"), is_camera("camera.mp4")
        (True, False)
    """
    return _CAMERA.fullmatch(source) is not None


def open_source(source: str) -> Any:
    """The container, `av.container.InputContainer`, of a file or a camera.

    Raises:
        ImageError: it is missing, or nothing that FFmpeg knows.
    """
    if is_address(source):
        raise ImageError(
            f"{source}: addresses are not opened: record it to a file, say by ffmpeg -i ADDRESS -t 60 walk.mp4, and "
            "give that"
        )
    av = import_av(source)
    try:
        if is_camera(source):
            return _open_camera(av, source)
        _check_file(source)
        # "file:" and the whitelist: a path with a colon is no address, and a playlist fetches nothing
        whitelist = {"protocol_whitelist": "file"}
        return av.open(f"file:{source}", options=whitelist, metadata_errors="ignore")
    except av.error.FFmpegError as error:
        raise ImageError(f"{source}: {_explanation(source, error)}") from error


def _open_camera(av: Any, source: str) -> Any:
    number = int(source.partition(":")[2])
    if sys.platform not in _CAMERAS:
        raise ImageError(f"{source}: cameras of {sys.platform} are not supported: record a video and give its file")
    kind, name = _CAMERAS[sys.platform]
    if kind == "dshow":  # which knows its cameras by what they are called
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
    if isinstance(error, PermissionError) and not os.access(source, os.R_OK):  # FFmpeg's own rules raise it too
        return "the video cannot be opened (permission denied); check its permissions"
    return f"no video that can be read ({error.strerror}); it is cut short, damaged or something else: copy it again"


def video_stream(container: "InputContainer", source: str) -> "VideoStream":
    """The first stream of moving pictures; the cover of a song is none.

    Raises:
        ImageError: there is none, or its pictures are too large.
    """
    for stream in container.streams.video:
        if "attached_pic" not in str(stream.disposition):
            check_pixels(stream.codec_context.width, stream.codec_context.height, source)
            stream.thread_type = "SLICE" if is_camera(source) else "AUTO"  # AUTO holds frames back, one a thread
            return stream
    raise ImageError(f"{source}: holds no moving pictures, only {_kinds(container)}; give the file of a video")


def check_pixels(width: int, height: int, source: str) -> None:
    """Refuse frames of more pixels than pictures may have, `PIL.Image.MAX_IMAGE_PIXELS`.

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
    """How long the pictures last by the file's header; None where it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # or the sound may be longer
    return container.duration / 1e6 if alone and container.duration is not None else None


class Decoder:
    """The pictures of a stream in the order of their times, past those that cannot be decoded.

    Attributes:
        damaged: how many pictures could not be decoded, wholly or in part.
        error: what ended the stream before its time, if anything did.
        ended: whether the stream has come to its end.
    """

    def __init__(self, container: "InputContainer", stream: "VideoStream", source: str) -> None:
        self._av, self._container, self._stream = import_av(source), container, stream
        self.damaged, self.error, self.ended = 0, "", False

    def pictures(self) -> Iterator["VideoFrame"]:
        """All that there are; the first ones to come are not held back for others."""
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
        except self._av.error.EOFError:  # it was flushed already
            return []
        except self._av.error.FFmpegError:
            self.damaged += 1
            return []
        self.damaged += sum(picture.is_corrupt for picture in pictures)
        return pictures


def upright(picture: "VideoFrame", size: tuple[int, int]) -> Image.Image:
    """The picture at a size, width and height before it is turned, as the display matrix of its file wants it seen."""
    pixels: Any = picture.to_ndarray(format="rgb24", width=size[0], height=size[1])  # (H, W, 3)
    matrix: Any = picture.side_data.get("DISPLAYMATRIX")
    if matrix is not None:
        pixels = rotate_pixels(pixels, np.frombuffer(bytes(matrix), dtype=np.int32))
    return Image.fromarray(np.ascontiguousarray(pixels))


def rotate_pixels(pixels: npt.NDArray[np.uint8], matrix: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Pixels moved as a display matrix says, a quarter turn or a mirror image: (x, y) goes to (a·x + c·y, b·x + d·y).

    Args:
        pixels: (H, W, 3).
        matrix: a, b, u, c, d, v, …, of which the larger of a and b tells the axes, and the signs the directions.

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
    """Width and height at which a picture's pixels are square, before it is turned."""
    ratio = stream.sample_aspect_ratio
    return round(picture.width * float(ratio)) if ratio else picture.width, picture.height
