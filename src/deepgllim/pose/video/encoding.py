"""Pictures with their times into a video's file, by PyAV."""

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deepgllim.imaging.conversion import Pixels, to_rgb

TICKS = 60_000
"""A second, of written times: whole for 24, 25, 30, 60 and 29.97 frames a second. MPEG-4 part 2 allows 65,535."""

CODECS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qmin": "2", "qmax": "6"}}
"""In the order of preference, with their options."""

_BT709, _LIMITED = 1, 1  # how colours are written, and their range, by FFmpeg's numbers


def ticks(time: float) -> int:
    """Seconds as they are written.

    Example:
        >>> ticks(1001 / 30000)
        2002
    """
    return round(time * TICKS)


class Encoder:
    """An MP4 file of pictures. A picture waits for the next one, which tells how long it is seen.

    Args:
        av: PyAV.
        place: the file.
        size: width and height of the pictures; an odd one grows by a pixel, since colours have half the resolution.
        frame_rate: for how long the last picture is seen, and the encoder's share of bits.
    """

    def __init__(self, av: Any, place: Path, size: tuple[int, int], frame_rate: float) -> None:
        self.size, self._av, self._lasting = size, av, max(1, ticks(1 / frame_rate))
        self._waiting: tuple[Pixels, int] | None = None
        self._container = av.open(str(place), "w", format="mp4", options={"movflags": "+faststart"})
        codec = next(name for name in CODECS if name in av.codecs_available)
        rate = Fraction(frame_rate).limit_denominator(1001)
        self._stream = stream = self._container.add_stream(codec, rate=rate, options=CODECS[codec])
        stream.width, stream.height = (side + side % 2 for side in size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, TICKS)
        context.max_b_frames = 0  # whose reordering moves the times
        context.flags |= av.codec.context.Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def write(self, image: Image.Image, time: float) -> None:
        """Add a picture of the right size, at a time after the last one's."""
        at = ticks(time)
        if self._waiting is not None:
            self._encode(*self._waiting, lasting=at - self._waiting[1])
        self._waiting = _even(image), at

    def finish(self) -> None:
        """Write what waits, and close the file."""
        if self._waiting is not None:
            self._encode(*self._waiting, lasting=self._lasting)
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def close(self) -> None:
        """Close the file as it is."""
        with suppress(Exception):  # it is of no use any more
            self._container.close()

    def _encode(self, pixels: Pixels, at: int, lasting: int) -> None:
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base, frame.duration = at, Fraction(1, TICKS), lasting
        self._container.mux(self._stream.encode(frame))


def _even(image: Image.Image) -> Pixels:
    """Pixels (H, W, 3) with an even number of rows and columns."""
    pixels = np.asarray(to_rgb(image))
    return np.pad(pixels, ((0, image.height % 2), (0, image.width % 2), (0, 0)), mode="edge")
