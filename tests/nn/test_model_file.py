"""The file of a model: the same predictions after a round trip, a plain refusal of everything else."""

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from deepgllim.errors import ModelError
from deepgllim.nn.backbones import Backbone, BackboneSpec, build_backbone, register_backbone
from deepgllim.nn.backbones import registry as backbones
from deepgllim.nn.head import InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.model import FORMAT_VERSION, DeepRegression, ModelSpec
from deepgllim.nn.model_file import load_model
from tests.gllim.strategies import NOISES, make_parameters
from tests.nn.tiny import N_INPUTS, model, perceptron

D = 4


def inputs(n: int = 5) -> Tensor:
    return torch.randn(n, N_INPUTS, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model().save(path)
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of the header."""
    header = json.loads(model().spec.model_dump_json()) | changes
    save_file(load_file(path), path, {"deepgllim": json.dumps(header)})


@torch.no_grad()
def assert_round_trip(before: DeepRegression, path: Path, backbone: Backbone) -> DeepRegression:
    before.eval().save(path)
    after = load_model(path, backbone=backbone)
    assert not after.training
    one, other = before(inputs()), after(inputs())
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.covariance_matrix, other.covariance_matrix)
    assert torch.equal(one.weights, other.weights)
    return after


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("noise", NOISES)
def test_inverse_regression_is_the_same_after_a_round_trip(tmp_path: Path, noise: str, tied: bool) -> None:
    before = model()
    assert isinstance(before.head, InverseRegressionHead)
    before.head.mixture = make_parameters(2, noise, tied, 3, 2, D)
    before.head.covariance_scale.fill_(1.3)
    before.normalisation.running_mean.add_(0.5)  # type: ignore[union-attr]
    after = assert_round_trip(before, tmp_path / "m.safetensors", perceptron(seed=9))
    assert after.spec == before.spec
    assert isinstance(after.head, InverseRegressionHead)
    assert after.head.mixture.covariance_type == noise
    assert after.head.mixture.tied == tied
    assert torch.equal(after(inputs()).input_log_density, before(inputs()).input_log_density)


def test_least_squares_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    before = model("least_squares", affine_norm=True)
    nn.init.normal_(before.head.linear.weight)  # type: ignore[arg-type, union-attr]
    before.head.covariance.mul_(3.0)  # type: ignore[operator]
    after = assert_round_trip(before, tmp_path / "m.safetensors", perceptron(seed=9))
    assert isinstance(after.head, LeastSquaresHead)


def test_a_mixture_density_of_any_number_of_components_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    before = model("mixture_density")
    assert isinstance(before.head, MixtureDensityHead)
    before.head.resize(3)
    nn.init.normal_(before.head.linear.weight)
    before.head.target_scale.mul_(20.0)
    after = assert_round_trip(before, tmp_path / "m.safetensors", perceptron(seed=9))
    assert isinstance(after.head, MixtureDensityHead)
    assert after.head.n_components == 3


def test_a_model_without_projection_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    assert_round_trip(model(projection=None), tmp_path / "m.safetensors", perceptron(seed=9))


def test_views_of_one_tensor_can_be_saved(tmp_path: Path) -> None:
    """Safetensors refuses tensors that share memory; a mixture may be cut from one array."""
    before = model(projection=1)
    p = make_parameters(2, "diagonal", False, 1, 2, 1)
    together = torch.cat([p.A.flatten(), p.b.flatten()])
    assert isinstance(before.head, InverseRegressionHead)
    before.head.mixture = p._replace(A=together[:2].view(1, 1, 2), b=together[2:].view(1, 1))
    assert_round_trip(before, tmp_path / "m.safetensors", perceptron(seed=9))


def test_a_named_backbone_is_built_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))

    def stages(head: str) -> nn.Sequential:
        return nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    register_backbone("small", BackboneSpec(stages, {"average": (5, None)}, preprocessing="torchvision"))
    backbone = build_backbone("small", weights=None)
    spec = ModelSpec(
        backbone="small",
        backbone_options={"head": "average", "normalisation": "batch"},
        projection=3,
        head="inverse_regression",
        targets=("yaw",),
        image_size=32,
        margin=1.2,
    )
    before = DeepRegression(spec, backbone).eval()
    before.save(tmp_path / "m.safetensors")
    after = load_model(tmp_path / "m.safetensors")
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(after.features(pixels), before.features(pixels))
    assert after.backbone.normalisation == "batch"
    assert after.spec == spec
    assert after.backbone.preprocessing == backbone.preprocessing


def test_resize_changes_projection_normalisation_and_the_file(tmp_path: Path) -> None:
    network = model()
    network.resize(2)
    network.head = InverseRegressionHead(2, 2)
    assert_round_trip(network, tmp_path / "m.safetensors", perceptron(seed=9))


# writing


def test_an_interrupted_write_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def broken(tensors: object, metadata: object) -> Iterator[bytes]:
        yield b"half of a file"
        raise OSError("no space left on device")

    monkeypatch.setattr("deepgllim.storage.tensors._serialised", broken)
    with pytest.raises(ModelError, match=r"cannot be written.*no space"):
        model(projection=3).save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]  # noqa: PTH208


def test_save_makes_its_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "m.safetensors"
    model().save(str(path))
    assert [entry.name for entry in path.parent.iterdir()] == ["m.safetensors"]


# reading what is no model


def refused(path: Path, *words: str, backbone: Backbone | None = None) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(path, backbone=backbone or perceptron())
    text = str(caught.value)
    for word in (path.name, *words):
        assert word in text, text
    assert "\n" not in text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors", "no such file", "give the path")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is a folder; give a file")


@pytest.mark.parametrize("kept", [0, 4, 9, 200, -1])
def test_a_file_cut_short_is_refused_wherever_the_cut(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    refused(saved, "cut short", "again")


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.safetensors"
    path.write_text("these are my notes\n" * 50)
    refused(path, "not a safetensors file", "again")


class Harmful:
    """A pickle that writes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_loading_executes_nothing(tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Harmful(mark)))
    refused(path, "not a safetensors file")
    torch.save({"state": Harmful(mark)}, path)
    refused(path, "not a safetensors file")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Harmful(mark)))  # it would have been
    assert mark.exists()


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    refused(path, "not a deepgllim model", "train one")
    save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})
    refused(path, "not a deepgllim model", "train one")


