"""Real people with measured angles, who choose the options of the model and are never trained on.

IMM and DrivFace have the yaw of 40 and 4 people; Pointing'04 has pan, and tilt as people were asked to look and as the
label model has it. Faces are found by the detector, as for a user.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepgllim import HeadPose, Pose
from deepgllim.data import Manifest, load_data
from deepgllim.data.pointing04 import ASKED_TILT, head_tilt
from deepgllim.imaging import open_image
from deepgllim.pose.detection import intersection_over_union

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
        boxes = np.array([pose.box for pose in found], np.float64).reshape(-1, 4)
        overlap = np.append(intersection_over_union(boxes, box[None])[:, 0], 0.0)
        if overlap.max() >= MIN_OVERLAP:
            rows.append(i)
            poses.append(found[int(np.argmax(overlap))])
    return Faces(manifest.frame.iloc[rows].reset_index(drop=True), poses, len(manifest) - len(rows))


def measure_yaw(faces: Faces) -> dict[str, float]:
    """Return error, slope, bias, half-width and coverage of the yaw against labels of yaw, degrees."""
    truth = faces.labels["yaw"].to_numpy(np.float64)
    return measure(truth, np.array([p.yaw for p in faces.poses]), interval(faces.poses, 1)) | {"missed": faces.missed}


def measure_pointing04(faces: Faces) -> dict[str, float]:
    """Return the errors of pan and tilt for |pan| labels of at most 60°, against both kinds of labels."""
    inner = faces.labels["pan"].abs().to_numpy() <= 60
    asked, pan = (faces.labels[name].to_numpy(np.float64)[inner] for name in ("tilt", "pan"))
    poses = [pose for pose, kept in zip(faces.poses, inner, strict=True) if kept]
    tilt_found, pan_found = np.array([p.tilt for p in poses]), np.array([p.pan for p in poses])
    return {
        "pan": float(np.abs(pan_found - pan).mean()),
        "tilt_head": float(np.abs(tilt_found - head_tilt(asked)).mean()),
        "tilt_asked": float(np.abs(tilt_found - asked).mean()),
        "pan_slope": float(np.polyfit(pan, pan_found, 1)[0]),
        "tilt_slope": float(np.polyfit(asked, tilt_found, 1)[0]),
        "missed": faces.missed,
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


def labelled_sets(folder: Path | None, pointing04: Path | None, every: int = 1) -> Iterator[tuple[str, Manifest]]:
    """Yield the names and manifests of the sets that exist, with every n-th face."""
    places = [] if folder is None else [folder / name for name in SETS]
    for place in places:
        if (place / "labels.csv").is_file():
            manifest = load_data(f"folder:{place}", ("yaw",))
            yield place.name, manifest.subset(list(range(0, len(manifest), every)))
    if pointing04 is not None:
        faces = load_data(f"pointing04:{pointing04}", ("tilt", "pan"))
        faces = faces.subset(np.asarray(faces.frame["tilt"].abs() <= max(ASKED_TILT)))
        yield "pointing04", faces.subset(list(range(0, len(faces), every)))


def results(heads: HeadPose, sets: Iterator[tuple[str, Manifest]]) -> list[dict[str, float | str]]:
    """Return a row of measures for each set."""
    rows: list[dict[str, float | str]] = []
    for name, manifest in sets:
        found = predict_set(heads, manifest)
        measured = measure_pointing04(found) if name == "pointing04" else measure_yaw(found)
        rows.append({"set": name, **measured})
    return rows
