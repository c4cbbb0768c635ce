"""Test that no command sends data: each runs in a process behind a refusing proxy, with traced system calls."""

import http.server
import itertools
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.cli.tiny import TINY

ROOT = Path(__file__).parents[1]
CLI = ("-c", "from deepgllim.cli import main; main()")
STRACE = shutil.which("strace")
ALIVE = 10
"""Seconds that a process with a loaded model waits; the first request of onnxruntime comes after five or six."""

CACHES = (".cache/matplotlib/", ".config/matplotlib/")
"""Paths that may be written in the home folder: the list of installed fonts of matplotlib."""


class Seen(NamedTuple):
    """Network access and files of a process.

    Attributes:
        requests: that the proxy refused.
        calls: connections and messages to internet addresses, as strace prints them.
        home: files under its home folder.
    """

    requests: list[str]
    calls: list[str]
    home: list[str]


@contextmanager
def refusing_proxy(requests: list[str]) -> Iterator[str]:
    """Return the address of a local proxy that records all requests and forwards none."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def refuse(self) -> None:
            requests.append(f"{self.command} {self.path}")
            self.send_response(403)
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_CONNECT = refuse  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def watch(folder: Path, *command: object) -> Seen:
    """Run Python in an environment without variables that switch off telemetry."""
    home, log = folder / "home", folder / "calls.txt"
    home.mkdir(parents=True)
    requests: list[str] = []
    with refusing_proxy(requests) as proxy:
        names = ("http_proxy", "https_proxy", "all_proxy")
        proxies = {name: proxy for each in names for name in (each, each.upper())}
        places = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        plain = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
        tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", log]
        words = map(str, [*(tracer if STRACE else []), sys.executable, *command])
        done = subprocess.run([*words], env=plain | proxies, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines() if STRACE else []
    files = [path.relative_to(home).as_posix() for path in sorted(home.rglob("*")) if path.is_file()]
    return Seen(requests, [line for line in lines if "AF_INET" in line], files)


def assert_silent(seen: Seen) -> None:
    assert seen.requests == []
    assert seen.calls == []
    assert [file for file in seen.home if not file.startswith(CACHES)] == []


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(path)
    return path


def test_what_a_process_tries_is_seen(tmp_path: Path) -> None:
    """The addresses are reserved for documentation (RFC 2606 and RFC 5737)."""
    code = """
import pathlib, socket, urllib.error, urllib.request
try:
    urllib.request.urlopen("http://telemetry.invalid/")
except urllib.error.HTTPError as error:
    assert error.code == 403
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as direct:
    try:
        direct.sendto(b"id", ("192.0.2.1", 9))
    except OSError:
        pass  # a machine without a network
(pathlib.Path.home() / ".cache").mkdir()
(pathlib.Path.home() / ".cache/id").write_text("id")
"""
    seen = watch(tmp_path / "run", "-c", code)
    assert seen.requests == ["GET http://telemetry.invalid/"]
    assert seen.home == [".cache/id"]
    if STRACE is None:
        pytest.skip("system calls are not looked at: strace is not installed")
    assert any("192.0.2.1" in call for call in seen.calls)


def test_a_process_that_keeps_a_model(tmp_path: Path, picture: Path) -> None:
    code = f"""
import time
from deepgllim import HeadPose
head_pose = HeadPose()
head_pose.predict({str(picture)!r})
time.sleep({ALIVE})
"""
    assert_silent(watch(tmp_path / "run", "-c", code))


def test_predict(tmp_path: Path, picture: Path) -> None:
    assert_silent(watch(tmp_path / "run", *CLI, "predict", picture, "--json"))


def test_train_and_export(tmp_path: Path, face_folder: Path) -> None:
    """The export is compared with its model by onnxruntime."""
    run = tmp_path / "out"
    seen = watch(tmp_path / "train", *CLI, *_train(face_folder, run))
    assert_silent(seen)
    words = ["export", run / "model.safetensors", tmp_path / "m.onnx"]
    assert_silent(watch(tmp_path / "export", *CLI, *words))


def _train(faces: Path, output: Path) -> list[object]:
    return ["train", "--data", f"folder:{faces}", "--output", output, "--subjects", "01,02,03,04", "--quiet", *TINY]


def test_the_demonstration(tmp_path: Path) -> None:
    seen = watch(tmp_path / "run", *CLI, "demo", "--output", tmp_path / "out", "--quick")
    assert_silent(seen)
    assert list((tmp_path / "out").iterdir())


# --- versions


FIXED = {
    "av": (18, 1),
    "fastapi": (0, 133, 1),
    "h11": (0, 16),
    "onnx": (1, 22),
    "onnxruntime": (1, 30, 1),
    "pillow": (13, 0),
    "pyarrow": (23, 0, 1),
    "ray": (2, 56),
    "starlette": (1, 3, 1),
    "torch": (2, 11),
}
"""The first versions without known vulnerabilities of packages that read files or requests; see SECURITY.md."""


def versions(lines: Iterable[str], sign: str) -> dict[str, tuple[int, ...]]:
    """Return the versions of the packages of `FIXED`, from requirements with a comparison sign."""
    parts = [line.split(",")[0].partition(sign) for line in lines]
    return {name: tuple(map(int, version.split("."))) for name, _, version in parts if name in FIXED}


def test_the_versions_that_are_allowed_and_those_that_are_pinned_have_no_known_vulnerabilities() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = itertools.chain(project["dependencies"], *project["optional-dependencies"].values())
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for found in (versions(required, ">="), versions(pinned, "==")):
        assert set(found) == set(FIXED)
        assert [name for name, least in FIXED.items() if found[name] < least] == []
