"""Predictions for people left out, and their metrics: errors of tilt and pan, calibration and coverage."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.metrics import mean_absolute_error
from deepgllim.nn import AugmentationConfig, DeepRegression, Recipe, predict_distribution
from deepgllim.pose import Calibration, fit_calibration, region_levels
from deepgllim.runs import face_inputs

Array = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.9, 0.95)


class FoldPredictions(NamedTuple):
    """Predictions for N faces, with their labels.

    Attributes:
        targets: tilt, pan and neck roll, (N, 3), degrees; NaN if there is no label.
        mean: predicted mean, (N, 3), degrees.
        covariance: predicted covariance, (N, 3, 3), degrees².
        log_density: log p(x), (N,).
        subjects: name of the person, (N,).
    """

    targets: Array
    mean: Array
    covariance: Array
    log_density: Array
    subjects: NDArray[np.str_]

    @classmethod
    def joined(cls, parts: "list[FoldPredictions]") -> "FoldPredictions":
        """Return the predictions of several parts in one tuple."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@torch.no_grad()
def predict_faces(model: DeepRegression, faces: Manifest, recipe: Recipe) -> FoldPredictions:
    """Return the predictions of a model for faces with labels, cropped by a recipe."""
    inputs = face_inputs(faces, recipe.data, AugmentationConfig.off())
    found = predict_distribution(model, inputs)
    assert found.input_log_density is not None
    moments = found.mean.numpy(), found.covariance_matrix.numpy(), found.input_log_density.numpy()
    return FoldPredictions(faces.target_values, *moments, faces.subjects.astype(str))


def errors(found: FoldPredictions) -> dict[str, float]:
    """Return mean absolute errors of tilt and pan over all poses and over the inner poses, degrees."""
    inner = (np.abs(found.targets[:, 0]) <= 30) & (np.abs(found.targets[:, 1]) <= 60)
    row: dict[str, float] = {}
    for part, rows in (("all", np.full(len(inner), True)), ("inner", inner)):
        tilt, pan = mean_absolute_error(found.targets[rows, :2], found.mean[rows, :2])
        row |= {f"{part}_tilt": float(tilt), f"{part}_pan": float(pan), f"{part}_mean": float(tilt + pan) / 2}
    return row


def calibrated(found: FoldPredictions) -> Calibration:
    """Fit the calibration to predictions for people left out."""
    return fit_calibration(found.targets - found.mean, found.covariance, found.subjects, LEVELS, found.log_density)


def coverage(folds: list[FoldPredictions], wanted: Callable[[NDArray[np.str_]], NDArray[np.bool_]]) -> pd.DataFrame:
    """Return the coverage of the regions of each level; each fold is calibrated with the other folds.

    Args:
        folds: predictions of the model of each fold for people left out of it.
        wanted: function that returns the mask of the people to include.

    Returns:
        A row for all faces, and rows by |pan|.
    """
    held = []
    for i, fold in enumerate(folds):
        calibration = calibrated(FoldPredictions.joined([other for j, other in enumerate(folds) if j != i]))
        held.append(region_levels(fold.targets - fold.mean, fold.covariance, calibration))
    everything = FoldPredictions.joined(folds)
    chosen = wanted(everything.subjects)
    needed, pan = np.concatenate(held)[chosen], np.abs(everything.targets[chosen, 1])
    parts = {"all": np.full(len(pan), True)}
    parts |= {f"|pan| {a} to {b - 1}": (pan >= a) & (pan < b) for a, b in ((0, 31), (31, 61), (61, 181))}
    rows = [
        {"faces": name, "n": int(mask.sum())} | {str(q): float((needed[mask] <= q).mean()) for q in LEVELS}
        for name, mask in parts.items()
        if mask.any()
    ]
    return pd.DataFrame(rows)
