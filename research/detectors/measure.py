"""From a setting to its row: what is found, where, how fast."""

import os
import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deepgllim.data import Manifest, load_data
from deepgllim.imaging.images import Box, open_image
from deepgllim.pose.detection.boxes import intersection_over_union
from deepgllim.pose.detection.faces import Face
from research.detectors.settings import DETECTORS, VIEWS, Setting

LEAST_OVERLAP = 0.3
OTHER_THRESHOLDS = (0.3, 0.5, 0.7)


class Found(NamedTuple):
    """What a detector says of one picture, and the truth.

    Attributes:
        faces: all of them, of any score, best first.
        box: the annotated one.
        seconds: of processor time.
    """

    faces: list[Face]
    box: Box
    seconds: float


def run(setting: Setting, source: str) -> dict[str, Any]:
    """The row of a setting."""
    os.environ["OMP_NUM_THREADS"] = "1"  # libfacedetection reads it when it is loaded
    faces = load_data(source)
    faces = faces.subset(np.arange(0, len(faces), setting.every))
    return identity(setting) | figures(faces, find(setting, faces), setting.threshold)


def identity(setting: Setting) -> dict[str, Any]:
    """The columns that tell settings apart."""
    return setting._asdict()


def find(setting: Setting, faces: Manifest) -> list[Found]:
    """Look at every picture."""
    detect, view = DETECTORS[setting.detector](), VIEWS[setting.pictures]
    found = []
    for path, row in zip(faces.paths, faces.boxes.tolist(), strict=True):
        image, box = view(open_image(path), tuple(row))
        start = time.process_time()
        seen = detect(image)
        found.append(Found(seen, box, time.process_time() - start))
    return found


def is_hit(face: Face, box: Box) -> bool:
    """Is it the annotated face: IoU ≥ 0.3, and its centre within half a side of the annotated one's, on both axes?"""
    half = max(box[2] - box[0], box[3] - box[1]) / 2
    apart = [abs(face.box[k] + face.box[k + 2] - box[k] - box[k + 2]) / 2 for k in (0, 1)]
    return max(apart) <= half and float(intersection_over_union([face.box], [box])[0, 0]) >= LEAST_OVERLAP


def figures(faces: Manifest, found: list[Found], threshold: float) -> dict[str, Any]:
    """The columns of measured figures.

    Recall: the share of pictures whose face is found. False positives: other boxes, a picture. IoU: of the best hit
    with the annotated box, median over hits. Errors of centre and side: standard deviations over hits, in shares of
    the annotated box's longer side. Inner poses: |pan| ≤ 60, |tilt| ≤ 30.
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
    """(N,): is the annotated face among those of at least this score?"""
    return np.array([any(is_hit(face, box) for face in kept(faces, threshold)) for faces, box, _ in found])


def false_positives(found: list[Found], threshold: float) -> float:
    """Boxes a picture beside the annotated face; a second box on it counts too."""
    boxes = sum(len(kept(each.faces, threshold)) for each in found)
    return (boxes - int(recalled(found, threshold).sum())) / len(found)


def kept(faces: list[Face], threshold: float) -> list[Face]:
    """Faces of at least this score."""
    return [face for face in faces if face.score >= threshold]


def spread(found: list[Found], threshold: float) -> dict[str, float]:
    """How well the boxes of the hits fit; NaN without a hit."""
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
    """The box of the hit with the best score, alone, or nothing."""
    return [face.box for face in kept(found.faces, threshold) if is_hit(face, found.box)][:1]
