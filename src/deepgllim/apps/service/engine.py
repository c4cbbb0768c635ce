"""From the bytes of a picture to plain data, within the limits of pixels and threads: `Engine`."""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException
from PIL import Image

from deepgllim.apps.http.answers import count_pixels
from deepgllim.apps.http.intake import PixelBudget
from deepgllim.apps.service.batching import AbandonedError, Batcher, BatchPredictor, Poses
from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.record import RequestRecord
from deepgllim.errors import ImageError
from deepgllim.imaging.images import open_image

Build = Callable[[Image.Image, Poses], dict[str, Any]]
"""A function that returns the answer for a picture and its poses."""

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class Engine:
    """Decode pictures in worker threads, predict them in batches, and make the answers in worker threads.

    Args:
        predictor: predictor of poses.
        options: limits, and options of the batches.
        observe: as in `Batcher`.
    """

    def __init__(
        self, predictor: BatchPredictor, options: ServiceOptions, observe: Callable[[int, float], None]
    ) -> None:
        self._max_pixels = options.limits.max_pixels
        self._threads, self._pixels = CapacityLimiter(options.limits.workers), PixelBudget(self._max_pixels)
        self.batches = Batcher(predictor, options, observe)

    async def answer(self, content: bytes, build: Build, record: RequestRecord) -> dict[str, Any]:
        """Return the answer for a picture.

        Args:
            content: content of the file of the picture.
            build: function that returns the answer.
            record: record of the request, in which measurements are entered.

        Raises:
            HTTPException: the picture is damaged or too large (422), or the model fails (500).
            AbandonedError: the request was abandoned before its prediction.
        """
        try:
            record.pixels = await self._run(partial(count_pixels, content, self._max_pixels))
            decode = partial(self._decode, content, record)
            async with self._pixels.hold(record.pixels):
                picture, poses = await self.batches.predict(decode, record)
                record.faces, record.accepted = len(poses), sum(pose.in_distribution is True for pose in poses)
                return await self._run(partial(build, picture, poses))
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except (HTTPException, AbandonedError):
            raise
        except Exception as error:  # of the model: its message may have paths of this machine
            _LOG.error("prediction failed", extra={"fields": {"id": record.identifier, "error": _one_line(error)}})
            raise HTTPException(500, "the prediction failed: see the log of the server") from error

    async def _decode(self, content: bytes, record: RequestRecord) -> Image.Image:
        if record.abandoned:
            raise AbandonedError
        began = time.perf_counter()
        picture = await self._run(partial(open_image, content))
        record.seconds["decode"] = time.perf_counter() - began
        return picture

    async def _run(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)


def _one_line(error: Exception) -> str:
    """Return class and message of an exception in one line.

    Example:
        >>> _one_line(ValueError("a\\nb"))
        'ValueError: a b'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
