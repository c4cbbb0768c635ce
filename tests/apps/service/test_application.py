"""The service on a real socket: answers, limits, times, faults of clients, metrics and logs."""

import json
import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from deepgllim.apps.http.limits import Limits
from deepgllim.apps.http.server import Server
from deepgllim.apps.service.logs import JsonFormatter
from deepgllim.apps.service.options import ServiceOptions
from deepgllim.apps.service.schema import PosesAnswer
from deepgllim.apps.service.server import serve
from deepgllim.pose.result import Pose
from tests.apps.http.served import HOSTILE, POSE, STRANGE, Answer, ask, get, picture, png_header
from tests.apps.service.predictors import ConstantBatches, RecordingBatches
from tests.apps.web.test_application import one_line, wait_until

LIMITS = Limits(max_bytes=100_000, max_pixels=1_000_000, max_requests=64)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    options = ServiceOptions(LIMITS)
    with serve(lambda: ConstantBatches(POSE, STRANGE), port=0, examples=[picture()], options=options) as server:
        yield server


def poses(port: int, content: bytes | Iterator[bytes] = b"", query: str = "", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(port, f"/v1/poses{query}", content, headers=named)


# --- answers


def test_the_answer_follows_its_schema_and_can_be_read_as_poses(server: Server) -> None:
    answer = poses(server.port, picture(), "?level=0.5")
    assert answer.status == 200
    PosesAnswer.model_validate_json(answer.content)
    assert (answer.json["width"], answer.json["height"]) == (60, 40)
    first, second = answer.json["faces"]
    assert Pose.from_json(first).covariance.tolist() == first["covariance"]
    assert first["units"] == "degrees"
    assert "+pitch looks up" in first["convention"]
    assert first["interval"]["level"] == 0.5
    assert first["in_distribution"]
    assert not second["in_distribution"]
    assert [mode["probability"] for mode in second["modes"]] == [0.6, 0.4]


def test_the_page_is_part_of_the_application(server: Server) -> None:
    assert get(server.port).content.startswith(b"<!doctype html>")
    assert get(server.port, "/examples/1.jpg").content == picture()
    answer = ask(server.port, "/api/poses?drawn=true", picture())
    assert answer.json["drawn"].startswith("data:image/jpeg;base64,")


def test_the_examples_of_the_interface_follow_its_schema(server: Server) -> None:
    document = get(server.port, "/openapi.json").json
    assert set(document["paths"]) == {"/v1/poses", "/healthz", "/readyz", "/metrics"}
    answers = document["paths"]["/v1/poses"]["post"]["responses"]
    PosesAnswer.model_validate(answers["200"]["content"]["application/json"]["example"])
    assert set(answers) == {"200", "403", "408", "413", "415", "422", "429", "500", "503", "504"}
    for status in set(answers) - {"200"}:
        assert set(answers[status]["content"]["application/json"]["example"]) == {"error"}
    assert "Retry-After" in answers["429"]["headers"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_state(server: Server, path: str) -> None:
    assert (get(server.port, path).status, get(server.port, path).json) == (200, {"status": "ok"})


def test_requests_have_an_identifier(server: Server) -> None:
    assert poses(server.port, picture(), x_request_id="a-1").headers["x-request-id"] == "a-1"
    assert len(poses(server.port, picture(), x_request_id="holiday photo").headers["x-request-id"]) == 32
    assert len(poses(server.port, b"").headers["x-request-id"]) == 32


# --- rejected requests


@pytest.mark.parametrize("name", HOSTILE)
def test_broken_and_hostile_pictures_give_an_error_of_one_line(server: Server, name: str) -> None:
    answer = poses(server.port, HOSTILE[name])
    assert answer.status == 422
    one_line(answer)


@pytest.mark.parametrize(
    ("content", "headers", "query", "status", "expected"),
    [
        (b"", {}, "", 422, "the request is empty"),
        (picture(), {"content_type": "multipart/form-data; boundary=x"}, "", 415, "is a form: send"),
        (b'{"url": "http://127.0.0.1:9/a.jpg"}', {"content_type": "application/json"}, "", 415, "application/json"),
        (b"http://127.0.0.1:9/a.jpg", {"content_type": "text/uri-list"}, "", 415, "text/uri-list"),
        (b"http://127.0.0.1:9/a.jpg", {}, "", 422, "pict"),
        (picture(), {"content_encoding": "gzip"}, "", 415, "compressed"),
        (bytes(100_001), {}, "", 413, "more than 0.1 MB"),
        (picture(size=(1001, 1000)), {}, "", 422, "1.001 megapixels"),
        (png_header(60_000, 60_000), {}, "", 422, "megapixels"),
        (picture(), {}, "?level=1", 422, "level is '1': it should be less than 1"),
        (picture(), {}, "?level=x", 422, "level is 'x': it should be a valid number"),
        (picture(), {"host": "evil.example"}, "", 403, "--allow-host"),
        (picture(), {"origin": "http://evil.example"}, "", 403, "evil.example"),
    ],
)
def test_invalid_requests_are_rejected_in_one_line(
    server: Server, content: bytes, headers: dict[str, str], query: str, status: int, expected: str
) -> None:
    answer = poses(server.port, content, query, **headers)
    assert answer.status == status
    assert expected in one_line(answer)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", ""])
def test_the_media_types_of_pictures_are_accepted(server: Server, kind: str) -> None:
    assert poses(server.port, picture(), content_type=kind).status == 200


def test_a_truncated_upload_is_not_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    options = ServiceOptions(Limits(max_requests=1))
    with serve(lambda: ConstantBatches(POSE), port=0, options=options) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
        wait_until(lambda: poses(server.port, picture()).status == 200)  # the slot is free again
    assert 499 in [line.get("status") for line in logged(caplog)]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# --- concurrent requests


def test_concurrent_requests_share_batches_and_get_their_own_answers() -> None:
    predictor, reds = RecordingBatches(), list(range(100, 116))
    predictor.may_continue.clear()
    with serve(lambda: predictor, port=0) as server, ThreadPoolExecutor(16) as clients:
        futures = [clients.submit(poses, server.port, picture(red)) for red in reds]
        wait_until(lambda: sum(predictor.sizes) + metric(server, "deepgllim_pictures_waiting") == 16)
        predictor.may_continue.set()
        answers = [future.result() for future in futures]
    yaws = [answer.json["faces"][0]["angles"]["yaw"] for answer in answers]
    assert yaws == pytest.approx([red - 128 for red in reds])
    assert sum(predictor.sizes) == 16
    assert len(predictor.sizes) <= 4


def test_a_failed_prediction_fails_alone_with_details_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with serve(RecordingBatches, port=0) as server:
        answer = poses(server.port, picture(13))
        assert answer.status == 500
        assert "log of the server" in one_line(answer)
        assert poses(server.port, picture(14)).status == 200
    (line,) = [line for line in logged(caplog) if line["event"] == "prediction failed"]
    assert line["error"] == "ValueError: /home/me/secret second line"
    assert line["id"] == answer.headers["x-request-id"]


def test_too_many_requests_are_rejected_with_a_time_to_wait() -> None:
    predictor = RecordingBatches()
    predictor.may_continue.clear()
    options = ServiceOptions(Limits(max_requests=2))
    with serve(lambda: predictor, port=0, options=options) as server, ThreadPoolExecutor(2) as clients:
        futures = [clients.submit(poses, server.port, picture(red)) for red in (130, 131)]
        wait_until(lambda: sum(predictor.sizes) + metric(server, "deepgllim_pictures_waiting") == 2)
        answer = poses(server.port, picture())
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        one_line(answer)
        assert get(server.port, "/healthz").status == 200
        predictor.may_continue.set()
        assert [future.result().status for future in futures] == [200, 200]


def test_answers_that_take_too_long() -> None:
    """The prediction in progress gives 504, the waiting one 503, and their slots are free when the work has ended."""
    predictor = RecordingBatches()
    predictor.may_continue.clear()
    options = ServiceOptions(Limits(max_requests=2), answer_seconds=1.0)
    with serve(lambda: predictor, port=0, options=options) as server, ThreadPoolExecutor(2) as clients:
        running = clients.submit(poses, server.port, picture(130))
        wait_until(lambda: predictor.sizes == [1])
        waiting = clients.submit(poses, server.port, picture(131))
        assert running.result().status == 504
        assert "--timeout" in one_line(running.result())
        assert waiting.result().status == 503
        assert waiting.result().headers["retry-after"] == "1"
        one_line(waiting.result())
        assert poses(server.port, picture()).status == 429
        assert get(server.port, "/readyz").status == 503
        assert "restart the server" in one_line(get(server.port, "/readyz"))
        wait_until(lambda: get(server.port, "/healthz").status == 503)
        predictor.may_continue.set()
        wait_until(lambda: poses(server.port, picture()).status == 200)
        assert get(server.port, "/readyz").status == get(server.port, "/healthz").status == 200
    assert sum(predictor.sizes) < 4  # the abandoned picture was not predicted


def test_a_client_that_disconnects_is_not_predicted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    predictor = RecordingBatches()
    predictor.may_continue.clear()
    head = b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(picture())
    with serve(lambda: predictor, port=0) as server, ThreadPoolExecutor(1) as clients:
        first = clients.submit(poses, server.port, picture())
        wait_until(lambda: predictor.sizes == [1])
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(head + picture())
            wait_until(lambda: metric(server, "deepgllim_pictures_waiting") == 1)
        wait_until(lambda: 499 in [line.get("status") for line in logged(caplog)])
        predictor.may_continue.set()
        assert first.result().status == 200
    assert predictor.sizes == [1]


def test_the_server_answers_what_it_accepted_before_it_stops() -> None:
    predictor = RecordingBatches()
    predictor.may_continue.clear()
    with ThreadPoolExecutor(5) as clients:
        with serve(lambda: predictor, port=0) as server:
            futures = [clients.submit(poses, server.port, picture(100 + n)) for n in range(4)]
            wait_until(lambda: bool(predictor.sizes))
            wait_until(lambda: metric(server, "deepgllim_pictures_waiting") == 4 - predictor.sizes[0])
            threading.Timer(0.3, predictor.may_continue.set).start()
        assert [future.result().status for future in futures] == [200] * 4
        assert {future.result().headers["connection"] for future in futures} == {"close"}
    with pytest.raises(ConnectionRefusedError):
        get(server.port)


# --- metrics and logs


def metric(server: Server, name: str) -> float:
    """Return the value of a metric; a name may contain labels."""
    lines = get(server.port, "/metrics").content.decode().splitlines()
    values = [float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name]
    return values[0] if values else 0.0


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """Return the log lines of the service."""
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records if "deepgllim" in record.name]


def test_metrics_count_requests_faces_and_bytes() -> None:
    with serve(lambda: ConstantBatches(POSE, STRANGE), port=0) as server:
        for content in (picture(), picture(), b"broken"):
            poses(server.port, content)
        get(server.port, "/secret.jpg")
        assert metric(server, 'deepgllim_requests_total{method="POST",path="/v1/poses",status="200"}') == 2
        assert metric(server, 'deepgllim_requests_total{method="POST",path="/v1/poses",status="422"}') == 1
        assert metric(server, 'deepgllim_requests_total{method="GET",path="other",status="404"}') == 1
        assert metric(server, 'deepgllim_faces_total{accepted="true"}') == 2
        assert metric(server, 'deepgllim_faces_total{accepted="false"}') == 2
        assert metric(server, "deepgllim_upload_bytes_total") == 2 * len(picture()) + len(b"broken")
        assert metric(server, "deepgllim_batch_pictures_sum") == 2
        assert metric(server, 'deepgllim_stage_seconds_count{stage="predict"}') == 2
        assert metric(server, "deepgllim_requests_in_progress") == 1
        assert metric(server, "process_open_fds") > 0
        answer = get(server.port, "/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"secret" not in answer.content


def test_logs_have_measurements_and_neither_names_nor_pictures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serve(lambda: ConstantBatches(POSE), port=0) as server:
        ask(server.port, "/v1/poses?secret=1", picture(), headers={"content-disposition": "filename=secret.png"})
        get(server.port, "/secret.png")
        get(server.port, "/healthz")
    assert "secret" not in caplog.text
    lines = [line for line in logged(caplog) if line["event"] == "request"]
    assert [(line["path"], line["status"]) for line in lines] == [("/v1/poses", 200), ("other", 404)]
    expected = {"time", "level", "logger", "event", "method", "path", "status", "seconds", "id", "bytes", "pixels"}
    stages = {f"{stage}_seconds" for stage in ("upload", "decode", "wait", "predict")}
    assert set(lines[0]) == expected | {"faces", "batch"} | stages
    assert (lines[0]["pixels"], lines[0]["faces"], lines[0]["bytes"]) == (2400, 1, len(picture()))


def test_an_error_of_the_program_is_in_the_log_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    class Breaks:
        def predict_batch(self, images: Sequence[Image.Image], *, detection_batch: int) -> list[list[Pose]]:
            return [[POSE._replace()] for _ in images]  # type: ignore[attr-defined]

    with serve(Breaks, port=0) as server:
        assert poses(server.port, picture()).status == 500
    assert "AttributeError" in json.dumps(logged(caplog))
