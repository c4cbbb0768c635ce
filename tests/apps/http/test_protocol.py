"""Connections without requests, too many of them, and what is no HTTP."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deepgllim.apps.http import protocol
from deepgllim.apps.http.server import Server
from deepgllim.apps.web.page import serve
from tests.apps.http.served import POSE, ConstantPredictor, ask, get, picture


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(protocol, "CONNECTIONS", 4)
    with serve(ConstantPredictor(POSE), port=0) as server:
        yield server


def connection(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def rest(plain: socket.socket) -> bytes:
    """Return what a server sends until it closes the connection."""
    received = b""
    while chunk := plain.recv(65536):
        received += chunk
    return received


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_connection_without_a_head_is_closed(server: Server, start: bytes) -> None:
    with connection(server) as plain:
        plain.sendall(start)
        assert rest(plain) == b""


def test_the_second_head_of_a_connection_has_the_same_time(server: Server) -> None:
    with connection(server) as plain:
        plain.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT")
        assert rest(plain).startswith(b"HTTP/1.1 200")


def test_too_many_connections_are_refused_until_idle_ones_are_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 4)  # long enough for five connections on a busy machine
    with ExitStack() as held:
        idle = [held.enter_context(connection(server)) for _ in range(4)]
        head, _, body = rest(held.enter_context(connection(server))).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in head
        assert "try again" in json.loads(body)["error"]
        assert [rest(each) for each in idle] == [b""] * 4
        assert get(server.port).status == 200


def test_a_slow_answer_is_not_cut_by_the_time_for_a_head(server: Server) -> None:
    with connection(server) as plain:
        content = picture()
        plain.sendall(b"POST /api/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(content))
        time.sleep(1)
        plain.sendall(content)
        assert plain.recv(12) == b"HTTP/1.1 200"
    assert ask(server.port, content=picture()).status == 200


def test_what_is_no_http_is_answered_in_one_line_of_json(server: Server) -> None:
    with connection(server) as plain:
        plain.sendall(b"hello\r\n\r\n")
        head, _, body = rest(plain).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert "not valid HTTP" in json.loads(body)["error"]


def test_the_rest_of_a_body_has_the_time_of_a_head(server: Server) -> None:
    """The answer does not need the body, so that nothing else would end the connection."""
    with connection(server) as plain:
        plain.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        assert plain.recv(12) == b"HTTP/1.1 200"
        plain.sendall(b"x")
        rest(plain)  # returns when the server closes the connection


def test_a_bad_body_after_the_answer_closes_the_connection(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with connection(server) as plain:
        plain.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert plain.recv(12) == b"HTTP/1.1 200"
        plain.sendall(b"ZZ\r\n")
        rest(plain)
    assert "LocalProtocolError" not in caplog.text


def send_many(plain: socket.socket, request: bytes) -> None:
    for _ in range(10_000):
        plain.sendall(request)
        time.sleep(0.001)


def test_a_client_that_does_not_read_is_disconnected(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.5)
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", server.port))
        plain.settimeout(30)
        with pytest.raises(ConnectionError):
            send_many(plain, b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
