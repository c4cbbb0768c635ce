"""The socket of the server: addresses and ports that cannot be used."""

import errno
import socket

import pytest

from deepgllim.apps.http.server import listen, load_server
from deepgllim.errors import ConfigurationError


@pytest.mark.parametrize("host", ["", "192.0.2.1", "127.0.0.1:80", "nowhere.invalid"])
@pytest.mark.parametrize("ports", [range(7860, 7864), (0,)])
def test_an_address_of_another_machine_gives_an_error_of_one_line(host: str, ports: range | tuple[int]) -> None:
    with pytest.raises(ConfigurationError, match=r"give .*--") as caught:
        listen(host, ports)
    assert "\n" not in str(caught.value)


def test_the_first_free_port_is_taken() -> None:
    with listen("127.0.0.1", [0]) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.1", (port, 0)) as other:
            assert other.getsockname()[1] not in (0, port)


def test_a_port_without_permission_gives_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "refused")

    monkeypatch.setattr(socket, "create_server", refuse)
    expected = r"^port 80 at 127\.0\.0\.1: Permission denied; give another --port, from 1024 on$"
    with pytest.raises(ConfigurationError, match=expected):
        listen("127.0.0.1", [80])


def test_a_missing_package_is_reported_with_its_extra() -> None:
    with pytest.raises(ConfigurationError, match=r"fastapi, uvicorn and nothing_of_this_name .*\[serve\]"):
        load_server("serve", "nothing_of_this_name")


def test_accepted_connections_send_without_delay() -> None:
    """With Nagle's algorithm the body of an answer waits for the acknowledgement of its head, 40 ms."""
    with listen("127.0.0.1", [0]) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
