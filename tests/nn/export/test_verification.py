"""Test that a file is written only if it computes the outputs of the model."""

from pathlib import Path

import pytest
import torch

from deepgllim.errors import ModelError
from deepgllim.geometry import NECK_ANGLES
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.export import verification as module
from deepgllim.nn.export.onnx_file import folded, onnx_content
from deepgllim.nn.export.verification import check_outputs, export_verified
from deepgllim.nn.model import DeepRegression, ModelSpec


def small_model() -> DeepRegression:
    """Return a model of small pictures with a normalised convolution."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(8)
    torch.nn.init.uniform_(norm.bias, -1, 1)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False), norm, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    )
    spec = ModelSpec(
        backbone="custom", projection=None, head="least_squares", targets=NECK_ANGLES, image_size=16, margin=1
    )
    return DeepRegression(spec, wrap_module(layers, preprocessing="unit", input_size=16)).eval()


@pytest.mark.parametrize("half", [True, False])
def test_a_file_that_agrees_is_written(tmp_path: Path, half: bool) -> None:
    found = export_verified(small_model(), tmp_path / "m.onnx", half_weights=half)
    assert max(found.differences.values()) < 1e-4
    assert (found.image_size, found.targets) == (16, NECK_ANGLES)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"earlier")
    shifted = onnx_content(folded(small_model().requires_grad_(False).apply(_shift)), half_weights=False)
    monkeypatch.setattr(module, "onnx_content", lambda model, half_weights: shifted)
    with pytest.raises(ModelError, match=r"m\.onnx: .* differs from the model by .*: report a bug"):
        export_verified(small_model(), path)
    assert path.read_bytes() == b"earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["m.onnx"]


def _shift(layer: torch.nn.Module) -> None:
    if isinstance(layer, torch.nn.Linear):
        torch.nn.init.ones_(layer.bias)


def test_a_shift_that_folding_drops_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_bias(model: DeepRegression) -> DeepRegression:
        twin = folded(model)
        twin.backbone.stages[0][0].bias = None  # type: ignore[index]
        return twin

    monkeypatch.setattr(module, "folded", without_bias)
    model = small_model()
    model.head.linear.weight.data.fill_(0.1)  # type: ignore[union-attr,operator]
    with pytest.raises(ModelError, match="folding the batch normalisations changes"):
        export_verified(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_sensitive_to_rounding_has_a_larger_limit() -> None:
    check_outputs(Path("m.onnx"), {"mean": 5e-4}, {"mean": 1e-4})
    with pytest.raises(ModelError, match=r"by nan"):
        check_outputs(Path("m.onnx"), {"mean": float("nan")}, {"mean": 1e-4})
