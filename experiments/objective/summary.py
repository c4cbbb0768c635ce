"""Tables of the experiment: medians over the other axes, relative to least squares with as many features."""

import pandas as pd

from experiments.objective.cells import LEAST_SQUARES

KEYS = ["data", "seed", "features"]
AXES = ("beta", "components", "features", "noise")


def paired(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of inverse regression, compared with least squares of the same data, seed and features."""
    columns = [*KEYS, "geodesic", "nll"]
    baseline = results.loc[results["noise"] == LEAST_SQUARES, columns]
    rows = results[results["noise"] != LEAST_SQUARES].merge(baseline, on=KEYS, suffixes=("", "_baseline"))
    return rows.assign(
        ratio=rows["geodesic"] / rows["geodesic_baseline"],
        nll_difference=rows["nll"] - rows["nll_baseline"],
        all_left=rows["least_components"] == rows["components"],
    )


def along(results: pd.DataFrame, axis: str, only: str = "") -> pd.DataFrame:
    """Return medians per data set and value of an axis. A single collapsed training would dominate a mean.

    Args:
        results: the rows of all cells.
        axis: one of `AXES`.
        only: pandas query that selects cells, such as "beta == 1".
    """
    rows = paired(results)
    rows = rows.query(only) if only else rows
    groups = rows.groupby(["data", axis], sort=True)
    return pd.DataFrame(
        {
            "cells": groups.size(),
            "ratio": groups["ratio"].median().round(3),
            "worst ratio": groups["ratio"].max().round(2),
            "NLL − least squares": groups["nll_difference"].median().round(3),
            "AUROC": groups["auroc"].median().round(3),
            "covariance scale": groups["covariance_scale"].median().round(2),
            "all components left": groups["all_left"].mean().round(2),
            "rounds undone": groups["rounds_undone"].sum(),
        }
    ).reset_index()


def best(results: pd.DataFrame, number: int = 10) -> pd.DataFrame:
    """Return the cells with the lowest negative log-likelihood of each data set."""
    rows = paired(results).sort_values("nll").groupby("data").head(number)
    columns = [
        *("data", "noise", "features", "components", "beta"),
        "geodesic",
        "ratio",
        "nll",
        "auroc",
        "covariance_scale",
    ]
    return rows[columns].sort_values(["data", "nll"]).round(3)
