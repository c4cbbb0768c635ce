"""Tracks: the assignment against scipy's, people who move, cross, hide and come, and refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from deepgllim.errors import ConfigurationError, DataError, ImageError
from deepgllim.imaging.images import Box
from deepgllim.pose.video.tracking import Tracker, pair, similarities

properties = settings(deadline=None, max_examples=60, derandomize=True, database=None)
place = st.floats(-500, 500)
size = st.floats(1, 300)
boxes = st.tuples(place, place, size, size).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
RATE = 25.0


def face(x: float, y: float = 100.0, side: float = 80.0) -> Box:
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


@properties
@given(st.integers(0, 10_000), st.integers(0, 9), st.integers(0, 9))
def test_pairs_have_the_largest_sum(seed: int, count: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.choice([-0.5, 0.0, 0.3, 0.9], size=(count, width)) + rng.choice([0, 0.01], size=(count, width))
    pairs = pair(similarity, least=-0.25)
    gain = np.maximum(similarity + 0.25, 0)
    best = gain[linear_sum_assignment(-gain)].sum()
    assert sum(gain[row, column] for column, row in pairs.items()) == pytest.approx(best, abs=1e-12)
    assert len(set(pairs.values())) == len(pairs)
    assert all(similarity[row, column] > -0.25 for column, row in pairs.items())


@properties
@given(boxes, boxes, place, place, st.floats(0.1, 10))
def test_similarity_is_that_of_the_places_alone(a: Box, b: Box, dx: float, dy: float, scale: float) -> None:
    def moved(box: Box) -> Box:
        x0, y0, x1, y1 = box
        return scale * x0 + dx, scale * y0 + dy, scale * x1 + dx, scale * y1 + dy

    value = similarities([a], [b])[0, 0]
    assert -1 < value <= 1
    assert value == pytest.approx(similarities([b], [a])[0, 0])
    assert value == pytest.approx(similarities([moved(a)], [moved(b)])[0, 0], abs=1e-9)
    assert similarities([a], [a])[0, 0] == pytest.approx(1)


def test_shifted_boxes_overlap_less_and_then_drift_apart() -> None:
    values = similarities([face(0)], [face(shift) for shift in range(0, 400, 10)])[0]
    assert (np.diff(values) < 0).all()
    assert values[8] == pytest.approx(-1 / 5)  # side by side: no overlap, 1² of 2² + 1²


@properties
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_people_in_their_places_keep_their_numbers_in_any_order(seed: int, people: int) -> None:
    """Boxes jitter by a tenth of their side, a tenth is missed, the detector's order is any."""
    rng = np.random.default_rng(seed)
    tracker = Tracker()
    numbers: dict[int, int] = {}
    for frame in range(30):
        seen = [p for p in rng.permutation(people).tolist() if frame == 0 or rng.uniform() > 0.1]
        found = [face(200.0 * p + rng.normal() * 4, 100 + rng.normal() * 4, 80 + rng.normal() * 4) for p in seen]
        for person, number in zip(seen, tracker.update(frame / RATE, found), strict=True):
            assert numbers.setdefault(person, number) == number
    assert sorted(numbers.values()) == list(range(people)) == list(tracker.ids)


@pytest.mark.parametrize("hidden", [0, 8])
@pytest.mark.parametrize("speed", [150.0, 400.0])
def test_crossing_people_keep_their_numbers(speed: float, hidden: int) -> None:
    """Two walk past each other; the one behind is missed while they overlap most."""
    tracker, numbers = Tracker(), []
    middle = 40
    for frame in range(2 * middle):
        off = speed * (frame - middle) / RATE
        found = [face(500 + off, 100), face(500 - off, 112, 70)]
        if abs(frame - middle) < hidden / 2:
            found.pop()
        numbers.append(tracker.update(frame / RATE, found))
    assert {tuple(n) for n in numbers} <= {(0, 1), (0,)}
    assert numbers[-1] == [0, 1]


def test_a_track_lives_through_a_short_gap_and_no_long_one() -> None:
    tracker = Tracker(memory=1.0)
    for frame in range(10):
        assert tracker.update(frame / RATE, [face(100 + 3 * frame)]) == [0]
    assert tracker.update(0.8, []) == []
    assert list(tracker.ids) == [0]
    assert tracker.update(1.0, [face(160)]) == [0]
    assert tracker.update(2.1, []) == []
    assert not tracker.ids
    assert tracker.update(2.2, [face(160)]) == [1]  # numbers are given once


def test_who_comes_elsewhere_is_someone_else() -> None:
    tracker = Tracker()
    tracker.update(0.0, [face(100)])
    assert tracker.update(0.04, [face(100), face(300)]) == [0, 1]
    assert tracker.update(0.08, [face(600)]) == [2]


def test_a_fast_head_at_few_frames_a_second_is_followed() -> None:
    """A whole side a frame, the first step included."""
    tracker = Tracker()
    assert all(tracker.update(frame / 10, [face(80.0 * frame)]) == [0] for frame in range(20))


@pytest.mark.parametrize(
    ("before", "after"), [((640, 480), (480, 640)), ((1280, 720), (640, 360)), ((640, 360), (1920, 1080))]
)
def test_a_face_is_followed_through_a_change_of_size(before: tuple[int, int], after: tuple[int, int]) -> None:
    """A phone is turned, or a stream changes its resolution; two people keep their numbers."""
    tracker = Tracker()
    scale = (after[0] * after[1] / before[0] / before[1]) ** 0.5
    places = [(-90.0, 10.0), (110.0, -20.0)]  # from the middle of the frame

    def boxes(size: tuple[int, int], scale: float) -> list[tuple[float, float, float, float]]:
        return [face(size[0] / 2 + scale * x, size[1] / 2 + scale * y, scale * 80) for x, y in places]

    for frame in range(3):
        assert tracker.update(frame / RATE, boxes(before, 1.0)) == [0, 1]
    tracker.resize(before, after)
    assert tracker.update(3 / RATE, boxes(after, scale)) == [0, 1]


def test_a_crowd_is_done_in_time() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 4000, size=(60, 2))
    tracker = Tracker()
    first = tracker.update(0.0, [face(x, y) for x, y in places])
    again = tracker.update(0.04, [face(x + 2, y + 2) for x, y in places])
    assert sorted(first) == list(range(60))
    assert again == first


def test_refuses_what_is_no_frame() -> None:
    tracker = Tracker()
    tracker.update(1.0, [])
    for time in (1.0, 0.5, math.nan):
        with pytest.raises(DataError, match=r"does not follow 1 s"):
            tracker.update(time, [])
    with pytest.raises(ImageError, match="is empty"):
        tracker.update(2.0, [(10, 10, 10, 20)])
    with pytest.raises(ImageError, match="is not finite"):
        tracker.update(2.0, [(10, math.nan, 20, 20)])
    assert tracker.update(2.0, []) == []  # a refused frame leaves no trace
    with pytest.raises(ConfigurationError, match="memory of 0 s"):
        Tracker(memory=0)
    with pytest.raises(ConfigurationError, match="between -1 and 1"):
        Tracker(least_similarity=-1)
