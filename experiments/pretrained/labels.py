"""The tilt and pan of the head for each label of Pointing'04, estimated by a model that was not trained on them.

The predictions for the photographs are corrected by the response of the model to rendered heads of people left out,
whose angles are known: the mean prediction for a true angle, inverted by isotonic regression. The table has the mean
over people, the standard deviation between people, and that of the pictures of a person.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from deepgllim import HeadPose
from deepgllim.data import load_data
from deepgllim.geometry import NECK_ANGLES
from experiments.pretrained.fitting import HERE
from experiments.pretrained.validation import Faces, predict_set
from experiments.protocol import as_markdown

Array = NDArray[np.float64]
NEAR = 15.0
"""Largest |label| of the other angle, degrees."""

LIMIT = 45.0
"""Largest true |angle| of the other angle of the rendered heads, degrees."""


def response(truth: Array, found: Array) -> Callable[[Array], Array]:
    """Return the function from predicted to true angles, by isotonic regression of the predictions on the truth.

    Example:
        >>> truth = np.linspace(-60, 60, 200)
        >>> response(truth, 0.8 * truth)(np.array([16.0])).round(1)
        array([20.])
    """
    curve = IsotonicRegression(out_of_bounds="clip").fit(truth, found)
    grid = np.linspace(truth.min(), truth.max(), 400)
    levels = curve.predict(grid) + 1e-6 * grid  # strictly increasing
    return lambda values: np.interp(values, levels, grid)


def curve_of(faces: Faces, name: str, other: str, correct: Callable[[Array], Array]) -> pd.DataFrame:
    """Return a row for each label of one angle, from the pictures in which the other label is near 0."""
    frame = faces.labels.assign(found=[getattr(pose, name) for pose in faces.poses])
    frame = frame[frame[other].abs() <= NEAR]
    frame = frame.assign(head=correct(frame["found"].to_numpy(np.float64)))
    rows = []
    for label, part in frame.groupby(name):
        people = part.groupby("subject")["head"].mean()
        within = float((part["head"] - part["subject"].map(people)).std())
        row = {"angle": name, "label": label, "predicted": part["found"].mean(), "head": people.mean()}
        rows.append(row | {"between_people": people.std(), "within_person": within, "pictures": len(part)})
    return pd.DataFrame(rows)


def main() -> None:
    """Predict photographs and rendered heads, and write labels.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pointing04", type=Path, required=True, help="folder of the Pointing'04 photographs")
    parser.add_argument("--heads", required=True, help="rendered heads left out, manifest:WORK/held_out.csv")
    parser.add_argument("--model", type=Path, help="exported model; by default that in the package")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for labels.csv")
    arguments = parser.parse_args()
    heads = HeadPose(arguments.model, threads=1)
    rendered = predict_set(heads, load_data(arguments.heads, NECK_ANGLES))
    photographs = predict_set(heads, load_data(f"pointing04:{arguments.pointing04}", ("tilt", "pan")))
    parts = []
    for name, other in (("tilt", "pan"), ("pan", "tilt")):
        near = rendered.labels[other].abs().to_numpy() <= LIMIT
        truth = rendered.labels[name].to_numpy(np.float64)[near]
        found = np.array([getattr(pose, name) for pose in rendered.poses])[near]
        parts.append(curve_of(photographs, name, other, response(truth, found)))
    table = pd.concat(parts)
    table.to_csv(arguments.output / "labels.csv", index=False, float_format="%.2f")
    print(as_markdown(table.round(1)))


if __name__ == "__main__":
    main()
