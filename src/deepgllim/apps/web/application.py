"""The ASGI application: the page's files, and `POST /api/poses`, which the page itself uses."""

import html
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from string import Template
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from deepgllim.apps.web.answers import PredictsPoses, Wanted, answer, count_pixels
from deepgllim.apps.web.guard import Guard, HostRule, host_rule
from deepgllim.apps.web.intake import Body, PixelBudget, Places
from deepgllim.apps.web.limits import Limits
from deepgllim.errors import DeepGLLiMError, ImageError
from deepgllim.pose.words import MIN_MODE_PROBABILITY

FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What the page loads, beside the examples: names in the folder static, and their types."""

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


def create_app(
    predictor: PredictsPoses,
    limits: Limits | None = None,
    *,
    examples: Sequence[bytes] = (),
    known_host: HostRule | None = None,
) -> FastAPI:
    """Make the application. It writes no file, opens no connection, and keeps nothing between requests.

    Args:
        predictor: of poses, for several threads.
        limits: of what it accepts.
        examples: PNG files to try.
        known_host: the hosts it answers as; those of this machine alone when None.

    Example:
        >>> from deepgllim import HeadPose
        >>> app = create_app(HeadPose(), Limits(max_requests=4))  # doctest: +SKIP
    """
    limits = limits or Limits()
    app = FastAPI(
        title="deepgllim",
        openapi_url=None,  # nor the pages made of it, which load scripts from elsewhere
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.add_middleware(Guard, known=known_host or host_rule())
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unusable)
    app.add_exception_handler(ClientDisconnect, _gone)
    _add_page(app, limits, examples)
    _add_poses(app, _Service(predictor, limits), limits)
    return app


def _add_poses(app: FastAPI, service: "_Service", limits: Limits) -> None:
    places = Places(limits.max_requests)

    @app.post("/api/poses")
    async def poses(request: Request, drawn: bool = False, conventions: bool = False) -> Response:
        body = Body(request, limits)
        try:
            with places.one():
                return JSONResponse(await service.answer(await body.read(), Wanted(drawn, conventions)))
        except HTTPException:
            await body.drain()
            raise


class _Service:
    """Decodes and predicts in threads of its own, within the limit of pixels."""

    def __init__(self, predictor: PredictsPoses, limits: Limits) -> None:
        self._predictor, self._most = predictor, limits.max_pixels
        self._threads, self._pixels = CapacityLimiter(limits.workers), PixelBudget(limits.max_pixels)

    async def answer(self, content: bytes, wanted: Wanted) -> dict[str, Any]:
        """What is said of a picture.

        Raises:
            HTTPException: the picture is damaged or too large (422), or the model fails (500).
        """
        try:
            pixels = await self._run(partial(count_pixels, content, self._most))
            async with self._pixels.hold(pixels):
                return await self._run(partial(answer, self._predictor, content, wanted))
        except ImageError as error:
            raise HTTPException(422, str(error)) from error
        except DeepGLLiMError as error:  # of the model: its message names files of this machine
            _LOG.error("%s", error)
            raise HTTPException(500, "the model fails on this picture: see the server's log") from error

    async def _run(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._threads)


def _add_page(app: FastAPI, limits: Limits, examples: Sequence[bytes]) -> None:
    folder = files("deepgllim.apps.web") / "static"
    contents = {name: ((folder / name).read_bytes(), kind) for name, kind in FILES.items()}
    names = [f"examples/{number}.png" for number in range(1, len(examples) + 1)]
    contents |= {name: (content, "image/png") for name, content in zip(names, examples, strict=True)}
    page = Template((folder / "page.html").read_text(encoding="utf-8")).substitute(
        max_bytes=limits.max_bytes, least=MIN_MODE_PROBABILITY, examples="".join(map(_example, names))
    )
    contents[""] = (page.encode(), "text/html; charset=utf-8")
    for name, (content, kind) in contents.items():
        app.add_route(f"/{name}", _giving(content, kind))


def _giving(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_: Request) -> Response:
        return Response(content, media_type=kind)

    return give


def _example(name: str) -> str:
    number = html.escape(name.rpartition("/")[2].removesuffix(".png"))
    return f'<button type="button"><img src="{name}" width="80" height="80" alt="Example {number}"></button>'


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _unusable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
    return JSONResponse({"error": wrong}, 422)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it
