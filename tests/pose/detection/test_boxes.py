"""Tests of overlap, non-maximum suppression and conversion of boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepgllim.pose.detection.boxes import (
    Array,
    BoxMap,
    Candidates,
    intersection_over_union,
    merge_overlapping,
    non_maximum_suppression,
)

number = st.floats(-100, 100).map(lambda value: round(value, 2))


@st.composite
def boxes(draw: st.DrawFn, least: int = 0) -> Array:
    """Draw boxes, (N, 4), none of them empty."""
    n = draw(st.integers(least, 12))
    corners = draw(arrays(np.float64, (n, 2), elements=number))
    extents = draw(arrays(np.float64, (n, 2), elements=st.floats(1, 60)))
    return np.concatenate([corners, corners + extents], axis=1)


@st.composite
def scored(draw: st.DrawFn) -> tuple[Array, Array]:
    found = draw(boxes())
    return found, draw(arrays(np.float64, len(found), elements=st.floats(0, 1)))


# --- overlap


def test_overlap_of_known_boxes() -> None:
    found = intersection_over_union([[0, 0, 4, 2], [0, 0, 1, 1]], [[2, 1, 6, 3], [4, 0, 5, 2], [0, 0, 4, 2]])
    assert found.tolist() == [[2 / 14, 0, 1], [0, 0, 1 / 8]]


@settings(deadline=None)
@given(boxes(), boxes())
def test_overlap_is_symmetric_and_one_only_with_itself(a: Array, b: Array) -> None:
    found = intersection_over_union(a, b)
    assert found.shape == (len(a), len(b))
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found, intersection_over_union(b, a).T, atol=1e-12)
    np.testing.assert_allclose(np.diag(intersection_over_union(a, a)), 1, atol=1e-12)


@settings(deadline=None)
@given(boxes(1), boxes(1), st.floats(0.1, 10), number)
def test_overlap_is_invariant_to_scale_and_shift(a: Array, b: Array, scale: float, shift: float) -> None:
    moved = intersection_over_union(a * scale + shift, b * scale + shift)
    np.testing.assert_allclose(moved, intersection_over_union(a, b), atol=1e-6)


def test_empty_boxes_overlap_nothing() -> None:
    assert intersection_over_union([[1, 1, 1, 1], [3, 3, 1, 1]], [[0, 0, 2, 2], [1, 1, 1, 1]]).tolist() == [
        [0, 0],
        [0, 0],
    ]


# --- suppression


@settings(deadline=None)
@given(scored(), st.floats(0, 1))
def test_kept_boxes_stand_apart_and_each_dropped_one_has_a_better_neighbour(
    found: tuple[Array, Array], overlap: float
) -> None:
    rows, scores = found
    kept = non_maximum_suppression(rows, scores, overlap)
    overlaps = intersection_over_union(rows, rows)
    assert len(set(kept.tolist())) == len(kept)
    assert (np.diff(scores[kept]) <= 0).all()
    for i, j in zip(*np.triu_indices(len(kept), 1), strict=True):
        assert overlaps[kept[i], kept[j]] <= overlap
    for dropped in set(range(len(rows))) - set(kept.tolist()):
        assert any(overlaps[dropped, best] > overlap and scores[best] >= scores[dropped] for best in kept)


@settings(deadline=None)
@given(scored(), st.floats(0, 1))
def test_suppression_and_threshold_may_change_places(found: tuple[Array, Array], threshold: float) -> None:
    rows, scores = found
    kept = non_maximum_suppression(rows, scores)
    high = np.flatnonzero(scores >= threshold)
    first = high[non_maximum_suppression(rows[high], scores[high])]
    assert kept[scores[kept] >= threshold].tolist() == first.tolist()


def test_of_many_boxes_on_two_faces_two_stay() -> None:
    rng = np.random.default_rng(0)
    jitter = rng.uniform(-2, 2, (40, 4))
    faces = np.repeat([[0, 0, 50, 60], [100, 20, 160, 90]], 20, axis=0) + jitter
    scores = rng.uniform(0.1, 0.8, 40)
    scores[[7, 31]] = 0.9, 0.95
    assert non_maximum_suppression(faces, scores).tolist() == [31, 7]
    assert non_maximum_suppression(np.empty((0, 4)), np.empty(0)).tolist() == []


@settings(deadline=None)
@given(scored())
def test_a_merged_box_is_between_its_candidates(found: tuple[Array, Array]) -> None:
    rows, scores = found
    kept = non_maximum_suppression(rows, scores)
    kept = kept[scores[kept] > 0.01]
    merged = merge_overlapping(Candidates(rows, rows.reshape(-1, 2, 2), scores), kept)
    assert merged.scores.tolist() == scores[kept].tolist()
    np.testing.assert_allclose(merged.landmarks.reshape(-1, 4), merged.boxes)
    for index, box in zip(kept, merged.boxes, strict=True):
        near = rows[intersection_over_union(rows[[index]], rows)[0] >= 0.5]
        assert (box >= near.min(axis=0) - 1e-9).all()
        assert (box <= near.max(axis=0) + 1e-9).all()


def test_merged_boxes_have_the_cubes_of_the_scores_as_weights() -> None:
    boxes = np.array([[0.0, 0, 9, 9], [3, 0, 12, 9], [40, 0, 50, 9]])
    merged = merge_overlapping(Candidates(boxes, boxes[:, None, :2], np.array([1.0, 0.5, 0.7])), [0])
    np.testing.assert_allclose(merged.boxes, [[3 / 9, 0, 9 + 3 / 9, 9]])  # weights 1 and 1/8


# --- maps


def candidates(rows: Array, marks: Array) -> Candidates:
    """Return landmarks at relative positions (5, 2) in every box."""
    corners, extents = rows[:, None, :2], rows[:, None, 2:] - rows[:, None, :2]
    return Candidates(rows, corners + marks * extents, np.ones(len(rows)))


marks = arrays(np.float64, (5, 2), elements=st.floats(0, 1))
maps = st.builds(
    BoxMap, side=st.floats(0.3, 2), pull=st.floats(-0.5, 1), down=st.floats(-0.3, 0.3), ears=st.floats(-0.5, 1)
)


def test_a_map_that_changes_nothing() -> None:
    square = np.array([[3.0, 4, 9, 10]])
    found = BoxMap(side=1, pull=0, down=0)(candidates(square, np.full((5, 2), 0.3)))
    np.testing.assert_allclose(found, square)


def test_a_pull_of_one_puts_the_centre_on_the_landmarks() -> None:
    found = BoxMap(side=1, pull=1, down=0)(candidates(np.array([[0.0, 0, 10, 40]]), np.full((5, 2), 0.25)))
    np.testing.assert_allclose(found, [[2.5 - 10, 10 - 10, 2.5 + 10, 10 + 10]])  # √(10 · 40) = 20 pixels a side


def test_the_ears_are_the_last_two_landmarks() -> None:
    """The mean of the ears is at x = 0.4, y = 0.2 of the box; the other four landmarks have no weight of their own."""
    points = np.array([[0.9, 0.9]] * 4 + [[0.3, 0.1], [0.5, 0.3]])
    found = BoxMap(side=1, pull=0, down=0, ears=1)(candidates(np.array([[0.0, 0, 10, 10]]), points))
    np.testing.assert_allclose(found, [[4 - 5, 2 - 5, 4 + 5, 2 + 5]])


@settings(deadline=None)
@given(boxes(1), marks, maps, st.floats(0.1, 10), number)
def test_maps_follow_the_picture(rows: Array, points: Array, ours: BoxMap, scale: float, shift: float) -> None:
    """A scaled, shifted or mirrored image has scaled, shifted or mirrored boxes; all of them are squares."""
    plain = candidates(rows, points)
    found = ours(plain)
    extents = found[:, 2:] - found[:, :2]
    np.testing.assert_allclose(extents[:, 0], extents[:, 1], atol=1e-9)
    moved = Candidates(rows * scale + shift, plain.landmarks * scale + shift, plain.scores)
    np.testing.assert_allclose(ours(moved), found * scale + shift, atol=1e-6)
    turned = Candidates(mirrored(rows), plain.landmarks * [-1, 1], plain.scores)
    np.testing.assert_allclose(ours(turned), mirrored(found), atol=1e-9)


def mirrored(rows: Array) -> Array:
    return np.stack([-rows[:, 2], rows[:, 1], -rows[:, 0], rows[:, 3]], axis=1)


@pytest.mark.parametrize("n", [0, 3])
def test_maps_keep_the_number_of_boxes(n: int) -> None:
    empty = Candidates(np.zeros((n, 4)), np.zeros((n, 5, 2)), np.zeros(n))
    assert BoxMap(0.8, 0.7, 0.0)(empty).shape == (n, 4)
