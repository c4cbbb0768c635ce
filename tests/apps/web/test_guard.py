"""Who may ask: hosts that are this server's, pages of its own origin."""

import socket

import pytest
from starlette.datastructures import Headers

from deepgllim.apps.web.guard import host_rule, is_local, refusal

HERE = {"host": "127.0.0.1:7860"}
FOREIGN = [
    *("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", "0.0.0.0"),
    *("", "[::1", "a@127.0.0.1", "127.0.0.1:7860:1", "127.0.0.1/", "2130706433", "[2001:db8::1]", "localhost:99999999"),
    "x" * 5000,
]
ELSEWHERE = [
    *({"origin": origin} for origin in ("http://evil.example", "null", "", "127.0.0.1:7860", "ftp://127.0.0.1:7860")),
    *({"origin": f"http://{host}"} for host in ("localhost:7860", "127.0.0.1:9999", "127.0.0.1:7860.evil.example")),
    *({"sec-fetch-site": site} for site in ("cross-site", "same-site")),
]
OURS = [
    *({}, {"origin": "http://127.0.0.1:7860"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}),
    {"host": "localhost:80", "origin": "http://localhost"},
    {"host": "localhost", "origin": "https://LOCALHOST:443"},
]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "127.0.0.1", "localhost:1", "LOCALHOST:7860", "[::1]:7860", "127.0.0.2"]
)
def test_this_machine_by_any_of_its_names(host: str) -> None:
    assert refusal("GET", Headers({"host": host}), host_rule()) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_is_not_ours_is_refused_in_one_line(host: str) -> None:
    refused = refusal("GET", Headers({"host": host}), host_rule())
    assert refused is not None
    assert "--allow-host" in refused
    assert len(refused) < 300
    assert "\n" not in refused


def test_without_a_host_nothing_is_answered() -> None:
    assert refusal("GET", Headers({}), host_rule()) is not None


def test_beyond_this_machine_addresses_are_known_and_foreign_names_are_not() -> None:
    rule = host_rule("0.0.0.0", ["heads.example"])
    assert rule("192.0.2.1")
    assert rule("2001:db8::1")
    assert rule("heads.example")
    assert rule(socket.gethostname().lower())
    assert not rule("evil.example")  # a site that points its own name to this machine


def test_is_local() -> None:
    assert all(map(is_local, ("127.0.0.1", "::1", "localhost", "127.9.9.9")))
    assert not any(map(is_local, ("0.0.0.0", "::", "heads.example", "192.0.2.1")))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("headers", ELSEWHERE)
def test_other_sites_are_refused(method: str, headers: dict[str, str]) -> None:
    refused = refusal(method, Headers(HERE | headers), host_rule())
    assert refused is not None
    assert "its own page alone" in refused


@pytest.mark.parametrize("headers", OURS)
def test_our_page_and_programs_may_ask(headers: dict[str, str]) -> None:
    assert refusal("POST", Headers(HERE | headers), host_rule()) is None


def test_a_link_from_another_site_may_be_followed() -> None:
    assert refusal("GET", Headers(HERE | {"sec-fetch-site": "cross-site"}), host_rule()) is None
