"""Fit the maps from boxes of detectors to annotated boxes, and test them on other people."""

import tempfile
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepgllim.data import Manifest, load_data
from deepgllim.imaging import open_image
from deepgllim.pose.detection import BoxMap, Candidates, intersection_over_union
from deepgllim.pose.detection.boxes import Array
from deepgllim.pose.detection.search import Search
from deepgllim.synthetic import unpack_miniature
from research.detectors.settings import blaze_face, center_face

FIT_PEOPLE = {
    "pointing04": tuple(f"{person:02d}" for person in range(1, 9)),
    "rendered": tuple(f"p{person:04d}" for person in range(25)),
}
"""People to whom the maps are fitted, by data set; the others are the test set."""

EVERY = {False: 3, True: 200}
"""Step between the pictures that are used, by `quick`."""

SEARCHES = {"blazeface": blaze_face, "centerface": center_face}


WITH_EARS = 6
"""Number of landmarks of a detector that finds the ears."""


class Target(NamedTuple):
    """A map to fit: a key of `SEARCHES`, and one of `FIT_PEOPLE`."""

    detector: str
    boxes: str


TARGETS = tuple(Target(*both) for both in product(SEARCHES, FIT_PEOPLE))


class Pairs(NamedTuple):
    """N candidates, and the annotated boxes (N, 4) of the same faces."""

    candidates: Candidates
    boxes: Array


def fit(target: Target, source: str, quick: bool) -> dict[str, Any]:
    """Return a row with the map of a detector, and the median IoU for the people fitted and for the others."""
    if target.boxes == "pointing04":
        return target._asdict() | _fit(target, load_data(source), quick)
    with tempfile.TemporaryDirectory() as folder:
        data = load_data(f"folder:{unpack_miniature(Path(folder))}")
        return target._asdict() | _fit(target, data, quick)


def _fit(target: Target, faces: Manifest, quick: bool) -> dict[str, Any]:
    search, fitted_to = SEARCHES[target.detector](), np.isin(faces.subjects.astype(str), FIT_PEOPLE[target.boxes])
    fitted, checked = (pairs(search, _some(faces.subset(rows), quick)) for rows in (fitted_to, ~fitted_to))
    found = fit_map(*fitted)
    ious = {"iou_fitted": median_iou(found, fitted), "iou_checked": median_iou(found, checked)}
    return {"n": len(fitted.boxes), **found._asdict(), **ious}


def _some(faces: Manifest, quick: bool) -> Manifest:
    return faces.subset(np.arange(0, len(faces), EVERY[quick]))


def median_iou(boxes: BoxMap, found: Pairs) -> float:
    """Return the median IoU of mapped and annotated boxes."""
    mapped = boxes(found.candidates)
    ious = [intersection_over_union([ours], [true])[0, 0] for ours, true in zip(mapped, found.boxes, strict=True)]
    return float(np.median(ious))


def pairs(search: Search, faces: Manifest) -> Pairs:
    """Return the best candidate of each picture whose box contains the annotated centre, if there is one."""
    kept, boxes = [], []
    for path, box in zip(faces.paths, faces.boxes, strict=True):
        seen = search.candidates(open_image(path).convert("RGB"))
        centre = (box[:2] + box[2:]) / 2
        holds = ((seen.boxes[:, :2] < centre) & (centre < seen.boxes[:, 2:])).all(axis=1) & (seen.scores >= 0.5)
        if holds.any():
            best = np.flatnonzero(holds)[seen.scores[holds].argmax()]
            kept.append(Candidates(*(part[best] for part in seen)))
            boxes.append(box)
    return Pairs(Candidates(*(np.array(part) for part in zip(*kept, strict=True))), np.array(boxes))


def fit_map(candidates: Candidates, boxes: Array) -> BoxMap:
    """Fit the map from candidates to boxes: weights by least squares on the horizontal axis, the rest by medians.

    Args:
        candidates: N candidates.
        boxes: annotated boxes, (N, 4); the target is the square of the longer side around their centre.
    """
    size = np.sqrt(np.prod(candidates.boxes[:, 2:] - candidates.boxes[:, :2], axis=1))
    centres = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
    wanted = ((boxes[:, :2] + boxes[:, 2:]) / 2 - centres) / size[:, None]  # (N, 2)
    means = [candidates.landmarks.mean(axis=1)]
    if candidates.landmarks.shape[1] == WITH_EARS:
        means.append(candidates.landmarks[:, -2:].mean(axis=1))
    marks = (np.stack(means, axis=-1) - centres[..., None]) / size[:, None, None]  # (N, 2, 1 or 2)
    weights = np.linalg.lstsq(marks[:, 0], wanted[:, 0])[0]
    pull, ears = (*weights.tolist(), 0.0)[:2]
    side = float(np.exp(np.median(np.log((boxes[:, 2:] - boxes[:, :2]).max(axis=1) / size))))
    return BoxMap(side, pull, float(np.median(wanted[:, 1] - marks[:, 1] @ weights)), ears)
