"""Faces of consecutive frames joined to tracks, one a person.

    similarity(a, b) = |a ∩ b| / |a ∪ b| − ‖centre a − centre b‖² / (diagonal of the box around both)²

the overlap of two boxes less their distance (the distance-IoU of Zheng et al., "Distance-IoU loss", AAAI 2020): 1 for
the same box, still ordered where boxes do not overlap, and never under −1. A track's box is expected where its velocity
takes it; faces and tracks are paired such that the sum of similarities is largest.

No library does this for a light install: norfair, motpy, supervision and trackers bring scipy or OpenCV, lapx 15 MB of
compiled code, edgefirst-tracker has no wheel for every platform. What is needed of them is the assignment below.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.imaging.images import Box, checked_box

Array = npt.NDArray[np.float64]

_GAIN = 0.4  # of the velocity: how much of a deviation from the expected place it takes over
_COASTING = 0.7  # seconds in which the velocity of a face that is not seen decays by e


class Tracker:
    """Gives each face of a video the number of its person.

    A face that belongs to no track begins one; numbers are given once. A track that is not seen for `memory` seconds
    ends. Nothing but boxes is compared: someone who leaves and comes back later is someone else.

    Args:
        memory: seconds, above 0.
        least_similarity: under which a face is not the one expected, above −1, below 1. At −0.25 boxes of the same
            size may lie 1.2 of their sides apart, as in a quick turn or at few frames a second.

    Raises:
        ConfigurationError: an argument out of range.

    Example:
        >>> tracker = Tracker()
        >>> tracker.update(0.0, [(10, 10, 50, 60), (200, 20, 240, 70)])
        [0, 1]
        >>> tracker.update(0.04, [(204, 20, 244, 70), (11, 10, 51, 60), (400, 0, 440, 50)])
        [1, 0, 2]
    """

    def __init__(self, memory: float = 1.0, least_similarity: float = -0.25) -> None:
        if not (memory > 0 and math.isfinite(memory)):
            raise ConfigurationError(f"memory of {memory:g} s: give the seconds for which a hidden face is remembered")
        if not -1 < least_similarity < 1:
            raise ConfigurationError(f"least similarity {least_similarity:g}: give a number between -1 and 1")
        self.memory, self.least_similarity = memory, least_similarity
        self._tracks: list[_Track] = []
        self._time = -math.inf
        self._next = 0

    @property
    def ids(self) -> tuple[int, ...]:
        """The numbers of the tracks that have not ended, ascending; what else is kept of the others can go."""
        return tuple(track.id for track in self._tracks)

    def update(self, time: float, boxes: Sequence[Sequence[float]]) -> list[int]:
        """Take the faces of a frame; call it for frames without a face too.

        Args:
            time: of the frame, seconds, later than the last one's.
            boxes: (x0, y0, x1, y1) each, pixels, in any order; may be empty.

        Returns:
            The number of each face's track, from 0 up, in the order of `boxes`.

        Raises:
            DataError: a time that is not later.
            ImageError: a box that is empty or not finite.
        """
        found = [checked_box(box) for box in boxes]
        if not (math.isfinite(time) and time > self._time):
            raise DataError(
                f"time {time:g} s does not follow {self._time:g} s: frames come in the order of their times"
            )
        self._time = time
        self._tracks = [track for track in self._tracks if time - track.time <= self.memory]
        expected = [track.expected(time) for track in self._tracks]
        pairs = pair(similarities(expected, found), self.least_similarity)
        for face, box in enumerate(found):
            if face in pairs:
                self._tracks[pairs[face]].follow(time, box)
            else:
                pairs[face] = len(self._tracks)
                self._tracks.append(_Track(self._next, time, box))
                self._next += 1
        return [self._tracks[pairs[face]].id for face in range(len(found))]

    def resize(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Expect the faces where they are on frames of another size: about the middle, at the scale of the area.

        Args:
            before, after: width and height of the frames, pixels.
        """
        scale = math.sqrt(after[0] * after[1] / (before[0] * before[1]))
        middle, now = np.array(before * 2) / 2, np.array(after * 2) / 2
        for track in self._tracks:
            x0, y0, x1, y1 = (float(edge) for edge in scale * (np.array(track.box) - middle) + now)
            track.box, track.velocity = (x0, y0, x1, y1), scale * track.velocity


@dataclass
class _Track:
    """A person: where the face was seen last, and the velocity of its centre, pixels a second."""

    id: int
    time: float
    box: Box
    velocity: Array = field(default_factory=lambda: np.zeros(2))

    def expected(self, time: float) -> Box:
        """The box moved on; a face that is hidden slows down."""
        reach = -_COASTING * math.expm1((self.time - time) / _COASTING)
        dx, dy = (float(step) for step in reach * self.velocity)
        x0, y0, x1, y1 = self.box
        return x0 + dx, y0 + dy, x1 + dx, y1 + dy

    def follow(self, time: float, box: Box) -> None:
        """Take the box over, and a part of its deviation from the expected one into the velocity."""
        deviation = _centres(np.array([box])) - _centres(np.array([self.expected(time)]))  # (1, 2)
        decay = math.exp((self.time - time) / _COASTING)
        self.velocity = decay * self.velocity + _GAIN * deviation[0] / (time - self.time)
        self.time, self.box = time, box


def similarities(first: Sequence[Box], second: Sequence[Box]) -> Array:
    """The similarity of each box to each of others, (A, B), in (−1, 1]; see the module.

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
    """The pairs of rows and columns of the largest sum of (similarity − least), none under 0.

    Args:
        similarity: (A, B).
        least: pairs below it are not made.

    Returns:
        The row of each column that has one.

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
    """The column of each row, of the least total cost, (A, B), A ≤ B: shortest augmenting paths, O(A² B).

    Kuhn's method with potentials u, v, such that cost − u − v ≥ 0 with equality on the pairs; column 0 is a start from
    which the row to be placed is reached, and `owner` has the row of each column, counted from 1.
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
