"""The server of the page: uvicorn in a thread."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from deepgllim.apps.web.answers import PosePredictor
from deepgllim.apps.web.limits import Limits
from deepgllim.errors import ConfigurationError

FIRST_PORT, PORTS = 7860, 100
"""The first port that is tried, and the number of tried ports."""

SHUTDOWN_SECONDS = 5
"""Time for the requests in progress when the server stops."""

CONNECTIONS = 500
"""Largest number of open connections; further ones get the status 503."""


class Server(NamedTuple):
    """A running server.

    Attributes:
        url: address of the page.
        port: port of the server.
    """

    url: str
    port: int


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
        examples: contents of PNG files for the examples of the page.
        limits: limits of the requests.
        allow_hosts: additional host names that are accepted.

    Raises:
        ConfigurationError: fastapi or uvicorn is not installed, or the address cannot be used.
    """
    uvicorn = load_uvicorn()
    from deepgllim.apps.web.application import create_app
    from deepgllim.apps.web.guard import host_rule

    with closing(listen(host, port)) as listening:
        app = create_app(predictor, limits, examples=examples, known_host=host_rule(host, allow_hosts))
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        bound = int(listening.getsockname()[1])
        with _running(uvicorn.Server(config), listening):
            yield Server(f"http://{_printed_host(host)}:{bound}/", bound)


@contextmanager
def _running(server: Any, listening: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="deepgllim-app")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if not server.started:
            raise ConfigurationError("the server did not start: see its log")
        yield
    finally:
        server.should_exit = True
        thread.join()


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        ConfigurationError: the port is in use, or the address does not belong to this machine.
    """
    if not host:
        raise ConfigurationError("host is empty: give an address of this machine with --host, or 0.0.0.0 for all")
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    for tried in ports:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, tried), family=family, backlog=128)
        except OSError as error:
            failure = error
            if isinstance(error, socket.gaierror):
                break
    where = f"{host}: no port from {ports[0]} to {ports[-1]}" if port is None else f"port {port} at {host}"
    remedy = (
        "give an address of this machine with --host" if isinstance(failure, socket.gaierror) else "give another --port"
    )
    raise ConfigurationError(f"{where}: {_reason(failure)}; {remedy}") from failure


def _reason(error: OSError) -> str:
    if error.errno is None or isinstance(error, socket.gaierror):  # their numbers are not system error codes
        return error.strerror or str(error)
    return os.strerror(error.errno)  # the text of the error repeats the address


def _printed_host(host: str) -> str:
    """Return the host in the printed address.

    Example:
        >>> _printed_host("0.0.0.0"), _printed_host("::1")
        ('127.0.0.1', '[::1]')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def load_uvicorn() -> Any:
    """Import fastapi and return the module uvicorn.

    Raises:
        ConfigurationError: one of them is not installed.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ConfigurationError(
            f"the page needs fastapi and uvicorn ({error}): pip install 'deepgllim[app]'"
        ) from error
    return uvicorn
