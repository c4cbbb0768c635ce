"""Boxes of detected faces: overlap, non-maximum suppression, and conversion to the boxes of a network."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

BOX_KINDS = ("pointing04", "rendered")
"""Kinds of face boxes of training data to which the boxes of detectors are converted."""

DEFAULT_BOXES = "pointing04"


def intersection_over_union(boxes: npt.ArrayLike, others: npt.ArrayLike) -> Array:
    """Return |a ∩ b| / |a ∪ b| for each pair of boxes; 0 if both are empty.

    Args:
        boxes: (N, 4), rows x0, y0, x1, y1; a box with x1 < x0 or y1 < y0 is empty.
        others: (M, 4), as `boxes`.

    Returns:
        (N, M), in [0, 1].

    Example:
        >>> intersection_over_union([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2], [2, 2, 3, 3]]).round(2)
        array([[1.  , 0.33, 0.  ]])
    """
    shared = intersection_area(boxes, others)
    union = _area(_rows(boxes))[:, None] + _area(_rows(others)) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0).clip(0.0, 1.0)  # (N, M)


def intersection_area(boxes: npt.ArrayLike, others: npt.ArrayLike) -> Array:
    """Return |a ∩ b| for each pair of boxes, (N, M).

    Args:
        boxes: (N, 4), rows x0, y0, x1, y1; a box with x1 < x0 or y1 < y0 is empty.
        others: (M, 4), as `boxes`.

    Example:
        >>> intersection_area([[0, 0, 10, 10]], [[5, 5, 20, 20], [30, 30, 40, 40]])
        array([[25.,  0.]])
    """
    a, b = _rows(boxes)[:, None], _rows(others)[None]
    return _area(np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1))


def non_maximum_suppression(boxes: npt.ArrayLike, scores: npt.ArrayLike, overlap: float = 0.3) -> npt.NDArray[np.intp]:
    """Select one box for each face by non-maximum suppression.

    The box with the highest score is kept, the boxes that overlap it by more than `overlap` are dropped, and the
    procedure is repeated with the rest. Of equal scores the first is the higher.

    Args:
        boxes: (N, 4), rows x0, y0, x1, y1.
        scores: (N,).
        overlap: largest intersection over union of two boxes that are both kept, in [0, 1].

    Returns:
        Indices of the kept boxes, in the order of decreasing scores.

    Example:
        >>> non_maximum_suppression([[0, 0, 4, 4], [0, 0, 4, 5], [9, 9, 12, 12]], [0.8, 0.9, 0.7])
        array([1, 2])
    """
    boxes, remaining = _rows(boxes), np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while len(remaining):
        best, remaining = remaining[0], remaining[1:]
        kept.append(best)
        remaining = remaining[intersection_over_union(boxes[[best]], boxes[remaining])[0] <= overlap]
    return np.array(kept, dtype=np.intp)


class Candidates(NamedTuple):
    """Detections of a network before non-maximum suppression.

    Attributes:
        boxes: (N, 4), rows x0, y0, x1, y1, pixels of the input of the network.
        landmarks: (N, L, 2), x and y of L points of the face, pixels: the eyes, the tip of the nose, and the centre or
            the corners of the mouth; then the ears, if the network finds them.
        scores: (N,), in [0, 1].
    """

    boxes: Array
    landmarks: Array
    scores: Array


def merge_overlapping(candidates: Candidates, kept: npt.ArrayLike, overlap: float = 0.5) -> Candidates:
    """Return kept candidates, each as the mean of all candidates that overlap it.

    The weights are the cubes of the scores. The mean has about 15 % less noise than the candidate with the highest
    score alone, which it keeps as its score.

    Args:
        candidates: N candidates.
        kept: indices of M of them, as `non_maximum_suppression` returns them.
        overlap: least intersection over union with a kept box, in [0, 1].

    Example:
        >>> boxes = np.array([[0.0, 0, 8, 8], [1, 0, 9, 8], [20, 20, 24, 24]])
        >>> merge_overlapping(Candidates(boxes, boxes.reshape(3, 2, 2), np.array([0.5, 0.5, 0.9])), [2, 0]).boxes
        array([[20. , 20. , 24. , 24. ], [ 0.5,  0. ,  8.5,  8. ]])
    """
    boxes, landmarks, scores = candidates
    kept = np.asarray(kept, dtype=np.intp)
    weights = scores**3 * (intersection_over_union(boxes[kept], boxes) >= overlap)  # (M, N)
    weights /= weights.sum(axis=1, keepdims=True)
    return Candidates(weights @ boxes, np.einsum("mn,nlc->mlc", weights, landmarks), scores[kept])


class BoxMap(NamedTuple):
    """Conversion of a detector's box and landmarks to the square box that our networks expect.

    For a box with centre c, width w and height h, landmarks with mean m, of which the last two have the mean e, and s =
    √(w h), the square has the centre c + pull·(m − c) + ears·(e − c) + (0, down·s) and the side side·s. The geometric
    mean s represents the size of the head better than w, which is smaller at profile, or h, which is smaller at large
    tilts. The landmarks shift the box from the centre of the head to the centre of the face, which differ at profile.
    There is no constant horizontal shift, so that a mirrored image has the mirrored box.

    Attributes:
        side: side of the square over s.
        pull: weight of the mean of the landmarks in the centre.
        down: downward shift of the centre over s.
        ears: weight of the mean of the last two landmarks in the centre; 0 unless they are the ears.

    Example:
        >>> candidates = Candidates(np.array([[10.0, 0, 14, 16]]), np.full((1, 5, 2), 8.0), np.ones(1))
        >>> BoxMap(side=0.5, pull=0.5, down=0.25)(candidates)
        array([[ 8.,  8., 12., 12.]])
    """

    side: float
    pull: float
    down: float
    ears: float = 0.0

    def __call__(self, candidates: Candidates) -> Array:
        """Return the square boxes of the candidates, (N, 4)."""
        boxes = _rows(candidates.boxes)
        extents = boxes[:, 2:] - boxes[:, :2]
        size = np.sqrt(extents[:, :1] * extents[:, 1:])  # (N, 1)
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        pulls = self.pull * (candidates.landmarks.mean(axis=1) - centres)
        pulls = pulls + self.ears * (candidates.landmarks[:, -2:].mean(axis=1) - centres)
        centres = centres + pulls + size * [0.0, self.down]
        return np.concatenate([centres - self.side * size / 2, centres + self.side * size / 2], axis=-1)


def _rows(boxes: npt.ArrayLike) -> Array:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)


def _area(boxes: Array) -> Array:
    extent = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return np.asarray(extent[..., 0] * extent[..., 1])