def test_the_former_name_of_a_target_is_read(saved: Path) -> None:
    names = list(model().spec.targets)
    rewrite(saved, targets=["tip", *names[1:]])
    assert load_model(saved, backbone=perceptron()).spec.targets == ("neck_roll", *names[1:])


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "2", None])
def test_a_newer_format_is_refused(saved: Path, version: object) -> None:
    rewrite(saved, format_version=version, something_new=1)
    refused(saved, f"format {version}", "upgrade deepgllim")


@pytest.mark.parametrize("change", [{"targets": None}, {"something": 1}, {"projection": "wide"}])
def test_a_header_of_another_form_is_refused(saved: Path, change: dict[str, object]) -> None:
    rewrite(saved, **change)
    refused(saved, "header", "train it again")


@pytest.mark.parametrize("header", ["", "{", "[]", "null", "7"])
def test_a_header_that_is_no_specification_is_refused(saved: Path, header: str) -> None:
    save_file(load_file(saved), saved, {"deepgllim": header})
    refused(saved)


def test_an_unknown_head_is_refused(saved: Path) -> None:
    rewrite(saved, head="forest")
    refused(saved, "head")


def test_a_head_of_another_size_is_refused(saved: Path) -> None:
    """The head takes K and the structure from the file, but D and L must be the model's."""
    tensors = load_file(saved)
    p = make_parameters(0, "diagonal", False, 1, 2, D + 1)
    tensors |= {f"head.{name}": value for name, value in p.tensors.items()}
    save_file(tensors, saved, {"deepgllim": model().spec.model_dump_json()})
    refused(saved, "do not fit")


def test_an_unknown_backbone_is_refused(saved: Path) -> None:
    rewrite(saved, backbone="vgg61")
    with pytest.raises(ModelError, match=r"unknown backbone 'vgg61'.*vgg16"):
        load_model(saved)


