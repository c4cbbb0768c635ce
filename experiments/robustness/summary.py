"""Comparison of each training with least squares of the same seed and number of threads."""

import pandas as pd

from experiments.robustness.runs import LEAST_SQUARES

PAIR = ["seed", "threads"]


def paired(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of inverse regression with their error ratio and NLL difference to least squares.

    Example:
        >>> columns = ["seed", "threads", "method", "components", "beta", "geodesic", "nll", "least_components"]
        >>> rows = [(0, 1, "least squares", 0, None, 8.0, 9.0, 0), (0, 1, "inverse regression", 3, 1.0, 6.0, 8.5, 3)]
        >>> paired(pd.DataFrame(rows, columns=columns))[["ratio", "nll_difference", "all_left"]].values.tolist()
        [[0.75, -0.5, True]]
    """
    baseline = results[results["method"] == LEAST_SQUARES].set_index(PAIR)
    rows = results[results["method"] != LEAST_SQUARES].copy()
    keys = pd.MultiIndex.from_frame(rows[PAIR])
    rows["ratio"] = rows["geodesic"].to_numpy() / baseline["geodesic"].reindex(keys).to_numpy()
    rows["nll_difference"] = rows["nll"].to_numpy() - baseline["nll"].reindex(keys).to_numpy()
    rows["all_left"] = rows["least_components"] == rows["components"]
    return rows


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each β and K, and one for all K of each β."""
    rows = paired(results)
    tables = [aggregate(part, beta, str(K)) for (beta, K), part in rows.groupby(["beta", "components"])]
    tables += [aggregate(part, beta, "all") for beta, part in rows.groupby("beta")]
    return pd.DataFrame(tables)


def aggregate(rows: pd.DataFrame, beta: object, components: str) -> dict[str, object]:
    """Return counts and means over trainings."""
    return {
        "β": beta,
        "K": components,
        "trainings": len(rows),
        "failed": int(rows["failed"].sum()),
        "rounds undone": int(rows["rounds_undone"].sum()),
        "mean geodesic error": f"{rows['geodesic'].mean():.2f}",
        "mean ratio": f"{rows['ratio'].mean():.3f}",
        "largest ratio": f"{rows['ratio'].max():.3f}",
        "NLL lower in": f"{100 * (rows['nll_difference'] < 0).mean():.0f} %",
        "all components left in": f"{100 * rows['all_left'].mean():.0f} %",
        "mean AUROC": f"{rows['auroc'].mean():.3f}",
        "median covariance scale": f"{rows['covariance_scale'].median():.2f}",
    }
