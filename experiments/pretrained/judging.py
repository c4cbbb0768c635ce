"""What the folds' models say of people they have not seen, and the figures made of it.

Labels are directions: tilt and pan. The photographs have no label of the neck roll; rendered heads have all three.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.metrics import area_under_roc, mean_absolute_error
from deepgllim.nn.config import AugmentationConfig, Recipe
from deepgllim.nn.evaluation import collect_normalised
from deepgllim.nn.inputs import ArrayInputs, Inputs
from deepgllim.nn.model import DeepRegression
from deepgllim.pose.calibration import Calibration
from deepgllim.pose.conformal import fit_calibration, region_levels
from deepgllim.runs import face_inputs
from deepgllim.storage import write_atomically

Array = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.9, 0.95)


class Said(NamedTuple):
    """Predictions of N faces with what is true of them.

    Attributes:
        targets: tilt, pan, neck roll, (N, 3), degrees; NaN where there is no label.
        mean: (N, 3).
        covariance: (N, 3, 3).
        log_density: (N,).
        subjects: (N,).
    """

    targets: Array
    mean: Array
    covariance: Array
    log_density: Array
    subjects: NDArray[np.str_]

    @classmethod
    def joined(cls, parts: "list[Said]") -> "Said":
        """Several as one."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def write_said(found: Said, path: Path) -> None:
    """Keep predictions, whole or not at all."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            np.savez(file, **found._asdict())

    write_atomically(path, write)


def read_said(path: Path) -> Said:
    """What `write_said` kept."""
    with np.load(path) as file:
        return Said(**{name: file[name] for name in Said._fields})


@torch.no_grad()
def said(model: DeepRegression, faces: Manifest, recipe: Recipe, margin: float, labelled: int) -> Said:
    """A model's predictions; of the targets, the first `labelled` are known."""
    inputs = face_inputs(faces, recipe.override({"data.margin": margin}).data, AugmentationConfig.off())
    targets = faces.target_values.copy()
    targets[:, labelled:] = np.nan
    return Said(targets, *answers(model, inputs), faces.subjects.astype(str))


@torch.no_grad()
def answers(model: DeepRegression, inputs: Inputs) -> tuple[Array, Array, Array]:
    """Mean, covariance and log p(x)."""
    found = model.head(collect_normalised(model, inputs))
    assert found.input_log_density is not None
    return found.mean.numpy(), found.covariance_matrix.numpy(), found.input_log_density.numpy()


def densities(model: DeepRegression, pictures: NDArray[np.uint8]) -> Array:
    """log p(x) of pictures (N, 3, S, S)."""
    return answers(model, ArrayInputs(pictures, torch.zeros(len(pictures), 3)))[2]


def errors(found: Said) -> dict[str, float]:
    """Mean absolute errors of tilt and pan, of all and of the inner poses, degrees."""
    inner = (np.abs(found.targets[:, 0]) <= 30) & (np.abs(found.targets[:, 1]) <= 60)
    row: dict[str, float] = {}
    for part, rows in (("all", np.full(len(inner), True)), ("inner", inner)):
        tilt, pan = mean_absolute_error(found.targets[rows, :2], found.mean[rows, :2])
        row |= {f"{part}_tilt": float(tilt), f"{part}_pan": float(pan), f"{part}_mean": float(tilt + pan) / 2}
    return row


def calibrated(found: Said) -> Calibration:
    """The recalibration by predictions for people not seen."""
    return fit_calibration(found.targets - found.mean, found.covariance, found.subjects, LEVELS, found.log_density)


def coverage(folds: list[Said], wanted: Callable[[NDArray[np.str_]], NDArray[np.bool_]]) -> pd.DataFrame:
    """Shares of true poses in the regions of each level, each fold's with the others' recalibration.

    Args:
        folds: predictions for people that the fold's model had not seen.
        wanted: of whom: (subjects) → mask.

    Returns:
        Rows: all such faces, and by |pan|.
    """
    held = []
    for i, fold in enumerate(folds):
        calibration = calibrated(Said.joined([other for j, other in enumerate(folds) if j != i]))
        held.append(region_levels(fold.targets - fold.mean, fold.covariance, calibration))
    everything = Said.joined(folds)
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


def roc(known: Array, unknown: dict[str, Array]) -> dict[str, float]:
    """Areas under the ROC curve of log p(x), faces against each kind of other pictures and all of them."""
    kinds = unknown | {"all": np.concatenate(list(unknown.values()))}
    return {f"auroc_{name}": float(area_under_roc(known, values)) for name, values in kinds.items()}
