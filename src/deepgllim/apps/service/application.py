"""The ASGI application of the service: `POST /v1/poses`, health, metrics, OpenAPI, and the page."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request, Response

from deepgllim import __version__
from deepgllim.apps.http.failures import add_failure_handlers
from deepgllim.apps.http.guard import Guard, HostRule, host_rule
from deepgllim.apps.service.batching import Batcher, BatchPredictor
from deepgllim.apps.service.contract import UPLOAD, poses_answer, poses_responses, responses
from deepgllim.apps.service.engine import Engine
from deepgllim.apps.service.handling import Handler
from deepgllim.apps.service.metrics import CONTENT_TYPE, Metrics
from deepgllim.apps.service.observer import Observer, is_stopping
from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.schema import State
from deepgllim.apps.web.answers import ResponseOptions, picture_response
from deepgllim.apps.web.application import add_page

STUCK = 4
"""A server whose batch runs for this multiple of the time for an answer is not healthy."""


def create_app(
    predictor: BatchPredictor,
    options: ServiceOptions | None = None,
    *,
    examples: Sequence[bytes] = (),
    known_host: HostRule | None = None,
) -> FastAPI:
    """Return the application. It writes no files, opens no connections, and stores nothing between requests.

    Args:
        predictor: predictor of poses, which several threads can use.
        options: limits of the requests, batches and times.
        examples: contents of JPEG files for the examples of the page.
        known_host: rule for the accepted hosts; with None, the names of this machine.

    Example:
        >>> from deepgllim import HeadPose
        >>> app = create_app(HeadPose(), ServiceOptions(batch_size=4))  # doctest: +SKIP
    """
    options = options or ServiceOptions()
    app = FastAPI(
        title="deepgllim",
        version=__version__,
        summary="Head poses in pictures, each with its uncertainty.",
        docs_url=None,  # its pages load scripts from other servers
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    metrics = Metrics(lambda: engine.batches.waiting())
    engine = Engine(predictor, options, metrics.observe_batch)
    add_failure_handlers(app)
    _add_poses(app, Handler(engine, options))
    _add_health(app, engine.batches, options.answer_seconds)
    _add_metrics(app, metrics)
    add_page(app, options.limits, examples)
    app.add_middleware(Guard, known=known_host or host_rule())
    paths = {path for route in app.routes if (path := getattr(route, "path", None))}
    app.add_middleware(Observer, metrics=metrics, paths=frozenset(paths))
    return app


def _add_poses(app: FastAPI, handler: Handler) -> None:
    @app.post("/v1/poses", openapi_extra=UPLOAD, responses=poses_responses(), tags=["poses"])
    async def poses(
        request: Request,
        level: Annotated[float, Query(gt=0, lt=1, description="probability of the intervals")] = 0.9,
    ) -> Response:
        """Return the poses of all faces in a picture."""
        return await handler.answer(request, partial(poses_answer, level=level))

    @app.post("/api/poses", include_in_schema=False)
    async def page_poses(request: Request, drawn: bool = False, conventions: bool = False) -> Response:
        """Return the answer that the page shows."""
        return await handler.answer(request, partial(picture_response, options=ResponseOptions(drawn, conventions)))


def _add_health(app: FastAPI, batches: Batcher, seconds: float) -> None:
    def check(longest: float) -> State:
        """Raise an HTTPException if a batch has been running for longer."""
        busy = batches.busy_seconds()
        if busy > longest:
            raise HTTPException(
                503, f"a prediction has been running for {busy:.0f} s, longer than {longest:g} s: restart the server"
            )
        return State(status="ok")

    @app.get("/healthz", responses=responses(403, 503), tags=["state"])
    async def health() -> State:
        """Return whether the server works; if it does not, it should be restarted."""
        return check(STUCK * seconds)

    @app.get("/readyz", responses=responses(403, 503), tags=["state"])
    async def readiness(request: Request) -> State:
        """Return whether the server should get requests: it is not about to stop, and no prediction is stuck."""
        if is_stopping(request.scope):
            raise HTTPException(503, "the server is about to stop: send requests to another one")
        return check(seconds)


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}

    @app.get("/metrics", response_class=Response, responses={200: text, **responses(403)}, tags=["state"])
    async def prometheus() -> Response:
        """Return the metrics of the server in the text format of Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)
