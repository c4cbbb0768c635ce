"""ASGI middleware that measures every request: its log line, its metrics, and its header X-Request-ID."""

import logging
import time
from collections.abc import Container

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepgllim.apps.service.handling import RECORD
from deepgllim.apps.service.metrics import Metrics
from deepgllim.apps.service.record import RequestRecord, identifier

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OTHER = "other"
"""The path of requests without a route, and the method of unusual ones: logs and metrics contain no text of clients."""

QUIET = ("/healthz", "/readyz", "/metrics")
"""Paths whose requests are logged only if they fail."""

_LOG = logging.getLogger(__name__)


def is_stopping(scope: Scope) -> bool:
    """Return whether the server of a request is about to stop."""
    return bool(getattr(scope["app"].state, "stopping", False))


class Observer:
    """ASGI middleware for log lines and metrics.

    Args:
        app: the wrapped application.
        metrics: the metrics.
        paths: paths of the routes.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Container[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, and record its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = scope[RECORD] = RequestRecord(identifier(Headers(scope=scope).get("x-request-id")))
        status = 0

        async def send_observed(message: Message) -> None:
            """Add the header and note the status."""
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = record.identifier
                if is_stopping(scope):  # the client sends its next request to another server
                    headers["Connection"] = "close"
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, send_observed)
        finally:
            self._metrics.in_progress.dec()
            self._finish(scope, record, record.outcome or status or 500)

    def _finish(self, scope: Scope, record: RequestRecord, status: int) -> None:
        path = scope["path"] if scope["path"] in self._paths else OTHER
        method = scope["method"] if scope["method"] in METHODS else OTHER
        self._metrics.observe_request(record, method, path, status)
        if path in QUIET and status < 400:
            return
        seconds = round(time.perf_counter() - record.began, 6)
        fields = {"method": method, "path": path, "status": status, "seconds": seconds, **record.fields()}
        _LOG.log(logging.WARNING if status >= 500 else logging.INFO, "request", extra={"fields": fields})
