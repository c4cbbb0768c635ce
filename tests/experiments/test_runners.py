"""Test the experiments' commands in their quick mode, and the shared protocol."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from experiments import protocol

ROOT = Path(__file__).parents[2]
ON_PHOTOGRAPHS = ("ablation", "pointing04", "training_size")
"""The experiments that share one protocol; the others have tests of their own."""


@pytest.mark.parametrize("name", ON_PHOTOGRAPHS)
def test_quick_mode_makes_the_tables(name: str, pointing04_dir: Path, tmp_path: Path) -> None:
    folders = ["--work", str(tmp_path / "work"), "--output", str(tmp_path / "tables")]
    data = f"pointing04:{pointing04_dir}"
    command = [sys.executable, "-m", f"experiments.{name}", "--data", data, "--quick", *folders]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "| method |" in done.stdout or "| fraction |" in done.stdout
    results = protocol.read_table(tmp_path / "tables" / "results.csv")
    assert results.test_mae.between(0, 120).all()
    assert len(results) == len(protocol.read_table(tmp_path / "tables" / "runs.csv"))


def test_the_chosen_rate_is_the_first_seeds_best() -> None:
    rows = [("a", 0.1, 0, 5.0), ("a", 0.2, 0, 4.0), ("a", 0.1, 1, 1.0), ("b", 0.1, 0, 2.0), ("b", 0.2, 0, 3.0)]
    runs = pd.DataFrame(rows, columns=["method", "learning_rate", "seed", "validation_mae"]).assign(fraction=1.0)
    assert protocol.best_rates(runs) == {"a": 0.2, "b": 0.1}


def test_a_table_keeps_what_is_done(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    assert protocol.read_rows(table) == []
    row = {"method": "a, K = 1", "learning_rate": 0.1, "fraction": 0.2, "seed": 3, "validation_mae": 1.23456789}
    protocol.write_rows([row], table)
    assert protocol.read_rows(table) == [row | {"validation_mae": 1.23457}]


def test_mean_and_deviation_over_seeds() -> None:
    frame = pd.DataFrame({"method": ["a", "a", "b"], "error": [1.0, 3.0, 5.0]})
    summary = protocol.mean_and_deviation(frame, ["method"], ["error"])
    assert summary.error.tolist() == ["2.00 ± 1.41", "5.00 ± 0.00"]
    assert protocol.as_markdown(summary).splitlines()[2] == "| a | 2.00 ± 1.41 |"


class _Failing(NamedTuple):
    number: int


def _fails_at_two(job: _Failing) -> dict[str, int]:
    if job.number == 2:
        raise ValueError("two")
    return {"number": job.number}


def test_jobs_of_any_kind_resume_and_a_failure_keeps_what_is_done(tmp_path: Path) -> None:
    table, jobs = tmp_path / "table.csv", [_Failing(number) for number in range(4)]
    with pytest.raises(ValueError, match="two"):
        protocol.run_tasks(jobs, _fails_at_two, table, 1, _Failing._asdict)
    assert [row["number"] for row in protocol.read_rows(table)] == [0, 1]
    done = protocol.run_tasks(jobs, _Failing._asdict, table, 1, _Failing._asdict)
    assert done["number"].tolist() == [0, 1, 2, 3]
