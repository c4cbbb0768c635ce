"""The ASGI application: the files of the page, and `POST /api/poses`, which the page uses."""

import html
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from string import Template
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from deepgllim.apps.http.answers import PosePredictor, count_pixels
from deepgllim.apps.http.failures import add_failure_handlers
from deepgllim.apps.http.guard import Guard, HostRule, host_rule
from deepgllim.apps.http.intake import Body, PixelBudget, RequestSlots
from deepgllim.apps.http.limits import Limits
from deepgllim.apps.web.answers import ResponseOptions, predict_response
from deepgllim.errors import DeepGLLiMError, ImageError
from deepgllim.pose.words import MIN_MODE_PROBABILITY

FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Names in the folder static of the files that the page loads, and their types."""

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


def create_app(
    predictor: PosePredictor,
    limits: Limits | None = None,
    *,
    examples: Sequence[bytes] = (),
    known_host: HostRule | None = None,
) -> FastAPI:
    """Return the application. It writes no files, opens no connections, and stores nothing between requests.

    Args:
        predictor: predictor of poses, which several threads can use.
        limits: limits of the requests.
        examples: contents of JPEG files for the examples of the page.
        known_host: rule for the accepted hosts; with None, the names of this machine.

    Example:
        >>> from deepgllim import HeadPose
        >>> app = create_app(HeadPose(), Limits(max_requests=4))  # doctest: +SKIP
    """
    limits = limits or Limits()
    app = FastAPI(
        title="deepgllim",
        openapi_url=None,  # the pages made from it load scripts from other servers
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Guard, known=known_host or host_rule())
    add_failure_handlers(app)
    add_page(app, limits, examples)
    _add_poses(app, _Service(predictor, limits), limits)
    return app


def _add_poses(app: FastAPI, service: "_Service", limits: Limits) -> None:
    slots = RequestSlots(limits.max_requests)

    @app.post("/api/poses")
    async def poses(request: Request, drawn: bool = False, conventions: bool = False) -> Response:
        """Return the poses of the picture in the body of a request."""
        body = Body(request, limits)
        try:
            with slots.acquire():
                return JSONResponse(await service.respond(await body.read(), ResponseOptions(drawn, conventions)))
        except HTTPException:
            await body.drain()
            raise


class _Service:
    """Decode pictures and predict poses in worker threads, within the limit of pixels."""

    def __init__(self, predictor: PosePredictor, limits: Limits) -> None:
        self._predictor, self._max_pixels = predictor, limits.max_pixels
        self._threads, self._pixels = CapacityLimiter(limits.workers), PixelBudget(limits.max_pixels)

    async def respond(self, content: bytes, options: ResponseOptions) -> dict[str, Any]:
        """Return the response for a picture.

        Raises:
            HTTPException: the picture is damaged or too large (422), or the model fails (500).
        """
        try:
            pixels = await self._run(partial(count_pixels, content, self._max_pixels))
            async with self._pixels.hold(pixels):
                return await self._run(partial(predict_response, self._predictor, content, options))
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except DeepGLLiMError as error:  # an error of the model: its message has paths of this machine
            _LOG.error("%s", error)
            raise HTTPException(500, "the prediction failed: see the log of the server") from error

    async def _run(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)


def add_page(app: FastAPI, limits: Limits, examples: Sequence[bytes]) -> None:
    """Add the files of the page to an application.

    Args:
        app: the application.
        limits: limits of the requests, which the page shows.
        examples: contents of JPEG files for the examples of the page.
    """
    folder = files("deepgllim.apps.web") / "static"
    contents = {name: ((folder / name).read_bytes(), kind) for name, kind in FILES.items()}
    names = [f"examples/{number}.jpg" for number in range(1, len(examples) + 1)]
    contents |= {name: (content, "image/jpeg") for name, content in zip(names, examples, strict=True)}
    page = Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        max_bytes=limits.max_bytes, least=MIN_MODE_PROBABILITY, examples="".join(map(_example, names))
    )
    contents[""] = (page.encode(), "text/html; charset=utf-8")
    for name, (content, kind) in contents.items():
        app.add_route(f"/{name}", _file_handler(content, kind))


def _file_handler(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def respond(_: Request) -> Response:
        """Return the file."""
        return Response(content, media_type=kind)

    return respond


def _example(name: str) -> str:
    number = html.escape(name.rpartition("/")[2].removesuffix(".jpg"))
    return f'<button type="button"><img src="{name}" width="107" height="80" alt="Example {number}"></button>'
