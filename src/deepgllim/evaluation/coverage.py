"""Coverage of the regions for new people, before and after recalibration; errors with selective prediction."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.errors import DataError
from deepgllim.evaluation.faces import Array, LabelledPredictions
from deepgllim.metrics import mean_absolute_error
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.conformal import fit_calibration, region_levels

LEVELS = (0.5, 0.8, 0.9, 0.95)
YAW_RANGES = ((0, 30), (30, 60), (60, 181))
"""Groups of faces by |yaw| (or |pan|), degrees."""

KEPT_SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


class CoverageReport(NamedTuple):
    """The result of `report_coverage`.

    Attributes:
        calibration: recalibration that was fitted to all people.
        coverage: one row for all faces and one for each group by |yaw|, with the columns `faces`, `n`, and for each
            level the coverage of its regions, `before` and `after` recalibration with other people.
        abstention: mean absolute error (`error`) of the share `kept` of the faces with the smallest uncertainty `by`
            the size of the region or log p(x).
        truth_levels: level of the smallest recalibrated region that contains the true pose, (N,).
    """

    calibration: Calibration
    coverage: pd.DataFrame
    abstention: pd.DataFrame
    truth_levels: Array


def report_coverage(predictions: LabelledPredictions, folds: int = 5, seed: int = 0) -> CoverageReport:
    """Fit the recalibration to all people, and measure its coverage by cross-validation over people.

    Args:
        predictions: predictions for people who are not in the training data.
        folds: number of folds of people, at most the number of people.
        seed: random seed of the folds.

    Raises:
        DataError: if there are fewer than three people.
    """
    people = np.unique(predictions.subjects)
    if len(people) < 3:
        raise DataError(f"{len(people)} people: recalibration with people held out needs at least three")
    parts = np.array_split(np.random.default_rng(seed).permutation(people), min(folds, len(people)))
    reached = np.full(len(predictions.truth), np.nan)
    for part in parts:
        held = np.isin(predictions.subjects, part)
        reached[held] = truth_levels(predictions.subset(held), fit_recalibration(predictions.subset(~held)))
    return CoverageReport(
        fit_recalibration(predictions),
        coverage_table(predictions, truth_levels(predictions, None), reached),
        abstention_table(predictions),
        reached,
    )


def fit_recalibration(predictions: LabelledPredictions) -> Calibration:
    """Fit a recalibration to people; its threshold is the 5 % quantile of their log p(x)."""
    density = None if np.isnan(predictions.log_density).any() else predictions.log_density
    return fit_calibration(predictions.residuals, predictions.covariance, predictions.subjects, LEVELS, density)


def truth_levels(predictions: LabelledPredictions, calibration: Calibration | None) -> Array:
    """Return the level of the smallest region that contains the true pose, (N,)."""
    return region_levels(predictions.residuals, predictions.covariance, calibration)


def coverage_table(predictions: LabelledPredictions, before: Array, after: Array) -> pd.DataFrame:
    """Return the coverage of the regions of each level."""
    rows = []
    for name, mask in ({"all": np.full(len(after), True)} | yaw_groups(predictions)).items():
        row: dict[str, float | str] = {"faces": name, "n": int(mask.sum())}
        for kind, reached in (("before", before), ("after", after)):
            row |= {f"{kind}_{100 * q:g}": float((reached[mask] <= q).mean()) for q in LEVELS if mask.any()}
        rows.append(row)
    return pd.DataFrame(rows)


def yaw_groups(predictions: LabelledPredictions) -> dict[str, npt.NDArray[np.bool_]]:
    """Return masks of the groups by |yaw| or |pan|, or nothing if neither is a target."""
    column = next((i for i, name in enumerate(predictions.names) if name in ("yaw", "pan")), None)
    if column is None:
        return {}
    size = np.abs(predictions.truth[:, column])
    return {
        f"|{predictions.names[column]}| {low}–{min(high, 180)}°": (size >= low) & (size < high)
        for low, high in YAW_RANGES
    }


def abstention_table(predictions: LabelledPredictions) -> pd.DataFrame:
    """Return the mean absolute error of the faces that remain if the most uncertain ones are rejected."""
    errors = np.nanmean(np.abs(predictions.residuals), axis=1)
    certainty = {"size of the region": -np.linalg.slogdet(predictions.covariance)[1]}
    if not np.isnan(predictions.log_density).any():
        certainty["log p(x)"] = predictions.log_density
    rows = []
    for name, value in certainty.items():
        order = np.argsort(-value, kind="stable")
        for kept in KEPT_SHARES:
            chosen = order[: max(1, round(kept * len(order)))]
            rows.append({"by": name, "kept": kept, "error": float(errors[chosen].mean())})
    return pd.DataFrame(rows)


def errors_by_target(predictions: LabelledPredictions) -> dict[str, float]:
    """Return the mean absolute error of each labelled target, degrees."""
    residuals = predictions.residuals
    found = {}
    for i, name in enumerate(predictions.names):
        labelled = ~np.isnan(residuals[:, i])
        if labelled.any():
            found[name] = float(mean_absolute_error(residuals[labelled, i : i + 1], np.zeros((labelled.sum(), 1)))[0])
    return found
