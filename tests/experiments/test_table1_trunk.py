"""Test trainings on the output of the trunk: fast convolutions, the shared file, VGG-16, and fewer people."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from deepgllim.errors import DataError
from deepgllim.nn.inputs import ArrayInputs
from deepgllim.runs import build_model
from experiments import protocol
from experiments.table1 import activations, jobs
from experiments.table1.activations import prepare_trunk, targets_file, trunk_file, trunk_inputs
from experiments.table1.convolutions import SmallMapConvolutions, speed_up
from experiments.table1.features import network_inputs
from experiments.table1.methods import METHODS
from experiments.table1.networks import VGG_CANDIDATES, VGG_CONDITIONAL, recipe_of, vgg_recipe
from experiments.table1.options import Options, faces, rows, split
from experiments.training_size import people
from experiments.training_size.people import COUNTS, Job, draw
from experiments.trunk import tail_model, tail_recipe, trunk_depth, trunk_outputs


@pytest.fixture
def options(face_folder: Path, tmp_path: Path, random_vgg16: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Return options of table 1 with four folds, since there are four people."""
    monkeypatch.setattr("experiments.table1.options.FOLDS", 4)
    return Options(f"folder:{face_folder}", tmp_path / "work", quick=True, vgg=str(random_vgg16))


# convolutions


