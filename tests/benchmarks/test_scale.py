"""The benchmark of a memory map runs and reports what it read."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import own_bytes, write_features

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


def test_a_small_run_reports_its_figures(run_benchmark: Callable[..., str], tmp_path: Path) -> None:
    small = ["--samples", "300", "600", "--features", "6", "--components", "2", "--iterations", "2"]
    places = ["--folder", tmp_path, "--output", tmp_path / "scale"]
    printed = json.loads(run_benchmark("scale", *small, *places))
    assert printed == json.loads((tmp_path / "scale.json").read_text())
    assert [run["samples"] for run in printed["runs"]] == [300, 600]
    assert all(run["iterations"] == 2 and run["seconds"] > 0 for run in printed["runs"])
    assert all(run["data_bytes"] == run["samples"] * 6 * 4 for run in printed["runs"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scale.json", "scale.png"]  # the map is gone


def test_the_file_holds_a_function_of_the_targets(tmp_path: Path) -> None:
    targets = write_features(tmp_path / "x.bin", 12_000, 4)
    features = np.memmap(tmp_path / "x.bin", np.float32, "r", shape=(12_000, 4))
    design = np.column_stack([targets, np.sin(targets), np.ones(len(targets))])
    residual = features - design @ np.linalg.lstsq(design, features, rcond=None)[0]
    assert abs(residual.std() - 1.0) < 0.02  # the noise is standard normal: 48,000 values, an error of 0.003


def test_memory_is_this_process_own() -> None:
    before = own_bytes()
    block = np.ones(2**24)  # so large that the system maps new memory for it
    assert own_bytes() - before > 0.9 * block.nbytes
