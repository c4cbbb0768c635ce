"""Our errors from the committed results of other experiments, in the columns of `quoted.csv`."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from deepgllim.geometry import ANGLES
from experiments.protocol import over_folds, read_table

FIGURES = (*ANGLES, "mean")
KEYS = ["method", "data", "protocol"]


def _pointing04(table: pd.DataFrame) -> pd.DataFrame:
    found = table.rename(columns=lambda name: str(name).removeprefix("test_"))
    return found.assign(data="Pointing'04", protocol="people 1-12 train, 13-15 test")


def _table1(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(data="Pointing'04", protocol=f"{table['fold'].nunique()} folds of people left out")


def _table2(table: pd.DataFrame, step: str = "") -> pd.DataFrame:
    methods = [f"inverse regression, K = {components}{step}" for components in table["K"]]
    return table.assign(method=methods, data=table["set"], protocol="our rendered heads, other people test")


def _compare_peers(table: pd.DataFrame) -> pd.DataFrame:
    found = table[table["reading"] == "angles"]
    data = found["data"].replace("pointing04", "Pointing'04") + found["part"].map({"all": "", "inner": ", inner poses"})
    protocol = [f"{n} pictures, box × {margin}" for n, margin in zip(found["n"], found["margin"], strict=True)]
    return found.assign(method=found["system"], data=data, protocol=protocol, seed=0)


SOURCES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "experiments/pointing04/results.csv": _pointing04,
    "experiments/table1/results.csv": _table1,
    "experiments/table2/results.csv": _table2,
    "experiments/table2/conditional.csv": partial(_table2, step=", beta = 1"),
    "research/compare_peers/results.csv": _compare_peers,
}
"""Functions that add the columns method, data, protocol, seed, mae_… and mae to a table, by its path."""


def our_rows(root: Path) -> pd.DataFrame:
    """Return a row for each method, data set and protocol: "mean ± deviation over seeds" of the angles and their mean.

    Args:
        root: folder that contains `experiments` and `research`; tables that are absent are skipped.
    """
    parts = []
    for path, with_keys in SOURCES.items():
        table = read_table(root / path)
        if len(table):
            parts.append(over_seeds(with_keys(table)).assign(remark="", source=path))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*KEYS, *FIGURES, "remark", "source"])


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and deviation over seeds of the errors; folds are weighted by their number of pictures (column n).

    Example:
        >>> rows = [("a", "d", "p", 0, 1, 4.0), ("a", "d", "p", 0, 3, 8.0), ("a", "d", "p", 1, 1, 9.0)]
        >>> table = pd.DataFrame(rows, columns=["method", "data", "protocol", "seed", "n", "mae"])
        >>> over_seeds(table)[["method", "mean"]].values.tolist()
        [['a', '8.00 ± 1.41']]
    """
    present = {f"mae_{name}": name for name in ANGLES} | {"mae": "mean"}
    figures = table.reindex(columns=[*KEYS, "seed", "n", *present]).rename(columns=present)
    per_seed = over_folds(figures, [*KEYS, "seed"], FIGURES)
    grouped = per_seed.groupby(level=KEYS, sort=False)
    mean, deviation, seeds = grouped.mean(), grouped.std(ddof=1), grouped.size()
    text = {name: [_text(m, d) for m, d in zip(mean[name], deviation[name], strict=True)] for name in FIGURES}
    return pd.DataFrame(text, index=mean.index).assign(seeds=seeds).reset_index()


def _text(mean: float, deviation: float) -> str:
    if math.isnan(mean):
        return ""
    return f"{mean:.2f}" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"
