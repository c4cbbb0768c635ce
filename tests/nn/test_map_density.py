"""The density of feature maps: its formula, its use in a model, its fit at the end of a training, and its errors."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from deepgllim.errors import ConfigurationError, DataError, ModelError
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.evaluation import collect_normalised, predict_distribution
from deepgllim.nn.inputs import FaceInputs
from deepgllim.nn.map_density import MapDensity, fit_map_density, pooled_statistics
from deepgllim.nn.model import DeepRegression, Encoding, ModelSpec, load_model
from deepgllim.nn.training import train
from tests.nn.tiny import Head, convolutions, faces, model, recipe

DEPTH = 1
properties = settings(deadline=None, max_examples=25, derandomize=True, database=None)


def gaussian(seed: int, n: int = 400, size: int = 3) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size) * 50)


@properties
@given(st.integers(0, 2**31))
def test_is_the_density_of_the_gaussian(seed: int) -> None:
    statistics = gaussian(seed)
    density = fit_map_density(statistics)
    whitening = density.whitening.double()
    covariance = torch.linalg.inv(whitening @ whitening.T).numpy()
    expected = multivariate_normal(density.mean.numpy(), covariance).logpdf(statistics.numpy())
    np.testing.assert_allclose(density(statistics).numpy(), expected, rtol=1e-4, atol=1e-4)


@properties
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_ranks_do_not_depend_on_the_units(seed: int, scale: float, shift: float) -> None:
    statistics = gaussian(seed, n=50)
    one = fit_map_density(statistics)(statistics)
    other = fit_map_density(scale * statistics + shift)(scale * statistics + shift)
    np.testing.assert_allclose(other + 3 * np.log(scale), one, rtol=1e-3, atol=1e-3)


def test_statistics_are_means_and_standard_deviations() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=(4, 2, 5, 6)), rng.normal(size=(4, 3, 2, 2))]
    found = pooled_statistics([torch.from_numpy(each) for each in maps]).numpy()
    assert found.shape == (4, 10)
    np.testing.assert_allclose(found[:, :2], maps[0].mean((2, 3)))
    np.testing.assert_allclose(found[:, 7:], maps[1].std((2, 3)))


@pytest.mark.parametrize("statistics", [torch.zeros(1, 3), torch.full((5, 3), torch.nan)])
def test_refuses_statistics_without_a_density(statistics: Tensor) -> None:
    with pytest.raises(DataError, match="a density needs at least two"):
        fit_map_density(statistics)


def test_equal_pictures_and_constant_channels_give_finite_densities() -> None:
    equal = fit_map_density(torch.ones(5, 3))
    assert torch.isfinite(equal(torch.zeros(2, 3))).all()
    statistics = gaussian(0)
    statistics[:, 1] = 2.0
    found = fit_map_density(statistics)(statistics + torch.tensor([0.0, 1e-5, 0.0]))
    assert torch.isfinite(found).all()
    assert float(found.min()) > -1e3


def trained(head: Head = "inverse_regression", depth: int | None = DEPTH) -> tuple[DeepRegression, FaceInputs]:
    inputs = faces()
    result = train(model(head, convolutions()), recipe(head, objective__density_depth=depth), inputs, faces())
    return result.model, inputs


def test_training_adds_the_density_to_log_p_x_and_leaves_predictions_unchanged() -> None:
    with_maps, inputs = trained()
    without, _ = trained(depth=None)
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
    network, inputs = trained("least_squares")
    assert network.maps is None
    assert network.spec.density_depth is None
    assert predict_distribution(network, inputs).input_log_density is None


def test_a_model_from_the_output_of_stages_reads_the_same_maps() -> None:
    network, inputs = trained()
    x = torch.stack([inputs[i, None][0] for i in range(5)])
    with torch.no_grad():
        whole = network.encode(x)
        part = network.encode(network.backbone.begin(x, DEPTH), DEPTH)
        assert whole.statistics is not None
        assert part.statistics is not None
        assert torch.equal(whole.statistics, part.statistics)
        with pytest.raises(ValueError, match=re.escape("output of 1 stages cannot be computed from that of 2")):
            network.encode(network.backbone.begin(x, 2), 2)


def test_the_file_contains_the_density(tmp_path: Path) -> None:
    network, inputs = trained()
    path = tmp_path / "model.safetensors"
    network.save(path)
    other = load_model(path, backbone=convolutions())
    one, two = predict_distribution(network, inputs), predict_distribution(other, inputs)
    assert one.input_log_density is not None
    assert two.input_log_density is not None
    assert torch.equal(one.input_log_density, two.input_log_density)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"maps.mean": None}, "density of the maps of 1 stages, but the file has no maps.mean"),
        ({"maps.mean": torch.zeros(3).double()}, "density of the maps of 1 stages, but the file has maps.mean"),
        ({"maps.whitening": torch.zeros(3)}, "density of the maps of 1 stages, but the file has maps.mean"),
    ],
)
def test_a_damaged_density_is_refused(tmp_path: Path, change: dict[str, Tensor | None], cause: str) -> None:
    network, _ = trained()
    path = tmp_path / "model.safetensors"
    tensors = {name: each for name, each in (network.state_dict() | change).items() if each is not None}
    save_file(tensors, path, {"deepgllim": network.spec.model_dump_json()})
    with pytest.raises(ModelError, match=re.escape(cause)):
        load_model(path, backbone=convolutions())


def test_a_density_of_missing_stages_is_refused(tmp_path: Path) -> None:
    network, _ = trained()
    network.spec = network.spec.model_copy(update={"density_depth": 9})
    path = tmp_path / "model.safetensors"
    save_file(load_tensors(network, tmp_path), path, {"deepgllim": network.spec.model_dump_json()})
    with pytest.raises(ModelError, match="its density is of 9 stages of"):
        load_model(path, backbone=convolutions())


def load_tensors(network: DeepRegression, folder: Path) -> dict[str, Tensor]:
    network.save(folder / "plain.safetensors")
    return dict(load_file(folder / "plain.safetensors"))


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ModelError, match="the maps have 4 statistics, but their density has 2"):
        MapDensity(2)(torch.zeros(1, 4))


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
    network, inputs = trained()
    plain = recipe()
    result = train(network, plain, inputs, faces(), warm_start=True)
    assert result.model.maps is None
    assert result.model.spec.density_depth is None


def test_an_encoding_without_statistics_has_the_log_p_x_of_the_features() -> None:
    network, inputs = trained()
    features = collect_normalised(network, inputs)
    with torch.no_grad():
        plain = network.predict(Encoding(features, None)).input_log_density
    assert plain is not None
    torch.testing.assert_close(plain, network.head(features).input_log_density)


def test_heads_without_log_p_x_ignore_a_density() -> None:
    spec = ModelSpec(backbone="custom", projection=2, head="least_squares", targets=("yaw",))
    stages = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    network = DeepRegression(spec, wrap_module(stages, feature_size=8)).eval()
    network.set_map_density(MapDensity(6), 0)
    with torch.no_grad():
        assert network(torch.rand(4, 3, 2, 2)).input_log_density is None
