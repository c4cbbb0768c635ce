"""The server of the page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from deepgllim.apps.http.answers import PosePredictor
from deepgllim.apps.http.limits import Limits
from deepgllim.apps.http.server import Server, listen, load_server, running_server

FIRST_PORT, PORTS = 7860, 100
"""The first port that is tried, and the number of tried ports."""

STOP_SECONDS = 5
"""Time for the requests in progress when the server stops."""


@contextmanager
def serve(
    predictor: PosePredictor,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    examples: Sequence[bytes] = (),
    limits: Limits | None = None,
    allow_hosts: Sequence[str] = (),
) -> Iterator[Server]:
    """Serve the page until the block ends.

    Args:
        predictor: predictor of poses, which several threads can use.
        host: address to listen on; 127.0.0.1 accepts connections of this machine only.
        port: port to listen on; with None, the first free one from 7860.
        examples: contents of JPEG files for the examples of the page.
        limits: limits of the requests.
        allow_hosts: additional host names that are accepted.

    Raises:
        ConfigurationError: fastapi or uvicorn is not installed, or the address cannot be used.
    """
    load_server("app")
    from deepgllim.apps.http.guard import host_rule
    from deepgllim.apps.web.application import create_app

    listening = listen(host, range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,))
    with listening:
        app = create_app(predictor, limits, examples=examples, known_host=host_rule(host, allow_hosts))
        with running_server(app, listening, host, STOP_SECONDS) as server:
            yield server
