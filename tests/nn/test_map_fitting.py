"""The density of maps in a training: its check at the start, its fit at the end."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError, TrainingWarning
from deepgllim.nn.evaluation import predict_distribution
from deepgllim.nn.features import TrainingInputs
from deepgllim.nn.inputs import fixed_copies
from deepgllim.nn.map_density import MapDensity, fit_map_density, pooled_statistics
from deepgllim.nn.map_fitting import check_maps
from deepgllim.nn.start import check_depth
from deepgllim.nn.training import train
from tests.nn.tiny import convolutions, faces, model, recipe, trained_with_maps

DEPTH = 1


def test_training_adds_the_density_to_log_p_x_and_leaves_predictions_unchanged() -> None:
    with_maps, inputs = trained_with_maps(DEPTH)
    without, _ = trained_with_maps(None)
    assert with_maps.spec.density_depth == DEPTH
    assert without.maps is None
    answer, other = predict_distribution(with_maps, inputs), predict_distribution(without, inputs)
    assert torch.equal(answer.mean, other.mean)
    assert torch.equal(answer.covariance_matrix, other.covariance_matrix)
    assert answer.input_log_density is not None
    assert other.input_log_density is not None
    assert with_maps.maps is not None
    x = torch.stack([inputs[i, None][0] for i in range(len(inputs))])
    with torch.no_grad():
        expected = other.input_log_density + with_maps.maps(pooled_statistics([with_maps.backbone.begin(x, DEPTH)]))
        direct = with_maps(x).input_log_density
    torch.testing.assert_close(answer.input_log_density, expected)
    torch.testing.assert_close(direct, expected)


def test_objectives_without_log_p_x_have_no_density() -> None:
    network, inputs = trained_with_maps(DEPTH, "least_squares")
    assert network.maps is None
    assert network.spec.density_depth is None
    assert predict_distribution(network, inputs).input_log_density is None


def test_depths_that_have_no_maps_are_refused_before_the_training() -> None:
    inputs = faces()
    stages = len(convolutions().stages)
    for depth, cause in ((stages, "instead of (N, C, H, W)"), (stages + 1, f"the backbone has {stages} stages")):
        changed = recipe(objective__density_depth=depth)
        with pytest.raises(ConfigurationError, match=re.escape(cause)):
            train(model(backbone=convolutions()), changed, inputs)


def test_fewer_stages_than_the_inputs_have_passed_are_refused() -> None:
    changed = recipe(network__frozen_depths=[2], objective__density_depth=1)
    with pytest.raises(ConfigurationError, match=r"objective\.density_depth is 1, but the inputs are the output of 2"):
        train(model(backbone=convolutions()), changed, faces(), depth=2)


def test_a_new_training_removes_the_density_of_an_earlier_one() -> None:
    network, inputs = trained_with_maps(DEPTH)
    plain = recipe()
    result = train(network, plain, inputs, faces(), warm_start=True)
    assert result.model.maps is None
    assert result.model.spec.density_depth is None


def test_the_check_of_the_maps_changes_neither_statistics_nor_random_numbers() -> None:
    backbone = convolutions()
    backbone.normalisation = "batch"
    network, before = model(backbone=backbone).train(), torch.get_rng_state()
    state = {name: each.clone() for name, each in network.state_dict().items()}
    check_maps(network, recipe(objective__density_depth=2), TrainingInputs(faces(), None))
    assert network.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(state[name], each) for name, each in network.state_dict().items())


def test_a_training_whose_frozen_stages_grow_fits_the_density_of_the_best_round() -> None:
    changed = recipe(network__frozen_depths=[0, 0, 2], objective__density_depth=1, schedule__fixed_copies=1)
    pictures = fixed_copies(faces(), 1)
    network = train(model(backbone=convolutions()), changed, pictures, faces()).model
    x = torch.stack([pictures[i, None][0] for i in range(len(pictures))])
    with torch.no_grad():
        expected = fit_map_density(network.statistics(x, 1))
    assert network.maps is not None
    torch.testing.assert_close(network.maps.mean, expected.mean)


def test_a_density_that_cannot_be_fitted_leaves_the_model_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(statistics: Tensor) -> MapDensity:
        raise DataError("no finite statistics")

    monkeypatch.setattr("deepgllim.nn.map_fitting.fit_map_density", refuse)
    with pytest.warns(TrainingWarning, match="the model has no density of maps"):
        network, _ = trained_with_maps(DEPTH)
    assert network.maps is None


def test_a_run_is_resumed_with_a_model_that_has_a_density(tmp_path: Path) -> None:
    options = recipe(objective__density_depth=DEPTH)
    first = train(model(backbone=convolutions()), options, faces(), faces(), output=tmp_path)
    again = train(first.model, options, faces(), faces(), output=tmp_path, resume=True)
    assert again.model.maps is not None


def test_a_resumed_training_without_further_rounds_fits_the_same_density(tmp_path: Path) -> None:
    options = recipe(network__frozen_depths=[2], objective__density_depth=2, schedule__half_cache=True)
    pictures = fixed_copies(faces(), 1)
    first = train(model(backbone=convolutions()), options, pictures, faces(), output=tmp_path).model.maps
    again = train(model(backbone=convolutions()), options, pictures, faces(), output=tmp_path, resume=True).model.maps
    assert first is not None
    assert again is not None
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.whitening, again.whitening)


def test_other_objectives_ignore_the_depth_of_the_density() -> None:
    check_depth(recipe("least_squares", network__frozen_depths=[2], objective__density_depth=1), 2)
