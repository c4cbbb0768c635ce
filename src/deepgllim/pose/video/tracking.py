"""Assignment of the faces of consecutive frames to tracks, one for each person.

    similarity(a, b) = |a ∩ b| / |a ∪ b| − ‖centre a − centre b‖² / (diagonal of the box around both)²

is the distance-IoU of two boxes (Zheng et al., "Distance-IoU loss", AAAI 2020). It is 1 for equal boxes, decreases
with the distance of boxes that do not overlap, and is above −1. The box of each track is predicted with its velocity.
Faces and tracks are paired such that the sum of the similarities is maximal.

Libraries for tracking depend on scipy, OpenCV or large compiled code, or have no wheels for some platforms; the
assignment problem is therefore solved here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.imaging.images import Box, checked_box

Array = npt.NDArray[np.float64]

_GAIN = 0.4  # share of the deviation from the predicted position that corrects the velocity
_DECAY_TIME = 0.7  # seconds in which the velocity of a track without a face decays by e


class Tracker:
    """Assign the faces of a video to tracks by their boxes.

    A face that matches no track starts a new one. A track without a face for `memory` seconds ends, and its index is
    not used again: a person who returns later gets a new track.

    Args:
        memory: time after which a track without a face ends, seconds, above 0.
        min_similarity: least similarity of a face and its track, above −1 and below 1. At −0.25 boxes of the same size
            may be 1.2 times their side apart, as in a fast movement or at a low frame rate.

    Raises:
        ConfigurationError: an argument is out of range.

    Example:
        >>> tracker = Tracker()
        >>> tracker.update(0.0, [(10, 10, 50, 60), (200, 20, 240, 70)])
        [0, 1]
        >>> tracker.update(0.04, [(204, 20, 244, 70), (11, 10, 51, 60), (400, 0, 440, 50)])
        [1, 0, 2]
    """

    def __init__(self, memory: float = 1.0, min_similarity: float = -0.25) -> None:
        if not (memory > 0 and math.isfinite(memory)):
            raise ConfigurationError(f"memory of {memory:g} s: give a positive number of seconds")
        if not -1 < min_similarity < 1:
            raise ConfigurationError(f"min_similarity {min_similarity:g}: give a number between -1 and 1")
        self.memory, self.min_similarity = memory, min_similarity
        self._tracks: list[_Track] = []
        self._time = -math.inf
        self._next = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """Indices of the tracks that have not ended, increasing."""
        return tuple(track.id for track in self._tracks)

    def update(self, time: float, boxes: Sequence[Sequence[float]]) -> list[int]:
        """Process the faces of a frame. Call it for frames without faces too.

        Args:
            time: time of the frame, seconds, after that of the last frame.
            boxes: boxes (x0, y0, x1, y1) of the faces, pixels, in any order.

        Returns:
            For each box, the index of its track, from 0 up.

        Raises:
            DataError: the time is not after that of the last frame.
            ImageError: a box is empty or not finite.
        """
        found = [checked_box(box) for box in boxes]
        if not (math.isfinite(time) and time > self._time):
            raise DataError(
                f"time {time:g} s does not follow {self._time:g} s: pass the frames in the order of their times"
            )
        self._time = time
        self._tracks = [track for track in self._tracks if time - track.time <= self.memory]
        predicted = [track.predicted(time) for track in self._tracks]
        pairs = pair(similarities(predicted, found), self.min_similarity)
        for face, box in enumerate(found):
            if face in pairs:
                self._tracks[pairs[face]].update_box(time, box)
            else:
                pairs[face] = len(self._tracks)
                self._tracks.append(_Track(self._next, time, box))
                self._next += 1
        return [self._tracks[pairs[face]].id for face in range(len(found))]

    def resize(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Rescale the boxes of the tracks about the image centre for frames of another size.

        Args:
            before: width and height of the earlier frames, pixels.
            after: width and height of the next frames, pixels.
        """
        scale = math.sqrt(after[0] * after[1] / (before[0] * before[1]))
        middle, now = np.array(before * 2) / 2, np.array(after * 2) / 2
        for track in self._tracks:
            x0, y0, x1, y1 = (float(edge) for edge in scale * (np.array(track.box) - middle) + now)
            track.box, track.velocity = (x0, y0, x1, y1), scale * track.velocity


