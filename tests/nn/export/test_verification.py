"""Tests of the comparison of an exported graph with its model."""

from pathlib import Path

import pytest
import torch

from deepgllim.errors import ModelError
from deepgllim.nn.export import differences, export_onnx, onnx_file
from deepgllim.nn.export.verification import random_images
from deepgllim.nn.head import LeastSquaresHead
from deepgllim.nn.model import DeepRegression
from deepgllim.pose.network import PoseNetwork
from tests.nn.export.test_export import SIZE, network


def forward(bias: float, variance: float) -> DeepRegression:
    """Return a model of constant mean and covariance."""
    model = network("least_squares")
    assert isinstance(model.head, LeastSquaresHead)
    model.head.linear.weight.data.zero_()
    model.head.linear.bias.data.fill_(bias)
    model.head.target_scale.fill_(1.0)
    model.head.covariance.copy_(variance * torch.eye(3))
    return model


@pytest.mark.parametrize("deviation", [1.0, 50.0])
def test_means_are_compared_in_standard_deviations(deviation: float) -> None:
    pixels = torch.from_numpy(random_images(SIZE))
    model = forward(3.0, deviation**2)
    with torch.no_grad():
        answer = model(pixels)
    exact = {
        "weights": answer.weights,
        "means": answer.means,
        "covariances": answer.covariances,
        "mean": answer.mean,
        "covariance": answer.covariance_matrix,
    }
    assert differences(model, exact, pixels) == dict.fromkeys(exact, 0.0)
    shifted = exact | {"mean": answer.mean + 0.01 * deviation, "covariance": 1.02 * answer.covariance_matrix}
    found = differences(model, shifted, pixels)
    assert found["mean"] == pytest.approx(0.01)
    assert found["covariance"] == pytest.approx(0.02)


@pytest.mark.parametrize("existing", [None, b"of an earlier export"])
@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_a_graph_that_differs_is_not_written(
    existing: bytes | None, wrong: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier file of the same name is kept."""
    path, graph_of = tmp_path / "m.onnx", onnx_file.write_graph
    if existing is not None:
        path.write_bytes(existing)
    monkeypatch.setattr(onnx_file, "write_graph", lambda _: graph_of(forward(3.0 + wrong, 1.0)))
    with pytest.raises(ModelError, match=r"m\.onnx: not written, since its output '(weights|means)'"):
        export_onnx(forward(3.0, 1.0), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if existing is None else ["m.onnx"])
    assert existing is None or path.read_bytes() == existing


def test_a_model_of_wide_predictions_near_zero_is_exported(tmp_path: Path) -> None:
    """Rounding errors in proportion to the standard deviation, as those of a model after little training."""
    model = network("least_squares")
    assert isinstance(model.head, LeastSquaresHead)
    model.head.target_scale.fill_(1e4)
    model.head.covariance.copy_(1e8 * torch.eye(3))
    assert PoseNetwork(export_onnx(model, tmp_path / "m.onnx")).spec.image_size == SIZE
