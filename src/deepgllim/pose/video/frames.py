"""Reading frames of videos and cameras with their times, and writing videos, with PyAV (extra `video`).

Frames are read and written one by one, so that the memory does not depend on the length of the video.
"""

import itertools
import math
import os
import sys
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageOps

from deepgllim.errors import ConfigurationError, DamagedVideoWarning, DataError, ImageError
from deepgllim.pose.video.containers import missing_bytes
from deepgllim.pose.video.decoding import (
    Decoder,
    check_pixels,
    import_av,
    is_camera,
    open_source,
    square_pixels,
    stated_duration,
    upright,
    video_stream,
)
from deepgllim.pose.video.encoding import Encoder, ticks
from deepgllim.storage import temporary_of

if TYPE_CHECKING:
    from av import VideoFrame

SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("3g2", "3gp", "asf", "avi", "f4v", "flv", "m2t", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("mxf", "ogm", "ogv", "qt", "ts", "vob", "webm", "wmv"),
    )
)
"""Suffixes of video files."""

WRITTEN = frozenset((".m4v", ".mov", ".mp4"))
"""Suffixes of video files that can be written."""

_MIN_STEP = 1e-4  # seconds between frames whose own times do not increase
_MAX_RATE = 1000  # frames a second; a higher rate is the time base of the file
_FROM_ZERO = ("matroska,webm", "flv")  # formats whose duration counts from 0 s, not from the first frame
_TOLERANCE = 0.1  # seconds, or two frames, by which a video may be shorter than its header states


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
        index: index of the frame, from 0 up.
        time: seconds since the first frame, increasing.
        image: upright RGB image with square pixels. Its size may change within a video, for example if a phone is
            rotated.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed
    time: float
    image: Image.Image


