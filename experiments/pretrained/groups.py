"""Errors on rendered people left out, by pose and appearance; spread of the poses of portraits by brightness."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from deepgllim import HeadPose
from deepgllim.data import Manifest
from deepgllim.geometry import geodesic_distance, rotation_from_pan_tilt
from deepgllim.imaging import open_image
from experiments.pretrained.judging import FoldPredictions

Scene = dict[str, Any]
Box = tuple[float, float, float, float]

PARTS: dict[str, Callable[[Scene, float], str]] = {
    "|pan|": lambda s, _: _among(abs(s["pan"]), (30, 60, 90), "°"),
    "|tilt|": lambda s, _: _among(abs(s["tilt"]), (20, 40), "°"),
    "skin tone, 0 lightest, 1 darkest": lambda s, _: _among(s["person"]["appearance"]["tone"], (1 / 3, 2 / 3)),
    "brightness of the picture, 0 to 255": lambda _, grey: _among(grey, (60, 120)),
    "gender of the body, 0 female, 1 male": lambda s, _: _among(s["person"]["attributes"]["gender"], (0.5,)),
    "glasses": lambda s, _: "none" if s["wear"]["glasses"] == "none" else "worn",
    "hat or scarf": lambda s, _: "none" if s["wear"]["hat"] == "none" else "worn",
    "patches over the face": lambda s, _: "none" if s["capture"]["occlusions"] == 0 else "some",
}


def _among(value: float, edges: tuple[float, ...], unit: str = "") -> str:
    """Return the name of the interval that contains a value.

    Example:
        >>> _among(45.0, (30, 60), "°"), _among(0.1, (0.5,))
        ('30 to 60°', 'below 0.5')
    """
    at = sum(value >= edge for edge in edges)
    if at == 0:
        return f"below {edges[0]:.3g}{unit}"
    if at == len(edges):
        return f"{edges[-1]:.3g}{unit} and above"
    return f"{edges[at - 1]:.3g} to {edges[at]:.3g}{unit}"


def errors_by_group(rendered: FoldPredictions, others: Manifest) -> pd.DataFrame:
    """Return a row per group: pictures, geodesic error in degrees and share of errors beyond 30°."""
    scenes = _scenes(others)
    grey = [float(np.asarray(open_image(path).convert("L")).mean()) for path in others.paths]
    distance = _geodesic(rendered)
    far = distance > 30
    rows = []
    for kind, part in PARTS.items():
        names = np.array([part(scene, level) for scene, level in zip(scenes, grey, strict=True)])
        for name in sorted(set(names)):
            mask = names == name
            figures = {"geodesic": float(distance[mask].mean()), "beyond_30": float(far[mask].mean())}
            rows.append({"kind": kind, "part": name, "pictures": int(mask.sum()), **figures})
    return pd.DataFrame(rows)


def spread_by_brightness(heads: HeadPose, portraits: Manifest) -> pd.DataFrame:
    """Return the spread of the predicted poses of portraits by thirds of the brightness of the face.

    There are no labels. Portraits are alike for all groups, so that a larger spread, a shift or a larger share of
    rejected faces of one group would show that the model is worse for it. The brightness is the mean grey level of the
    middle of the face, which depends on skin tone and light.

    Returns:
        A row for each third: brightness, standard deviations and mean of the angles, mean half-widths of the 90 %
        intervals, share of faces that log p(x) accepts.
    """
    rows = []
    for path in portraits.paths:
        picture = open_image(path)
        found = heads.predict(picture)
        if not found or found[0].box is None:
            continue
        pose, box = found[0], found[0].box
        lower, upper = pose.interval(0.9)
        angles = dict(zip(("pitch", "yaw", "roll"), pose.angles, strict=True))
        widths = dict(zip(("pitch_width", "yaw_width", "roll_width"), (upper - lower) / 2, strict=True))
        rows.append({"brightness": _face_brightness(picture, box), "accepted": pose.in_distribution} | angles | widths)
    frame = pd.DataFrame(rows)
    third = pd.qcut(frame["brightness"], 3, labels=["darkest", "middle", "lightest"])
    grouped = frame.astype(float).groupby(third, observed=True)
    spread = grouped[["pitch", "yaw", "roll"]].std().add_suffix("_sd")
    return grouped.mean().join(spread).assign(portraits=grouped.size()).reset_index(names="third")


def _face_brightness(picture: Image.Image, box: Box) -> float:
    """Return the mean grey level of the middle half of a box."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    middle = (x0 + width / 4, y0 + height / 4, x1 - width / 4, y1 - height / 4)
    return float(np.asarray(picture.convert("L").crop(middle)).mean())


def _geodesic(predictions: FoldPredictions) -> NDArray[np.float64]:
    truth, mean = (rotation_from_pan_tilt(v[:, 1], v[:, 0], v[:, 2]) for v in (predictions.targets, predictions.mean))
    return geodesic_distance(truth, mean)


def _scenes(others: Manifest) -> list[Scene]:
    """Return the scenes of the pictures of a rendered set, in the order of the manifest."""
    folder = next(parent for parent in Path(others.paths[0]).parents if (parent / "scenes.jsonl").is_file())
    with (folder / "scenes.jsonl").open(encoding="utf-8") as file:
        by_path = {str(folder / record["path"]): record for record in map(json.loads, file)}
    return [by_path[str(path)] for path in others.paths]
