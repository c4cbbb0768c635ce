"""Test the training of the model in the package in quick mode, and its metrics."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepgllim import __version__
from experiments.pretrained import product
from experiments.pretrained.__main__ import main
from experiments.pretrained.judging import (
    LEVELS,
    FoldPredictions,
    coverage,
    errors,
    read_predictions,
    roc,
    write_predictions,
)
from experiments.pretrained.product import parts


def predictions(people: int, each: int, deviation: float, seed: int, prefix: str = "p") -> FoldPredictions:
    """Return predictions with standard deviations of 5 degrees and errors of the given deviation."""
    rng, n = np.random.default_rng(seed), people * each
    targets = rng.uniform(-90, 90, (n, 3))
    who = np.repeat([f"{prefix}{i}" for i in range(people)], each)
    mean = targets + deviation * rng.standard_normal((n, 3))
    return FoldPredictions(targets, mean, np.tile(25.0 * np.eye(3), (n, 1, 1)), rng.standard_normal(n), who)


def test_quick_mode_trains_evaluates_and_exports(
    rendered_pointing04: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moderngl")
    pytest.importorskip("skimage")
    exported: dict[str, object] = {}
    monkeypatch.setattr(product, "export_onnx", lambda model, path, **options: exported.update(options, path=path))
    places = ["--work", str(tmp_path / "work"), "--output", str(tmp_path), "--model", str(tmp_path / "m.onnx")]
    source = f"pointing04:{rendered_pointing04}"
    monkeypatch.setattr(sys, "argv", ["pretrained", "--data", source, "--quick", *places])
    main()
    results = pd.read_csv(tmp_path / "results.csv")
    assert results["all_mean"].between(0, 90).all()
    assert list(results["fold"])[-2:] == ["all", "rendered, other people"]
    assert pd.read_csv(tmp_path / "roc.csv")["auroc_all"].between(0, 1).all()
    assert pd.read_csv(tmp_path / "coverage.csv")["0.9"].between(0, 1).all()
    assert set(pd.read_csv(tmp_path / "groups.csv")["kind"]) >= {"glasses", "|pan|"}
    assert exported["path"] == tmp_path / "m.onnx"
    assert exported["calibration"] is not None
    assert exported["notes"] == product.NOTES | {"deepgllim": __version__}


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    one = predictions(3, 4, 1.0, 0)
    write_predictions(one, tmp_path / "a.npz")
    for before, after in zip(one, read_predictions(tmp_path / "a.npz"), strict=True):
        np.testing.assert_array_equal(before, after)


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


def test_auroc_of_each_kind_and_of_all() -> None:
    rows = roc(np.array([3.0, 4.0, 5.0]), {"things": np.array([0.0, 1.0]), "noise": np.array([3.5, 9.0])})
    assert rows["auroc_things"] == 1.0
    assert rows["auroc_noise"] == pytest.approx(2 / 6)
    assert rows["auroc_all"] == pytest.approx((6 + 2) / 12)


def test_rendered_people_are_divided_among_the_folds() -> None:
    rendered = [predictions(60, 3, 1.0, 7, "r") for _ in range(3)]
    found = parts(rendered, 3)
    assert sum(len(part.subjects) for part in found) == 180
    assert {name for part in found for name in part.subjects} == {"rendered 0", "rendered 1", "rendered 2"}
