"""Tables of the ablation: means over the other axes, as ratios and differences to least squares of as many features."""

import pandas as pd

from experiments.objective.cells import LEAST_SQUARES

KEYS = ["data", "seed", "features"]
AXES = ("beta", "components", "features", "noise")


def paired(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of inverse regression beside least squares of the same data, seed and number of features."""
    columns = [*KEYS, "geodesic", "nll"]
    baseline = results.loc[results["noise"] == LEAST_SQUARES, columns]
    rows = results[results["noise"] != LEAST_SQUARES].merge(baseline, on=KEYS, suffixes=("", "_baseline"))
    return rows.assign(
        ratio=rows["geodesic"] / rows["geodesic_baseline"],
        nll_difference=rows["nll"] - rows["nll_baseline"],
        all_left=rows["least_components"] == rows["components"],
    )


def along(results: pd.DataFrame, axis: str, only: str = "") -> pd.DataFrame:
    """A row for each value of an axis, for each data set: medians, since a collapse would rule a mean.

    Args:
        results: the rows of all cells.
        axis: of `AXES`.
        only: a pandas query that selects some of the cells, such as "beta == 1".
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
    """The cells of the least likelihood, negative, of each data set."""
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
