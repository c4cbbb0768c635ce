"""Frames of videos and cameras, upright and with their times, and videos of frames; PyAV does the work (extra `video`).

Nothing is kept: frames come and go one by one, however long the video.
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
"""Of files that are taken for videos."""

WRITTEN = frozenset((".m4v", ".mov", ".mp4"))
"""Suffixes of files that can be written."""

_LEAST_STEP = 1e-4  # seconds between frames whose own times do not increase
_FASTEST = 1000  # frames a second; what is not less is the unit of a file's times
_FROM_ZERO = ("matroska,webm", "flv")  # formats whose duration counts from 0 s, not from the first picture
_CUT = 0.1  # seconds, or two frames, by which a video may end before its header says


class Frame(NamedTuple):
    """A picture of a video.

    Attributes:
        index: from 0 up.
        time: seconds since the first frame, increasing.
        image: RGB, upright, of square pixels. Its size may change within a video, as when a phone is turned.
    """

    index: int  # type: ignore[assignment]  # nobody asks a frame for the place of a value
    time: float
    image: Image.Image


def is_video(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a camera, or a video by its suffix.

    Example:
        >>> is_video("Holiday.MP4"), is_video("camera:0"), is_video("portrait.jpg")
        (True, True, False)
    """
    return is_camera(os.fspath(source)) or Path(source).suffix.lower() in SUFFIXES


def read_frames(
    source: str | os.PathLike[str], *, max_frames: int | None = None, duration: float | None = None
) -> "Frames":
    """The frames of a video or of a camera.

    The rotation and mirroring that the file asks for are applied, and pixels that are not square are made so. Of
    several streams of pictures the first is read; sound is not. A video that is cut short or damaged yields the frames
    that can be decoded, and then a `DamagedVideoWarning`.

    Args:
        source: a file of any format that FFmpeg reads, or `camera:0`, `camera:1`, … for a camera of this computer,
            which has no end: give a limit, or stop.
        max_frames: stop after so many, at least 1.
        duration: stop before the first frame that is so many seconds or more after the first, above 0.

    Returns:
        An iterator of `Frame`, which knows their size and rate; also a context manager, which closes the source.

    Raises:
        ImageError: the source is missing, no video, without a picture, or cut off before the first one.
        ConfigurationError: a limit out of range, or PyAV is not installed.

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
    """What `read_frames` returns.

    Attributes:
        source: path or camera.
        size: width and height of the first frame, pixels.
        frame_rate: frames a second on average, as the file says; None where it does not.
        n_frames: how many frames the file says it holds, at most `max_frames`; None where it does not, and of cameras.
        problem: what is wrong with the video, once its end is reached; None if nothing is.
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
        self.frame_rate = float(rate) if rate and rate < _FASTEST else None
        self.n_frames = min(count, max_frames) if count else None
        self._frames = self._timed(itertools.islice(itertools.chain([first], pictures), max_frames), duration)

    def __next__(self) -> Frame:
        return next(self._frames)

    def close(self) -> None:
        """Close the source; there are no more frames."""
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
        """Frames with times that increase; pictures without one follow at the video's rate."""
        start, last, end, pause = None, -math.inf, 0.0, 0.0
        step = 1 / self.frame_rate if self.frame_rate else _LEAST_STEP
        for index, picture in enumerate(pictures):
            own = picture.time
            start = own if start is None else start
            time = max(index * step if own is None or start is None else own - start, last + _LEAST_STEP, 0.0)
            if time >= duration:
                return
            yield Frame(index, time, upright(picture, self._square(picture)))
            pause = max(pause, time - last) if index else 0.0
            # durations that a file does not give are guessed: a picture may last as long as any before it
            last, end = time, time + max(float((picture.duration or 0) * (picture.time_base or 0)), pause)
        if self._decoder.ended:
            self._judge(end, start or 0.0, max(_CUT, 2 * step))

    def _judge(self, end: float, start: float, tolerance: float) -> None:
        """Say what was wrong with a video that came to its end so many seconds after its first picture, at `start`."""
        found = [self._decoder.error] if self._decoder.error else []
        cut = None if is_camera(self.source) else self._cut(end, start, tolerance)
        if cut is not None:
            found.append(cut)
        if self._decoder.damaged:
            found.append(f"{self._decoder.damaged} frames are damaged")
        if found:
            self.problem = "; ".join(found)
            remedy = "what can be decoded was read: copy or record it again for the rest"
            warnings.warn(f"{self.source}: {self.problem}; {remedy}", DamagedVideoWarning, stacklevel=4)

    def _cut(self, end: float, start: float, tolerance: float) -> str | None:
        """What is missing of a file: by its lengths, or by its duration where it has no lengths."""
        missing = missing_bytes(self.source)
        if missing == 0:
            return None
        told = stated_duration(self._container, self._stream)
        if self._container.format.name in _FROM_ZERO:
            end = max(end, start + end)
        if told is not None and end < told - tolerance:
            return f"it ends after {end:.1f} of {told:.1f} s"
        return None if missing is None else f"the last {missing} bytes of its file are missing"


class VideoWriter:
    """A video of frames with their own times: H.264, or MPEG-4 part 2 where libx264 is absent, in an .mp4.

    A frame a frame: as many as are written, each at its time, so that a variable frame rate stays one. Sound is not
    written. The file is written beside its path and put in place when the block ends; an error in the block leaves
    nothing. Frames of an odd width or height get a column or row more, a copy of the last (H.264 halves the colours).

    Args:
        path: .mp4, .m4v or .mov.
        like: the frames that were read, for their rate: the length of the last frame, and the encoder's share of bits.
        overwrite: replace a file that is there.

    Raises:
        DataError: another suffix, a file that is there, the video that is read itself, or no such folder; and later if
            the disk is full, or no frame was written.
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
            raise DataError(f"{path}: is there already; give another path, or overwrite it")
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
            image: one of another size than the first is fitted into it, with black at its sides.
            time: seconds, not negative, 1/60,000 or more after the last one's.

        Raises:
            DataError: a time that does not follow, or a file that cannot be written.
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