@pytest.mark.parametrize("side", [2, 3, 4, 5, 6])
def test_fast_convolutions_and_their_gradients_equal_those_of_torch(side: int) -> None:
    torch.manual_seed(side)
    layers = [nn.Conv2d(5, 7, 3, padding=1).double(), nn.Conv2d(7, 4, 3, padding=1).double()]
    x = torch.randn(3, 5, side, side, dtype=torch.float64, requires_grad=True)
    plain = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU())
    quick = SmallMapConvolutions(layers, side).double()
    parameters = [x, *plain.parameters()]
    direction = torch.randn(3, 4, side, side, dtype=torch.float64)
    expected, found = plain(x), quick(x)
    # the matrices have single precision and entries up to 2⁷
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for one, other in zip(
        torch.autograd.grad((found * direction).sum(), parameters),
        torch.autograd.grad((expected * direction).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert dict(quick.named_parameters()).keys() == {
        f"layers.{i}.{leaf}" for i in (0, 1) for leaf in ("weight", "bias")
    }


@pytest.mark.parametrize("side", [1, 7])
def test_maps_of_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=rf"maps of {side} × {side}: give a side of 2 to 6"):
        SmallMapConvolutions([nn.Conv2d(1, 1, 3, padding=1)], side)


# the trunk


def test_trunk_and_tail_equal_the_whole_network(options: Options) -> None:
    """The tail is VGG-16 from its fifth block; half precision has eleven bits."""
    recipe = vgg_recipe(options, {}, {}, 0)
    prepare_trunk(options, recipe)
    part = split(options, 1, 0).test
    assert (trunk_depth(recipe), tail_recipe(recipe).network.frozen_depths) == (4, (0,))
    whole = build_model(recipe, part.targets).eval()
    stored, pictures = trunk_inputs(options, recipe, part), network_inputs(options, recipe, part)
    (computed,) = trunk_outputs(recipe, part.targets, [pictures])
    assert stored.values.shape == computed.values.shape == (len(part), 512, 2, 2)
    with torch.no_grad():
        expected = whole.backbone(torch.stack([pictures[i, None][0] for i in range(len(part))]))
        for inputs, model, tolerance in (
            (stored, speed_up(tail_model(recipe, part.targets), recipe), 1e-3),
            (computed, tail_model(recipe, part.targets), 1e-5),
        ):
            found = model.eval().backbone(torch.as_tensor(inputs.values))
            assert found.shape == (len(part), 4608)
            assert (found - expected).norm() < tolerance * expected.norm()
            np.testing.assert_array_equal(inputs.targets, pictures.targets)


def test_trunk_inputs_are_the_rows_of_their_faces_and_copies(options: Options) -> None:
    """With one copy per face; the yaw of mirrored copies is negated; recipes with the same trunk share one file."""
    settings = {"schedule.learning_rate": 1e-3}
    recipe = recipe_of(options, {}, settings, 2).override({"schedule.fixed_copies": 1})
    prepare_trunk(options, recipe)
    written = trunk_file(options, recipe).stat().st_mtime_ns
    prepare_trunk(options, recipe.override({"schedule.seed": 7, "objective.n_components": 2}))
    assert trunk_file(options, recipe).stat().st_mtime_ns == written
    whole = faces(options.source, options.quick)
    stored, targets = np.load(trunk_file(options, recipe)), np.load(targets_file(options, recipe))
    assert stored.dtype == np.float16
    assert len(stored) == len(targets) == 2 * len(whole) == 48
    part = split(options, 0, 2).training
    inputs, n = trunk_inputs(options, recipe, part, copies=True), len(part)
    assert len(inputs) == 2 * n
    np.testing.assert_array_equal(inputs.values[n:], stored[24 + np.array(rows(part))].astype(np.float32))
    yaw = part.targets.index("yaw")
    same = inputs.targets[:n, yaw] == inputs.targets[n:, yaw]
    mirrored = inputs.targets[:n, yaw] == -inputs.targets[n:, yaw]
    assert (same | mirrored).all()
    assert mirrored.any()
    assert not mirrored.all()


def test_an_activation_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    from deepgllim.nn.backbones import wrap_module

    backbone = wrap_module(nn.Linear(1, 1, bias=False), feature_size=1)
    nn.init.constant_(backbone.stages[0].weight, 1.0)  # type: ignore[arg-type]
    inputs = ArrayInputs(torch.tensor([[3.0], [70_000.0]]), torch.zeros(2, 1))
    with pytest.raises(DataError, match="over 65504 or not finite: freeze another depth"):
        activations._write(tmp_path / "values", backbone, 1, inputs)


# VGG-16's rows


def test_vgg_methods_with_the_same_beta_share_candidates_and_train_the_fifth_block() -> None:
    names = [
        name for name in METHODS if name.startswith("VGG-") and name.endswith(("-FT", "K = 1", "K = 2", "beta = 1"))
    ]
    assert {"VGG-FCL-FT", "VGG-IR-FT, K = 1", "VGG-IR-FT, K = 2"} <= set(names)
    for name in names:
        assert METHODS[name].candidates is (VGG_CONDITIONAL if "beta" in name else VGG_CANDIDATES)
    assert len(VGG_CANDIDATES) == 3
    assert all(settings["objective.covariance_type"] == "full" for settings in VGG_CONDITIONAL.values())
    recipe = vgg_recipe(Options("", Path(), vgg="file"), {}, VGG_CANDIDATES["SGD"], seed=2)
    assert (recipe.network.frozen_depths, recipe.network.head, recipe.network.projection) == ((5, 4), "spatial", 512)
    assert (recipe.schedule.optimizer, recipe.schedule.seed, recipe.data.image_size) == ("sgd", 2, 96)
    assert tail_recipe(recipe).network.frozen_depths == (1, 0)


@pytest.mark.parametrize("settings", ["SGD", "AdamW 1e-4"])
def test_vgg_is_fine_tuned_above_the_trunk(settings: str, options: Options) -> None:
    prepare_trunk(options, vgg_recipe(options, {}, {}, 0))
    predictor, parts, _ = jobs.fit(jobs.Job("VGG-IR-FT, K = 1", settings, 0, 0), options)
    predictions = predictor(parts.test)
    assert predictions.mean.shape == (len(parts.test), 2)
    assert np.isfinite(predictions.log_probability).all()


# fewer people


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_sets_of_people_are_subsets_of_larger_ones(seed: int, rendered_pointing04: Path) -> None:
    options = Options(f"pointing04:{rendered_pointing04}", Path(), quick=True)
    parts = [draw(options, Job("least squares", count, 1, seed)) for count in COUNTS]
    names = [[set(part.subjects) for part in each] for each in parts]
    assert [len(training | validation) for training, validation, _ in names] == list(COUNTS)
    assert [len(validation) for _, validation, _ in names] == [1, 1, 1, 2, 2]
    for smaller, larger in pairwise(names):
        assert smaller[0] < larger[0]
        assert smaller[1] <= larger[1]
    for training, validation, test in names:
        assert not training & validation
        assert not (training | validation) & test
        assert len(test) == 3
    other = draw(options, Job("least squares", 3, 1, seed + 2))
    assert set(other.training.subjects) != names[0][0]


@pytest.fixture
def run_people(rendered_pointing04: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that runs the command in quick mode in this process."""
    where = ["--work", str(tmp_path / "work"), "--output", str(tmp_path / "tables")]
    line = ["people", "--data", f"pointing04:{rendered_pointing04}", "--quick", "--jobs", "1", *where]
    monkeypatch.setattr(sys, "argv", line)
    return people.main


def test_quick_mode_trains_on_fewer_people_and_resumes(
    run_people: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_people()
    assert "| 3 | least squares |" in capsys.readouterr().out
    table = tmp_path / "tables" / "people.csv"
    results = protocol.read_table(table)
    assert results["method"].tolist() == list(people.METHODS)
    assert (results["mae"] > 0).all()  # large for eight pictures of 32 px, but finite
    assert np.isfinite(results[people.COLUMNS]).all(axis=None)
    assert (results["people"] == 3).all()
    assert (tmp_path / "tables" / "people.png").stat().st_size > 1000
    protocol.write_rows(protocol.read_rows(table)[:1], table)
    run_people()
    assert protocol.read_table(table).drop(columns="seconds").equals(results.drop(columns="seconds"))


def test_differences_are_paired_by_people_fold_and_seed() -> None:
    other = list(people.METHODS)[1]
    rows = [
        {"method": method, "people": 3, "fold": fold, "seed": seed, "mae": 10.0 * fold + seed + change}
        for method, change in ((people.BASELINE, 0.0), (other, -0.5))
        for fold in (0, 1)
        for seed in (0, 1, 2)
    ]
    table = people.differences(pd.DataFrame(rows).sample(frac=1, random_state=0))
    assert table["people"].tolist() == [3, "all"]
    assert table["difference"].tolist() == ["-0.50", "-0.50"]
    assert table["95 % interval"].tolist() == ["-0.50 to -0.50"] * 2
    assert table["lower in"].tolist() == ["6 of 6"] * 2
