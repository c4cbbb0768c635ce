"""`deepgllim app` as a process: nothing on the disk, no connection, no growth, and an end by any signal."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepgllim.cli import main
from tests.apps.http.served import HOSTILE, ask, get, picture
from tests.apps.web.test_answers import KINDS
from tests.pose.tiny import tiny_network

RUN = """
import signal, sys

# tests that run in the background, or under nohup, are started with these ignored, and the command keeps that
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from deepgllim.cli import main
sys.exit(main())
"""

WATCH = """
import json, os, sys

seen = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = ["socket.connect", "socket.sendto", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec"]
EVENTS += ["os.fork", "os.posix_spawn", "os.mkdir", "os.rename", "os.link", "os.symlink"]
EVENTS += ["tempfile.mkstemp", "tempfile.mkdtemp"]

def watch(event, args):
    if event in EVENTS or (event == "open" and args[0] != os.devnull and (args[2] or 0) & WRITES):
        seen.append(f"{event} {args}")

from deepgllim.cli import main
from deepgllim.pose.predictor import HeadPose  # what importing does is not the page's doing
import deepgllim.pose.network, deepgllim.apps.web.application, uvicorn
sys.addaudithook(watch)
code = main()
print(json.dumps(seen), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_network(tmp_path_factory.mktemp("model") / "tiny.onnx")


@contextmanager
def running(model: Path, folder: Path, code: str = RUN, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; all its folders are `folder`, and its environment names a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:  # it never answers: who asks it waits, and is seen below
        proxy.setblocking(False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "app", "--model", str(model), "--port", str(_free_port()), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment(folder, url),
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            address = re.fullmatch(r"open http://127\.0\.0\.1:(\d+)/ in a browser; stop with Ctrl-C\n", said)
            assert address is not None, said + (process.stderr.read() if process.stderr and not said else "")
            yield process, int(address[1])
        finally:
            process.kill()
            process.communicate()
        with pytest.raises(BlockingIOError):  # nobody asked the proxy
            proxy.accept()


def environment(folder: Path, proxy: str) -> Mapping[str, str]:
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), *map(os.path.abspath, sys.path)]))
    proxies = {name: proxy for each in ("http_proxy", "https_proxy", "all_proxy") for name in (each, each.upper())}
    places = dict.fromkeys(("TMPDIR", "TMP", "TEMP", "HOME", "XDG_CACHE_HOME"), str(folder))
    inherited = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    own = {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return inherited | proxies | places | own


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_any_signal_ends_it_well_and_nothing_is_left(name: str, model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path) as (process, port):
        for content in (*KINDS.values(), *HOSTILE.values(), picture(size=(2000, 1500), kind="bmp")):
            assert ask(port, content=content).status in (200, 422)
            assert list(tmp_path.rglob("*")) == []
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert list(tmp_path.rglob("*")) == []


def test_the_process_writes_nothing_connects_to_nobody_and_starts_no_program(model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path, WATCH) as (process, port):
        for content in (*KINDS.values(), *HOSTILE.values(), picture(size=(2000, 1500), kind="bmp"), bytes(25_000_000)):
            ask(port, "/api/poses?drawn=true&conventions=true", content)
        get(port)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(err.splitlines()[-1]) == []


def test_a_watched_process_would_be_caught(tmp_path: Path) -> None:
    """The watching itself sees a file and a connection."""
    act = "open('left', 'w').close(); import socket; socket.socket().connect_ex(('127.0.0.1', 9)); code = 0"
    code = WATCH.replace("code = main()", act)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(tmp_path, ""), capture_output=True, text=True
    )
    opened, connected = json.loads(found.stderr.splitlines()[-1])
    assert "left" in opened
    assert connected.startswith("socket.connect")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs /proc")
def test_a_thousand_requests_leave_memory_and_files_as_they_were(model: Path, tmp_path: Path) -> None:
    contents = [picture(size=(60, 40)), KINDS["grey16.png"], KINDS["rgba.png"], HOSTILE["half a JPEG"]]
    with running(model, tmp_path) as (process, port):

        def held() -> tuple[int, int]:
            """Kilobytes of memory, and open files."""
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(status.split("VmRSS:")[1].split()[0]), len(list(Path(f"/proc/{process.pid}/fd").iterdir()))

        def visit(content: bytes, count: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            for _ in range(count):
                connection.request("POST", "/api/poses?conventions=true", content)
                connection.getresponse().read()
            connection.close()

        with ThreadPoolExecutor(len(contents)) as visitors:
            list(visitors.map(visit, contents, [50] * 4))
            memory, files = held()
            list(visitors.map(visit, contents, [250] * 4))
        assert held()[0] - memory < 20_000  # the page before this one kept 75 kB a visitor
        assert held()[1] <= files + 2


def test_a_port_in_use_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--model", str(model), "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"deepgllim: port {port} at 127.0.0.1: Address already in use; give another --port\n"


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--port", "0"], 2, "port"),
        (["--port", "65536"], 2, "port"),
        (["--max-megabytes", "0"], 2, "max-megabytes"),
        (["--max-megapixels", "nan"], 2, "max-megapixels"),
        (["--max-megapixels", "1e-9"], 2, "max-megapixels"),
        (["--host", ""], 1, "host is empty"),
        (["--model", "none.onnx"], 1, "none.onnx"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_signals_are_as_they_were_after_a_failure(model: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert main(["app", "--model", str(model), "--host", ""]) == 1
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
