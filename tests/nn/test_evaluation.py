"""Evaluation: figures agree with a direct computation, and calibration is the maximum of the likelihood."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepgllim import metrics
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.gllim import Parameters, sample
from deepgllim.nn.backbones import wrap_module
from deepgllim.nn.evaluation import (
    best_scale,
    calibrate,
    collect_normalised,
    compute_metrics,
    evaluate,
    predict_inputs,
    scaled,
)
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inputs import ArrayInputs
from deepgllim.nn.model import DeepRegression, ModelSpec
from tests.gllim.strategies import make_parameters
from tests.nn.tiny import TARGETS, Head, faces, model, vectors

D, L = 4, 2


def through(parameters: Parameters) -> DeepRegression:
    """A model whose features are its inputs, up to the normalisation's ε of 1e-5."""
    spec = ModelSpec(backbone="custom", projection=None, head="inverse_regression", targets=TARGETS)
    network = DeepRegression(spec, wrap_module(nn.Identity(), feature_size=D))
    network.head = InverseRegressionHead(D, L)
    network.head.mixture = parameters
    return network


def drawn(parameters: Parameters, n: int, seed: int) -> ArrayInputs:
    """Features and targets from the model itself."""
    x, y = sample(parameters, n, torch.Generator().manual_seed(seed))
    return ArrayInputs(x.float(), y.float())


@torch.no_grad()
@pytest.mark.parametrize("head", ["inverse_regression", "least_squares", "mixture_density"])
def test_predictions_are_those_of_the_model_in_order(head: Head) -> None:
    network, inputs = model(head), vectors(70)  # more than one batch of 64
    found = predict_inputs(network, inputs, level=0.8)
    expected = network.eval()(inputs.values)
    y = inputs.targets.double()
    # float32 features; batches of another size sum in another order
    for name, value in {
        "mean": expected.mean,
        "covariance": expected.covariance_matrix,
        "log_probability": expected.log_prob(y),
        "lower": expected.quantile(0.1),
        "upper": expected.quantile(0.9),
        "targets": y,
    }.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-5, atol=1e-5)
        assert getattr(found, name).dtype == np.float64
    if head != "inverse_regression":
        assert np.isnan(found.log_density).all()
    else:
        np.testing.assert_allclose(found.log_density, expected.input_log_density, rtol=1e-5)


def test_features_are_collected_plain_and_in_evaluation_mode() -> None:
    network = model(projection=None, backbone=wrap_module(nn.Flatten(), feature_size=768))
    inputs = faces()  # augmented
    network.train()
    found = collect_normalised(network, inputs)
    plain = torch.stack([inputs[index, None][0] for index in range(len(inputs))])
    torch.testing.assert_close(found, plain.flatten(1) / math.sqrt(1 + 1e-5))
    assert float(network.normalisation.running_mean.abs().max()) == 0  # type: ignore[union-attr]


def test_figures_are_the_measures_of_the_predictions() -> None:
    network, inputs = model(), vectors(30)
    found, p = evaluate(network, inputs), predict_inputs(network, inputs)
    assert found["n"] == 30
    error = np.abs(p.mean - p.targets).mean(0)
    assert found["mae_pitch"] == pytest.approx(error[0])
    assert found["mae"] == pytest.approx(error.mean())
    assert found["nll"] == pytest.approx(-p.log_probability.mean())
    assert found["log_density"] == pytest.approx(p.log_density.mean())
    inside = (p.lower <= p.targets) & (p.targets <= p.upper)
    assert [found["coverage_90_pitch"], found["coverage_90_yaw"]] == pytest.approx(list(inside.mean(0)))
    assert found["width_90_yaw"] == pytest.approx((p.upper - p.lower)[:, 1].mean())
    assert found["geodesic"] == pytest.approx(metrics.geodesic_error(p.targets, p.mean, TARGETS).mean())


def test_figures_of_a_head_without_log_density() -> None:
    assert math.isnan(evaluate(model("least_squares"), vectors(20))["log_density"])
    assert "mae_a" in compute_metrics(predict_inputs(model(), vectors(20)), ("a", "b"))


