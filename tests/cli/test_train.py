"""`deepgllim train`: its files, its output, resuming, and errors."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepgllim import runs
from deepgllim.cli.options import settings
from deepgllim.cli.train import main_metrics
from deepgllim.errors import ConfigurationError
from deepgllim.nn import training
from deepgllim.nn.model_file import load_model
from tests.cli.tiny import TINY
from tests.nn.tiny import quick_export

Call = Callable[..., Any]
Unchanged = Callable[[Path], None]


@pytest.fixture(autouse=True)
def fast_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the slow export of EfficientNet-Lite0."""
    monkeypatch.setattr(runs, "export_verified", quick_export)


def test_train_writes_a_run_and_reports_it(call: Call, face_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    called = call("train", "--data", f"folder:{face_folder}", "--output", output, "--subjects", "01,02,03,04", *TINY)
    assert called.code == 0
    names = {"model.safetensors", "model.onnx", "checkpoint.safetensors", "metrics.csv", "recipe.json"}
    assert names <= {path.name for path in output.iterdir()}
    assert json.loads((output / "recipe.json").read_text())["data"]["image_size"] == 32
    with (output / "metrics.csv").open(newline="") as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["1", "2"]
    lines = [line for line in called.err.splitlines() if line.startswith("round ")]
    assert [line.split(":")[0] for line in lines] == ["round 1", "round 2"]
    assert all(word in lines[0] for word in ("MAE", "NLL", "90 % coverage"))
    assert f"model: {output / 'model.safetensors'}" in called.out
    assert f"exported: {output / 'model.onnx'}" in called.out
    assert "saved: round" in called.out


def test_targets_are_chosen_by_name(call: Call, shared_faces: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    source = f"folder:{shared_faces}"
    called = call("train", "--data", source, "--output", output, "--targets", "yaw", "--quiet", *TINY)
    assert called.err == ""
    assert "not exported: the targets are not the angles of a head pose" in called.out
    assert load_model(output / "model.safetensors").spec.targets == ("yaw",)


def test_resume_results_in_the_same_model(
    call: Call, shared_faces: Path, shared_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, stopped = tmp_path / "run", training.train
    words = ["train", "--data", f"folder:{shared_faces}", "--output", output, *TINY]

    class StopAfterOneRound:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def start(self, steps: int, done: int) -> None:
            self.first = steps // 2
            self.inner.start(steps, done)

        def advance(self, message: str) -> None:
            if self.first == 0:
                raise KeyboardInterrupt
            self.first -= 1

    def interrupted(*args: Any, reporter: Any, **options: Any) -> Any:
        return stopped(*args, reporter=StopAfterOneRound(reporter), **options)

    monkeypatch.setattr(runs, "train", interrupted)
    called = call(*words)
    assert called.code == 130
    assert called.err.splitlines()[-1].startswith("deepgllim: interrupted: give the same command with --resume")
    monkeypatch.setattr(runs, "train", stopped)
    called = call(*words, "--resume")
    assert called.code == 0
    assert "round 2" in called.err
    assert "round 1:" not in called.err
    again, straight = (load_model(folder / "model.safetensors").state_dict() for folder in (output, shared_run))
    assert all(again[name].equal(straight[name]) for name in straight)


def test_interrupt_before_the_first_round_reports_that_there_is_nothing_to_resume(
    call: Call, shared_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "train", interrupted)
    called = call("train", "--data", f"folder:{shared_faces}", "--output", tmp_path / "run", *TINY)
    assert called.code == 130
    assert "--resume is not possible" in called.err


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--set=network.backbone=resnet", ["resnet", "efficientnet_lite0"]),
        ("--set=schedule.epochs=3", ["schedule.epochs", "did you mean", "schedule.epochs_per_round"]),
        ("--set=schedule.rounds=0", ["schedule.rounds = 0", "greater than 0"]),
        ("--set=schedule.rounds=many", ["schedule.rounds = 'many'", "integer"]),
        ("--set=schedule.rounds", ["--set schedule.rounds", "section.option=value"]),
        ("--recipe=best", ["best", "inverse_regression"]),
        ("--set=objective.n_components=40", ["objective.n_components is 40", "use at most 9"]),
        ("--targets=pitch,age", ["age", "pitch"]),
        ("--subjects=01,09", ["09", "01"]),
        ("--data=faces", ["faces", "folder:"]),
        ("--data=folder:/no/such", ["/no/such", "add one"]),
    ],
)
def test_invalid_options(refused: Call, shared_faces: Path, tmp_path: Path, word: str, said: list[str]) -> None:
    data = [] if word.startswith("--data") else ["--data", f"folder:{shared_faces}"]
    called = refused("train", *data, "--output", tmp_path / "run", "--quiet", *TINY, word)
    assert called.code == 1
    assert all(text in called.err for text in said), called.err
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("path,subject", "file,subject", ["'path'", "missing"]),
        (",pitch,yaw", ",age,size", ["pitch, yaw, roll", "age"]),
        ("10,2,54,46,", "10,2,54,left,", ["row 1", "left", "not a number"]),
        ("10,2,54,46,", "10,2,5,46,", ["row 1", "(10, 2, 5, 46)", "x0 < x1"]),
        ("10,2,54,46,", "100,2,154,46,", ["box 100,2,154,46", "outside the picture of 64 x 48"]),
    ],
)
def test_invalid_tables(refused: Call, face_folder: Path, tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    table = face_folder / "manifest.csv"
    table.write_text(table.read_text().replace(old, new, 1))
    called = refused("train", "--data", f"manifest:{table}", "--output", tmp_path / "run", "--quiet", *TINY)
    assert all(text in called.err for text in said), called.err


def test_label_that_is_not_a_number(refused: Call, face_folder: Path, tmp_path: Path) -> None:
    table = face_folder / "manifest.csv"
    lines = table.read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ",left"
    table.write_text("\n".join(lines))
    called = refused("train", "--data", f"manifest:{table}", "--output", tmp_path / "run", *TINY)
    assert all(text in called.err for text in (str(table), "row 3", "'yaw'", "'left'", "not a number")), called.err
    assert not (tmp_path / "run").exists()


def test_unreadable_images_are_listed_and_skipped_on_request(
    call: Call, refused: Call, face_folder: Path, tmp_path: Path
) -> None:
    cut, empty = face_folder / "face03.jpg", face_folder / "face07.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    empty.write_bytes(b"")
    output = tmp_path / "run"
    words = ["train", "--data", f"folder:{face_folder}", "--output", output, "--quiet", *TINY]
    called = refused(*words)
    assert all(text in called.err for text in ("2 of 24", "face03.jpg", "--skip-unreadable", "unreadable.csv"))
    with (output / "unreadable.csv").open(newline="") as file:
        assert [Path(row["path"]).name for row in csv.DictReader(file)] == ["face03.jpg", "face07.jpg"]
    called = call(*words, "--skip-unreadable")  # into the same folder, in which no run was started
    assert called.code == 0
    assert "unreadable.csv" in called.err


def test_folder_with_a_run_is_kept(refused: Call, shared_faces: Path, shared_run: Path, unchanged: Unchanged) -> None:
    unchanged(shared_run)
    called = refused("train", "--data", f"folder:{shared_faces}", "--output", shared_run, *TINY)
    assert all(text in called.err for text in (str(shared_run), "not empty", "--resume"))


def test_output_that_is_a_file(refused: Call, shared_faces: Path, tmp_path: Path, unchanged: Unchanged) -> None:
    (tmp_path / "file").write_text("mine")
    unchanged(tmp_path)
    called = refused("train", "--data", f"folder:{shared_faces}", "--output", tmp_path / "file", *TINY)
    assert str(tmp_path / "file") in called.err


def test_resume_without_a_run(refused: Call, shared_faces: Path, tmp_path: Path) -> None:
    called = refused("train", "--data", f"folder:{shared_faces}", "--output", tmp_path / "run", "--resume", *TINY)
    assert "nothing to resume" in called.err


def test_resume_from_a_checkpoint_cut_short(refused: Call, shared_faces: Path, own_run: Path) -> None:
    checkpoint = own_run / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100_000])
    before = (own_run / "model.safetensors").read_bytes(), (own_run / "metrics.csv").read_bytes()
    called = refused("train", "--data", f"folder:{shared_faces}", "--output", own_run, "--resume", "--quiet", *TINY)
    assert all(text in called.err for text in (str(checkpoint), "cut short", "copy or train"))
    assert before == ((own_run / "model.safetensors").read_bytes(), (own_run / "metrics.csv").read_bytes())


def test_resume_with_other_options_leaves_the_run_as_it_was(refused: Call, shared_faces: Path, own_run: Path) -> None:
    names = ("recipe.json", "metrics.csv", "model.safetensors", "checkpoint.safetensors")
    before = [(own_run / name).read_bytes() for name in names]
    words = ["train", "--data", f"folder:{shared_faces}", "--output", own_run, "--resume", "--quiet", *TINY]
    called = refused(*words, "--set=schedule.seed=3")
    assert "another recipe" in called.err
    assert before == [(own_run / name).read_bytes() for name in names]


def test_settings_are_toml_or_strings() -> None:
    given = ["network.weights=none", "schedule.learning_rate=1e-2", 'network.backbone="vgg16"', "a.b=x=y"]
    assert settings(given) == {
        "network.weights": "none",
        "schedule.learning_rate": 0.01,
        "network.backbone": "vgg16",
        "a.b": "x=y",
    }
    with pytest.raises(ConfigurationError, match="no value"):
        settings(["mirror"])


def test_a_round_without_validation_has_other_metrics() -> None:
    assert main_metrics({"round": 1, "train_loss": 2.0, "seconds_em": 0.1}) == {"training loss": 2.0}
