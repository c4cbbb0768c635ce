"""The benchmark of training prints what it says; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_prints_one_json_object() -> None:
    command = [sys.executable, "benchmarks/training.py", "--pictures", "40", "--rounds", "1"]
    small = ["--set", "data.image_size=32", "schedule.epochs_per_round=1"]
    done = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["inverse_regression_K1_beta1"]["ratio_to_least_squares"] > 0
    assert 0 <= report["inverse_regression_K3_beta1"]["em_share"] < 1
    assert report["least_squares"]["network_seconds_per_epoch"] > 0
