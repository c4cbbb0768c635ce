"""`deepgllim predict` with trained models: those of a pose are exported on the way, others answer for one picture."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepgllim.cli import main
from deepgllim.cli.predict.targets import as_json, in_words, turn
from deepgllim.nn.model import DeepRegression
from deepgllim.runs import FacePrediction
from tests.cli.tiny import TINY
from tests.pose.tiny import tiny_network

Call = Callable[..., Any]


@pytest.fixture
def face(shared_faces: Path) -> Path:
    """A picture of 64 × 48 pixels."""
    return shared_faces / "0.png"


@pytest.fixture(scope="module")
def age_model(shared_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one target that is no angle."""
    folder = tmp_path_factory.mktemp("age")
    shutil.copytree(shared_faces, folder / "faces")
    table = folder / "faces" / "manifest.csv"
    table.write_text(table.read_text().replace("pitch,yaw", "age,yaw"))
    words = ["--data", f"folder:{folder / 'faces'}", "--output", str(folder / "run"), "--targets", "age", "--quiet"]
    assert main(["train", *words, *TINY, "--set=augmentation.mirror=false"]) == 0
    return folder / "run" / "model.safetensors"


def two_modes(log_density: float | None = None) -> FacePrediction:
    """A prediction with two modes and a target that is not an angle."""
    return FacePrediction(
        targets=("pitch", "yaw", "age"),
        mean=np.array([-3.0, 23.14, 31.0]),
        lower=np.array([-9.0, 15.0, 25.0]),
        upper=np.array([2.0, 31.2, 40.0]),
        covariance=np.eye(3),
        modes=np.array([[-4.0, 20.0, 30.0], [1.0, 40.0, 33.0]]),
        log_density=log_density,
        level=0.9,
    )


def test_words_cannot_be_misread() -> None:
    assert in_words(two_modes()) == [
        "pitch -3.0° (90 %: -9.0° to +2.0°), looking down",
        "yaw +23.1° (90 %: +15.0° to +31.2°), turned to the image's left",
        "age +31 (90 %: +25 to +40)",
        "mode 1: pitch -4.0°, yaw +20.0°, age +30",
        "mode 2: pitch +1.0°, yaw +40.0°, age +33",
        "log p(x): this model does not know it",
    ]
    assert in_words(two_modes(-28.44))[-1] == "log p(x): -28.4"
    assert (turn("roll", 5.0), turn("roll", 0.01)) == (", tilted clockwise in the image", "")


def test_json_holds_what_is_documented() -> None:
    known = as_json(Path("a.jpg"), (1.0, 2.0, 3.0, 4.0), two_modes())
    assert known["targets"]["yaw"] == {"mean": 23.14, "lower": 15.0, "upper": 31.2}
    assert known["modes"][1] == {"pitch": 1.0, "yaw": 40.0, "age": 33.0}
    assert (known["image"], known["box"], known["level"]) == ("a.jpg", [1.0, 2.0, 3.0, 4.0], 0.9)
    assert known["log_density"] is None
    assert "image's left" in known["convention"]


def test_a_trained_model_of_a_pose_is_exported_on_the_way(
    call: Call, face: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[tuple[DeepRegression, Path]] = []

    def export(trained: DeepRegression, path: Path) -> Path:
        exported.append((trained, path))
        return tiny_network(path)

    monkeypatch.setattr("deepgllim.nn.export.onnx_file.export_onnx", export)
    known = json.loads(call("predict", face, "--model", model, "--box", "-2,2,54,46", "--json").out)
    assert known["faces"][0]["box"] == [-2, 2, 54, 46]
    ((trained, path),) = exported
    assert trained.spec.targets == ("pitch", "yaw")
    assert not path.parent.exists()


def test_another_target_is_told_for_one_picture(call: Call, face: Path, age_model: Path) -> None:
    called = call("predict", face, "--model", age_model)
    assert (called.code, called.err) == (0, "")
    age, score = called.out.splitlines()
    assert age.startswith(("age +", "age -"))
    assert "(90 %: " in age
    assert score.startswith("log p(x): ")
    known = json.loads(call("predict", face, "--model", age_model, "--json", "--box", "10,2,54,46").out)
    assert (list(known["targets"]), known["box"]) == (["age"], [10, 2, 54, 46])
    assert json.loads(call("predict", face, "--model", age_model, "--json").out)["box"] == [0, 0, 64, 48]


@pytest.mark.parametrize(
    "words", [["--save", "a.png"], ["--output", "a.csv"], ["--box", "1,1,9,9", "--box", "2,2,9,9"]]
)
def test_other_targets_go_to_no_files(
    refused: Call, face: Path, age_model: Path, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called = refused("predict", face, "--model", age_model, *words)
    assert called.code == 2
    assert "this model predicts age, no pose" in called.err
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_is_no_model(refused: Call, face: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "model.safetensors"
    torch.save({"weight": torch.zeros(2)}, pickled)
    called = refused("predict", face, "--model", pickled)
    assert called.code == 1
    assert all(text in called.err for text in (str(pickled), "not a safetensors file"))


def test_a_trained_model_without_torch(refused: Call, face: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("deepgllim.nn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    called = refused("predict", face, "--model", model)
    assert called.code == 1
    assert "a .safetensors model needs torch: pip install 'deepgllim[train]'" in called.err


def test_model_cut_short_leaves_the_saved_picture(
    refused: Call, face: Path, model: Path, tmp_path: Path, unchanged: Callable[[Path], None]
) -> None:
    cut, drawn = tmp_path / "cut.safetensors", tmp_path / "drawn.png"
    cut.write_bytes(model.read_bytes()[:-1000])
    drawn.write_text("mine")
    unchanged(tmp_path)
    called = refused("predict", face, "--model", cut, "--save", drawn, "--overwrite")
    assert all(text in called.err for text in (str(cut), "cut short"))
