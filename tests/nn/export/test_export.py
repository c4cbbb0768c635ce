"""The exported graph says what the model says, for every head and structure of Σ, and any number of pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from deepgllim.errors import ConfigurationError
from deepgllim.nn.backbones import build_backbone, wrap_module
from deepgllim.nn.export import compact, differences, export_onnx, folded
from deepgllim.nn.head import InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.pose.network import PoseNetwork
from tests.gllim.strategies import fit

SIZE = 16
TARGETS = ("tilt", "pan", "neck_roll")


def network(
    head: Any, projection: int | None = 6, affine: bool = False, activation: nn.Module | None = None
) -> DeepRegression:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4), norm, activation or nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    assert norm.running_mean is not None
    for value in (norm.running_mean, norm.weight.data, norm.bias.data):
        value.uniform_(0.5, 1.5)
    spec = ModelSpec(
        backbone="custom",
        projection=projection,
        affine_norm=affine,
        head=head,
        targets=TARGETS,
        image_size=SIZE,
        margin=1.4,
    )
    model = DeepRegression(spec, wrap_module(Scaled(net), feature_size=32)).eval()
    assert model.normalisation.running_mean is not None
    assert model.normalisation.running_var is not None
    model.normalisation.running_mean.uniform_(-1, 1)
    model.normalisation.running_var.uniform_(0.5, 2)
    return model


class Scaled(nn.Module):
    """Pixels from 0 to 1, as a backbone's own preprocessing would."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.net(pixels.float() / 255)
        return features


def pictures(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


def learned(model: DeepRegression, **options: object) -> DeepRegression:
    """The inverse regression's head fitted to features of noise and targets that depend on them."""
    assert isinstance(model.head, InverseRegressionHead)
    with torch.no_grad():
        features = model.features(pictures(400)).double()
    targets = 20 * features[:, :3] + 5 * torch.randn(400, 3, generator=torch.Generator().manual_seed(1)).double()
    model.head.mixture = fit(features, targets, **options).parameters  # type: ignore[arg-type]
    model.head.covariance_scale.fill_(1.7)
    return model


def compare(model: DeepRegression, folder: Path, half: bool = False) -> None:
    path = export_onnx(model, folder / "model.onnx", half_weights=half)
    session = PoseNetwork(path, threads=1)
    for n in (1, 3, 65):
        found = {k: torch.from_numpy(v) for k, v in session(pictures(n).numpy())._asdict().items() if v is not None}
        worst = differences(compact(model) if half else folded(model), found, pictures(n))
        assert len(found) == len(worst)
        assert max(worst.values()) < 1e-4, worst  # float32 features, float64 head


@pytest.mark.parametrize("noise", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize(("K", "tied"), [(1, False), (3, False), (3, True)])
def test_inverse_regression_in_every_form(noise: str, K: int, tied: bool, tmp_path: Path) -> None:
    compare(learned(network("inverse_regression"), n_components=K, covariance_type=noise, tied=tied), tmp_path)


@pytest.mark.parametrize("head", ["least_squares", "mixture_density"])
def test_forward_heads(head: str, tmp_path: Path) -> None:
    model = network(head, affine=True)
    model.normalisation.weight.data.uniform_(0.5, 2)
    if isinstance(model.head, MixtureDensityHead):
        model.head.resize(3)
    assert isinstance(model.head, LeastSquaresHead | MixtureDensityHead)
    for value in (model.head.linear.weight, model.head.linear.bias, model.head.target_mean):
        value.data.uniform_(-1, 1)
    model.head.target_scale.fill_(15.0)
    model.head.covariance_scale.fill_(0.6)
    compare(model, tmp_path)
    names = {output.name for output in onnx.load(tmp_path / "model.onnx").graph.output}
    assert names == {"weights", "means", "covariances", "mean", "covariance"}


def test_without_projection(tmp_path: Path) -> None:
    compare(learned(network("inverse_regression", projection=None), n_components=1, covariance_type="full"), tmp_path)


def test_folding_changes_nothing_and_spares_the_model() -> None:
    model = learned(network("inverse_regression"), n_components=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin = folded(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    with torch.no_grad():
        torch.testing.assert_close(twin(pictures(4)).mean, model(pictures(4)).mean, rtol=1e-5, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_prelu_is_expanded_into_the_same_function(tmp_path: Path) -> None:
    """ONNX Runtime computes its own node one value at a time."""
    prelu = nn.PReLU(8)
    nn.init.uniform_(prelu.weight, -1, 2)
    compare(learned(network("inverse_regression", activation=prelu), n_components=1), tmp_path)
    names = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert "PRelu" not in names
    assert names.count("Relu") == 1


def test_half_weights_halve_the_file_and_agree_with_the_compact_model(tmp_path: Path) -> None:
    """A real backbone: its large weights are float16 in the file, and what is computed is still float32."""
    torch.manual_seed(0)
    spec = ModelSpec(
        backbone="efficientnet_lite0", projection=8, head="inverse_regression", targets=TARGETS, image_size=32, margin=1
    )
    model = DeepRegression(spec, build_backbone("efficientnet_lite0", weights=None)).eval()
    whole = sum(4 * value.numel() for value in folded(model).parameters())  # bytes of float32
    half = export_onnx(model, tmp_path / "half.onnx").stat().st_size
    assert half < 0.55 * whole
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    found = {k: torch.from_numpy(v) for k, v in PoseNetwork(tmp_path / "half.onnx")(pixels.numpy())._asdict().items()}
    assert max(differences(compact(model), found, pixels).values()) < 1e-4


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    model = learned(network("inverse_regression"), n_components=1)
    path = export_onnx(model, tmp_path / "m.onnx", notes={"data": "noise"})
    proto = onnx.load(path)
    onnx.checker.check_model(proto)
    assert proto.producer_name == "deepgllim"
    header = json.loads({entry.key: entry.value for entry in proto.metadata_props}["deepgllim"])
    assert header["targets"] == list(TARGETS)
    assert header["notes"] == {"data": "noise"}
    assert PoseNetwork(path).spec.margin == 1.4


def test_a_model_that_reads_no_pictures_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec(backbone="custom", projection=None, head="least_squares", targets=("age",))
    model = DeepRegression(spec, wrap_module(nn.Linear(4, 4), feature_size=4))
    with pytest.raises(ConfigurationError, match="has no image size to export"):
        export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_log_density_is_that_of_the_head(tmp_path: Path) -> None:
    model = learned(network("inverse_regression"), n_components=2, covariance_type="full", tied=True)
    found = PoseNetwork(export_onnx(model, tmp_path / "m.onnx", half_weights=False))(pictures(5).numpy())
    with torch.no_grad():
        expected = model(pictures(5)).input_log_density
    assert found.log_density is not None
    assert expected is not None
    np.testing.assert_allclose(found.log_density, expected.numpy(), rtol=1e-4)
    np.testing.assert_allclose(found.weights.sum(1), 1.0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 64])
def test_folding_keeps_the_features_of_the_packaged_network(size: int) -> None:
    """Its batch normalisations have shifts, which folding moves to biases of depthwise convolutions too."""
    spec = ModelSpec(
        backbone="efficientnet_lite0", projection=8, head="inverse_regression", targets=TARGETS, image_size=32, margin=1
    )
    model = DeepRegression(spec, build_backbone("efficientnet_lite0")).eval()
    x = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(size))
    expected = model.backbone(x)
    found = folded(model).backbone(x)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)  # features reach about 3; float32 over 50 layers
