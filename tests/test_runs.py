"""Training and evaluation on a folder of small faces, and their errors."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deepgllim import runs
from deepgllim.data import Manifest, load_data, make_manifest
from deepgllim.errors import ConfigurationError, DataError, ModelError
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import AugmentationConfig, DataConfig, Recipe
from deepgllim.nn.evaluation import compute_metrics
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.model_file import load_model
from deepgllim.nn.reporting import NullReporter
from deepgllim.pose.network import PoseNetwork
from deepgllim.runs import (
    build_model,
    evaluate_run,
    export_pose,
    face_inputs,
    picture_size,
    predict_manifest,
    readable,
    split_validation,
    train_run,
    training_inputs,
)
from tests.nn.tiny import convolutions, quick_export
from tests.nn.tiny import model as tiny_model

RECIPE = Recipe().override(
    {
        "data.image_size": 32,
        "data.validation": 0.25,
        "network.projection": 8,
        "objective.frozen_rounds": 1,
        "schedule.rounds": 2,
        "schedule.epochs_per_round": 1,
        "schedule.batch_size": 8,
        "schedule.seed": 3,
    }
)


@pytest.fixture(autouse=True)
def fast_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """The export of EfficientNet-Lite0 takes many seconds; tests/nn/export tests it."""
    monkeypatch.setattr(runs, "export_verified", quick_export)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "first"


@pytest.fixture
def run(run_folder: Path, face_folder: Path) -> Path:
    """The folder of one training on the small faces, shared by the tests; its model reads any of their copies."""
    if not run_folder.exists():
        torch.set_num_threads(1)
        train_run(f"folder:{face_folder}", RECIPE, run_folder)
    return run_folder


@pytest.fixture
def trained(run: Path) -> DeepRegression:
    return load_model(run / "model.safetensors")


@pytest.fixture
def table(face_folder: Path) -> Manifest:
    return load_data(f"folder:{face_folder}")


# training and evaluation


def test_a_run_writes_recipe_metrics_checkpoint_and_model(run: Path) -> None:
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == RECIPE
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["round"]) for row in rows] == [1, 2]
    assert float(rows[1]["validation_n"]) == 6  # one of the four subjects
    expected = {"recipe.json", "metrics.csv", CHECKPOINT, "model.safetensors", "model.onnx", "cache"}
    assert {path.name for path in run.iterdir()} == expected


def test_the_model_has_image_size_margin_and_targets(trained: DeepRegression) -> None:
    assert picture_size(trained) == (32, 1.4)
    assert trained.spec.targets == ("pitch", "yaw")
    assert trained.n_features == 8
    assert trained.spec.backbone == "efficientnet_lite0"


def test_training_and_validation_have_different_subjects(table: Manifest) -> None:
    split = split_validation(table, RECIPE)
    assert split.validation is not None
    assert not set(split.training.subjects) & set(split.validation.subjects)
    assert len(split.training) + len(split.validation) == 24
    assert split_validation(table, RECIPE.override({"data.validation": 0})).validation is None


def test_evaluation_from_the_file_and_from_the_model_agree(run: Path, trained: DeepRegression, table: Manifest) -> None:
    from_file = evaluate_run(run / "model.safetensors", table)
    predictions = predict_manifest(trained, table)
    assert from_file == compute_metrics(predictions, ("pitch", "yaw")) == evaluate_run(trained, table)
    assert from_file["n"] == 24
    assert from_file["mae"] == pytest.approx(np.abs(predictions.mean - table.target_values).mean())


def test_training_reduces_the_error(trained: DeepRegression, table: Manifest) -> None:
    """Two epochs of 18 pictures are few; those pictures must be predicted better than by their mean."""
    seen = split_validation(table, RECIPE).training
    y = seen.target_values
    assert evaluate_run(trained, seen)["mae"] < 0.9 * np.abs(y - y.mean(0)).mean()


def test_a_run_is_resumed_to_the_same_model(run: Path, face_folder: Path, tmp_path: Path) -> None:
    class Stop(NullReporter):
        def round_done(self, metrics: dict[str, float]) -> None:
            if metrics["round"] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(f"folder:{face_folder}", RECIPE, tmp_path / "run", reporter=Stop())
    train_run(f"folder:{face_folder}", RECIPE, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_model_of_a_head_pose_is_exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    model = tiny_model(backbone=convolutions(), image_size=16, margin=1.4).eval()
    assert export_pose(model, tmp_path / "model.onnx") == tmp_path / "model.onnx"
    network = PoseNetwork(tmp_path / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 16, 16)).astype(np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(pixels)).mean
    assert network.spec.targets == ("pitch", "yaw")
    np.testing.assert_allclose(network(pixels).mean, expected, rtol=1e-3, atol=1e-3)  # float32


@pytest.mark.parametrize(("targets", "exported"), [(("pitch", "yaw"), True), (("yaw",), False)])
def test_a_training_exports_where_the_targets_are_a_head_pose(
    targets: tuple[str, ...], exported: bool, table: Manifest, tmp_path: Path
) -> None:
    manifest = make_manifest(table.frame, targets)
    result = train_run(manifest, RECIPE.override({"schedule.rounds": 1}), tmp_path / "run")
    assert result.exported == (tmp_path / "run" / "model.onnx" if exported else None)
    assert (tmp_path / "run" / "model.onnx").exists() == exported
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_random_weights_depend_on_the_seed() -> None:
    """Runs that start from random weights must be reproducible."""
    recipe = RECIPE.override({"network.weights": None})
    one, again, other = (
        build_model(changed, ("yaw",)) for changed in (recipe, recipe, recipe.override({"schedule.seed": 4}))
    )
    first = [next(m.backbone.parameters()) for m in (one, again, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_the_recipe_determines_the_specification_of_the_model() -> None:
    recipe = RECIPE.override({"objective.name": "least_squares", "network.affine_norm": True, "data.margin": 1.1})
    spec = build_model(recipe, ("yaw",)).spec
    assert (spec.head, spec.affine_norm, spec.margin, spec.targets) == ("least_squares", True, 1.1, ("yaw",))
    assert spec.backbone_options == {"normalisation": "frozen", "head": "average"}


def test_the_recipe_determines_the_head_of_the_backbone() -> None:
    options = {"network.backbone": "vgg16", "network.weights": None, "network.projection": 8}
    model = build_model(Recipe().override(options | {"network.head": "spatial"}), ("yaw",))
    assert (model.backbone.head, model.backbone.feature_size) == ("spatial", 4608)
    assert model.spec.backbone_options["head"] == "spatial"
    with pytest.raises(ModelError, match=r"unknown head of vgg16 'spatail': did you mean 'spatial'"):
        build_model(Recipe().override(options | {"network.head": "spatail"}), ("yaw",))


def test_face_inputs_have_the_order_of_the_manifest(table: Manifest) -> None:
    inputs = face_inputs(table, DataConfig(image_size=32), AugmentationConfig.off())
    np.testing.assert_allclose(inputs.targets, table.target_values, rtol=1e-6)  # kept in float32
    assert len(inputs) == 24
    assert inputs.contexts.shape == (24, 3, 32, 32)


def test_activations_are_cached_with_fixed_copies_only(table: Manifest, tmp_path: Path) -> None:
    """Inputs that are augmented in every epoch cannot be cached."""
    frozen = RECIPE.override({"network.frozen_depths": (6,), "schedule.rounds": 1})
    fixed = frozen.override({"schedule.fixed_copies": 2})
    assert len(training_inputs(table, frozen)) == len(table)
    assert len(training_inputs(table, fixed)) == 3 * len(table)
    for name, recipe in (("augmented", frozen), ("fixed", fixed)):
        train_run(table, recipe, tmp_path / name)
    assert not (tmp_path / "augmented" / "cache" / "activations.npy").exists()
    kept = np.load(tmp_path / "fixed" / "cache" / "activations.npy")
    assert len(kept) == 3 * len(split_validation(table, fixed).training)


def test_columns_are_found_by_name(trained: DeepRegression, table: Manifest) -> None:
    frame = table.frame.assign(age=7.0)
    reordered = make_manifest(frame, ["age", "yaw", "pitch"])
    np.testing.assert_array_equal(
        predict_manifest(trained, reordered).log_probability, predict_manifest(trained, table).log_probability
    )


# errors


def test_a_folder_with_other_files_is_rejected(tmp_path: Path, table: Manifest) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"is not empty, it has notes\.txt: give a new folder$"):
        train_run(table, RECIPE, tmp_path / "mine")


@pytest.mark.parametrize("exists", [True, False])
def test_resuming_without_a_checkpoint_is_rejected(tmp_path: Path, table: Manifest, exists: bool) -> None:
    output = tmp_path if exists else tmp_path / "absent"
    with pytest.raises(ConfigurationError, match=r"nothing to resume.*--resume"):
        train_run(table, RECIPE, output, resume=True)
    assert not (tmp_path / "absent").exists()


def test_resuming_with_another_recipe_is_rejected(run: Path, table: Manifest) -> None:
    with pytest.raises(ConfigurationError, match="another recipe"):
        train_run(table, RECIPE.override({"schedule.rounds": 3}), run, resume=True)
    assert json.loads((run / "recipe.json").read_text()) == json.loads(RECIPE.model_dump_json())


@pytest.fixture
def damaged(face_folder: Path) -> Path:
    """Return the folder with one truncated and one missing picture."""
    picture = face_folder / "face03.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    (face_folder / "face07.jpg").unlink()
    return face_folder


def test_unreadable_pictures_are_listed_and_rejected(damaged: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    table = load_data(f"folder:{damaged}")
    with pytest.raises(DataError, match=r"2 of 24 pictures.*face03\.jpg.*report\.csv.*--skip-unreadable"):
        readable(table, False, report)
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == ["face03.jpg", "face07.jpg"]
    assert all(row["cause"] for row in rows)


def test_unreadable_pictures_are_left_out_on_request(damaged: Path, tmp_path: Path) -> None:
    table = load_data(f"folder:{damaged}")
    kept = readable(table, True, tmp_path / "report.csv")
    assert len(kept) == 22
    assert not {"face03.jpg", "face07.jpg"} & {path.name for path in kept.paths}
    assert (tmp_path / "report.csv").is_file()


def test_a_manifest_without_unreadable_pictures_is_unchanged(table: Manifest, tmp_path: Path) -> None:
    assert readable(table, False, tmp_path / "report.csv") is table
    assert not (tmp_path / "report.csv").exists()


def test_the_remedy_for_unreadable_pictures_works(damaged: Path, tmp_path: Path) -> None:
    """The same training with `skip_unreadable`, in the folder that has the report."""
    with pytest.raises(DataError, match="skip-unreadable"):
        train_run(f"folder:{damaged}", RECIPE, tmp_path / "run")
    assert (tmp_path / "run" / "unreadable.csv").is_file()
    done = train_run(f"folder:{damaged}", RECIPE, tmp_path / "run", skip_unreadable=True)
    assert len(done.history) == 2


def test_evaluation_leaves_pictures_out_only_on_request(trained: DeepRegression, damaged: Path) -> None:
    with pytest.raises(DataError, match="2 of 24"):
        evaluate_run(trained, f"folder:{damaged}")
    assert evaluate_run(trained, f"folder:{damaged}", skip_unreadable=True)["n"] == 22


def test_data_without_a_target_of_the_model_are_rejected(trained: DeepRegression, table: Manifest) -> None:
    with pytest.raises(ConfigurationError, match=r"predicts pitch, yaw but the data has yaw: add 'pitch'"):
        predict_manifest(trained, make_manifest(table.frame.drop(columns="pitch")))


def test_validation_requires_subjects(table: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="subject"):
        train_run(make_manifest(table.frame.drop(columns="subject")), RECIPE, tmp_path / "run")


def test_a_model_without_an_image_size_is_rejected(table: Manifest) -> None:
    with pytest.raises(ConfigurationError, match="not trained on pictures"):
        predict_manifest(tiny_model(), table)
