"""The benchmark of the cost over N, D, K and L runs and reports its exponents."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


def test_a_small_run_reports_its_exponents(tmp_path: Path) -> None:
    small = ["--divide", "100", "--repeats", "1", "--axes", "N", "L"]
    output = ["--output", str(tmp_path / "curves.json"), "--plot", str(tmp_path / "curves.png")]
    command = [sys.executable, "-m", "benchmarks.curves", *small, *output]
    printed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert printed == json.loads((tmp_path / "curves.json").read_text())
    assert [run["N"] for run in printed["curves"]["N"]["runs"]] == [100, 200, 400, 800]
    assert [run["L"] for run in printed["curves"]["L"]["runs"]] == [1, 3, 8, 18]
    assert all(run["seconds"] > 0 for each in printed["curves"].values() for run in each["runs"])
    assert all("slope_of_bytes" in each for each in printed["curves"].values())
    assert (tmp_path / "curves.png").stat().st_size > 1000
