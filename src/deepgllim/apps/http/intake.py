"""Limits of the requests in progress: bytes of each body, number of requests, number of decoded pixels."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from deepgllim.apps.http.limits import Limits, millions

DRAIN_BYTES, DRAIN_SECONDS = 200_000_000, 10.0
"""Limits for reading the rest of a rejected upload: most clients read the response only after they sent everything."""


class Body:
    """The body of a request, read into memory in chunks.

    Args:
        request: the request; its body must be unread.
        limits: limits of bytes and seconds.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request, self._limits = request, limits
        self._started = self._ended = False

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            HTTPException: it is empty (422), larger than the limit (413), too slow (408), or not plain bytes (415).
        """
        self._check_headers()
        content = bytearray()
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                async for chunk in self._chunks():
                    content += chunk
                    self._check_size(len(content))
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long: send it again, or send a smaller picture") from error
        if not content:
            raise HTTPException(422, "the request is empty: send the bytes of a picture as its body")
        return bytes(content)

    async def drain(self) -> None:
        """Read and discard the rest of the body, within limits, so that the client reads the response."""
        waits = self._request.headers.get("expect", "").lower() == "100-continue"
        if self._ended or (waits and not self._started):  # such a client sends nothing without a request
            return
        left = DRAIN_BYTES
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for chunk in self._chunks():
                    left -= len(chunk)
                    if left < 0:
                        return

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not self._ended:
            self._started = True
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self._ended = True
                raise ClientDisconnect
            self._ended = not message.get("more_body", False)
            yield message.get("body", b"")

    def _check_headers(self) -> None:
        headers = self._request.headers
        if headers.get("content-type", "").lower().startswith("multipart/"):
            raise HTTPException(415, "the body is a form: send the bytes of the picture as the body of the request")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "the body is compressed: send the bytes of the picture without compression")
        self._check_size(int(headers.get("content-length", "0")))

    def _check_size(self, size: int) -> None:
        limit = self._limits.max_bytes
        if size > limit:
            raise HTTPException(413, f"the file has more than {millions(limit)} MB: send a smaller file")


class RequestSlots:
    """A limited number of requests in progress; further requests are rejected.

    Args:
        count: number of slots.
    """

    def __init__(self, count: int) -> None:
        self._free = count

    @contextlib.contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            HTTPException: no slot is free (429).
        """
        if not self._free:
            raise HTTPException(429, "too many requests: try again in a second", {"Retry-After": "1"})
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class PixelBudget:
    """A limited number of pixels decoded at once; further requests wait, in the order of their arrival.

    Args:
        total: number of pixels; a single request must not exceed it.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @contextlib.asynccontextmanager
    async def hold(self, pixels: int) -> AsyncIterator[None]:
        """Wait until a number of pixels is free, and hold them."""
        async with self._turn:
            while self._free < pixels:
                self._returned.clear()
                await self._returned.wait()
            self._free -= pixels
        try:
            yield
        finally:
            self._free += pixels
            self._returned.set()
