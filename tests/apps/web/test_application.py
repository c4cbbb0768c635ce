"""The application on a real socket: responses, rejected requests, and concurrent requests."""

import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import pytest
from PIL import Image

from deepgllim.apps.http.limits import Limits
from deepgllim.apps.http.server import Server
from deepgllim.apps.web.page import serve
from deepgllim.errors import ModelError
from deepgllim.pose.result import Pose
from tests.apps.http.served import (
    HOSTILE,
    POSE,
    STRANGE,
    Answer,
    ConstantPredictor,
    RecordingPredictor,
    ask,
    get,
    picture,
    png_header,
)

ABSENT = [
    *("/static/", "/static/page.html", "/examples/", "/examples/0.jpg", "/examples/3.jpg", "/examples/1.jpg%00.txt"),
    *("/docs", "/redoc", "/openapi.json", "/../../etc/passwd", "/examples/..%2f..%2fetc%2fpasswd", "//etc/passwd"),
    *("/page.css/../../page.py", "/file=/etc/passwd", "/gradio_api/file=/etc/passwd", "/gradio_api/upload"),
    *("/api/poses/..%2f..", "/api/poses?url=http://127.0.0.1:9/"),
]
LIMITS = Limits(max_bytes=100_000, max_pixels=1_000_000, max_requests=64)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(ConstantPredictor(POSE, STRANGE), port=0, examples=[picture(), picture(9)], limits=LIMITS) as server:
        yield server


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait until a condition is true, or fail after 30 seconds."""
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("the condition did not become true")


def one_line(answer: Answer) -> str:
    """Return the error of a response, after checks that hold for all errors."""
    assert set(answer.json) == {"error"}
    text = answer.json["error"]
    assert isinstance(text, str)
    assert "\n" not in text
    assert "Traceback" not in text
    without_types = re.sub(r"http://|(image|application|text|multipart)/", "", text)
    assert not re.search(r"(?<!and)/\w", without_types), text  # no path of the server
    return text


def test_the_page_loads_only_files_of_this_server(server: Server) -> None:
    page = get(server.port)
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.content.decode()
    assert 'data-max-bytes="100000"' in text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert loaded == ["icon.svg", "page.css", "page.js", "examples/1.jpg", "examples/2.jpg"]
    for name in loaded:
        answer = get(server.port, f"/{name}")
        assert answer.status == 200
        assert answer.content
    assert get(server.port, "/examples/2.jpg").content == picture(9)


def test_no_file_of_the_page_has_an_external_address() -> None:
    for file in (files("deepgllim.apps.web") / "static").iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(?i)https?:|//\w+\.|@import|(?-i:\burl)\(", text), file.name
        assert not re.search(r"(?i)innerHTML|eval\(|<script>|\son\w+=|style=", text), (
            file.name
        )  # required by the content policy


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/poses", "/nothing"])
def test_every_response_has_the_security_headers(server: Server, path: str) -> None:
    answer = get(server.port, path)
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_head_requests_have_no_content(server: Server) -> None:
    answer = ask(server.port, "/", method="HEAD")
    assert (answer.status, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ABSENT)
def test_other_paths_do_not_exist(server: Server, path: str) -> None:
    answer = get(server.port, path)
    assert answer.status in (404, 405)
    one_line(answer)


def test_poses_as_json(server: Server) -> None:
    answer = ask(server.port, "/api/poses?drawn=true&conventions=1", picture())
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    first, second = answer.json["faces"]
    assert Pose.from_json(first).yaw == pytest.approx(-23)
    assert first["in_distribution"]
    assert not second["in_distribution"]
    assert len(second["modes"]) == 2
    assert len(first["conventions"]) == 11
    assert answer.json["drawn"].startswith("data:image/jpeg;base64,")
    assert set(ask(server.port, "/api/poses", picture()).json) == {"width", "height", "faces"}


@pytest.mark.parametrize("name", HOSTILE)
def test_invalid_and_hostile_pictures_give_an_error_of_one_line(server: Server, name: str) -> None:
    answer = ask(server.port, content=HOSTILE[name])
    assert answer.status == 422
    one_line(answer)


def test_a_picture_with_too_many_pixels_is_rejected(server: Server) -> None:
    answer = ask(server.port, content=picture(size=(1001, 1000)))
    assert answer.status == 422
    assert "1.001 megapixels, and up to 1 are taken" in one_line(answer)


def test_bytes_up_to_the_limit_are_accepted(server: Server) -> None:
    whole = picture() + bytes(LIMITS.max_bytes - len(picture()))
    assert ask(server.port, content=whole).status == 200
    answer = ask(server.port, content=whole + b"\0")
    assert answer.status == 413
    assert "more than 0.1 MB" in one_line(answer)


def test_the_limit_of_bytes_holds_without_a_length(server: Server) -> None:
    pieces = iter([bytes(60_000), bytes(60_000), bytes(5_000_000)])
    assert ask(server.port, content=pieces).status == 413
    assert ask(server.port, content=iter([picture()[:50], picture()[50:]])).status == 200


def test_a_large_upload_gets_a_complete_response(server: Server) -> None:
    assert ask(server.port, content=bytes(30_000_000)).status == 413


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 422),
        (b"--x\r\n\r\n", {"content-type": "multipart/form-data; boundary=x"}, 415),
        (picture(), {"content-encoding": "gzip"}, 415),
        (b'{"url": "http://127.0.0.1:9/a.jpg"}', {"content-type": "application/json"}, 422),
        (b"http://127.0.0.1:9/a.jpg", {"content-type": "text/uri-list"}, 422),
        (b"/etc/passwd", {}, 422),
        (picture(), {"origin": "http://evil.example"}, 403),
        (picture(), {"origin": "null", "content-type": "text/plain"}, 403),
        (picture(), {"host": "evil.example"}, 403),
    ],
)
def test_invalid_requests_are_rejected(server: Server, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = ask(server.port, content=content, headers=headers)
    assert answer.status == status
    one_line(answer)


def test_an_invalid_option_gives_an_error_of_one_line(server: Server) -> None:
    answer = ask(server.port, "/api/poses?drawn=perhaps", picture())
    assert answer.status == 422
    assert one_line(answer).startswith("drawn is ")


def test_an_unknown_host_does_not_get_the_page(server: Server) -> None:
    assert get(server.port, host="evil.example").status == 403


def test_a_preflight_of_another_site_allows_nothing(server: Server) -> None:
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = ask(server.port, method="OPTIONS", headers=asked)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_invalid_http_gives_no_traceback(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for content in (
        b"\x16\x03\x01\x02\0\x01\0" + bytes(50),
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"\r\n" * 9,
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(content)
            plain.shutdown(socket.SHUT_WR)
            plain.settimeout(10)
            while plain.recv(1000):
                pass
    assert not [record for record in caplog.records if record.exc_info]
    assert get(server.port).status == 200


def test_a_client_that_disconnects_early_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with serve(ConstantPredictor(POSE), port=0, limits=Limits(max_requests=1)) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as plain:
                plain.sendall(b"POST /api/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        wait_until(lambda: ask(server.port, content=picture()).status == 200)  # the slot is free again
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_unfinished_upload_releases_its_slot() -> None:
    with (
        serve(ConstantPredictor(POSE), port=0, limits=Limits(max_requests=1, upload_seconds=0.2)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as plain,
    ):
        plain.sendall(b"POST /api/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        wait_until(lambda: ask(server.port, content=picture()).status == 200)
        plain.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("error", [ModelError("/home/me/secret.onnx: not finite"), ValueError("/home/me/secret")])
def test_an_error_of_the_model_is_one_line_with_details_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails:
        def predict(self, _: Image.Image) -> list[Pose]:
            raise error

    with serve(Fails(), port=0) as server:
        answer = ask(server.port, content=picture())
        assert answer.status == 500
        assert "log of the server" in one_line(answer)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert get(server.port).status == 200
    assert "secret" in caplog.text


@pytest.mark.parametrize("alike", [True, False])
def test_concurrent_requests_get_their_own_responses(alike: bool) -> None:
    reds = [150] * 20 if alike else list(range(100, 120))
    with (
        serve(RecordingPredictor(), port=0, limits=Limits(max_requests=20, workers=4)) as server,
        ThreadPoolExecutor(20) as visitors,
    ):
        answers = list(visitors.map(lambda red: ask(server.port, content=picture(red)), reds))
    yaws = [answer.json["faces"][0]["angles"]["yaw"] for answer in answers]
    assert yaws == pytest.approx([red - 128 for red in reds])


def ask_until_accepted(port: int, content: bytes) -> Answer:
    while (answer := ask(port, content=content)).status == 429:
        time.sleep(0.01)
    return answer


def test_excess_requests_are_rejected_and_the_page_stays_available() -> None:
    predictor = RecordingPredictor()
    predictor.may_continue.clear()
    limits = Limits(max_bytes=10_000, max_requests=3, workers=2)
    with serve(predictor, port=0, limits=limits) as server, ThreadPoolExecutor(8) as visitors:
        first = [visitors.submit(ask_until_accepted, server.port, picture(red)) for red in (130, 131, 132)]
        wait_until(lambda: predictor.started == 2)
        refused: list[Answer] = []

        def is_refused() -> bool:
            refused.append(ask(server.port, content=bytes(10_001)))  # too large: it needs no worker if it has a slot
            return refused[-1].status == 429

        wait_until(is_refused)
        assert refused[-1].headers["retry-after"] == "1"
        one_line(refused[-1])
        assert get(server.port).status == 200  # predictions run in worker threads
        assert predictor.started == 2
        predictor.may_continue.set()
        assert [future.result().status for future in first] == [200, 200, 200]
        assert ask(server.port, content=picture()).status == 200
    assert threading.get_ident() not in predictor.threads
    assert len(predictor.threads) <= 3


def test_decoded_pixels_are_limited() -> None:
    predictor = RecordingPredictor()
    contents = [picture(size=(100, 10 * n)) for n in (9, 3, 9, 3, 5, 9, 1, 1)]
    limits = Limits(max_pixels=10_000, max_requests=8, workers=8)
    with serve(predictor, port=0, limits=limits) as server, ThreadPoolExecutor(8) as visitors:
        answers = list(visitors.map(lambda content: ask(server.port, content=content), contents))
    assert {answer.status for answer in answers} == {200}
    assert 9_000 <= predictor.most_pixels <= 10_000


def test_concurrent_decompression_bombs_are_rejected(server: Server) -> None:
    with ThreadPoolExecutor(16) as visitors:
        answers = list(visitors.map(lambda _: ask(server.port, content=png_header(30_000, 30_000)), range(64)))
    assert {answer.status for answer in answers} == {422}


def test_the_server_stops_after_the_prediction_in_progress() -> None:
    predictor = RecordingPredictor()
    predictor.may_continue.clear()
    with ThreadPoolExecutor(1) as visitor:
        with serve(predictor, port=0) as server:
            visit = visitor.submit(ask, server.port, "/api/poses", picture())
            wait_until(lambda: predictor.started == 1)
            threading.Timer(0.2, predictor.may_continue.set).start()
        assert visit.result().status == 200  # the client gets the response
    with pytest.raises(ConnectionRefusedError):
        get(server.port)
