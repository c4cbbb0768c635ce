"""Test that quoted rows are complete and consistent, and that ours come from the present results."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from deepgllim.geometry.rotations import ANGLES
from experiments.protocol import write_rows
from experiments.table3.__main__ import merge_rows, quoted_rows
from experiments.table3.ours import our_rows, over_seeds


def numbers(row: "pd.Series[str]") -> list[float]:
    return [float(row[name]) for name in ANGLES if row[name]]


def test_quoted_rows_name_data_protocol_and_source() -> None:
    quoted = quoted_rows()
    for name in ("method", "data", "protocol", "source"):
        assert (quoted[name] != "").all(), name
    assert not quoted.duplicated(["method", "data", "remark"]).any()


def test_quoted_means_are_the_means_of_their_angles() -> None:
    """The tolerance is the rounding error, larger for figures of one decimal."""
    for _, row in quoted_rows().iterrows():
        if row["mean"]:
            angles = numbers(row)
            tolerance = 0.05 if "." in row["pitch"] and len(row["pitch"].split(".")[1]) == 1 else 0.011
            assert float(row["mean"]) == pytest.approx(sum(angles) / len(angles), abs=tolerance), row["method"]


def test_quoted_figures_are_in_their_sources(paper_dir: Path) -> None:
    """The text of the source of a row contains each of its numbers."""
    texts = {"Lathuilière": (paper_dir / "paper.txt").read_text(), "the project": (paper_dir / "peers.md").read_text()}
    for _, row in quoted_rows().iterrows():
        text = next(text for start, text in texts.items() if row["source"].startswith(start))
        for name in (*ANGLES, "mean"):
            assert row[name] in text, (row["method"], name, row[name])


def test_folds_are_weighted_by_pictures_and_deviation_is_over_seeds() -> None:
    keys = {"method": "a", "data": "d", "protocol": "p"}
    rows = [
        {**keys, "seed": 0, "n": 100, "mae_pitch": 2.0, "mae_yaw": 4.0, "mae": 3.0},
        {**keys, "seed": 0, "n": 300, "mae_pitch": 6.0, "mae_yaw": 8.0, "mae": 7.0},
        {**keys, "seed": 1, "n": 100, "mae_pitch": 5.0, "mae_yaw": 7.0, "mae": 6.0},
        {**keys, "seed": 1, "n": 300, "mae_pitch": 7.0, "mae_yaw": 9.0, "mae": 8.0},
    ]
    (row,) = over_seeds(pd.DataFrame(rows)).to_dict("records")
    assert row["pitch"] == "5.75 ± 1.06"  # 5 and 6.5
    assert row["mean"] == "6.75 ± 1.06"
    assert row["roll"] == ""
    assert row["seeds"] == 2


def test_our_rows_come_from_the_experiments_with_results(tmp_path: Path) -> None:
    assert len(our_rows(tmp_path)) == 0
    angles = {"mae_pitch": 2.0, "mae_yaw": 4.0, "mae": 3.0}
    tables = tmp_path / "experiments"
    tested = {f"test_{name}": value for name, value in angles.items()}
    write_rows([{"method": "m", "seed": 0, "test_n": 5, **tested}], tables / "pointing04" / "results.csv")
    write_rows([{"method": "f", "fold": 0, "seed": 0, "n": 5, **angles}], tables / "table1" / "results.csv")
    write_rows(
        [{"set": "S2G", "K": 5, "seed": 0, "n": 5, **angles, "mae_roll": 6.0}],
        tables / "table2" / "results.csv",
    )
    write_rows([{"set": "S2G", "K": 5, "seed": 0, "n": 5, **angles}], tables / "table2" / "conditional.csv")
    peer = {"system": "s", "data": "pointing04", "margin": 1.6, "n": 5, **angles}
    rows = [
        {**peer, "part": part, "reading": reading} for part in ("all", "inner") for reading in ("angles", "directions")
    ]
    write_rows(rows, tmp_path / "research" / "compare_peers" / "results.csv")
    found = our_rows(tmp_path)
    assert found["method"].tolist() == [
        "m",
        "f",
        "inverse regression, K = 5",
        "inverse regression, K = 5, beta = 1",
        "s",
        "s",
    ]
    assert found["data"].tolist() == [*["Pointing'04"] * 2, *["S2G"] * 2, "Pointing'04", "Pointing'04, inner poses"]
    assert found["roll"].tolist() == ["", "", "6.00", "", "", ""]
    table = merge_rows(quoted_rows(), found)
    assert set(table["figures"]) == {"quoted", "measured"}
    assert len(table) == len(quoted_rows()) + len(found)
    first = table[table["data"] == "S2G"]
    assert first["figures"].tolist() == ["quoted"] * 4 + ["measured"] * 2


def test_the_command_prints_quoted_and_measured_rows(run_experiment: Callable[..., str]) -> None:
    lines = run_experiment("table3").strip().splitlines()
    assert len({line.count("|") for line in lines}) == 1  # every row has as many cells
    assert any(line.startswith("| quoted | Drouard et al. |") for line in lines)
    measured = [line for line in lines if line.startswith("| measured | ")]
    assert sum("experiments/pointing04/results.csv" in line for line in measured) == 7
