"""Test the experiments' commands in their quick mode, and the shared protocol."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from experiments import protocol

EXPERIMENTS = {"ablation": 2, "pointing04": 1, "training_size": 1}
"""Numbers of processes of the experiments with the common protocol; the others have their own tests."""


@pytest.mark.parametrize(("name", "jobs"), EXPERIMENTS.items())
def test_quick_mode_makes_the_tables(
    name: str, jobs: int, run_experiment: Callable[..., str], rendered_pointing04: Path, tmp_path: Path
) -> None:
    folders = ("--work", tmp_path / "work", "--output", tmp_path / "tables")
    printed = run_experiment(name, "--data", f"pointing04:{rendered_pointing04}", "--quick", "--jobs", jobs, *folders)
    assert "| method |" in printed or "| fraction |" in printed
    results = protocol.read_table(tmp_path / "tables" / "results.csv")
    assert results.test_mae.between(0, 120).all()
    assert len(results) == len(protocol.read_table(tmp_path / "tables" / "runs.csv"))


def test_the_chosen_rate_is_the_best_of_the_first_seed() -> None:
    rows = [("a", 0.1, 0, 5.0), ("a", 0.2, 0, 4.0), ("a", 0.1, 1, 1.0), ("b", 0.1, 0, 2.0), ("b", 0.2, 0, 3.0)]
    runs = pd.DataFrame(rows, columns=["method", "learning_rate", "seed", "validation_mae"]).assign(fraction=1.0)
    assert protocol.best_rates(runs) == {"a": 0.2, "b": 0.1}


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
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
