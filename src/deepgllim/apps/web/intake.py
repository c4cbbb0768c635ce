"""What comes in: the bytes of a request within a limit, and how many requests and pixels there are at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

from deepgllim.apps.web.limits import Limits, millions

DRAIN_BYTES, DRAIN_SECONDS = 200_000_000, 10.0
"""How much of a refused upload is read and dropped: most clients read the answer only after they sent everything."""


class Body:
    """A request's body, read piece by piece into memory and never to the disk.

    Args:
        request: whose body nobody has read yet.
        limits: of bytes and seconds.
    """

    def __init__(self, request: Request, limits: Limits) -> None:
        self._request, self._limits = request, limits
        self._begun = self._ended = False

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            HTTPException: it is empty (422), longer than the limit (413), too slow (408), or wrapped (415).
        """
        self._check_headers()
        content = bytearray()
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                async for piece in self._pieces():
                    content += piece
                    self._check_size(len(content))
        except TimeoutError as error:
            raise HTTPException(408, "the upload took too long: send it again, or a smaller picture") from error
        if not content:
            raise HTTPException(422, "the request is empty: send the picture's bytes as its body")
        return bytes(content)

    async def drain(self) -> None:
        """Read what is left and drop it, within limits, so that the client gets to read the answer."""
        waits = self._request.headers.get("expect", "").lower() == "100-continue"
        if self._ended or (waits and not self._begun):  # such a client sends nothing unless asked
            return
        left = DRAIN_BYTES
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(DRAIN_SECONDS):
                async for piece in self._pieces():
                    left -= len(piece)
                    if left < 0:
                        return

    async def _pieces(self) -> AsyncIterator[bytes]:
        while not self._ended:
            self._begun = True
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                self._ended = True
                raise ClientDisconnect
            self._ended = not message.get("more_body", False)
            yield message.get("body", b"")

    def _check_headers(self) -> None:
        headers = self._request.headers
        if headers.get("content-type", "").lower().startswith("multipart/"):
            raise HTTPException(415, "a form was sent: send the picture's bytes alone, as the body of the request")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "the body is compressed: send the picture's bytes as they are")
        self._check_size(int(headers.get("content-length", "0")))

    def _check_size(self, size: int) -> None:
        most = self._limits.max_bytes
        if size > most:
            raise HTTPException(413, f"more than {millions(most)} MB: send a smaller file")


class Places:
    """How many requests are in progress at once; one more is refused, and none waits outside.

    Args:
        count: of places.
    """

    def __init__(self, count: int) -> None:
        self._free = count

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            HTTPException: all are taken (429).
        """
        if not self._free:
            raise HTTPException(429, "too many pictures at once: try again in a second", {"Retry-After": "1"})
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class PixelBudget:
    """How many pixels are decoded at once; who asks for more waits, first come, first served.

    Args:
        most: pixels; nobody may ask for more.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._turn = asyncio.Lock()
        self._returned = asyncio.Event()

    @contextlib.asynccontextmanager
    async def hold(self, pixels: int) -> AsyncIterator[None]:
        """Wait for so many pixels, hold them, give them back."""
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
