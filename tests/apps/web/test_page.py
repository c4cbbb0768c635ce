"""Addresses and ports of the server, and missing packages."""

import socket
import sys

import pytest

from deepgllim.apps.http.server import listen
from deepgllim.apps.web.page import FIRST_PORT, PORTS, serve
from deepgllim.errors import ConfigurationError
from tests.apps.http.served import POSE, ConstantPredictor, ask, get, picture


def test_the_default_is_a_free_port_of_this_machine() -> None:
    with serve(ConstantPredictor(POSE)) as first, serve(ConstantPredictor(POSE)) as second:
        assert first.url == f"http://127.0.0.1:{first.port}/"
        assert first.port != second.port
        assert {first.port, second.port} <= set(range(FIRST_PORT, FIRST_PORT + PORTS))
        assert get(second.port).status == 200


def test_a_port_in_use_gives_an_error_of_one_line() -> None:
    with listen("127.0.0.1", [0]) as taken:
        port = taken.getsockname()[1]
        expected = rf"^port {port} at 127\.0\.0\.1: Address already in use; give another --port$"
        with pytest.raises(ConfigurationError, match=expected), serve(ConstantPredictor(), port=port):
            pass


def test_a_port_can_be_reused_immediately() -> None:
    with serve(ConstantPredictor(POSE), port=0) as server:
        assert ask(server.port, content=picture()).status == 200
    with serve(ConstantPredictor(POSE), port=server.port) as again:
        assert get(again.port).status == 200


def test_the_printed_address_can_be_opened() -> None:
    with serve(ConstantPredictor(POSE), host="0.0.0.0", port=0, allow_hosts=["heads.example"]) as server:
        assert server.url == f"http://127.0.0.1:{server.port}/"
        assert get(server.port, host="heads.example").status == 200
        assert get(server.port, host="192.0.2.1:80").status == 200
        assert get(server.port, host="evil.example").status == 403


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_ipv6() -> None:
    try:
        listening = listen("::1", [0])
    except ConfigurationError as error:
        pytest.skip(f"needs an IPv6 loopback: {error}")
    listening.close()
    with serve(ConstantPredictor(POSE), host="::1", port=0) as server:
        assert server.url.startswith("http://[::1]:")


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_missing_package_is_reported_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with (
        pytest.raises(ConfigurationError, match=rf"{package}.*pip install 'deepgllim\[app\]'"),
        serve(ConstantPredictor()),
    ):
        pass


def test_a_server_that_does_not_start_gives_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    with pytest.raises(ConfigurationError, match="did not start"), serve(ConstantPredictor(), port=0):
        pass
