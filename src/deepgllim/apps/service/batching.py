"""Batches of concurrent requests: `Batcher`."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from PIL import Image

from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.record import RequestRecord
from deepgllim.pose.result import Pose

Poses = Sequence[Pose]
Decode = Callable[[], Awaitable[Image.Image]]


class BatchPredictor(Protocol):
    """`deepgllim.HeadPose`, or another predictor that several threads can use at once."""

    def predict_batch(self, images: Sequence[Image.Image], *, detection_batch: int) -> Sequence[Poses]:
        """Return the poses of the faces of each image."""
        ...


class AbandonedError(Exception):
    """Nobody waits for the answer to the request."""


@dataclass(eq=False)
class _Entry:
    """A picture that waits for its batch."""

    picture: Image.Image
    record: RequestRecord
    result: "asyncio.Future[Poses]"
    arrived: float


class Batcher:
    """Predict pictures of concurrent requests together.

    A batch starts when a worker is free and the batch is full, or its first picture has waited for
    `options.batch_wait`, or no other picture is being decoded. If a prediction fails, its pictures are predicted one
    by one, so that a picture cannot make the others fail.

    All methods are called in the thread of the event loop.

    Args:
        predictor: predictor of poses.
        options: size, wait and number of the batches.
        observe: function that is called with the number of pictures of each batch and its seconds.
    """

    def __init__(
        self, predictor: BatchPredictor, options: ServiceOptions, observe: Callable[[int, float], None]
    ) -> None:
        self._predictor, self._options, self._observe = predictor, options, observe
        self._queue: deque[_Entry] = deque()
        self._expected = 0  # pictures that are being decoded
        self._began: dict[asyncio.Task[None], float] = {}  # the running batches
        self._timer: asyncio.TimerHandle | None = None
        self._threads = CapacityLimiter(options.workers)

    async def predict(self, decode: Decode, record: RequestRecord) -> tuple[Image.Image, Poses]:
        """Return a picture and the poses of its faces.

        Args:
            decode: function that decodes the picture.
            record: the record of the request. If it is abandoned before the prediction begins, there is none.

        Raises:
            AbandonedError: the request is abandoned.
            Exception: an exception of the decoder or the predictor.
        """
        self._expected += 1
        try:
            picture = await decode()
            loop = asyncio.get_running_loop()
            entry = _Entry(picture, record, loop.create_future(), loop.time())
            self._queue.append(entry)
        finally:
            self._expected -= 1
            self._dispatch()
        return picture, await entry.result

    def busy_seconds(self) -> float:
        """Return for how long the oldest running batch has been running; 0 if there is none."""
        return asyncio.get_running_loop().time() - min(self._began.values()) if self._began else 0.0

    def waiting(self) -> int:
        """Return the number of pictures that wait for a batch."""
        return len(self._queue)

    def _dispatch(self) -> None:
        """Start the batches that are due."""
        for entry in [each for each in self._queue if each.record.abandoned]:
            self._queue.remove(entry)
            entry.result.set_exception(AbandonedError())
        while self._queue and len(self._began) < self._options.workers and self._is_due():
            batch = [self._queue.popleft() for _ in range(min(self._options.batch_size, len(self._queue)))]
            task = asyncio.create_task(self._run(batch))
            self._began[task] = asyncio.get_running_loop().time()

    def _is_due(self) -> bool:
        if len(self._queue) >= self._options.batch_size or not self._expected:
            return True
        loop = asyncio.get_running_loop()
        left = self._queue[0].arrived + self._options.batch_wait - loop.time()
        if left <= 0:
            return True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(left, self._dispatch)
        return False

    async def _run(self, batch: Sequence[_Entry]) -> None:
        now = asyncio.get_running_loop().time()
        for entry in batch:
            entry.record.running, entry.record.batch = True, len(batch)
            entry.record.seconds["wait"] = now - entry.arrived
        began = time.perf_counter()
        pictures = [entry.picture for entry in batch]
        results: Sequence[Poses | Exception]
        try:
            results = await to_thread.run_sync(
                partial(predict_separately_if_needed, self._predictor, pictures), limiter=self._threads
            )
        except Exception as error:  # no thread can be started
            results = [error] * len(batch)
        finally:
            del self._began[_current_task()]
        seconds = time.perf_counter() - began
        self._observe(len(batch), seconds)
        for entry, result in zip(batch, results, strict=True):
            entry.record.seconds["predict"] = seconds
            _set_result(entry.result, result)
        self._dispatch()


def predict_separately_if_needed(predictor: BatchPredictor, pictures: Sequence[Image.Image]) -> list[Poses | Exception]:
    """Return for each picture its poses, or the exception of its prediction.

    Args:
        predictor: predictor of poses.
        pictures: pictures, which are predicted together, and one by one if that fails.
    """
    try:
        return list(predictor.predict_batch(pictures, detection_batch=len(pictures)))
    except Exception as error:
        if len(pictures) == 1:
            return [error]
    return [result for picture in pictures for result in predict_separately_if_needed(predictor, [picture])]


def _set_result(future: "asyncio.Future[Poses]", result: Poses | Exception) -> None:
    if future.done():  # cancelled when the server stops
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _current_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task
