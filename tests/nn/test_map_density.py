"""The density of feature maps: its formula, its use in a model, its fit at the end of a training, and its errors."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from deepgllim.errors import DataError, ModelError
from deepgllim.nn.backbones import Backbone, Preprocessing, wrap_module
from deepgllim.nn.evaluation import collect_normalised, predict_distribution
from deepgllim.nn.export import export_onnx, folded
from deepgllim.nn.map_density import MapDensity, fit_map_density, pooled_statistics
from deepgllim.nn.model import DeepRegression, Encoding, ModelSpec
from deepgllim.nn.model_file import load_model
from deepgllim.nn.training import train
from deepgllim.pose.runtime import Session
from tests.nn.tiny import convolutions, faces, model, recipe, trained_with_maps

DEPTH = 1
Floats = NDArray[np.float64]
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


@pytest.mark.parametrize(
    ("statistics", "cause"),
    [
        (torch.zeros(1, 3), "1 pictures with 3 statistics: a density of maps needs at least 2 and 1"),
        (torch.zeros(5, 0), "5 pictures with 0 statistics: a density of maps needs at least 2 and 1"),
        (torch.tensor([[1.0], [torch.nan], [2.0]]), "maps of picture 1 are not finite"),
    ],
)
def test_refuses_statistics_without_a_density(statistics: Tensor, cause: str) -> None:
    with pytest.raises(DataError, match=cause):
        fit_map_density(statistics)


def test_refuses_what_are_no_maps() -> None:
    with pytest.raises(ModelError, match=re.escape("the shape (4, 3), which are no maps (N, C, H, W)")):
        pooled_statistics([torch.zeros(4, 3)])


def test_rounding_of_equal_pictures_is_not_a_variance() -> None:
    density = fit_map_density(torch.ones(5, 3).double() + 1e-12 * torch.randn(5, 3).double())
    near, far = density(torch.tensor([[1.0, 1.0, 1.0], [1.0 + 1e-6, 1.0, 1.0]]).double())
    assert abs(float(near - far)) < 1.0


def test_equal_pictures_and_constant_channels_give_finite_densities() -> None:
    equal = fit_map_density(torch.ones(5, 3))
    assert torch.isfinite(equal(torch.zeros(2, 3))).all()
    statistics = gaussian(0)
    statistics[:, 1] = 2.0
    found = fit_map_density(statistics)(statistics + torch.tensor([0.0, 1e-5, 0.0]))
    assert torch.isfinite(found).all()
    assert float(found.min()) > -1e3


def test_a_model_from_the_output_of_stages_reads_the_same_maps() -> None:
    network, inputs = trained_with_maps(DEPTH)
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
    network, inputs = trained_with_maps(DEPTH)
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
        ({"maps.mean": torch.zeros(3).double()}, "density of the maps of 1 stages, but the file has maps.whitening"),
        ({"maps.whitening": torch.zeros(3)}, "density of the maps of 1 stages, but the file has maps.whitening of"),
        ({"maps.whitening": torch.zeros(8, 8)}, "but maps.whitening has no positive diagonal"),
    ],
)
def test_a_damaged_density_is_refused(tmp_path: Path, change: dict[str, Tensor | None], cause: str) -> None:
    network, _ = trained_with_maps(DEPTH)
    path = tmp_path / "model.safetensors"
    tensors = {name: each for name, each in (network.state_dict() | change).items() if each is not None}
    save_file(tensors, path, {"deepgllim": network.spec.model_dump_json()})
    with pytest.raises(ModelError, match=re.escape(cause)):
        load_model(path, backbone=convolutions())


def test_a_density_of_missing_stages_is_refused(tmp_path: Path) -> None:
    network, _ = trained_with_maps(DEPTH)
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


def test_an_encoding_without_statistics_has_the_log_p_x_of_the_features() -> None:
    network, inputs = trained_with_maps(DEPTH)
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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_models_of_other_precision_use_the_density(dtype: torch.dtype) -> None:
    network, inputs = trained_with_maps(DEPTH)
    assert network.maps is not None
    x = torch.stack([inputs[i, None][0] for i in range(4)])
    with torch.no_grad():
        found = network.maps.to(dtype)(network.statistics(x, DEPTH))
    assert found.dtype == torch.float64
    assert torch.isfinite(found).all()


def overwriting() -> Backbone:
    """Stages of which the second changes the output of the first in place."""
    torch.manual_seed(0)
    stages = [nn.Conv2d(3, 4, 3, stride=2), nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten())]
    return Backbone(nn.Sequential(*stages), 16, preprocessing=Preprocessing((100.0,) * 3, (50.0,) * 3))


def trained_on_pictures(backbone: Backbone) -> tuple[DeepRegression, Tensor]:
    """A model with a density of the maps after its first stage, and five pictures."""
    inputs = faces()
    result = train(model(backbone=backbone, image_size=16, margin=1.4), recipe(objective__density_depth=1), inputs)
    return result.model, torch.stack([inputs[i, None][0] for i in range(5)])


def test_stages_that_overwrite_their_input_do_not_change_the_statistics(tmp_path: Path) -> None:
    network, x = trained_on_pictures(overwriting())
    with torch.no_grad():
        encoded = network.encode(x)
        assert encoded.statistics is not None
        assert torch.equal(encoded.statistics, network.statistics(x, 1))
        expected = network(x).input_log_density
    found = exported_log_density(network, x, tmp_path)
    assert expected is not None
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def exported_log_density(network: DeepRegression, x: Tensor, folder: Path) -> Floats:
    session = Session(export_onnx(network, folder / "m.onnx", half_weights=False).read_bytes(), threads=1)
    (found,) = session.run(["log_density"], {"pixels": x.numpy()})
    return np.asarray(found, dtype=np.float64)


def test_normalisations_are_not_folded_into_the_maps_of_the_density(tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4)
    assert norm.running_mean is not None
    norm.running_mean.uniform_(-1, 1)
    stages = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), norm, nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()))
    network, x = trained_on_pictures(Backbone(stages, 16, preprocessing=Preprocessing((100.0,) * 3, (50.0,) * 3)))
    with torch.no_grad():
        one, other = network(x).input_log_density, folded(network)(x).input_log_density
    assert one is not None
    assert other is not None
    torch.testing.assert_close(one, other)
    np.testing.assert_allclose(exported_log_density(network, x, tmp_path), one.numpy(), rtol=1e-4)


def test_density_and_depth_belong_together() -> None:
    with pytest.raises(ValueError, match="a density of maps needs the number of stages"):
        model().set_map_density(MapDensity(2))
