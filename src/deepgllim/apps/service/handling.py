"""One request: its upload, its answer, and the time for it: `Handler`."""

import asyncio
import contextlib
import time
from typing import Any

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from deepgllim.apps.http.intake import Body, RequestSlots
from deepgllim.apps.service.engine import Build, Engine
from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.record import RequestRecord

ACCEPTED_TYPES = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
"""Beginnings of accepted media types; the last is what `curl --data-binary` sends."""

RECORD = "deepgllim.record"
"""Key of the record in the scope of a request."""


class Handler:
    """Answer requests whose body is a picture.

    Args:
        engine: decoding and prediction.
        options: limits and times.
    """

    def __init__(self, engine: Engine, options: ServiceOptions) -> None:
        self._engine, self._options = engine, options
        self._slots = RequestSlots(options.limits.max_requests)

    async def answer(self, request: Request, build: Build) -> JSONResponse:
        """Return the answer for the picture in the body of a request.

        The slot of the request is free when its work ends, even if its answer was sent before that.

        Raises:
            HTTPException: the request is rejected, its picture cannot be used, or its answer takes too long.
            ClientDisconnect: the client has disconnected.
        """
        record: RequestRecord = request.scope[RECORD]
        body, began = Body(request, self._options.limits), time.perf_counter()
        try:
            refuse_other_types(request.headers.get("content-type", ""))
            with contextlib.ExitStack() as held:
                held.enter_context(self._slots.acquire())
                content = await body.read()
                record.size, record.seconds["upload"] = len(content), time.perf_counter() - began
                work = asyncio.create_task(self._engine.answer(content, build, record))
                del content
                slot = held.pop_all()
                work.add_done_callback(lambda done: _finish(done, slot))
            return JSONResponse(await self._in_time(request, work, record))
        except ClientDisconnect:
            record.outcome = 499
            raise
        except HTTPException:
            await body.drain()
            raise

    async def _in_time(self, request: Request, work: "asyncio.Task[dict[str, Any]]", record: RequestRecord) -> Any:
        """Return the result of the work, unless the client disconnects or the time is over before."""
        gone = asyncio.create_task(_disconnection(request))
        seconds = self._options.answer_seconds
        try:
            done, _ = await asyncio.wait({work, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            record.abandoned = not work.done()
        if work in done:
            return work.result()
        if done:
            raise ClientDisconnect
        raise too_slow(seconds, record.running and record.seconds.get("wait", 0.0) < seconds / 2)


def too_slow(seconds: float, running: bool) -> HTTPException:
    """Return the failure of a request whose time is over.

    Args:
        seconds: the time.
        running: whether its prediction has taken most of it.

    Example:
        >>> too_slow(30, running=False).status_code, too_slow(30, running=True).status_code
        (503, 504)
    """
    if running:
        return HTTPException(
            504,
            f"the prediction took more than {seconds:g} s: send a smaller picture, or start the server with --timeout",
        )
    return HTTPException(
        503,
        f"the server is busy: there was no answer within {seconds:g} s; try again later",
        {"Retry-After": str(max(1, round(seconds)))},
    )


def refuse_other_types(media_type: str) -> None:
    """Raise an HTTPException (415) if a media type is not that of a picture.

    Args:
        media_type: the header Content-Type; an empty text is accepted.

    Example:
        >>> refuse_other_types("image/jpeg"), refuse_other_types("")
        (None, None)
    """
    kind = media_type.split(";")[0].strip().lower()
    if not kind or kind.startswith(ACCEPTED_TYPES):
        return
    cause = "a form" if kind.startswith("multipart/") else f"of the type {kind[:80]!r}"
    raise HTTPException(
        415, f"the body is {cause}: send the bytes of a picture, as image/jpeg, image/png or application/octet-stream"
    )


async def _disconnection(request: Request) -> None:
    """Return when the client disconnects; the body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _finish(work: "asyncio.Task[dict[str, Any]]", slot: contextlib.ExitStack) -> None:
    slot.close()
    if not work.cancelled():
        work.exception()  # otherwise asyncio would report it, although nobody waits for it
