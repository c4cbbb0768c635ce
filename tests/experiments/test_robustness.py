"""Test the robustness experiment in quick mode, and its summary."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.robustness.runs import Group, Variant, run_group, variants
from experiments.robustness.summary import paired, summary


def test_a_group_trains_all_variants_once(tmp_path: Path) -> None:
    planned = variants((1, 2), (1.0,))
    table = run_group(Group(seed=0, threads=1), planned, tmp_path, quick=True)
    rows = pd.read_csv(table)
    assert rows["method"].tolist() == ["least squares", "inverse regression", "inverse regression"]
    assert rows["failed"].sum() == 0
    assert rows["geodesic"].between(0, 90).all()
    assert rows["auroc"][1:].between(0, 1).all()
    before = table.stat().st_mtime_ns
    run_group(Group(seed=0, threads=1), planned, tmp_path, quick=True)
    assert table.stat().st_mtime_ns == before


def test_variants_are_least_squares_and_the_grid() -> None:
    assert variants((1, 3), (0.0, 1.0))[1:] == [
        Variant("inverse regression", K, beta) for beta in (0.0, 1.0) for K in (1, 3)
    ]


def rows() -> pd.DataFrame:
    """Return rows of two seeds; the mixture of the second one is worse and has lost a component."""
    columns = [
        *("seed", "threads", "method", "components", "beta", "failed", "geodesic", "nll", "auroc"),
        *("covariance_scale", "rounds_undone", "least_components"),
    ]
    values = [
        (0, 1, "least squares", 0, np.nan, 0, 10.0, 9.0, np.nan, 2.0, 0, 0),
        (0, 1, "inverse regression", 3, 1.0, 0, 9.0, 8.0, 0.9, 1.5, 0, 3),
        (1, 1, "least squares", 0, np.nan, 0, 8.0, 9.0, np.nan, 2.0, 0, 0),
        (1, 1, "inverse regression", 3, 1.0, 0, 10.0, 9.5, 0.7, 2.5, 1, 2),
    ]
    return pd.DataFrame(values, columns=columns)


def test_rows_are_compared_with_least_squares_of_the_same_seed() -> None:
    found = paired(rows())
    assert found["ratio"].tolist() == pytest.approx([0.9, 1.25])
    assert found["nll_difference"].tolist() == [-1.0, 0.5]
    assert found["all_left"].tolist() == [True, False]


def test_the_summary_counts_failures_and_lower_likelihoods() -> None:
    whole = summary(rows()).set_index("K").loc["all"]
    assert (whole["trainings"], whole["failed"], whole["rounds undone"]) == (2, 0, 1)
    assert (whole["mean ratio"], whole["largest ratio"]) == ("1.075", "1.250")
    assert (whole["NLL lower in"], whole["all components left in"]) == ("50 %", "50 %")
