"""The comparison of face detectors: its measures and the fit of its maps."""

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepgllim.data import make_manifest
from deepgllim.imaging.images import Box
from deepgllim.pose.detection import BOX_MAPS, DETECTORS, Face
from deepgllim.pose.detection.boxes import BoxMap, Candidates
from experiments.protocol import read_table
from research.detectors.fit import fit_map
from research.detectors.measure import Found, compute_metrics, false_positives, is_hit
from research.detectors.settings import THRESHOLDS, VIEWS, Mirrored, Setting

MAPS = Path(__file__).parents[2] / "research" / "detectors" / "maps.csv"
TRUE = (10.0, 20.0, 30.0, 44.0)


def test_a_hit_overlaps_and_has_its_centre_near() -> None:
    assert is_hit(Face(TRUE, 0.5), TRUE)
    assert is_hit(Face((15, 20, 39, 44), 0.5), TRUE)
    assert not is_hit(Face((22, 32, 46, 56), 0.5), TRUE)  # overlaps by 0.1
    assert not is_hit(Face((10, 20, 60, 44), 0.5), TRUE)  # by 0.4, but its centre is at 35


def test_compute_metrics_of_three_pictures() -> None:
    """One found twice, one with another face beside, one missed."""
    beside = (60.0, 60.0, 80.0, 80.0)
    found = [
        Found([Face(TRUE, 0.9), Face(TRUE, 0.4)], TRUE, 0.010),
        Found([Face((12, 22, 34, 46), 0.6), Face(beside, 0.6)], TRUE, 0.020),
        Found([Face(beside, 0.45)], TRUE, 0.030),
    ]
    frame = pd.DataFrame({"path": ["a", "b", "c"], "tilt": [0, 0, 60], "pan": [-15, 15, 90]})
    row = compute_metrics(make_manifest(frame, ()), found, 0.5)
    assert row["n"] == 3
    assert row["recall"] == pytest.approx(2 / 3)
    assert row["recall_inner"] == row["recall_pan_15"] == row["recall_tilt_0"] == 1
    assert row["recall_tilt_60"] == row["recall_pan_90"] == 0
    assert row["false_positives"] == pytest.approx(1 / 3)
    assert row["false_positives_0.3"] == pytest.approx(1)  # the second box on the first, and both beside
    assert row["recall_0.7"] == pytest.approx(1 / 3)
    assert row["ms"] == pytest.approx(20)
    overlap = 18 * 22 / (20 * 24 + 22 * 24 - 18 * 22)
    assert row["iou"] == pytest.approx((1 + overlap) / 2)
    assert row["error_x"] == pytest.approx(3 / 24 / 2)  # centres 0 and 3 of 24 pixels apart
    assert row["error_side"] == 0


def test_without_a_hit_there_is_no_fit() -> None:
    frame = pd.DataFrame({"path": ["a"], "tilt": [0], "pan": [0]})
    row = compute_metrics(make_manifest(frame, ()), [Found([], TRUE, 0.01)], 0.5)
    assert row["recall"] == row["false_positives"] == 0
    assert np.isnan(row["iou"])
    assert false_positives([Found([Face(TRUE, 0.3)], TRUE, 0.01)], 0.5) == 0


def test_the_fit_finds_a_known_map() -> None:
    rng = np.random.default_rng(0)
    corners, extents = rng.uniform(0, 200, (60, 2)), rng.uniform(30, 90, (60, 2))
    marks = corners[:, None] + rng.uniform(0.1, 0.9, (60, 5, 2)) * extents[:, None]
    candidates = Candidates(np.concatenate([corners, corners + extents], axis=1), marks, np.ones(60))
    known = BoxMap(side=0.9, pull=0.6, down=-0.05)
    np.testing.assert_allclose(fit_map(candidates, known(candidates)), known, atol=1e-9)


@pytest.mark.parametrize("view", list(VIEWS))
def test_views_move_the_box_with_the_picture(view: str) -> None:
    """A white square stays in its box, within the blur of the scaling."""
    image, box = Image.new("L", (160, 120)), (60.0, 40.0, 90.0, 70.0)
    image.paste(255, (60, 40, 90, 70))
    seen, (x0, y0, x1, y1) = VIEWS[view](image, box)
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.05)
    white = np.asarray(seen) > 127
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    edges = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    np.testing.assert_allclose(edges, [x0, y0, x1, y1], atol=max(1, 0.01 * max(seen.size)))


def test_small_views_have_faces_of_their_size() -> None:
    for side in (24, 16, 12):
        _, (x0, y0, x1, y1) = VIEWS[f"faces of {side} pixels"](Image.new("L", (400, 300)), (100, 50, 180, 150))
        assert max(x1 - x0, y1 - y0) == pytest.approx(side, rel=0.05)


def test_a_mirrored_look_adds_what_the_first_missed() -> None:
    """A detector that sees only the left half."""

    def left(image: Image.Image) -> list[Face]:
        columns = np.flatnonzero(np.asarray(image).any(axis=0))
        inside: Box = (float(columns[0]), 0.0, float(columns[-1]) + 1, 10.0)
        return [Face(inside, 0.9)] if inside[2] < image.width / 2 else []

    picture = Image.new("L", (100, 10))
    picture.paste(255, (70, 0, 80, 10))
    assert left(picture) == []
    assert Mirrored(left)(picture) == [Face((70, 0, 80, 10), 0.9)]


def test_the_thresholds_are_the_detectors_own() -> None:
    assert list(THRESHOLDS) == list(DETECTORS)
    for name, threshold in THRESHOLDS.items():
        assert make_default(name) == threshold
        assert Setting(f"{name}, whatever").threshold == threshold


def make_default(name: str) -> float:
    return float(inspect.signature(DETECTORS[name]).parameters["threshold"].default)


def test_the_packages_maps_are_those_fitted() -> None:
    """But for rounding."""
    for _, row in read_table(MAPS).iterrows():
        fitted = [row[name] for name in BoxMap._fields]
        np.testing.assert_allclose(BOX_MAPS[row["detector"]][row["boxes"]], fitted, atol=0.0051)
