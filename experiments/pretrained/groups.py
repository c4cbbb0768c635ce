"""Errors on rendered people left out, by pose, skin tone, brightness, glasses and hats of the scene."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.geometry import geodesic_distance, rotation_from_pan_tilt
from deepgllim.imaging import open_image
from experiments.pretrained.judging import FoldPredictions

Scene = dict[str, Any]

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


def _geodesic(predictions: FoldPredictions) -> NDArray[np.float64]:
    truth, mean = (rotation_from_pan_tilt(v[:, 1], v[:, 0], v[:, 2]) for v in (predictions.targets, predictions.mean))
    return geodesic_distance(truth, mean)


def _scenes(others: Manifest) -> list[Scene]:
    """Return the scenes of the pictures of a rendered set, in the order of the manifest."""
    folder = next(parent for parent in Path(others.paths[0]).parents if (parent / "scenes.jsonl").is_file())
    with (folder / "scenes.jsonl").open(encoding="utf-8") as file:
        by_path = {str(folder / record["path"]): record for record in map(json.loads, file)}
    return [by_path[str(path)] for path in others.paths]
