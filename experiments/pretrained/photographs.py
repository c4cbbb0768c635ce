"""Photographs of Pointing'04 to learn from: boxes as the detector returns them, and angles of the head.

The labels are those of `read_pointing04(labels="head")` with the offset of the person: for the same label, people turn
by some degrees more or less than the mean person. The offset is that of the poses predicted by a model that was trained
on rendered heads, in the nearly frontal photographs of the person, where the model is most accurate.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepgllim import HeadPose
from deepgllim.data import Manifest, load_data
from deepgllim.geometry import NECK_ANGLES
from experiments.pretrained.validation import predict_set

FRONTAL_PAN, FRONTAL_TILT = 30.0, 20.0
"""Largest |pan| and |tilt of the head| of the photographs that determine the offsets of a person, degrees."""

FOLDS = 3


def photographs_with_labels(folder: Path, heads: HeadPose, every: int = 1) -> Manifest:
    """Return the photographs in which the detector finds the face, with tilt, pan and neck roll of the head.

    The columns `label_tilt` and `label_pan` have the labels without the offsets.

    Args:
        folder: folder of Pointing'04.
        heads: model that predicts the offsets.
        every: use every n-th photograph.
    """
    manifest = load_data(f"pointing04-head:{folder}", ("tilt", "pan"))
    faces = predict_set(heads, manifest.subset(np.arange(0, len(manifest), every)))
    boxes = np.array([pose.box for pose in faces.poses])
    frame = faces.labels.assign(neck_roll=0.0, **dict(zip(("x0", "y0", "x1", "y1"), boxes.T, strict=True)))
    frame = frame.assign(label_tilt=frame["tilt"], label_pan=frame["pan"])
    predicted = pd.DataFrame([pose.neck_angles for pose in faces.poses], columns=list(NECK_ANGLES))
    frontal = (frame["pan"].abs() <= FRONTAL_PAN) & (frame["tilt"].abs() <= FRONTAL_TILT)
    for name in NECK_ANGLES:
        difference = (predicted[name] - frame[name]).where(frontal)
        frame[name] += difference.groupby(frame["subject"]).transform("mean").fillna(0.0)
    return Manifest(frame.assign(subject="photographs " + frame["subject"].astype(str)), NECK_ANGLES)


def fold_of(manifest: Manifest) -> NDArray[np.intp]:
    """Return the fold of each photograph, (N,); a person is in one fold."""
    _, number = np.unique(manifest.subjects.astype(str), return_inverse=True)
    return np.asarray(number % FOLDS, np.intp)
