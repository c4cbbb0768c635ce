"""The page's server: uvicorn in a thread, on a socket that is bound before anything is said of it."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from deepgllim.apps.web.answers import PredictsPoses
from deepgllim.apps.web.limits import Limits
from deepgllim.errors import ConfigurationError

FIRST_PORT, PORTS = 7860, 100
"""Where a free port is looked for, and how many are tried."""

PATIENCE = 5
"""Seconds that requests in progress get when the server stops."""

CONNECTIONS = 500
"""Open at once; more are answered 503."""


class Server(NamedTuple):
    """A page that is being served.

    Attributes:
        url: where.
        port: that it listens at.
    """

    url: str
    port: int


@contextmanager
def serve(
    predictor: PredictsPoses,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    examples: Sequence[bytes] = (),
    limits: Limits | None = None,
    allow_hosts: Sequence[str] = (),
) -> Iterator[Server]:
    """Serve the page until the block ends.

    Args:
        predictor: of poses, for several threads.
        host: address to listen at; 127.0.0.1 is this machine alone.
        port: a free one from 7860 on when None.
        examples: PNG files to try.
        limits: of what is accepted.
        allow_hosts: names that the page is known by, beside its addresses.

    Raises:
        ConfigurationError: fastapi or uvicorn is not installed, or the address cannot be listened at.
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
            timeout_graceful_shutdown=PATIENCE,
        )
        bound = int(listening.getsockname()[1])
        with _running(uvicorn.Server(config), listening):
            yield Server(f"http://{_shown(host)}:{bound}/", bound)


@contextmanager
def _running(server: Any, listening: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="deepgllim-app")
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        if not server.started:
            raise ConfigurationError("the server did not start; its log says why")
        yield
    finally:
        server.should_exit = True
        thread.join()


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        ConfigurationError: the port is taken, or the address is none of this machine's.
    """
    if not host:
        raise ConfigurationError("host is empty: give --host an address, 0.0.0.0 for all of this machine's")
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
    remedy = "give --host an address of this machine" if isinstance(failure, socket.gaierror) else "give another --port"
    raise ConfigurationError(f"{where}: {_reason(failure)}; {remedy}") from failure


def _reason(error: OSError) -> str:
    if error.errno is None or isinstance(error, socket.gaierror):  # whose numbers are not the system's
        return error.strerror or str(error)
    return os.strerror(error.errno)  # without the address, which the message has already


def _shown(host: str) -> str:
    """The host of the address that is printed.

    Example:
        >>> _shown("0.0.0.0"), _shown("::1")
        ('127.0.0.1', '[::1]')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def load_uvicorn() -> Any:
    """The package uvicorn, and fastapi with it.

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
