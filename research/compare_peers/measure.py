"""Evaluation of one system: from the options of the command line to rows of metrics."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepgllim.data import Manifest, load_data
from deepgllim.errors import ConfigurationError
from deepgllim.nn import load_model
from deepgllim.runs import picture_size
from research.compare_peers.judge import Spread, judge, our_poses
from research.compare_peers.networks import predict
from research.compare_peers.presets import Poses, preset
from research.compare_peers.tables import read_predictions

COLUMNS = {
    "system": "system",
    "margin": "margin",
    "part": "poses",
    "reading": "labels read as",
    "n": "pictures",
    "mae_pitch": "pitch (tilt)",
    "mae_yaw": "yaw (pan)",
    "mae_roll": "roll (neck roll)",
    "mae": "mean",
    "geodesic": "geodesic",
    "maev": "MAEV",
    "nll": "NLL",
    "coverage_90_pitch": "90 % coverage, pitch (tilt)",
    "coverage_90_yaw": "yaw (pan)",
}
"""Columns of the printed table, with their headings."""


SAME = ("system", "data", "margin")
"""Columns that identify the rows of one evaluation."""


class Request(NamedTuple):
    """One system to measure: `onnx` with `preset`, or `predictions` with `convention`, or `model`.

    Attributes:
        data: a source that `load_data` reads.
        outputs: names of the outputs, instead of those of the preset.
        margin: margin of the crops, instead of that of the preset.
        limit: number of pictures, evenly spaced; None for all.
        name: name in the table.
        source: source of the system, for the table.
    """

    data: str
    onnx: Sequence[Path] | None = None
    predictions: Path | None = None
    model: Path | None = None
    preset: str | None = None
    convention: str | None = None
    outputs: Sequence[str] | None = None
    margin: float | None = None
    limit: int | None = None
    name: str | None = None
    source: str = ""


def measure(request: Request) -> list[dict[str, Any]]:
    """Return a row for each part of the data and each interpretation of its labels.

    Raises:
        ConfigurationError, DataError, ImageError, ModelError: an option, the data or a file cannot be used.
    """
    if request.limit is not None and request.limit < 1:
        raise ConfigurationError(f"--limit {request.limit}: give 1 or more")
    if request.margin is not None and not 0.5 <= request.margin <= 5:
        raise ConfigurationError(f"--margin {request.margin:g}: give 0.5 to 5")
    way = next(value for what, value in WAYS.items() if getattr(request, what) is not None)
    faces = evenly(load_data(request.data), request.limit)
    name, margin, poses, spread = way(request, faces)
    about = {"system": request.name or name, "data": request.data.partition(":")[0], "margin": margin}
    empty = dict.fromkeys([*SAME, *COLUMNS], "")
    return [empty | about | row | {"source": request.source} for row in judge(faces, poses, spread)]


def merged(table: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table without those of the same evaluation, followed by the new rows."""
    there: list[dict[str, Any]] = []
    if table.is_file():
        with table.open(encoding="utf-8", newline="") as file:
            there = list(csv.DictReader(file))
    new = {tuple(row[name] for name in SAME) for row in found}
    return [*(row for row in there if tuple(row[name] for name in SAME) not in new), *found]


def evenly(faces: Manifest, limit: int | None) -> Manifest:
    """Return at most `limit` faces, evenly spaced."""
    if limit is None or limit >= len(faces):
        return faces
    return faces.subset(np.linspace(0, len(faces) - 1, limit).round().astype(int))


Found = tuple[str, str, Poses, Spread | None]
"""Name, margin as text, poses, and predictive distributions."""


def _onnx(request: Request, faces: Manifest) -> Found:
    assert request.onnx is not None
    if request.preset is None:
        raise ConfigurationError("--onnx needs --preset, which describes the input and output of the network")
    chosen = preset(request.preset)
    if request.margin is not None:
        chosen = chosen._replace(margin=request.margin)
    if request.outputs is not None:
        chosen = chosen._replace(outputs=tuple(request.outputs))
    return request.preset, f"{chosen.margin:g}", predict(request.onnx, chosen, faces), None


def _predictions(request: Request, faces: Manifest) -> Found:
    assert request.predictions is not None
    if request.convention is None:
        raise ConfigurationError("--predictions needs --convention, the convention of its angles")
    poses = read_predictions(request.predictions, faces, request.convention)
    return request.predictions.stem, "" if request.margin is None else f"{request.margin:g}", poses, None


def _ours(request: Request, faces: Manifest) -> Found:
    assert request.model is not None
    model = load_model(request.model)
    poses, spread = our_poses(model, faces)
    return f"ours, {request.model.parent.name}", f"{picture_size(model)[1]:g}", poses, spread


WAYS = {"onnx": _onnx, "predictions": _predictions, "model": _ours}
"""Functions that return the poses, by option."""
