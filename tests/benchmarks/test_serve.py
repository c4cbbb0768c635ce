"""The benchmark of the service prints what it says; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_prints_one_json_object() -> None:
    command = [sys.executable, "-m", "benchmarks.serve", "--seconds", "0.5", "--clients", "2", "--repetitions", "1"]
    done = subprocess.run([*command, "--requests", "20"], cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    (row,) = report["rows"]
    assert row["clients"] == 2
    assert set(row["outcomes"]) == {"200"}
    assert row["per_second"] > 0
    assert row["p99_ms"] >= row["p50_ms"] > 0
    assert len(report["memory"]["resident_megabytes"]) == 6
    assert report["sigterm"]["outcomes"]["200"] == report["sigterm"]["logged_by_the_service"]["200"]
