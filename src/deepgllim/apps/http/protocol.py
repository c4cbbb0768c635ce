"""Connections with a limit of their number and of the time for the head of a request, and failures as JSON."""

import asyncio
import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 500
"""Largest number of open connections; further ones get the status 503 and are closed."""

HEAD_SECONDS = 10.0
"""Time in which the head of a request must arrive; then the connection is closed."""

WRITE_SECONDS = 30.0
"""Time in which a client must read an answer; then the connection is closed."""


class Connection(H11Protocol):
    """A connection of uvicorn."""

    _closing: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, or refuse it if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, "there are too many connections: try again in a second", (b"retry-after", b"1"))
        else:
            self._limit_time()

    def data_received(self, data: bytes) -> None:
        """Read data, and start or end the time for a head."""
        if not self.transport.is_closing():
            super().data_received(data)
            self._limit_time()

    def on_response_complete(self) -> None:
        """Prepare for the next request; the rest of a body that was not read has the time of a head."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._limit_time()

    def pause_writing(self) -> None:
        """Start the time in which a client must read what was sent."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """End this time."""
        self._end_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_time()
        self._end_stall()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(400, "the request is not valid HTTP/1.1: send it with a program for HTTP")

    def _limit_time(self) -> None:
        waits = self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE
        if not waits or self.transport.is_closing():
            self._end_time()
        elif self._closing is None:
            self._closing = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _end_time(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _refuse(self, status: int, error: str, *headers: tuple[bytes, bytes]) -> None:
        """Send a failure and close the connection."""
        self._end_time()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer has begun
            self.transport.close()
            return
        content = json.dumps({"error": error}).encode()
        length = (b"content-length", str(len(content)).encode())
        named = [(b"content-type", b"application/json"), length, (b"connection", b"close"), *headers]
        for event in (h11.Response(status_code=status, headers=named), h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
