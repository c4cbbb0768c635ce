"""`deepgllim export`, `calibrate` and `doctor`."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from deepgllim.cli import main
from deepgllim.cli.options import exported_model
from deepgllim.nn.backbones import build_backbone
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.pose.network import PoseNetwork
from deepgllim.pose.predictor import default_model
from tests.pose.tiny import tiny_network


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a manifest of six people whose pan is the grey level minus 128, plus noise of 10 degrees."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    rows = []
    for number in range(60):
        level = int(rng.integers(60, 196))
        Image.new("RGB", (16, 16), (level, level, level)).save(folder / f"{number}.png")
        rows.append({"path": f"{number}.png", "subject": f"p{number % 6}", "pan": level - 128 + 10 * rng.normal()})
    pd.DataFrame(rows).to_csv(folder / "faces.csv", index=False)
    return folder / "faces.csv"


def test_calibrate_writes_a_calibrated_model(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, better = tiny_network(tmp_path / "tiny.onnx"), tmp_path / "better.onnx"
    plot = tmp_path / "plot.png"
    assert main(["calibrate", str(model), str(better), "--data", f"manifest:{faces}", "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "60 faces of 6 people" in shown
    assert "before → after" in shown
    with Image.open(plot) as drawn:
        assert drawn.size[0] > 500
    calibration = PoseNetwork(better).spec.calibration
    assert calibration is not None
    assert calibration["scales"][1] == pytest.approx(0.5, abs=0.12)  # predicted standard deviation 20, true 10
    assert PoseNetwork(model).spec.calibration is None
    assert main(["calibrate", str(model), str(better), "--data", f"manifest:{faces}"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_the_packaged_model_is_calibrated_by_name(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = tiny_network(tmp_path / "tiny.onnx")
    monkeypatch.setattr("deepgllim.pose.predictor.default_model", lambda: tiny)
    assert main(["calibrate", "packaged", str(tmp_path / "mine.onnx"), "--data", f"manifest:{faces}"]) == 0
    assert PoseNetwork(tmp_path / "mine.onnx").spec.calibration is not None
    assert "60 faces of 6 people" in capsys.readouterr().out


def test_calibrate_as_json(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_network(tmp_path / "tiny.onnx")
    assert main(["calibrate", str(model), "--data", f"manifest:{faces}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["people"] == 6
    assert found["coverage"][0]["faces"] == "all"
    assert 0.7 <= found["coverage"][0]["after_90"] <= 1
    assert set(found["mean_absolute_error"]) == {"pan"}


def test_the_packaged_model_is_recalibrated_by_its_name(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels of pan alone are enough."""
    mine = tmp_path / "mine.onnx"
    assert main(["calibrate", "packaged", str(mine), "--data", f"manifest:{faces}"]) == 0
    assert f"written: {mine}" in capsys.readouterr().out
    assert PoseNetwork(mine).spec.calibration != PoseNetwork(default_model()).spec.calibration
    assert exported_model(None) == exported_model(Path("packaged")) == default_model()
    assert exported_model(Path("./other.onnx")) == Path("other.onnx")


@pytest.mark.parametrize("command", ["calibrate", "doctor"])
def test_labels_of_yaw_alone_are_refused_with_the_remedy(
    command: str, faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(faces).rename(columns={"pan": "yaw"})
    table.assign(path=[str(faces.parent / name) for name in table["path"]]).to_csv(tmp_path / "yaw.csv", index=False)
    assert main([command, "packaged", "--data", f"manifest:{tmp_path / 'yaw.csv'}"]) == 1
    assert "if only the azimuth of the nose was measured, name its column pan" in capsys.readouterr().err


def test_doctor(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_network(tmp_path / "tiny.onnx")
    assert main(["doctor", str(model), "--data", f"manifest:{faces}", "--limit", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["faces"] == 10
    assert {row["change"] for row in found["changes"]} >= {"none", "box moved", "dark", "JPEG quality"}
    assert main(["doctor", str(model), "--data", f"manifest:{faces}", "--limit", "4"]) == 0
    out = capsys.readouterr().out
    assert "box moved" in out
    assert "deviation: angle between the predictions with and without the change" in out
    assert "error: mean absolute error against the labels" in out
    assert not re.search(r"\d\.\d{3}", out)


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    spec = ModelSpec(
        backbone="efficientnet_lite0",
        projection=4,
        head="inverse_regression",
        targets=("pitch", "yaw"),
        image_size=32,
        margin=1.2,
    )
    DeepRegression(spec, build_backbone("efficientnet_lite0", weights=None)).eval().save(tmp_path / "m.safetensors")
    assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert max(facts["differences"].values()) < 1e-4
    assert PoseNetwork(tmp_path / "m.onnx").spec.targets == ("pitch", "yaw")
    assert main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "absent.safetensors"), str(tmp_path / "n.onnx")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "m.onnx"), str(tmp_path / "n.onnx")]) == 1
    assert "m.onnx is an exported model: give the .safetensors file" in capsys.readouterr().err