def test_a_backbone_of_ones_own_must_be_given(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors.*backbone=…"):
        load_model(saved)


def test_weights_that_do_not_fit_the_backbone_are_refused(saved: Path) -> None:
    refused(saved, "do not fit", backbone=perceptron(feature_size=9))


# headers and tensors that contradict each other, or hold what is no number


@pytest.mark.parametrize(
    ("change", "word"),
    [
        *(({"image_size": value}, "image_size") for value in (0, -1, 10**9, 32.5, "32", True)),
        *(({"margin": value}, "margin") for value in (0, -1.0, float("nan"), float("inf"), 1e300, "wide", [1])),
        *(({"targets": value}, "targets") for value in ([], ["yaw", "yaw"], ["a" * 100, "b"], "py", [1, 2])),
        ({"targets": ["yaw", "\x1b[31m"]}, "targets"),
        *(({"projection": value}, "projection") for value in (0, -5, True, 4.0, "4")),
        ({"projection": 10**9}, "a projection to 1000000000 features"),
        ({"projection": 5}, "a projection to 5 features"),
        ({"targets": [f"t{i}" for i in range(100_000)]}, "100000 targets"),
        ({"targets": ["yaw"]}, "1 targets"),
        *(({"backbone_options": value}, "") for value in ({"weights": "/etc/passwd"}, {"foo": 1}, {"head": 5}, 5)),
        ({"backbone_options": {"normalisation": "x"}}, "normalisation"),
        ({"backbone_options": {"preprocessing": {"mean": [1]}}}, "preprocessing"),
        *(({"format_version": value}, "upgrade deepgllim") for value in (True, 0, -1, 1.0)),
        ({"head": "least_squares"}, "do not fit"),
        ({"head": "mixture_density"}, "do not fit"),
        ({"notes": 5}, "notes"),
    ],
)
def test_entries_out_of_their_range_are_refused(saved: Path, change: dict[str, object], word: str) -> None:
    rewrite(saved, **change)
    refused(saved, word)


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        '{"format_version": 1, "notes": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 50_000 + "1" + "}" * 50_000,
        '[["format_version", 1]]',
    ],
    ids=range(4),
)
def test_a_header_that_is_nested_too_deeply_is_refused(saved: Path, header: str) -> None:
    save_file(load_file(saved), saved, {"deepgllim": header})
    refused(saved, "no JSON object")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["backbone.stages.0.0.weight", "head.A", "normalisation.running_var"])
def test_tensors_that_are_not_finite_are_refused(saved: Path, name: str, value: float) -> None:
    tensors = load_file(saved)
    tensors[name].view(-1)[-1] = value
    save_file(tensors, saved, {"deepgllim": model().spec.model_dump_json()})
    refused(saved, name, "not finite", "again")


def test_complex_tensors_are_refused(saved: Path) -> None:
    tensors = {k: v.to(torch.complex64) if v.is_floating_point() else v for k, v in load_file(saved).items()}
    save_file(tensors, saved, {"deepgllim": model().spec.model_dump_json()})
    refused(saved, "complex")


@pytest.mark.parametrize("removed", ["head.c", "projection.weight", "projection.bias", "backbone.stages.2.bias"])
def test_a_file_without_one_of_its_tensors_is_refused(saved: Path, removed: str) -> None:
    tensors = load_file(saved)
    del tensors[removed]
    save_file(tensors, saved, {"deepgllim": model().spec.model_dump_json()})
    refused(saved, removed, "do not fit")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head.pi", torch.full((7,), 1 / 7, dtype=torch.float64)),
        ("head.Sigma", torch.zeros(1, D, dtype=torch.float64)),
        ("head.Sigma", -torch.ones(1, D, dtype=torch.float64)),
        ("head.Gamma", torch.zeros(1, 2, 2, dtype=torch.float64)),
        ("head.Gamma", -torch.eye(2, dtype=torch.float64)[None]),
        ("head.b", torch.zeros(3, D + 2, dtype=torch.float64)),
        ("head.covariance_scale", torch.tensor(-1.0, dtype=torch.float64)),
    ],
)
def test_heads_of_no_distribution_are_refused(saved: Path, name: str, value: torch.Tensor) -> None:
    tensors = load_file(saved) | {name: value}
    save_file(tensors, saved, {"deepgllim": model().spec.model_dump_json()})
    refused(saved)


def test_an_exported_model_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx is an exported model: give the \.safetensors file"):
        load_model(tmp_path / "m.onnx")
