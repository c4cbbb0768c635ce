"""Accepted hosts and origins of requests."""

import socket

import pytest
from starlette.datastructures import Headers

from deepgllim.apps.http.guard import host_rule, is_local, rejection_reason

HERE = {"host": "127.0.0.1:7860"}
OTHER_HOSTS = [
    *("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "0.0.0.0"),
    *("", "[::1", "a@127.0.0.1", "127.0.0.1:7860:1", "127.0.0.1/", "2130706433", "[2001:db8::1]", "localhost:99999999"),
    "x" * 5000,
]
OTHER_SITES = [
    *({"origin": origin} for origin in ("http://evil.example", "null", "", "127.0.0.1:7860", "ftp://127.0.0.1:7860")),
    *({"origin": f"http://{host}"} for host in ("localhost:7860", "127.0.0.1:9999", "127.0.0.1:7860.evil.example")),
    *({"sec-fetch-site": site} for site in ("cross-site", "same-site")),
]
ACCEPTED = [
    *({}, {"origin": "http://127.0.0.1:7860"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}),
    {"host": "localhost:80", "origin": "http://localhost"},
    {"host": "localhost", "origin": "https://LOCALHOST:443"},
]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "127.0.0.1", "localhost:1", "LOCALHOST:7860", "[::1]:7860", "127.0.0.2"]
)
def test_names_of_this_machine_are_accepted(host: str) -> None:
    assert rejection_reason("GET", Headers({"host": host}), host_rule()) is None


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_other_hosts_are_rejected_with_one_line(host: str) -> None:
    reason = rejection_reason("GET", Headers({"host": host}), host_rule())
    assert reason is not None
    assert "--allow-host" in reason
    assert len(reason) < 300
    assert "\n" not in reason


def test_a_request_without_a_host_is_rejected() -> None:
    assert rejection_reason("GET", Headers({}), host_rule()) is not None


def test_a_public_server_accepts_addresses_and_its_own_names() -> None:
    rule = host_rule("0.0.0.0", ["heads.example"])
    assert rule("192.0.2.1")
    assert rule("2001:db8::1")
    assert rule("heads.example")
    assert rule(socket.gethostname().lower())
    assert not rule("evil.example")  # DNS rebinding


def test_is_local() -> None:
    assert all(map(is_local, ("127.0.0.1", "::1", "localhost", "127.9.9.9")))
    assert not any(map(is_local, ("0.0.0.0", "::", "heads.example", "192.0.2.1")))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("headers", OTHER_SITES)
def test_requests_of_other_sites_are_rejected(method: str, headers: dict[str, str]) -> None:
    reason = rejection_reason(method, Headers(HERE | headers), host_rule())
    assert reason is not None
    assert "only requests of its own page" in reason


@pytest.mark.parametrize("headers", ACCEPTED)
def test_requests_of_the_own_page_and_of_programs_are_accepted(headers: dict[str, str]) -> None:
    assert rejection_reason("POST", Headers(HERE | headers), host_rule()) is None


def test_a_link_from_another_site_is_accepted() -> None:
    assert rejection_reason("GET", Headers(HERE | {"sec-fetch-site": "cross-site"}), host_rule()) is None
