"""Real people with measured angles, who choose the options of the model and are never trained on.

IMM and DrivFace have the yaw of 40 and 4 people; faces are found by the detector, as for a user. Pointing'04, predicted
by networks that were trained on other people of it, has pan, and tilt as people were asked to look and as the label
model has it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepgllim import HeadPose, Pose
from deepgllim.data import Manifest, load_data
from deepgllim.data.pointing04 import ASKED_TILT, HEAD_TILT
from deepgllim.geometry import NECK_ANGLES, angles_from_rotation, rotation_from_pan_tilt
from deepgllim.imaging import open_image
from deepgllim.nn import DeepRegression, Recipe
from deepgllim.pose.detection import intersection_over_union, make_detector
from experiments.pretrained.judging import FoldPredictions, predict_faces

Array = NDArray[np.float64]

MIN_OVERLAP = 0.2
"""Smallest intersection over union of a detected box and the annotated one."""

SETS = ("imm", "drivface")
FRONTAL = 30.0
LEVEL = 0.9


class Faces(NamedTuple):
    """The predicted poses of the faces of a set that were found, with their labels.

    Attributes:
        labels: a row for each face.
        poses: predicted poses.
        missed: number of faces that the detector did not find.
    """

    labels: pd.DataFrame
    poses: list[Pose]
    missed: int


def predict_set(heads: HeadPose, manifest: Manifest) -> Faces:
    """Return the predictions for the faces of a manifest; the face in a picture is that at the annotated box."""
    rows, poses = [], []
    for i, (path, box) in enumerate(zip(manifest.paths, manifest.boxes, strict=True)):
        found = [pose for pose in heads.predict(open_image(path)) if pose.box is not None]
        at = index_at(box, [pose.box for pose in found])
        if at is not None:
            rows.append(i)
            poses.append(found[at])
    return Faces(manifest.frame.iloc[rows].reset_index(drop=True), poses, len(manifest) - len(rows))


def index_at(annotated: Array, boxes: Sequence[Any]) -> int | None:
    """Return the index of the detected box that overlaps an annotated one most; None if none does sufficiently."""
    found = np.array(boxes, np.float64).reshape(-1, 4)
    overlap = np.append(intersection_over_union(found, annotated[None])[:, 0], 0.0)
    return int(overlap.argmax()) if overlap.max() >= MIN_OVERLAP else None


def measure_yaw(faces: Faces) -> dict[str, float]:
    """Return error, slope, bias, half-width and coverage of the yaw against labels of yaw, degrees."""
    truth = faces.labels["yaw"].to_numpy(np.float64)
    return measure(truth, np.array([p.yaw for p in faces.poses]), interval(faces.poses, 1)) | {"missed": faces.missed}


def measure_photographs(photographs: Manifest, found: FoldPredictions) -> dict[str, float]:
    """Return the errors of pan and tilt on Pointing'04 for |pan| labels of at most 60°, against both kinds of labels.

    Args:
        photographs: faces with the columns `label_tilt`, the mean tilt of the head for the label, and `label_pan`.
        found: predictions by networks that were not trained on the people.
    """
    tilt, pan = (photographs.frame[name].to_numpy(np.float64) for name in ("label_tilt", "label_pan"))
    asked = np.interp(tilt, HEAD_TILT, ASKED_TILT)
    error = np.abs(found.mean[:, :2] - np.stack([tilt, pan], axis=1))
    inner = np.abs(pan) <= 60
    return {
        "pan": float(error[inner, 1].mean()),
        "tilt_head": float(error[inner, 0].mean()),
        "tilt_asked": float(np.abs(found.mean[:, 0] - asked)[inner].mean()),
        "pan_slope": float(np.polyfit(pan[inner], found.mean[inner, 1], 1)[0]),
        "pan_profile": float(error[~inner, 1].mean()),
        "faces": len(pan),
    }


def measure(truth: Array, found: Array, bounds: tuple[Array, Array]) -> dict[str, float]:
    """Return measures of an angle with intervals, degrees.

    Args:
        truth: labels, (N,).
        found: predictions, (N,).
        bounds: lower and upper ends of the intervals, (N,) each.
    """
    lower, upper = bounds
    frontal = np.abs(truth) <= FRONTAL
    slope, _ = np.polyfit(truth, found, 1)
    return {
        "faces": len(truth),
        "error": float(np.abs(found - truth).mean()),
        "slope": float(slope),
        "bias": float((found - truth).mean()),
        "coverage_90": float(((lower <= truth) & (truth <= upper)).mean()),
        "half_width_90": float((upper - lower)[frontal].mean() / 2),
    }


def interval(poses: list[Pose], angle: int) -> tuple[Array, Array]:
    """Return the 90 % intervals of one angle: 0 for pitch, 1 for yaw, 2 for roll."""
    bounds = np.array([pose.interval(LEVEL) for pose in poses])
    return bounds[:, 0, angle], bounds[:, 1, angle]


def detected(manifest: Manifest, boxes: str) -> Manifest:
    """Return the faces of a set that the detector finds, with its boxes; they have no labels of neck angles."""
    detector, rows, found = make_detector(boxes=boxes), [], []
    for i, (path, box) in enumerate(zip(manifest.paths, manifest.boxes, strict=True)):
        faces = [face.box for face in detector.detect(open_image(path))]
        at = index_at(box, faces)
        if at is not None:
            rows.append(i)
            found.append(faces[at])
    columns = dict(zip(("x0", "y0", "x1", "y1"), np.array(found).T, strict=True))
    return Manifest(manifest.subset(rows).frame.assign(**columns, **dict.fromkeys(NECK_ANGLES, 0.0)), NECK_ANGLES)


def yaw_errors(model: DeepRegression, sets: Mapping[str, Manifest], recipe: Recipe) -> dict[str, float]:
    """Return the error of yaw, degrees, and the slope of predicted on true yaw of a network on sets of faces."""
    row: dict[str, float] = {}
    for name, faces in sets.items():
        tilt, pan, neck_roll = predict_faces(model, faces, recipe).mean.T
        yaw = angles_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll))[:, 1]
        truth = faces.frame["yaw"].to_numpy(np.float64)
        row |= {name: float(np.abs(yaw - truth).mean()), f"{name}_slope": float(np.polyfit(truth, yaw, 1)[0])}
    return row


def validation_errors(models: Sequence[DeepRegression], sets: Mapping[str, Manifest], recipe: Recipe) -> pd.DataFrame:
    """Return a row of `yaw_errors` for each network."""
    return pd.DataFrame([yaw_errors(model, sets, recipe) for model in models], index=range(len(models)))


def labelled_sets(folder: Path | None, every: int = 1) -> Iterator[tuple[str, Manifest]]:
    """Yield the names and manifests of the sets of a folder that exist, with every n-th face."""
    for place in [] if folder is None else [folder / name for name in SETS]:
        if (place / "labels.csv").is_file():
            manifest = load_data(f"folder:{place}", ("yaw",))
            yield place.name, manifest.subset(list(range(0, len(manifest), every)))


def results(heads: HeadPose, sets: Iterator[tuple[str, Manifest]]) -> list[dict[str, float | str]]:
    """Return a row of measures for each set."""
    return [{"set": name, **measure_yaw(predict_set(heads, manifest))} for name, manifest in sets]
