"""Metrics of a system, for both interpretations of the labels, over all poses and over the inner poses.

Labels that are the direction of a marker (tilt and pan of Pointing'04) are interpreted as pitch and yaw of our
convention and as the direction of the nose, see `experiments.synthetic_to_real.judge`. Nothing is fitted or aligned.
"""

from typing import Any, NamedTuple

import numpy as np

from deepgllim import metrics
from deepgllim.data import Manifest
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.geometry import (
    ANGLES,
    NECK_ANGLES,
    angles_from_rotation,
    pan_tilt_from_rotation,
    rotation_from_angles,
    rotation_from_pan_tilt,
)
from deepgllim.nn import DeepRegression, Predictions
from deepgllim.runs import predict_manifest
from research.compare_peers.presets import Array, Poses

INNER = {"pitch": 30.0, "yaw": 60.0}
"""Largest absolute labels of the inner poses, degrees."""

READINGS = {"angles": ANGLES, "directions": NECK_ANGLES}
"""Names of the labels by interpretation; columns have the names of the first one."""


class Spread(NamedTuple):
    """Predictive distributions of a system.

    Attributes:
        names: names of the L targets.
        predictions: predictions for all faces.
        missing: targets without labels.
    """

    names: tuple[str, ...]
    predictions: Predictions
    missing: tuple[str, ...]


def judge(faces: Manifest, poses: Poses, spread: Spread | None = None) -> list[dict[str, Any]]:
    """Return a row of metrics for each part of the faces and each interpretation of their labels.

    Raises:
        DataError: the faces have no labels pitch and yaw.
    """
    if not set(INNER) <= set(faces.frame):
        raise DataError(f"the data have the labels {', '.join(faces.targets)}: pitch and yaw are needed")
    limits = np.array(list(INNER.values()))
    inner = (np.abs(faces.frame[list(INNER)].to_numpy(dtype=np.float64)) <= limits).all(axis=1)
    parts = {"all": np.full(len(faces), True), "inner": inner}
    return [
        {"part": part, "reading": reading, **compute_row(faces, poses, spread, reading, rows)}
        for part, rows in parts.items()
        for reading, names in READINGS.items()
        if rows.any() and set(names[:2]) <= set(faces.frame)
    ]


def compute_row(faces: Manifest, poses: Poses, spread: Spread | None, reading: str, rows: Array) -> dict[str, Any]:
    """Return the row of one part, a mask (N,), for one interpretation."""
    names = tuple(name for name in READINGS[reading] if name in faces.frame)
    labels = faces.frame[list(names)].to_numpy(dtype=np.float64)
    predicted = poses.angles if reading == "angles" else pan_tilt_from_rotation(poses.rotations)
    found = _errors(labels[rows], predicted[rows, : len(names)], names)
    if spread is not None and spread.names[0] in names:
        found |= _intervals(spread, names, rows)
    found["n"] = int(rows.sum())
    own = dict(zip(READINGS[reading], ANGLES, strict=True))
    return {_called(key, own): value for key, value in found.items()}


def _errors(labels: Array, predicted: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """Return MAE per target and mean, geodesic error and MAEV; a roll or neck roll without label counts as 0."""
    found: dict[str, Any] = metrics.summarise(labels, predicted, names)
    if names[0] in NECK_ANGLES:
        truth, guess = (angles_from_rotation(_neck(values)) for values in (labels, predicted))
        found["geodesic"] = float(metrics.geodesic_error(truth, guess).mean())
        found["maev"] = float(metrics.vector_error(truth, guess).mean())
    return found


def _neck(values: Array) -> Array:
    """Return rotations from tilt, pan and, if present, neck roll."""
    return rotation_from_pan_tilt(values[:, 1], values[:, 0], values[:, 2] if values.shape[1] == 3 else 0.0)


def _intervals(spread: Spread, names: tuple[str, ...], rows: Array) -> dict[str, Any]:
    """Return the coverage of the labelled targets, and the NLL if all targets of the system have labels."""
    predictions, columns = spread.predictions, [spread.names.index(name) for name in names if name in spread.names]
    truth, lower, upper = (values[rows][:, columns] for values in predictions_bounds(predictions))
    coverage = metrics.interval_coverage(truth, lower, upper)
    found: dict[str, Any] = {
        f"coverage_90_{spread.names[c]}": value for c, value in zip(columns, coverage, strict=True)
    }
    if not spread.missing:
        found["nll"] = metrics.negative_log_likelihood(predictions.log_probability[rows])
    return found


def predictions_bounds(predictions: Predictions) -> tuple[Array, Array, Array]:
    """Return targets and ends of their intervals, each (N, L)."""
    return predictions.targets, predictions.lower, predictions.upper


def _called(key: str, own: dict[str, str]) -> str:
    """Return the name of a column: "mae_pitch" for "mae_tilt"."""
    stem, _, name = key.rpartition("_")
    return f"{stem}_{own[name]}" if name in own else key


def our_poses(model: DeepRegression, faces: Manifest) -> tuple[Poses, Spread]:
    """Predict the faces with a model of this package, at its own margin.

    Raises:
        ConfigurationError: the targets are not pitch, yaw (and roll), or tilt, pan, neck_roll.
    """
    names = model.spec.targets
    if names not in (ANGLES[:2], ANGLES, NECK_ANGLES):
        raise ConfigurationError(
            f"the model predicts {', '.join(names)}: give one of pitch, yaw (roll) or tilt, pan, neck_roll"
        )
    missing = tuple(name for name in names if name not in faces.frame)
    predictions = predict_manifest(model, Manifest(faces.frame.assign(**dict.fromkeys(missing, 0.0)), names))
    mean = predictions.mean
    if names == NECK_ANGLES:
        rotations = _neck(mean)
        return Poses(angles_from_rotation(rotations), rotations), Spread(names, predictions, missing)
    angles = np.column_stack([mean, np.zeros((len(mean), 3 - len(names)))])
    return Poses(angles, rotation_from_angles(*angles.T)), Spread(names, predictions, missing)
