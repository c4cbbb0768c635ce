"""uvicorn in a thread, on a socket that was opened before: `running_server`."""

import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NamedTuple

from deepgllim.errors import ConfigurationError

_WRONG_ADDRESS = (errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENODEV)
"""Errors of an address that does not belong to this machine, or lacks its interface."""


class Server(NamedTuple):
    """A running server.

    Attributes:
        url: address of the page.
        port: port of the server.
    """

    url: str
    port: int


@contextmanager
def running_server(app: Any, listening: socket.socket, host: str, stop_seconds: float) -> Iterator[Server]:
    """Run an application until the block ends, and then until the requests in progress are answered.

    Args:
        app: the ASGI application.
        listening: a socket that `listen` returned.
        host: the host of its address, for the address that is shown.
        stop_seconds: longest time for the requests in progress when the block ends.

    Raises:
        ConfigurationError: uvicorn is not installed, or it does not start.
    """
    import uvicorn

    from deepgllim.apps.http.protocol import Connection

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(stop_seconds)),
    )
    bound = int(listening.getsockname()[1])
    with _running(uvicorn.Server(config), listening):
        yield Server(f"http://{_printed_host(host)}:{bound}/", bound)


@contextmanager
def _running(server: Any, listening: socket.socket) -> Iterator[None]:
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="deepgllim-server")
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


def listen(host: str, ports: Sequence[int]) -> socket.socket:
    """Return a socket that listens on the first port that is free.

    Args:
        host: an address of this machine.
        ports: the ports that are tried, at least one; 0 for any free port.

    Raises:
        ConfigurationError: all ports are in use, or the address does not belong to this machine.
    """
    if not host:
        raise ConfigurationError("host is empty: give an address of this machine with --host, or 0.0.0.0 for all")
    family = _family(host)
    for tried in ports:
        try:
            listening = socket.create_server((host, tried), family=family, backlog=128)
            # accepted sockets inherit it; without it, the end of an answer waits 40 ms for the client's acknowledgement
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return listening
        except OSError as error:
            failure = error
            if error.errno in _WRONG_ADDRESS:
                break
    several = len(ports) > 1
    where = f"{host}: no port from {ports[0]} to {ports[-1]}" if several else f"port {ports[0]} at {host}"
    raise ConfigurationError(f"{where}: {_reason(failure)}; {_remedy(failure)}") from failure


def _family(host: str) -> socket.AddressFamily:
    """Return the family of the addresses of a host, that of IPv4 if it has one.

    Raises:
        ConfigurationError: the host has no address.
    """
    with suppress(ValueError):
        return socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
    try:
        found = {each[0] for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    except (OSError, ValueError, TypeError) as error:  # gaierror; a name that cannot be encoded
        raise ConfigurationError(
            f"host {host[:80]!r} has no address: give an address of this machine with --host"
        ) from error
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6


def _reason(error: OSError) -> str:
    return str(error) if error.errno is None else os.strerror(error.errno)  # the text of the error repeats the address


def _remedy(error: OSError) -> str:
    if error.errno in _WRONG_ADDRESS:
        return "give an address of this machine with --host"
    if isinstance(error, PermissionError):
        return "give another --port, from 1024 on"
    return "give another --port"


def _printed_host(host: str) -> str:
    """Return the host in the printed address.

    Example:
        >>> _printed_host("0.0.0.0"), _printed_host("::1")
        ('127.0.0.1', '[::1]')
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def load_server(extra: str, *others: str) -> None:
    """Import fastapi, uvicorn and other modules, to find what is missing before a model is loaded.

    Args:
        extra: the extra of this package that installs them.
        others: names of further modules.

    Raises:
        ConfigurationError: one of them is not installed.
    """
    names = ("fastapi", "uvicorn", *others)
    try:
        for name in names:
            import_module(name)
    except ImportError as error:
        needed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise ConfigurationError(f"the server needs {needed} ({error}): pip install 'deepgllim[{extra}]'") from error
