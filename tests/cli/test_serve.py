"""`deepgllim serve` as a process: signals under load, restarts, files, memory, and errors of one line."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepgllim.cli import main
from tests.apps.http.served import HOSTILE, ask, get, picture
from tests.cli.test_webapp import RUN, WATCH, environment
from tests.pose.tiny import tiny_network

WATCH_SERVICE = WATCH.replace("deepgllim.apps.web.application", "deepgllim.apps.service.application")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")


class Process:
    """A running service; its log lines are read while it runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines, self.port = process, list[dict[str, object]](), 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line) if line.startswith("{") else {"event": line})

    def wait_for(self, event: str) -> dict[str, object]:
        for _ in range(6000):
            found = [line for line in self.lines if line["event"] == event]
            if found:
                return found[0]
            time.sleep(0.01)
        raise AssertionError(f"{event} was not logged: {self.lines}")

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join()
        return code

    def close(self) -> None:
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def statuses(self) -> Counter[object]:
        """Return the numbers of answers of `POST /v1/poses`, by status."""
        return Counter(line["status"] for line in self.lines if line.get("path") == "/v1/poses")


@contextmanager
def running(model: Path, folder: Path, port: int = 0, code: str = RUN) -> Iterator[Process]:
    command = [sys.executable, "-c", code, "serve", "--model", str(model), "--port", str(port), "--threads", "1"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(folder, "http://127.0.0.1:9"),
    )
    found = Process(process)
    try:
        port = found.wait_for("started")["port"]  # type: ignore[assignment]
        found.port = port
        yield found
    finally:
        process.kill()
        found.close()


class Load:
    """Clients that send one request after another until the server is gone, and count what they get."""

    def __init__(self, port: int, clients: int) -> None:
        self.statuses: Counter[object] = Counter()
        self._port, self._lock = port, threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while True:
            try:
                outcome: object = ask(self._port, "/v1/poses", picture()).status
            except ConnectionRefusedError:
                return
            except (ConnectionError, http.client.RemoteDisconnected):
                outcome = "not accepted"  # the connection was closed before the request was read
            with self._lock:
                self.statuses[outcome] += 1

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)


def test_sigterm_under_load_loses_no_accepted_request(model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path) as service:
        load = Load(service.port, clients=4)
        while sum(load.statuses.values()) < 20:
            time.sleep(0.01)
        assert service.stop(signal.SIGTERM) == 0
        load.join()
    assert service.lines[-1]["event"] == "stopped"
    assert set(service.statuses()) == {200}
    assert service.statuses()[200] == load.statuses[200]
    assert set(load.statuses) <= {200, "not accepted"}
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals of POSIX")
def test_a_killed_service_can_be_started_again_on_its_port(model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path) as service:
        load = Load(service.port, clients=2)
        while sum(load.statuses.values()) < 2:
            time.sleep(0.01)
        assert service.stop(signal.SIGKILL) == -signal.SIGKILL
        load.join()
    assert list(tmp_path.rglob("*")) == []
    with running(model, tmp_path, service.port) as again:
        assert ask(again.port, "/v1/poses", picture()).status == 200
        assert again.stop(signal.SIGINT) == 0


def test_the_process_writes_nothing_connects_to_nobody_and_starts_no_program(model: Path, tmp_path: Path) -> None:
    addresses = [b'{"url": "http://127.0.0.1:9/a.jpg"}', b"http://127.0.0.1:9/a.jpg", b"file:///etc/passwd"]
    with running(model, tmp_path, code=WATCH_SERVICE) as service:
        for content in (picture(), *HOSTILE.values(), picture(size=(2000, 1500), kind="bmp"), *addresses):
            ask(service.port, "/v1/poses", content)
        ask(service.port, "/v1/poses?url=http://127.0.0.1:9/a.jpg", picture())
        for path in ("/", "/metrics", "/openapi.json", "/readyz"):
            assert get(service.port, path).status == 200
        assert service.stop(signal.SIGTERM) == 0
    assert service.lines[-1]["event"] == "[]\n"


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_requests_leave_memory_and_open_files_as_they_were(model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path) as service:

        def held() -> tuple[int, int]:
            """Return kilobytes of memory, and the number of open files."""
            folder = Path(f"/proc/{service.process.pid}")
            status = (folder / "status").read_text()
            return int(status.split("VmRSS:")[1].split()[0]), len(list((folder / "fd").iterdir()))

        def visit(count: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
            for number in range(count):
                connection.request("POST", "/v1/poses", picture() if number % 4 else HOSTILE["half a JPEG"])
                connection.getresponse().read()
            connection.close()

        visit(40)
        memory, files = held()
        visit(160)
        assert held()[0] - memory < 10_000
        assert held()[1] <= files + 2


def test_a_port_in_use_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--model", str(model), "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"deepgllim: port {port} at 127.0.0.1: Address already in use; give another --port\n"


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--port", "65536"], 2, "port"),
        (["--batch-size", "0"], 2, "batch-size"),
        (["--batch-wait", "-1"], 2, "batch-wait"),
        (["--timeout", "0"], 2, "timeout"),
        (["--max-requests", "0"], 2, "max-requests"),
        (["--port", "1.5"], 2, "'1.5' is no whole number"),
        (["--max-megapixels", "1e-9"], 2, "max-megapixels"),
        (["--threads", "1000000", "--port", "0"], 1, "1000000 threads: give 1 to 1024"),
        (["--model", "/dev/zero", "--port", "0"], 1, "is a device"),
        (["--host", "", "--port", "0"], 1, "host is empty"),
        (["--host", "bad.invalid", "--port", "0"], 1, "host 'bad.invalid' has no address: give an address"),
        (["--host", "é" * 80, "--port", "0"], 1, "has no address: give an address of this machine with --host"),
        (["--host", "192.0.2.1", "--port", "0"], 1, "give an address of this machine with --host"),
        (["--model", "none.onnx", "--port", "0"], 1, "none.onnx"),
        (["--detector", "none", "--port", "0"], 1, "unknown face detector"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1
