"""The benchmark runs and prints what it promises; its times are no test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "em.py"


def test_the_benchmark_prints_one_json_object() -> None:
    command = [sys.executable, str(SCRIPT), "--sizes", "tiny", "--repeats", "2", "--threads", "1"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert report["threads"] == 1
    (case,) = report["cases"]
    assert [case[letter] for letter in "NDLK"] == [300, 20, 2, 2]
    assert case["ratio"] == case["em_seconds"] / case["products_seconds"]
    assert case["memory_over_data_share"] * 300 * 20 * 8 == pytest.approx(case["memory_over_data_bytes"])
