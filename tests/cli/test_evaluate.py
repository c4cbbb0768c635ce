"""`deepgllim evaluate`: the table, JSON, the CSV file of predictions, and errors."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepgllim.nn import evaluation

Call = Callable[..., Any]


def test_json_is_a_single_object(call: Call, shared_faces: Path, model: Path) -> None:
    called = call("evaluate", "--model", model, "--data", f"folder:{shared_faces}", "--subjects", "01,02", "--json")
    assert (called.code, called.err) == (0, "")
    measured = json.loads(called.out)
    assert measured["n"] == 6
    assert measured["mae"] == pytest.approx((measured["mae_pitch"] + measured["mae_yaw"]) / 2)
    assert {"nll", "geodesic", "coverage_90_yaw", "log_density"} <= set(measured)


def test_the_table_contains_all_metrics(call: Call, shared_faces: Path, model: Path) -> None:
    called = call("evaluate", "--model", model, "--data", f"folder:{shared_faces}")
    assert called.code == 0
    assert all(name in called.out for name in ("mae_yaw", "nll", "coverage_90_pitch"))


def test_an_exported_model_is_refused_with_what_to_use(refused: Call, shared_faces: Path, tmp_path: Path) -> None:
    (tmp_path / "f.onnx").write_bytes(b"")
    called = refused("evaluate", "--model", tmp_path / "f.onnx", "--data", f"folder:{shared_faces}")
    assert "f.onnx is an exported model: give the .safetensors file from which it was exported" in called.err
    assert "calibrate and doctor" in called.err


def test_undefined_metrics_are_null(
    call: Call, shared_faces: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "compute_metrics", lambda *_: {"nll": float("inf"), "log_density": np.nan})
    called = call("evaluate", "--model", model, "--data", f"folder:{shared_faces}", "--json")
    assert json.loads(called.out) == {"nll": None, "log_density": None, "n": 12}


def test_predictions_are_written_and_not_overwritten(
    call: Call, refused: Call, shared_faces: Path, model: Path, tmp_path: Path
) -> None:
    file = tmp_path / "predictions.csv"
    words = ["evaluate", "--model", model, "--data", f"folder:{shared_faces}", "--json", "--predictions", file]
    measured = json.loads(call(*words).out)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 12
    error = np.mean([abs(float(row["yaw"]) - float(row["yaw_predicted"])) for row in rows])
    assert error == pytest.approx(measured["mae_yaw"])
    assert all(float(row["yaw_lower"]) < float(row["yaw_upper"]) for row in rows)
    file.write_text("mine")
    assert "--overwrite" in refused(*words).err
    assert file.read_text() == "mine"
    assert call(*words, "--overwrite").code == 0
    assert file.read_text() != "mine"


def test_predictions_that_cannot_be_written(refused: Call, shared_faces: Path, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "absent" / "predictions.csv"
    called = refused("evaluate", "--model", model, "--data", f"folder:{shared_faces}", "--predictions", file)
    assert all(text in called.err for text in (str(file), "cannot be written", "check the folder"))


def test_unreadable_images(call: Call, refused: Call, face_folder: Path, model: Path) -> None:
    cut = face_folder / "face03.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    words = ["evaluate", "--model", model, "--data", f"folder:{face_folder}", "--json"]
    assert all(text in refused(*words).err for text in ("1 of 24", "face03.jpg", "--skip-unreadable"))
    called = call(*words, "--skip-unreadable")
    assert json.loads(called.out)["n"] == 23
    assert "left out 1 of 24" in called.err


def test_data_without_the_targets_of_the_model(refused: Call, face_folder: Path, model: Path) -> None:
    table = face_folder / "manifest.csv"
    table.write_text(table.read_text().replace(",yaw", ",pan"))
    called = refused("evaluate", "--model", model, "--data", f"manifest:{table}", "--json")
    assert "add 'yaw'" in called.err


def test_invalid_models(refused: Call, shared_faces: Path, model: Path, tmp_path: Path) -> None:
    for name, length in (("cut.safetensors", 10_000), ("empty.safetensors", 0)):
        file = tmp_path / name
        file.write_bytes(model.read_bytes()[:length])
        called = refused("evaluate", "--model", file, "--data", f"folder:{shared_faces}", "--json")
        assert all(text in called.err for text in (str(file), "cut short", "train it again"))
    called = refused("evaluate", "--model", tmp_path / "none", "--data", f"folder:{shared_faces}")
    assert "no such file" in called.err
