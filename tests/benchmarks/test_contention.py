"""The benchmark of shared machines runs and prints what it promises; its times are no test."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.contention import CASES, SIZES, WAITING, WORKLOADS, Neighbours, environment
from deepgllim.errors import ConfigurationError, RenderError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "contention.py"

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are stopped by POSIX signals")


def test_it_prints_one_json_object_and_writes_it(tmp_path: Path) -> None:
    chosen = ["--workloads", "em", "prediction", "--cases", "one thread"]
    command = [sys.executable, str(SCRIPT), *chosen, "--sizes", "tiny", "--repetitions", "2"]
    done = subprocess.run([*command, "--output", str(tmp_path / "it.json")], check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "it.json").read_text(encoding="utf-8"))
    assert report["target"] == 2.5
    assert report["cores"] >= 1
    assert list(report["workloads"]) == ["em", "prediction"]
    for workload in report["workloads"].values():
        case = workload["cases"]["one thread"]
        assert case["quiet_seconds"] > 0
        assert case["busy_seconds"] > 0
        assert case["ratio"] > 0


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=list(WORKLOADS))
def test_every_workload_can_be_repeated(workload: Callable[..., Callable[[], object]]) -> None:
    try:
        work = workload(SIZES["tiny"], 1)
        work()
        work()
    except (ConfigurationError, RenderError) as error:
        pytest.skip(str(error))


def test_cases_do_not_inherit_how_the_caller_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAITING:
        monkeypatch.setenv(name, "0")
    assert not set(WAITING) & set(environment(*CASES["one thread"]))
    spinning = environment(*CASES["two threads, spinning"])
    assert (spinning["OMP_NUM_THREADS"], spinning["GOMP_SPINCOUNT"]) == ("2", "300000")


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP runtime on Linux only")
def test_the_policy_is_set_before_torch_is_loaded() -> None:
    """Else "two threads" would measure spinning too."""
    command = [sys.executable, str(SCRIPT), "--sizes", "tiny", "--serve", "em", "1"]
    shown = environment(1, {"OMP_DISPLAY_ENV": "VERBOSE"})
    done = subprocess.run(command, env=shown, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="states are read from Linux's /proc")
def test_neighbours_run_only_when_they_are_asked_to() -> None:
    with ExitStack() as stack:
        neighbours = Neighbours(stack)
        processes = neighbours.processes
        with neighbours.busy():
            assert {state(process.pid) for process in processes} == {"R"}
        assert {state(process.pid) for process in processes} == {"T"}
    assert all(process.returncode == -signal.SIGKILL for process in processes)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