def shrunk(scale: float, K: int) -> tuple[DeepRegression, ArrayInputs]:
    """A model with predicted covariances of `scale` times the right ones, and data of the right one."""
    right = make_parameters(6, "diagonal", False, K, L, D)
    network = through(right)
    network.head.covariance_scale.fill_(scale)
    return network, drawn(right, 4000, seed=1)


@torch.no_grad()
def squared_mahalanobis(network: DeepRegression, inputs: ArrayInputs) -> Tensor:
    """(y − m)ᵀ S⁻¹ (y − m) at a scale of 1, (N,)."""
    network.head.covariance_scale.fill_(1.0)
    answer = network.eval()(inputs.values)
    deviation = inputs.targets - answer.mean
    return torch.einsum("nl,nlm,nm->n", deviation, torch.linalg.inv(answer.covariance_matrix), deviation)


def test_for_one_component_calibration_is_the_mean_squared_distance() -> None:
    """d/ds of −½ (L log s + d²/s) is zero at s = mean(d²)/L."""
    network, inputs = shrunk(1.0, 1)
    inputs.targets = inputs.targets * 1.5
    expected = float(squared_mahalanobis(network, inputs).mean()) / L
    network.head.covariance_scale.fill_(7.0)  # what was there before does not matter
    # the search ends within 1e-5 of the logarithm
    assert calibrate(network, inputs) == pytest.approx(expected, rel=1e-4)
    assert float(network.head.covariance_scale) == pytest.approx(expected, rel=1e-4)


def test_least_squares_is_calibrated_the_same_way() -> None:
    network, inputs = model("least_squares"), vectors(200)
    expected = float(squared_mahalanobis(network, inputs).mean()) / L
    assert 1.0 < expected < 1000  # within the search's bounds
    assert calibrate(network, inputs) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("K", [1, 3])
def test_data_of_the_model_itself_need_no_scale(K: int) -> None:
    network, inputs = shrunk(0.2, K)
    # a variance from 4000 × 2 squares has a relative standard error of √(2/8000) = 0.016
    assert calibrate(network, inputs) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("K", [1, 3])
def test_calibrated_intervals_hold_nine_in_ten(K: int) -> None:
    network, inputs = shrunk(0.2, K)
    before = evaluate(network, inputs)
    assert before["coverage_90_yaw"] < 0.75
    calibrate(network, inputs)
    after = evaluate(network, drawn(make_parameters(6, "diagonal", False, K, L, D), 4000, seed=2))
    for name in TARGETS:
        # four standard errors of a share of 4000, and the scale's own error
        assert after[f"coverage_90_{name}"] == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4000) + 0.01)
    assert after["nll"] < before["nll"]


def test_calibration_is_the_best_of_its_neighbours() -> None:
    network, inputs = shrunk(1.0, 3)
    inputs.targets = inputs.targets + torch.tensor([0.5, 0.0])
    best = calibrate(network, inputs)
    at_best = evaluate(network, inputs)["nll"]
    for factor in (0.97, 1.03):
        network.head.covariance_scale.fill_(best * factor)
        assert evaluate(network, inputs)["nll"] > at_best


@pytest.mark.parametrize("factor", [1e-2, 3.0, 1e5])
def test_the_best_scale_undoes_covariances_that_are_wrong_by_any_factor(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    errors = torch.randn(2000, 2, generator=generator, dtype=torch.float64)
    means, covariances = torch.zeros(2000, 1, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[None]
    distribution = MultivariateGaussianMixture(torch.zeros(2000, 1), means, covariances / factor)
    expected = factor * float(errors.square().mean())  # the mean squared Mahalanobis distance / L
    assert best_scale(distribution, errors) == pytest.approx(expected, rel=1e-4)  # the search ends at 1e-5
    torch.testing.assert_close(
        scaled(distribution, expected).covariances[0, 0], errors.square().mean() * covariances[0]
    )
