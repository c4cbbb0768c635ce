"""`deepgllim predict`: words, JSON, the drawn picture, what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deepgllim.cli.predict import as_json, in_words, turn
from deepgllim.runs import FacePrediction

Call = Callable[..., Any]
Unchanged = Callable[[Path], None]


@pytest.fixture
def face(shared_faces: Path) -> Path:
    """A picture of 64 × 48 pixels."""
    return shared_faces / "0.png"


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


def test_predict_prints_words(call: Call, face: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(model))
    called = call("predict", face, "--box", "10,2,54,46", "--level", "0.5")
    assert (called.code, called.err) == (0, "")
    pitch, yaw, score = called.out.splitlines()
    assert pitch.startswith("pitch ")
    assert yaw.startswith("yaw ")
    assert "(50 %: " in yaw
    assert score.startswith("log p(x): ")


def test_predict_json_and_drawn_picture(call: Call, face: Path, model: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    called = call("predict", face, "--model", model, "--box", "-2,2,54,46", "--json", "--save", drawn)
    assert (called.code, called.err) == (0, "")
    known = json.loads(called.out)
    assert known["box"] == [-2, 2, 54, 46]
    assert list(known["targets"]) == ["pitch", "yaw"]
    assert all(entry["lower"] < entry["upper"] for entry in known["targets"].values())
    assert np.shape(known["covariance"]) == (2, 2)
    with Image.open(drawn) as picture, Image.open(face) as original:
        assert picture.size == original.size
        assert not np.array_equal(np.asarray(picture), np.asarray(original))


def test_without_a_box_the_whole_picture_is_the_face(call: Call, face: Path, model: Path) -> None:
    assert json.loads(call("predict", face, "--model", model, "--json").out)["box"] == [0, 0, 64, 48]


def test_saved_picture_is_not_overwritten_unasked(
    call: Call, refused: Call, face: Path, model: Path, tmp_path: Path
) -> None:
    drawn = tmp_path / "drawn.png"
    drawn.write_text("mine")
    words = ["predict", face, "--model", model, "--save", drawn]
    assert all(text in refused(*words).err for text in (str(drawn), "--overwrite"))
    assert drawn.read_text() == "mine"
    assert f"picture: {drawn}" in call(*words, "--overwrite").out
    Image.open(drawn).close()


def test_the_photograph_itself_is_never_replaced(refused: Call, face: Path, model: Path, unchanged: Unchanged) -> None:
    unchanged(face.parent)
    called = refused("predict", face, "--model", model, "--save", face, "--overwrite")
    assert all(text in called.err for text in (str(face), "is the picture itself", "--save"))


def test_a_pickle_is_no_model(refused: Call, face: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "model.safetensors"
    torch.save({"weight": torch.zeros(2)}, pickled)
    called = refused("predict", face, "--model", pickled)
    assert called.code == 1
    assert all(text in called.err for text in (str(pickled), "not a safetensors file"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--level", "0"], 2, ["--level", "0", "Must be > 0"]),
        (["--box", "100,2,154,46"], 1, ["100,2,154,46", "outside the picture of 64 x 48"]),
        (["--box", "40,2,10,46"], 1, ["40,2,10,46", "x0 < x1"]),
        (["--box", "10,2,54"], 2, ["10,2,54", "x0,y0,x1,y1"]),
        (["--box", "10,2,54,low"], 2, ["10,2,54,low", "four numbers"]),
        (["--box", "10,2,54,nan"], 1, ["nan"]),
        (["--level", "90"], 2, ["--level", "90", "Must be < 1"]),
        (["--save", "drawn.xyz"], 1, ["drawn.xyz", ".png"]),
        (["--save", "no/such/folder/drawn.png"], 1, ["no/such/folder/drawn.png", "cannot be written"]),
        (["--colour"], 2, ["--colour", "predict --help"]),
    ],
)
def test_what_predict_refuses(
    refused: Call, face: Path, model: Path, words: list[str], code: int, said: list[str]
) -> None:
    called = refused("predict", face, "--model", model, *words)
    assert called.code == code
    assert all(text in called.err for text in said), called.err
    assert not Path("drawn.xyz").exists()


def test_pictures_that_are_refused(refused: Call, face_folder: Path, model: Path, tmp_path: Path) -> None:
    cut, text = face_folder / "face03.jpg", tmp_path / "text.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    text.write_text("not a picture")
    for file, said in ((cut, "truncated"), (text, "not a picture"), (tmp_path / "none.jpg", "does not exist")):
        drawn = tmp_path / "drawn.png"
        called = refused("predict", file, "--model", model, "--save", drawn)
        assert str(file) in called.err
        assert said in called.err
        assert not drawn.exists()


def test_model_cut_short_leaves_the_saved_picture(
    refused: Call, face: Path, model: Path, tmp_path: Path, unchanged: Unchanged
) -> None:
    cut, drawn = tmp_path / "cut.safetensors", tmp_path / "drawn.png"
    cut.write_bytes(model.read_bytes()[:-1000])
    drawn.write_text("mine")
    unchanged(tmp_path)
    called = refused("predict", face, "--model", cut, "--save", drawn, "--overwrite")
    assert all(text in called.err for text in (str(cut), "cut short"))


def test_missing_words_are_a_wrong_call(refused: Call, face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPGLLIM_MODEL", raising=False)
    called = refused("predict", face)
    assert called.code == 2
    assert "--model" in called.err
    assert "IMAGE" in refused("predict").err
