"""The comparison runs and writes what it promises; which method wins is no test."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
METHODS = ["GLLiM", "GLLiM Student", "GLLiM held out", "ridge", "forest", "Gaussian process"]


def test_a_quick_run_prints_a_table_and_writes_every_run(run_benchmark: Callable[..., str], tmp_path: Path) -> None:
    printed = run_benchmark("regressors", "--quick", "--output", tmp_path / "runs.csv")
    rows = pd.read_csv(tmp_path / "runs.csv")
    installed = importlib.util.find_spec("gmr") is not None
    assert rows["method"].tolist() == METHODS + ["gmr"] * installed
    assert ("gmr is not installed" in printed) != installed
    assert len([line for line in printed.splitlines() if line.startswith("| diabetes |")]) == len(rows)
    assert rows["rmse"].between(0.5, 1.0).all()  # better than the mean, worse than exact
    assert rows["nll"].between(0.8, 1.5).all()
    assert rows["coverage_90"].between(0.5, 1.0).all()
    assert (rows["seconds"] > 0).all()


def test_what_is_committed_is_what_the_benchmark_writes() -> None:
    rows = pd.read_csv(ROOT / "benchmarks" / "regressors.csv")
    assert list(rows) == ["data", "method", "seed", "rmse", "nll", "coverage_90", "seconds"]
    assert set(METHODS) <= set(rows["method"])
    assert rows.notna().all().all()
    assert (rows.groupby(["data", "method"]).size() == 3).all()
