"""Checks of host and origin of every request, security headers of every response, and handling of failures."""

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
"""A function that returns whether a host name or address, without a port, belongs to this server."""

_LOG = logging.getLogger(__name__)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def host_rule(listening: str = "127.0.0.1", names: Sequence[str] = ()) -> HostRule:
    """Return the rule for the accepted hosts, which protects against DNS rebinding.

    Args:
        listening: the address of the server. If other machines can reach it, all addresses and the name of this machine
            are accepted.
        names: additional names, such as that of a proxy.

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
        """Return whether the host is accepted."""
        address = _address(host)
        return host in known or (address is not None and (not local or address.is_loopback))

    return rule


def is_local(host: str) -> bool:
    """Return whether an address can only be reached from this machine.

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
    """ASGI middleware that rejects unknown hosts and other sites, adds security headers and hides tracebacks.

    Args:
        app: the wrapped application.
        known: rule for the accepted hosts.
    """

    def __init__(self, app: ASGIApp, known: HostRule) -> None:
        self._app, self._known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject a request, or pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            """Add the security headers."""
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        reason = rejection_reason(scope["method"], Headers(scope=scope), self._known)
        app = self._app if reason is None else JSONResponse({"error": reason}, 403)
        try:
            await app(scope, receive, send_guarded)
        except Exception:  # an internal error: its traceback goes to the log only
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            failure = JSONResponse({"error": "internal error: see the log of the server"}, 500)
            await failure(scope, receive, send_guarded)


def rejection_reason(method: str, headers: Headers, known: HostRule) -> str | None:
    """Return why a request is rejected, or None if it is accepted.

    A request with another method than GET, HEAD or OPTIONS must come from a page of the same origin or from a program.

    Example:
        >>> here = {"host": "localhost:7860"}
        >>> rejection_reason("POST", Headers(here | {"origin": "http://localhost:7860"}), host_rule()) is None
        True
        >>> rejection_reason("POST", Headers(here | {"origin": "http://evil.example"}), host_rule())
        "the request comes from 'http://evil.example': this server accepts only requests of its own page"
    """
    host = headers.get("host", "")
    parts = _AUTHORITY.fullmatch(host.lower())
    if parts is None or not known(parts[1].strip("[]")):
        return (
            f"host {host[:80]!r} is not a name of this server: open the address that it printed, or start it with "
            "--allow-host NAME"
        )
    if method in SAFE_METHODS:
        return None
    origin = headers.get("origin")
    if origin is None:
        if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
            return None
        return "the request comes from another site: this server accepts only requests of its own page"
    if _same_origin(origin.lower(), host.lower()):
        return None
    return f"the request comes from {origin[:80]!r}: this server accepts only requests of its own page"


def _same_origin(origin: str, host: str) -> bool:
    scheme, _, authority = origin.partition("://")
    port = _DEFAULT_PORTS.get(scheme)
    return port is not None and authority.removesuffix(f":{port}") == host.removesuffix(f":{port}")
