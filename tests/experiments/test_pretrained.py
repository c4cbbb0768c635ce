"""Test the training of the model in the package in quick mode, and its metrics."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepgllim.data import Manifest
from deepgllim.pose import PoseNetwork
from experiments.pretrained.__main__ import main
from experiments.pretrained.judging import (
    LEVELS,
    FoldPredictions,
    coverage,
    errors,
)
from experiments.pretrained.product import in_groups, rendered_coverage
from experiments.pretrained.validation import labelled_sets, measure, measure_photographs


def predictions(people: int, each: int, deviation: float, seed: int, prefix: str = "p") -> FoldPredictions:
    """Return predictions with standard deviations of 5 degrees and errors of the given deviation."""
    rng, n = np.random.default_rng(seed), people * each
    targets = rng.uniform(-90, 90, (n, 3))
    who = np.repeat([f"{prefix}{i}" for i in range(people)], each)
    mean = targets + deviation * rng.standard_normal((n, 3))
    return FoldPredictions(targets, mean, np.tile(25.0 * np.eye(3), (n, 1, 1)), rng.standard_normal(n), who)


def test_quick_mode_trains_exports_and_measures(
    rendered_pointing04: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moderngl")
    pytest.importorskip("skimage")
    places = ["--work", str(tmp_path / "work"), "--output", str(tmp_path), "--model", str(tmp_path / "m.onnx")]
    monkeypatch.setattr(sys, "argv", ["pretrained", "--quick", "--pointing04", str(rendered_pointing04), *places])
    main()
    assert pd.read_csv(tmp_path / "rendered.csv")["all_mean"].between(0, 90).all()
    assert pd.read_csv(tmp_path / "coverage.csv")["0.9"].between(0, 1).all()
    assert set(pd.read_csv(tmp_path / "groups.csv")["kind"]) >= {"glasses", "|pan|"}
    density = pd.read_csv(tmp_path / "density.csv")
    assert density.loc[density["pictures"] == "photographs", "accepted"].min() >= 0.9
    assert density["auroc"].dropna().between(0, 1).all()
    spec = PoseNetwork(tmp_path / "m.onnx").spec
    assert spec.boxes == "rendered"
    assert spec.calibration is not None
    assert "log_density_threshold" in spec.calibration


def test_coverage_includes_the_wanted_people_only() -> None:
    """Errors are three times the predicted deviation; calibration by the other folds corrects the coverage."""
    folds = [
        FoldPredictions.joined([predictions(10, 20, 15.0, i), predictions(5, 20, 15.0, 90 + i, "rendered ")])
        for i in range(4)
    ]
    table = coverage(folds, lambda who: np.char.startswith(who, "rendered")).set_index("faces")
    assert table.loc["all", "n"] == 4 * 5 * 20
    for level in LEVELS:
        assert table.loc["all", str(level)] == pytest.approx(level, abs=0.07)  # 400 faces, 60 people to calibrate by


def test_errors_include_labelled_angles_only() -> None:
    exact = predictions(2, 50, 0.0, 0)
    assert errors(exact)["all_mean"] == 0
    off = exact._replace(mean=exact.mean + np.array([4.0, -2.0, 90.0]))
    assert errors(off)["all_mean"] == pytest.approx(3.0)


def test_rendered_people_are_grouped_for_the_calibration() -> None:
    found = in_groups(predictions(80, 3, 1.0, 7, "r"))
    assert set(found.subjects) == {f"group {i}" for i in range(4)}
    assert len(set(in_groups(predictions(8, 3, 1.0, 7)).subjects)) == 4
    table = rendered_coverage(predictions(200, 10, 15.0, 3)).set_index("faces")
    assert table.loc["all", "0.9"] == pytest.approx(0.9, abs=0.05)


def test_yaw_is_measured_with_its_intervals() -> None:
    truth = np.array([-30.0, 0.0, 30.0, 60.0])
    row = measure(truth, 0.9 * truth + 1.0, (0.9 * truth - 2.0, 0.9 * truth + 4.0))
    assert row["slope"] == pytest.approx(0.9)
    assert row["error"] == pytest.approx(np.abs(1.0 - 0.1 * truth).mean())
    assert row["half_width_90"] == pytest.approx(3.0)
    assert row["coverage_90"] == 0.5  # of 0 and 30


def test_pointing04_is_measured_against_both_kinds_of_labels() -> None:
    frame = pd.DataFrame({"label_tilt": [-20.0, 9.5, 43.0, 0.0], "label_pan": [-60.0, 0.0, 60.0, 90.0]})
    mean = np.array([[-20.0, -57.0, 0.0], [9.5, 0.0, 0.0], [43.0, 57.0, 0.0], [0.0, 70.0, 0.0]])
    blank = np.zeros((4, 3))
    found = FoldPredictions(blank, mean, np.tile(np.eye(3), (4, 1, 1)), np.zeros(4), np.array(["a"] * 4))
    row = measure_photographs(Manifest(frame, ("label_tilt", "label_pan")), found)
    assert row["pan"] == pytest.approx(2.0)
    assert row["pan_slope"] == pytest.approx(0.95)
    assert row["pan_profile"] == 20.0
    assert row["tilt_head"] == pytest.approx(0.0)
    assert row["tilt_asked"] == pytest.approx((10 + 5.5 + 17) / 3)


def test_sets_that_are_absent_are_left_out(tmp_path: Path) -> None:
    assert list(labelled_sets(tmp_path)) == []
    assert list(labelled_sets(None)) == []
