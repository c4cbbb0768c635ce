"""What every request passes and every response carries: known hosts, our own pages alone, headers, no traceback."""

import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Sequence

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

HostRule = Callable[[str], bool]
"""Whether a name or address, without a port, is one of this server's."""

_LOG = logging.getLogger(__name__)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def host_rule(listening: str = "127.0.0.1", names: Sequence[str] = ()) -> HostRule:
    """The hosts that a server answers as; of a site that points its own name to this machine it is never one.

    Args:
        listening: the address it is bound to. If others can reach it, any address and the machine's name will do.
        names: further ones, such as that of a proxy before it.

    Example:
        >>> rule = host_rule(names=["Heads.example"])
        >>> [rule(host) for host in ("localhost", "127.0.0.1", "heads.example", "evil.example", "192.0.2.1")]
        [True, True, True, False, False]
        >>> host_rule("0.0.0.0")("192.0.2.1")
        True
    """
    known = {"localhost", listening.lower(), *(name.lower() for name in names)}
    local = is_local(listening)
    if not local:
        machine = socket.gethostname().lower()
        known |= {machine, f"{machine}.local"}

    def rule(host: str) -> bool:
        address = _address(host)
        return host in known or (address is not None and (not local or address.is_loopback))

    return rule


def is_local(host: str) -> bool:
    """Whether an address to listen at can be reached from this machine alone.

    Example:
        >>> is_local("localhost"), is_local("::1"), is_local("0.0.0.0")
        (True, True, False)
    """
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


class Guard:
    """ASGI middleware: refuse unknown hosts and other sites' requests; add the security headers; hide tracebacks.

    Args:
        app: what it stands before.
        known: the rule of hosts.
    """

    def __init__(self, app: ASGIApp, known: HostRule) -> None:
        self._app, self._known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        refused = refusal(scope["method"], Headers(scope=scope), self._known)
        app = self._app if refused is None else JSONResponse({"error": refused}, 403)
        try:
            await app(scope, receive, send_guarded)
        except Exception:  # a fault of ours: its traceback is for the log, not for visitors
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if begun:
                raise
            await JSONResponse({"error": "internal error: see the server's log"}, 500)(scope, receive, send_guarded)


def refusal(method: str, headers: Headers, known: HostRule) -> str | None:
    """Why a request is not answered; None if it is.

    A request that changes or costs something must come from a page of the same origin, or from no page at all.

    Example:
        >>> here = {"host": "localhost:7860"}
        >>> refusal("POST", Headers(here | {"origin": "http://localhost:7860"}), host_rule()) is None
        True
        >>> refusal("POST", Headers(here | {"origin": "http://evil.example"}), host_rule())
        "a page of 'http://evil.example' asks: this server answers its own page alone"
    """
    host = headers.get("host", "")
    parts = _AUTHORITY.fullmatch(host.lower())
    if parts is None or not known(parts[1].strip("[]")):
        return (
            f"host {host[:80]!r} is not one of this server's: open it by the address it printed, or start it with "
            "--allow-host if the name is yours"
        )
    if method in SAFE_METHODS:
        return None
    origin = headers.get("origin")
    if origin is None:
        elsewhere = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        return "another site asks: this server answers its own page alone" if elsewhere else None
    if _same_origin(origin.lower(), host.lower()):
        return None
    return f"a page of {origin[:80]!r} asks: this server answers its own page alone"


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, authority = origin.partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    return port is not None and authority.removesuffix(f":{port}") == host.removesuffix(f":{port}")
