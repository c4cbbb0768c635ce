"""Are the regions true for people not seen? Coverage before and after recalibration, and error against faces kept."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.errors import DataError
from deepgllim.evaluation.faces import Array, Judged
from deepgllim.metrics import mean_absolute_error
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.conformal import fit_calibration, region_levels

LEVELS = (0.5, 0.8, 0.9, 0.95)
TURNED = ((0, 30), (30, 60), (60, 181))
"""Parts by |yaw| (or |pan|), degrees."""

KEPT = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


class CoverageReport(NamedTuple):
    """What calibration found.

    Attributes:
        calibration: fitted to all people.
        coverage: a row for all faces and for each part by |yaw|: `faces`, `n`, and for each level the share of true
            poses in its region, `before` recalibration and `after` (recalibrated by other people).
        abstention: `kept` (share of faces, the surest first), `by` (size of the region, or log p(x)), `error`.
        reached: least level whose recalibrated region holds the truth, (N,).
    """

    calibration: Calibration
    coverage: pd.DataFrame
    abstention: pd.DataFrame
    reached: Array


def report_coverage(judged: Judged, folds: int = 5, seed: int = 0) -> CoverageReport:
    """Fit the recalibration to all people; tell its coverage with each fold of people recalibrated by the others.

    Args:
        judged: predictions for people that the model has not seen.
        folds: of people; fewer where there are fewer people.
        seed: of the folds.

    Raises:
        DataError: fewer than three people.
    """
    people = np.unique(judged.subjects)
    if len(people) < 3:
        raise DataError(f"{len(people)} people: recalibration with people held out needs three or more")
    parts = np.array_split(np.random.default_rng(seed).permutation(people), min(folds, len(people)))
    reached = np.full(len(judged.truth), np.nan)
    for part in parts:
        held = np.isin(judged.subjects, part)
        reached[held] = levels_reached(judged.subset(held), calibration_of(judged.subset(~held)))
    return CoverageReport(
        calibration_of(judged),
        coverage_table(judged, levels_reached(judged, None), reached),
        abstention(judged),
        reached,
    )


def calibration_of(judged: Judged) -> Calibration:
    """The recalibration by these people; the verdict's threshold is the 5 % quantile of their log p(x)."""
    density = None if np.isnan(judged.log_density).any() else judged.log_density
    return fit_calibration(judged.residuals, judged.covariance, judged.subjects, LEVELS, density)


def levels_reached(judged: Judged, calibration: Calibration | None) -> Array:
    """The least level whose region holds each truth, (N,)."""
    return region_levels(judged.residuals, judged.covariance, calibration)


def coverage_table(judged: Judged, before: Array, after: Array) -> pd.DataFrame:
    """Shares of faces whose truth lies in the region of each level."""
    rows = []
    for name, mask in ({"all": np.full(len(after), True)} | turned(judged)).items():
        row: dict[str, float | str] = {"faces": name, "n": int(mask.sum())}
        for kind, reached in (("before", before), ("after", after)):
            row |= {f"{kind}_{100 * q:g}": float((reached[mask] <= q).mean()) for q in LEVELS if mask.any()}
        rows.append(row)
    return pd.DataFrame(rows)


def turned(judged: Judged) -> dict[str, npt.NDArray[np.bool_]]:
    """The faces of each part by |yaw| or |pan|; none where neither is a target."""
    column = next((i for i, name in enumerate(judged.names) if name in ("yaw", "pan")), None)
    if column is None:
        return {}
    size = np.abs(judged.truth[:, column])
    return {f"|{judged.names[column]}| {low}–{min(high, 180)}°": (size >= low) & (size < high) for low, high in TURNED}


def abstention(judged: Judged) -> pd.DataFrame:
    """The mean absolute error of the faces kept, when those the model is least sure of are given up."""
    errors = np.nanmean(np.abs(judged.residuals), axis=1)
    sureness = {"size of the region": -np.linalg.slogdet(judged.covariance)[1]}
    if not np.isnan(judged.log_density).any():
        sureness["log p(x)"] = judged.log_density
    rows = []
    for name, value in sureness.items():
        order = np.argsort(-value, kind="stable")
        for kept in KEPT:
            chosen = order[: max(1, round(kept * len(order)))]
            rows.append({"by": name, "kept": kept, "error": float(errors[chosen].mean())})
    return pd.DataFrame(rows)


def errors_by_target(judged: Judged) -> dict[str, float]:
    """Mean absolute error of each labelled target, degrees."""
    residuals = judged.residuals
    found = {}
    for i, name in enumerate(judged.names):
        labelled = ~np.isnan(residuals[:, i])
        if labelled.any():
            found[name] = float(mean_absolute_error(residuals[labelled, i : i + 1], np.zeros((labelled.sum(), 1)))[0])
    return found
