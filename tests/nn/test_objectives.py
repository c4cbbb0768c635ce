"""Objectives beside inverse regression: their closed forms are those of other libraries."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.head import HEADS, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.inverse_regression import InverseRegression
from deepgllim.nn.objectives import LeastSquares, MixtureDensity, make_objective
from tests.gllim.strategies import normal

N, D, L = 150, 5, 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# least squares


def started(ridge: float = 0.3) -> tuple[LeastSquaresHead, Tensor, Tensor]:
    x = (3 * normal(generator(1), N, D) + 2).float()
    y = (20 * x[:, :L].double() + 10 * normal(generator(2), N, L) + 40).float()
    head = LeastSquaresHead(D, L)
    LeastSquares(head, ObjectiveConfig(name="least_squares", ridge=ridge)).start(x, y)
    return head, x, y


@pytest.mark.parametrize("ridge", [1e-6, 0.3])
def test_the_start_is_scikit_learns_ridge_regression(ridge: float) -> None:
    """Theirs penalises the sum of squares, ours the mean: α = λ N."""
    head, x, y = started(ridge)
    standard = ((y - y.mean(0)) / y.std(0)).double().numpy()
    reference = Ridge(alpha=ridge * N).fit(x.double().numpy(), standard)
    # the layer keeps float32
    np.testing.assert_allclose(head.linear.weight.detach(), reference.coef_, atol=1e-6, rtol=1e-5)
    np.testing.assert_allclose(head.linear.bias.detach(), reference.intercept_, atol=1e-6, rtol=1e-5)


def test_the_covariance_is_that_of_the_residuals() -> None:
    head, x, y = started()
    residual = (y - head.point(x)).detach().double().numpy()
    np.testing.assert_allclose(head.covariance, residual.T @ residual / N, rtol=1e-6, atol=1e-5)


def test_after_the_start_only_the_covariance_is_solved() -> None:
    head, x, y = started()
    weight, mean = head.linear.weight.detach().clone(), head.target_mean.clone()
    before = head.covariance.clone()
    LeastSquares(head, ObjectiveConfig()).solve(x, y + 5, 0)
    assert torch.equal(head.linear.weight, weight)
    assert torch.equal(head.target_mean, mean)
    residual = (y + 5 - head.point(x)).detach().double()
    torch.testing.assert_close(head.covariance, residual.T @ residual / N, rtol=1e-6, atol=1e-5)
    assert not torch.equal(head.covariance, before)


@pytest.mark.parametrize("refit", [True, False])
def test_the_refit_takes_the_covariance_of_the_residuals_given(refit: bool) -> None:
    head, x, y = started()
    before = head.covariance.clone()
    LeastSquares(head, ObjectiveConfig(refit=refit)).refit(x[:40], y[:40] + 5)
    residual = (y[:40] + 5 - head.point(x[:40])).detach().double()
    torch.testing.assert_close(head.covariance, residual.T @ residual / 40 if refit else before, rtol=1e-6, atol=1e-5)


def test_an_exact_fit_and_a_constant_target_still_give_a_distribution() -> None:
    x = normal(generator(1), N, D).float()
    y = torch.cat([x[:, :1], torch.full((N, 1), 7.0)], 1)
    head = LeastSquaresHead(D, L)
    LeastSquares(head, ObjectiveConfig(ridge=1e-9)).start(x, y)
    assert torch.isfinite(head(x).log_prob(y.double())).all()
    torch.testing.assert_close(head(x).mean[:, 1], torch.full((N,), 7.0, dtype=torch.float64))


def test_the_loss_is_the_mean_squared_error_of_standardised_targets() -> None:
    head, x, y = started()
    found = LeastSquares(head, ObjectiveConfig()).loss(x, y)
    expected = (((head.point(x) - y) / y.std(0)) ** 2).mean()
    torch.testing.assert_close(found, expected)


def test_the_loss_does_not_depend_on_the_targets_unit() -> None:
    head, x, y = started()
    other = LeastSquaresHead(D, L)
    config = ObjectiveConfig(ridge=0.3)
    step = LeastSquares(other, config)
    step.start(x, 100 * y + 3)
    expected = LeastSquares(head, config).loss(x, y)
    torch.testing.assert_close(step.loss(x, 100 * y + 3), expected, rtol=1e-4, atol=0)


# mixture density


def started_density(components: int) -> tuple[MixtureDensityHead, MixtureDensity, Tensor, Tensor]:
    x = (3 * normal(generator(1), N, D) + 2).float()
    y = (20 * x[:, :L].double() + 10 * normal(generator(2), N, L) + 40).float()
    head = MixtureDensityHead(D, L)
    step = MixtureDensity(head, ObjectiveConfig(name="mixture_density", ridge=0.3, n_components=components))
    step.start(x, y)
    return head, step, x, y


@pytest.mark.parametrize("components", [1, 4])
def test_a_mixture_density_starts_near_least_squares(components: int) -> None:
    """A tenth of the residuals' deviation apart in the mean of each component, and the residuals' covariance."""
    head, _, x, _ = started_density(components)
    reference, _, _ = started()
    answer, expected = head(x), reference(x)
    assert head.n_components == components
    deviation = expected.covariance_matrix[0].diagonal().sqrt()
    apart = ((answer.means - expected.mean[:, None]) / deviation).detach()
    assert float(apart.abs().max()) < 0.5
    torch.testing.assert_close(answer.weights, torch.full_like(answer.weights, 1 / components))
    # the reference's covariance is in float64, the layer's bias in float32
    torch.testing.assert_close(answer.covariances[:, 0], expected.covariance_matrix, rtol=1e-3, atol=1e-2)
    if components > 1:
        assert float(apart.std(1).min()) > 0.01


def test_the_mixture_densitys_loss_is_the_likelihood_of_its_prediction() -> None:
    """In standardised targets, so log p differs by the logarithm of the scales."""
    head, step, x, y = started_density(3)
    torch.nn.init.normal_(head.linear.weight, std=0.1, generator=generator(4))
    expected = -(head(x).log_prob(y.double()).mean() + head.target_scale.double().log().sum()) / L
    torch.testing.assert_close(step.loss(x, y).double(), expected, rtol=1e-5, atol=1e-5)  # float32


def test_a_mixture_density_learns_two_answers_of_one_input() -> None:
    """y = ±(30 + x) with equal chance: the error of the mean stays, the likelihood finds both branches."""
    x = normal(generator(1), 400, D).float()
    sign = torch.where(torch.rand(400, 1, generator=generator(2)) < 0.5, -1.0, 1.0)
    y = sign * (30 + x[:, :1]) + torch.randn(400, 1, generator=generator(3))
    head = MixtureDensityHead(D, 1)
    step = MixtureDensity(head, ObjectiveConfig(name="mixture_density", n_components=2))
    step.start(x, y)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        step.loss(x, y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        answer = head(x)
        means = answer.means.sort(1).values[..., 0]
        branches = torch.stack([-30 - x[:, 0], 30 + x[:, 0]], 1)
        # noise of 1 about each branch; one Gaussian about both has a standard deviation of 30
        assert float((means - branches).abs().mean()) < 1.0
        np.testing.assert_allclose(answer.covariances.sqrt().mean(), 1.0, atol=0.3)


def test_only_gradients_move_a_mixture_density_after_its_start() -> None:
    head, step, x, y = started_density(2)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    assert step.solve(x + 1, y + 5, 0) == {}
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inverse_regression", InverseRegression),
        ("least_squares", LeastSquares),
        ("mixture_density", MixtureDensity),
    ],
)
def test_the_recipe_names_the_objective(name: str, expected: type) -> None:
    recipe = Recipe().override({"objective.name": name})
    targets = torch.randn(20, 2, generator=generator())
    assert isinstance(make_objective(HEADS[name](3, 2), recipe, targets), expected)


def test_a_head_of_another_objective_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'inverse_regression', but the model has the head LeastSquaresHead"):
        make_objective(HEADS["least_squares"](3, 2), Recipe(), torch.zeros(20, 2))
