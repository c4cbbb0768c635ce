"""Load `deepgllim serve` from another process and compare it with the bare predictor; print JSON.

The pictures are JPEG files of 640 × 480 pixels with one rendered head. The bare predictor is a loop in one process that
decodes a file and predicts its poses, with the same number of threads. It is timed before and after each setting of the
service, because other work on the machine changes the speed; the ratios compare with the mean of both. A client sends
its next request when it has the answer. Seconds of the processor are those of the server process alone.
Rows are also printed to standard error when they are measured.
"""

import argparse
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from benchmarks.predict import photographs
from deepgllim.imaging.images import open_image
from deepgllim.pose import HeadPose

PATH = "/v1/poses"
TARGETS = {"throughput_over_bare": 0.85, "p99_over_p50": 5.0}


class Load(NamedTuple):
    """What clients measured.

    Attributes:
        seconds: seconds of each request with the status 200.
        outcomes: number of requests by status; "refused" and "not accepted" for those without an answer.
        elapsed: seconds of the whole load.
    """

    seconds: list[float]
    outcomes: Counter[str]
    elapsed: float


def files(count: int, size: tuple[int, int] = (640, 480)) -> list[bytes]:
    """Return the contents of JPEG files."""
    found = []
    for picture in photographs(count):
        buffer = io.BytesIO()
        picture.resize(size).save(buffer, "jpeg", quality=90)
        found.append(buffer.getvalue())
    return found


@contextmanager
def service(*options: str, log: int | IO[str] = subprocess.DEVNULL) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run the service in a process; yield it and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "deepgllim", "serve", "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, text=True)
    try:
        while ask(port, "GET", "/readyz") != 200:
            if process.poll() is not None:
                raise SystemExit("the service did not start")
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def ask(port: int, method: str, path: str, content: bytes | None = None) -> int:
    """Return the status of one request; 0 without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request(method, path, content)
        response = connection.getresponse()
        response.read()
        return response.status
    except OSError:
        return 0
    finally:
        connection.close()


def load(port: int, contents: Sequence[bytes], clients: int, ends: Callable[[int], bool]) -> Load:
    """Send requests from clients, each on its connection, until `ends` is true for the number of answers.

    Args:
        port: port of the service.
        contents: bodies of the requests, in turns.
        clients: number of clients.
        ends: condition for the end.
    """
    seconds: list[float] = []
    outcomes: Counter[str] = Counter()

    def run(first: int) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", port, timeout=120), first
        while not ends(len(seconds)):
            began, number = time.perf_counter(), number + 1
            try:
                connection.request("POST", PATH, contents[number % len(contents)])
                response = connection.getresponse()
                response.read()
            except ConnectionRefusedError:
                outcomes["refused"] += 1
                break
            except (OSError, http.client.HTTPException):
                outcomes["not accepted"] += 1
                connection.close()
                continue
            outcomes[str(response.status)] += 1
            if response.status == 200:
                seconds.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(seconds, outcomes, time.perf_counter() - began)


def for_seconds(duration: float) -> Callable[[int], bool]:
    """Return a condition that becomes true after some seconds."""
    end = time.perf_counter() + duration
    return lambda _: time.perf_counter() >= end


def bare(predictor: HeadPose, contents: Sequence[bytes], duration: float) -> dict[str, float]:
    """Return pictures a second of the predictor alone, and its seconds of the processor for each."""
    count, began, used = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < duration:
        predictor.predict(open_image(contents[count % len(contents)]))
        count += 1
    elapsed = time.perf_counter() - began
    return {"per_second": count / elapsed, "cpu_seconds": (time.process_time() - used) / count}


def cpu_seconds(pid: int) -> float:
    """Return the seconds of the processor that a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """Return the resident memory of a process, kilobytes."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def compare(process: "subprocess.Popen[str]", port: int, clients: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return a row: the service with some clients against the bare predictor before and after."""
    before = bare(options.predictor, options.contents, options.seconds / 2)
    used = cpu_seconds(process.pid)
    found = load(port, options.contents, clients, for_seconds(options.seconds))
    used = cpu_seconds(process.pid) - used
    after = bare(options.predictor, options.contents, options.seconds / 2)
    p50, p99 = np.percentile(found.seconds, [50, 99])
    rates = [each["per_second"] for each in (before, after)]
    rate, alone = len(found.seconds) / found.elapsed, float(np.mean(rates))
    own = (before["cpu_seconds"] + after["cpu_seconds"]) / 2
    row = {
        "clients": clients,
        "requests": sum(found.outcomes.values()),
        "outcomes": dict(found.outcomes),
        "per_second": round(rate, 2),
        "bare_per_second": [round(each, 2) for each in rates],
        "throughput_over_bare": round(rate / alone, 3),
        "cpu_over_bare": round(used / len(found.seconds) / own, 3),
        "p50_ms": round(1e3 * p50, 1),
        "p99_ms": round(1e3 * p99, 1),
        "p99_over_p50": round(p99 / p50, 2),
    }
    print(json.dumps(row), file=sys.stderr)
    return row


def endurance(process: "subprocess.Popen[str]", port: int, contents: Sequence[bytes], count: int) -> dict[str, Any]:
    """Return the memory of the service after 0, 1/5, … of a number of requests."""
    steps = [memory(process.pid)]
    outcomes: Counter[str] = Counter()
    for _ in range(5):
        outcomes += load(port, contents, 16, lambda answers: answers >= count // 5).outcomes
        steps.append(memory(process.pid))
    return {"outcomes": dict(outcomes), "resident_megabytes": [round(step / 1024, 1) for step in steps]}


def stop_under_load(contents: Sequence[bytes], *options: str) -> dict[str, Any]:
    """Return what 16 clients got from a service that SIGTERM stops after four seconds, and what it has logged."""
    with tempfile.TemporaryFile("w+") as log, service(*options, log=log) as (process, port):
        threading.Timer(4.0, process.send_signal, [signal.SIGTERM]).start()
        found, code = load(port, contents, 16, lambda _: False), process.wait(60)
        log.seek(0)
        lines = [json.loads(line) for line in log]
    logged = Counter(str(line["status"]) for line in lines if line.get("path") == PATH)
    return {"outcomes": dict(found.outcomes), "logged_by_the_service": dict(logged), "exit_code": code}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="seconds of each setting")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument(
        "--requests", type=int, default=1000, help="requests of 96 × 72 pixels of the measurement of memory"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    options.predictor, options.contents = HeadPose(threads=options.threads), files(16)
    given = [f"--{name}={vars(options)[name.replace('-', '_')]}" for name in ("threads", "workers", "batch-size")]
    with service(*given) as (process, port):
        load(port, options.contents, 16, lambda answers: answers >= 32)
        rows = [compare(process, port, n, options) for _ in range(options.repetitions) for n in options.clients]
        lasting = endurance(process, port, files(16, (96, 72)), options.requests)
    report = {"options": given, "load_average": os.getloadavg(), "targets": TARGETS, "rows": rows, "memory": lasting}
    print(json.dumps(report | {"sigterm": stop_under_load(options.contents, *given)}, indent=2))


if __name__ == "__main__":
    main()