@dataclass
class _Track:
    """A track: time and box of the last face, and the velocity of its centre, pixels a second."""

    id: int
    time: float
    box: Box
    velocity: Array = field(default_factory=lambda: np.zeros(2))

    def predicted(self, time: float) -> Box:
        """Return the box predicted for a time, with a decaying velocity."""
        reach = -_DECAY_TIME * math.expm1((self.time - time) / _DECAY_TIME)
        dx, dy = (float(step) for step in reach * self.velocity)
        x0, y0, x1, y1 = self.box
        return x0 + dx, y0 + dy, x1 + dx, y1 + dy

    def update_box(self, time: float, box: Box) -> None:
        """Set the box, and correct the velocity by a share of the deviation from the predicted box."""
        deviation = _centres(np.array([box])) - _centres(np.array([self.predicted(time)]))  # (1, 2)
        decay = math.exp((self.time - time) / _DECAY_TIME)
        self.velocity = decay * self.velocity + _GAIN * deviation[0] / (time - self.time)
        self.time, self.box = time, box


def similarities(first: Sequence[Box], second: Sequence[Box]) -> Array:
    """Return the similarity of each pair of boxes, as defined in the module docstring.

    Args:
        first: A boxes (x0, y0, x1, y1).
        second: B boxes.

    Returns:
        (A, B), in (−1, 1].

    Example:
        >>> similarities([(0, 0, 10, 10)], [(0, 0, 10, 10), (5, 0, 15, 10), (20, 0, 30, 10)]).round(3)
        array([[ 1.   ,  0.256, -0.4  ]])
    """
    a = np.asarray(first, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, dtype=np.float64).reshape(1, -1, 4)
    shared = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    around = np.maximum(a[..., 2:], b[..., 2:]) - np.minimum(a[..., :2], b[..., :2])
    apart = ((_centres(a) - _centres(b)) ** 2).sum(axis=-1)
    similarity: Array = shared / (areas - shared) - apart / (around**2).sum(axis=-1)
    return similarity


def _centres(boxes: Array) -> Array:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)


def pair(similarity: npt.ArrayLike, least: float) -> dict[int, int]:
    """Pair rows and columns such that the sum of (similarity − least) over the pairs is maximal.

    Args:
        similarity: (A, B).
        least: similarity below which no pair is made.

    Returns:
        For each paired column, its row.

    Example:
        >>> pair([[0.9, 0.8], [0.7, 0.1]], least=0.0)  # 0.8 + 0.7 is more than 0.9 + 0.1
        {1: 0, 0: 1}
    """
    gain = np.maximum(np.asarray(similarity, dtype=np.float64) - least, 0.0)
    if not gain.size:
        return {}
    if gain.shape[0] > gain.shape[1]:
        rows = _assigned(-gain.T)
        pairs = {column: int(row) for column, row in enumerate(rows)}
    else:
        pairs = {int(column): row for row, column in enumerate(_assigned(-gain))}
    return {column: row for column, row in pairs.items() if gain[row, column] > 0}


def _assigned(cost: Array) -> npt.NDArray[np.int64]:
    """Return the column of each row in the assignment of least total cost, (A,), for a cost of shape (A, B), A ≤ B.

    The Hungarian method with shortest augmenting paths, O(A² B): the potentials u, v satisfy cost − u − v ≥ 0 with
    equality on the pairs. Column 0 is an artificial start; `owner` is the row of each column, counted from 1.
    """
    count, width = cost.shape
    u, v = np.zeros(count + 1), np.zeros(width + 1)
    owner, before = np.zeros(width + 1, dtype=np.int64), np.zeros(width + 1, dtype=np.int64)
    for row in range(1, count + 1):
        owner[0], column = row, 0
        slack, done = np.full(width + 1, np.inf), np.zeros(width + 1, dtype=bool)
        while owner[column]:
            done[column] = True
            reduced = cost[owner[column] - 1] - u[owner[column]] - v[1:]
            closer = ~done[1:] & (reduced < slack[1:])
            slack[1:][closer], before[1:][closer] = reduced[closer], column
            following = int(np.argmin(np.where(done, np.inf, slack)))
            step = slack[following]
            u[owner[done]] += step
            v[done] -= step
            slack[~done] -= step
            column = following
        while column:
            owner[column] = owner[before[column]]
            column = int(before[column])
    columns = np.empty(count, dtype=np.int64)
    columns[owner[1:][owner[1:] > 0] - 1] = np.flatnonzero(owner[1:])
    return columns