def is_video(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is a camera, or a file with the suffix of a video.

    Example:
        >>> is_video("Holiday.MP4"), is_video("camera:0"), is_video("portrait.jpg")
        (True, True, False)
    """
    return is_camera(os.fspath(source)) or Path(source).suffix.lower() in SUFFIXES


def read_frames(
    source: str | os.PathLike[str], *, max_frames: int | None = None, duration: float | None = None
) -> "Frames":
    """Read the frames of a video or of a camera.

    The rotation and mirroring stored in the file are applied, and frames are rescaled to square pixels. The first
    video stream is read; sound is ignored. The frames of a truncated or damaged video that can be decoded are
    returned, followed by a `DamagedVideoWarning`.

    Args:
        source: a file in any format that FFmpeg reads, or `camera:0`, `camera:1`, … for a camera of this computer,
            which does not end: give a limit, or stop the iteration.
        max_frames: largest number of frames, at least 1.
        duration: seconds after the first frame at which the iteration stops, above 0.

    Returns:
        An iterator over `Frame` with the size and rate of the frames; also a context manager that closes the source.

    Raises:
        ImageError: the source does not exist, is not a video, or has no frame that can be decoded.
        ConfigurationError: a limit is out of range, or PyAV is not installed.

    Example:
        >>> with read_frames("walk.mp4", max_frames=100) as frames:  # doctest: +SKIP
        ...     for index, time, image in frames:
        ...         print(index, time, image.size)
    """
    if max_frames is not None and max_frames < 1:
        raise ConfigurationError(f"at most {max_frames} frames: give a number from 1 up")
    if duration is not None and not duration > 0:
        raise ConfigurationError(f"a duration of {duration:g} s: give a number above 0")
    return Frames(os.fspath(source), max_frames or sys.maxsize, duration or math.inf)


class Frames(Iterator[Frame]):
    """Iterator over the frames of a video, returned by `read_frames`.

    Attributes:
        source: path or camera.
        size: width and height of the first frame, pixels.
        frame_rate: average number of frames a second in the header of the file; None if there is none.
        n_frames: number of frames in the header of the file, at most `max_frames`; None if there is none.
        problem: description of the damage of the video, set at its end; None if there is none.
    """

    def __init__(self, source: str, max_frames: int, duration: float) -> None:
        self.source = source
        self.problem: str | None = None
        self._container = open_source(source)
        try:
            self._stream = video_stream(self._container, source)
            self._decoder = Decoder(self._container, self._stream, source)
            pictures = self._decoder.pictures()
            first = next(pictures, None)
            if first is None:
                cause = self._decoder.error or "no frame can be decoded"
                raise ImageError(f"{source}: {cause}; it is empty, truncated or damaged: copy or record it again")
            self.size = upright(first, self._square(first)).size
        except BaseException:
            self._container.close()
            raise
        rate, count = self._stream.average_rate, self._stream.frames
        self.frame_rate = float(rate) if rate and rate < _MAX_RATE else None
        self.n_frames = min(count, max_frames) if count else None
        self._frames = self._timed(itertools.islice(itertools.chain([first], pictures), max_frames), duration)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Close the source and end the iteration."""
        self._frames.close()
        self._container.close()

    def __enter__(self) -> "Frames":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _square(self, picture: "VideoFrame") -> tuple[int, int]:
        size = square_pixels(picture, self._stream)
        check_pixels(*size, self.source)
        return size

    def _timed(self, pictures: "Iterator[VideoFrame]", duration: float) -> Generator[Frame, None, None]:
        """Yield frames with increasing times; frames without a time follow at the frame rate."""
        start, last, end, pause = None, -math.inf, 0.0, 0.0
        step = 1 / self.frame_rate if self.frame_rate else _MIN_STEP
        for index, picture in enumerate(pictures):
            own = picture.time
            start = own if start is None else start
            time = max(index * step if own is None or start is None else own - start, last + _MIN_STEP, 0.0)
            if time >= duration:
                return
            yield Frame(index, time, upright(picture, self._square(picture)))
            pause = max(pause, time - last) if index else 0.0
            # a frame without a duration may last as long as the longest one before it
            last, end = time, time + max(float((picture.duration or 0) * (picture.time_base or 0)), pause)
        if self._decoder.ended:
            self._check_end(end, start or 0.0, max(_TOLERANCE, 2 * step))

    def _check_end(self, end: float, start: float, tolerance: float) -> None:
        """Set `problem` and warn if the video is damaged.

        Args:
            end: end of the last frame, seconds after the first frame.
            start: time of the first frame in the file, seconds.
            tolerance: seconds by which the video may be shorter than its header states.
        """
        found = [self._decoder.error] if self._decoder.error else []
        missing = None if is_camera(self.source) else self._missing_part(end, start, tolerance)
        if missing is not None:
            found.append(missing)
        if self._decoder.damaged:
            found.append(f"{self._decoder.damaged} frames are damaged")
        if found:
            self.problem = "; ".join(found)
            remedy = "what can be decoded was read: copy or record it again for the rest"
            warnings.warn(f"{self.source}: {self.problem}; {remedy}", DamagedVideoWarning, stacklevel=4)

    def _missing_part(self, end: float, start: float, tolerance: float) -> str | None:
        """Describe the missing part of a file by its lengths, or by its duration if it has no lengths."""
        missing = missing_bytes(self.source)
        if missing == 0:
            return None
        duration = stated_duration(self._container, self._stream)
        if self._container.format.name in _FROM_ZERO:
            end = max(end, start + end)
        if duration is not None and end < duration - tolerance:
            return f"it ends after {end:.1f} of {duration:.1f} s"
        return None if missing is None else f"the last {missing} bytes of its file are missing"


class VideoWriter:
    """Write a video of frames with their times: H.264, or MPEG-4 part 2 if libx264 is not available.

    Each frame is written once, at its time, so that a variable frame rate is preserved. Sound is not written. The
    file is written under a temporary name and renamed at the end of the block; if the block raises an exception, no
    file remains. Frames of odd width or height are padded by a copy of the last column or row, since H.264 subsamples
    the colours.

    Args:
        path: .mp4, .m4v or .mov.
        like: the frames that are read; their rate determines the duration of the last frame and the bit rate.
        overwrite: whether to replace an existing file.

    Raises:
        DataError: the suffix is another, the file exists or is the video that is read, the folder does not exist, the
            disk is full, or no frame was written.
        ConfigurationError: PyAV is not installed.

    Example:
        >>> with read_frames("walk.mp4") as frames, VideoWriter("drawn.mp4", like=frames) as video:  # doctest: +SKIP
        ...     for _, time, image in frames:
        ...         video.write(draw(image), time)
    """

    def __init__(self, path: str | os.PathLike[str], like: Frames | None = None, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.frame_rate = (like and like.frame_rate) or 30.0
        self._av = import_av(str(path))
        if self.path.suffix.lower() not in WRITTEN:
            raise DataError(f"{path}: unknown suffix {self.path.suffix!r}: a video is written as .mp4")
        if self.path.exists() and not overwrite:
            raise DataError(f"{path}: exists already; give another path, or overwrite it")
        if like is not None and self.path.resolve() == Path(like.source).resolve():
            raise DataError(f"{path}: is the video that is read; give another path, the original stays as it is")
        if not self.path.parent.is_dir():
            raise DataError(f"{path}: there is no folder {self.path.parent}; make it first")
        self._place = temporary_of(self.path)
        self._encoder: Encoder | None = None
        self._last = -1.0

    def write(self, image: Image.Image, time: float) -> None:
        """Add a frame.

        Args:
            image: the frame; it is scaled and padded with black if its size differs from that of the first frame.
            time: seconds, not negative, at least 1/60,000 after that of the last frame.

        Raises:
            DataError: the time is not after that of the last frame, or the file cannot be written.
        """
        if not (math.isfinite(time) and time >= 0 and ticks(time) > ticks(self._last)):
            raise DataError(f"{self.path}: time {time:g} s does not follow {max(self._last, 0):g} s")
        with self._errors():
            self._encoder = self._encoder or Encoder(self._av, self._place, image.size, self.frame_rate)
            if image.size != self._encoder.size:
                image = ImageOps.pad(image, self._encoder.size)
            self._encoder.write(image, time)
        self._last = time

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._encoder is not None:
                self._encoder.close()
            with suppress(OSError):
                self._place.unlink()

    def _finish(self) -> None:
        if self._encoder is None:
            raise DataError(f"{self.path}: no frame was written, so there is no video")
        with self._errors():
            self._encoder.finish()
            self._place.replace(self.path)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, self._av.error.FFmpegError) as error:
            raise DataError(f"{self.path}: cannot be written ({error}); check the folder and the space left") from error
