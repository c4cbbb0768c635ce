"""Encoding of frames with their times as an MP4 file, with PyAV."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepgllim.imaging.conversion import Pixels, to_rgb

TICKS = 60_000
"""Ticks of a second in written files: whole periods for 24, 25, 30, 60 and 29.97 frames a second; at most 65,535 in
MPEG-4 part 2."""

CODECS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "6"}}
"""Codecs in the order of preference, with their options."""

_BT709, _LIMITED = 1, 1  # FFmpeg's numbers of colour space and range


def ticks(time: float) -> int:
    """Convert seconds to ticks.

    Example:
        >>> ticks(1001 / 30000)
        2002
    """
    return round(time * TICKS)


class Encoder:
    """Writer of an MP4 file. Each frame is encoded when the next one arrives, which determines its duration.

    Args:
        av: the module PyAV.
        place: path of the file.
        size: width and height of the frames; odd sizes are padded by a pixel, since colours have half the resolution.
        frame_rate: frames a second, for the duration of the last frame and the bit rate.
    """

    def __init__(self, av: Any, place: Path, size: tuple[int, int], frame_rate: float) -> None:
        self.size, self._av, self._last_duration = size, av, max(1, ticks(1 / frame_rate))
        self._waiting: tuple[Pixels, int] | None = None
        self._container = av.open(str(place), "w", format="mp4", options={"movflags": "+faststart"})
        codec = next(name for name in CODECS if name in av.codecs_available)
        rate = Fraction(frame_rate).limit_denominator(1001)
        self._stream = stream = self._container.add_stream(codec, rate=rate, options=CODECS[codec])
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, TICKS)
        context.max_b_frames = 0  # reordering would shift the times
        context.flags |= av.codec.context.Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def write(self, image: Image.Image, time: float) -> None:
        """Add a frame of the given size at a time in seconds after that of the last frame."""
        at = ticks(time)
        if self._waiting is not None:
            self._encode(*self._waiting, duration=at - self._waiting[1])
        self._waiting = _even(image), at

    def finish(self) -> None:
        """Write the last frame and close the file."""
        if self._waiting is not None:
            self._encode(*self._waiting, duration=self._last_duration)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        """Close the file without writing the last frame."""
        with suppress(Exception):  # the file is discarded
            self._container.close()

    def _encode(self, pixels: Pixels, at: int, duration: int) -> None:
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base, frame.duration = at, Fraction(1, TICKS), duration
        self._container.mux(self._stream.encode(frame))


def _even(image: Image.Image) -> Pixels:
    """Return pixels, (H, W, 3), padded to an even number of rows and columns."""
    pixels = np.asarray(to_rgb(image))
    return np.pad(pixels, ((0, image.height % 2), (0, image.width % 2), (0, 0)), mode="edge")
