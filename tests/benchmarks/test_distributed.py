"""The benchmark of two processes prints what it says; its figures are not judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "benchmarks.distributed", "--pictures", "20", "--rounds", "1"]


def test_it_prints_one_json_object() -> None:
    small = ["--set", "data.image_size=32", "network.projection=4", "objective.n_components=1"]
    done = subprocess.run([*COMMAND, *small], cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert "skipped" in report or {run["processes"] for run in report["runs"] if run["ratio"] > 0} == {2}
    assert report["target"] == 1.6


def test_it_says_why_it_is_skipped() -> None:
    one = f"import os, runpy, sys; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); sys.argv = sys.argv[1:]"
    run = "runpy.run_module('benchmarks.distributed', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", f"{one}; {run}", *COMMAND[2:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["skipped"] == "1 core: two processes need two"
