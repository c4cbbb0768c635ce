"""Measurement of one setting: recall, agreement of boxes and time."""

import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.data import Manifest, load_data
from deepgllim.imaging import Box, open_image
from deepgllim.pose.detection import Face, intersection_over_union
from research.detectors.settings import DETECTORS, VIEWS, Setting

LEAST_OVERLAP = 0.3
OTHER_THRESHOLDS = (0.3, 0.5, 0.7)


class Found(NamedTuple):
    """Detections in one picture, and the annotated box.

    Attributes:
        faces: all detected faces, by decreasing score.
        box: annotated box.
        seconds: processor time of the detection.
    """

    faces: list[Face]
    box: Box
    seconds: float


def run(setting: Setting, source: str) -> dict[str, Any]:
    """Return the row of a setting."""
    faces = load_data(source)
    faces = faces.subset(np.arange(0, len(faces), setting.every))
    return identity(setting) | compute_metrics(faces, find(setting, faces), setting.threshold)


def identity(setting: Setting) -> dict[str, Any]:
    """Return the columns that identify a setting."""
    return setting._asdict()


def find(setting: Setting, faces: Manifest) -> list[Found]:
    """Run a detector on all pictures."""
    detect, view = DETECTORS[setting.detector](), VIEWS[setting.pictures]
    found = []
    for path, row in zip(faces.paths, faces.boxes.tolist(), strict=True):
        image, box = view(open_image(path), tuple(row))
        start = time.process_time()
        seen = detect(image)
        found.append(Found(seen, box, time.process_time() - start))
    return found


def is_hit(face: Face, box: Box) -> bool:
    """Return whether a face is the annotated one: IoU ≥ 0.3, and centres at most half a side apart on both axes."""
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    apart = [abs(face.box[k] + face.box[k + 2] - box[k] - box[k + 2]) / 2 for k in (0, 1)]
    return max(apart) <= half and float(intersection_over_union([face.box], [box])[0, 0]) >= LEAST_OVERLAP


def compute_metrics(faces: Manifest, found: list[Found], threshold: float) -> dict[str, Any]:
    """Return the metrics of a setting by column.

    Recall is the share of pictures whose face is found. False positives are the other boxes per picture. IoU is the
    median over hits, between the hit with the best score and the annotated box. Errors of centre and side are standard
    deviations over hits, relative to the longer side of the annotated box. Inner poses have |pan| ≤ 60 and |tilt| ≤ 30.
    """
    tilt, pan = faces.frame["tilt"].to_numpy(), faces.frame["pan"].abs().to_numpy()
    hit = recalled(found, threshold)
    inner = (pan <= 60) & (np.abs(tilt) <= 30)
    row: dict[str, Any] = {
        "threshold": threshold,
        "n": len(found),
        "recall": hit.mean(),
        "recall_inner": hit[inner].mean(),
    }
    row |= {"false_positives": false_positives(found, threshold), **spread(found, threshold)}
    row |= {"ms": 1000 * float(np.mean([each.seconds for each in found]))}
    row |= {f"recall_pan_{angle:g}": hit[pan == angle].mean() for angle in np.unique(pan)}
    row |= {f"recall_tilt_{angle:g}": hit[tilt == angle].mean() for angle in np.unique(tilt)}
    for other in OTHER_THRESHOLDS:
        row[f"recall_{other:g}"] = recalled(found, other).mean()
        row[f"false_positives_{other:g}"] = false_positives(found, other)
    return {name: float(value) if name != "n" else value for name, value in row.items()}


def recalled(found: list[Found], threshold: float) -> npt.NDArray[np.bool_]:
    """Return the mask of the pictures whose annotated face is found with at least this score, (N,)."""
    return np.array([any(is_hit(face, box) for face in above(faces, threshold)) for faces, box, _ in found])


def false_positives(found: list[Found], threshold: float) -> float:
    """Return the number of other boxes per picture, second boxes on the annotated face included."""
    boxes = sum(len(above(each.faces, threshold)) for each in found)
    return (boxes - int(recalled(found, threshold).sum())) / len(found)


def above(faces: list[Face], threshold: float) -> list[Face]:
    """Return the faces with at least this score."""
    return [face for face in faces if face.score >= threshold]


def spread(found: list[Found], threshold: float) -> dict[str, float]:
    """Return the agreement of the boxes of the hits with the annotated ones; NaN without hits."""
    hits = [(hit, each.box) for each in found for hit in best_hit(each, threshold)]
    ours, true = np.array(hits).reshape(-1, 2, 4).transpose(1, 0, 2)  # (N, 4) each
    if len(hits) == 0:
        return dict.fromkeys(("iou", "error_x", "error_y", "error_side"), float("nan"))
    side, true_side = ((boxes[:, 2:] - boxes[:, :2]).max(axis=1) for boxes in (ours, true))
    shift = (ours[:, :2] + ours[:, 2:] - true[:, :2] - true[:, 2:]) / 2
    x, y = (shift / true_side[:, None]).std(axis=0)
    ious = np.diag(intersection_over_union(ours, true))
    return {"iou": np.median(ious), "error_x": x, "error_y": y, "error_side": np.log(side / true_side).std()}


def best_hit(found: Found, threshold: float) -> list[Box]:
    """Return the box of the hit with the best score in a list, or an empty list."""
    return [face.box for face in above(found.faces, threshold) if is_hit(face, found.box)][:1]
