"""Objectives: the network step's loss is a likelihood, its closed forms are those of other libraries."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from deepgllim.errors import EmptyComponentWarning
from deepgllim.gllim import Parameters, fit, initial_responsibilities, responsibilities, target_responsibilities
from deepgllim.nn.config import ObjectiveConfig
from deepgllim.nn.head import InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
from deepgllim.nn.objectives import (
    InverseRegression,
    LeastSquares,
    MixtureDensity,
    diagonal,
    inverse_regression_loss,
    make_objective,
    signal,
    tied_isotropic,
)
from tests.gllim.strategies import NOISES, full_noise, make_parameters, make_problem, normal

STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]
N, K, D, L = 150, 3, 5, 2


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples() -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and responsibilities, float64."""
    problem = make_problem(4, "diagonal", False, K, L, D, N)
    return problem.features, problem.targets, problem.r


def head_of(parameters: Parameters) -> InverseRegressionHead:
    head = InverseRegressionHead(D, L)
    head.mixture = parameters
    return head


def objective(targets: Tensor, **options: object) -> InverseRegression:
    settings = {"components": K, "frozen_rounds": 0} | options
    return InverseRegression(ObjectiveConfig.model_validate(settings), targets)


# the loss of the network step


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_the_loss_is_the_expected_log_likelihood_without_its_constants(noise: str, tied: bool) -> None:
    """−2 Σ r log N(x; A y + b, Σ) = Σ r (distance + log |2πΣ|), and only the distance depends on the network."""
    p = make_parameters(1, noise, tied, K, L, D)
    x, y, r = samples()
    Sigma = full_noise(p)
    means = torch.einsum("kdl,nl->nkd", p.A, y) + p.b
    log_density = torch.distributions.MultivariateNormal(means, Sigma).log_prob(x[:, None])  # type: ignore[no-untyped-call]
    constants = torch.logdet(2 * math.pi * Sigma)
    expected = (r * (-2 * log_density - constants)).sum() / (N * D)
    # float64, with covariances of condition under a hundred
    torch.testing.assert_close(inverse_regression_loss(x, y, r, p), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("noise", NOISES)
def test_the_loss_is_one_at_the_maximum_of_the_likelihood(noise: str) -> None:
    """At Σ = the residuals' covariance, the mean squared distance is D."""
    x, y, r = samples()
    p = fit(x, y, noise=noise, responsibilities=r, max_iterations=1, variance_floor=0.0).parameters
    torch.testing.assert_close(inverse_regression_loss(x, y, r, p), torch.ones((), dtype=torch.float64))


def test_the_gradient_pulls_each_feature_towards_its_line_and_reaches_nothing_else() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    head = head_of(p)
    x.requires_grad_()
    step = objective(y)
    step.prepare(head, 0)
    step._step = p  # in float64 instead of the network's float32
    step.loss(head, x, y).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        weight = responsibilities(x, y, p)
        residual = x[:, None] - torch.einsum("kdl,nl->nkd", p.A, y) - p.b
        # r is held fixed: it has no share in the gradient
        expected = 2 * torch.einsum("nk,nkd->nd", weight, residual / p.Sigma) / (N * D)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected, atol=1e-12, rtol=1e-10)
    assert all(value.grad is None and not value.requires_grad for value in head.mixture.tensors.values())


def test_prepare_fixes_the_mixture_for_the_epochs() -> None:
    x, y = (value.float() for value in samples()[:2])
    head = head_of(make_parameters(1, "diagonal", False, 1, L, D))
    step = objective(y, components=1)
    step.prepare(head, 0)
    before = step.loss(head, x, y)
    head.mixture = head.mixture._replace(A=head.mixture.A + 1)
    assert torch.equal(step.loss(head, x, y), before)
    step.prepare(head, 1)
    assert not torch.equal(step.loss(head, x, y), before)


def test_the_loss_of_float32_features_is_float32() -> None:
    x, y, _ = samples()
    head = head_of(make_parameters(1, "full", True, K, L, D))
    step = objective(y)
    step.prepare(head, 0)
    assert step.loss(head, x.float(), y.float()).dtype == torch.float32


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_tied_isotropic_noise_is_the_mean_variance(noise: str, tied: bool) -> None:
    p = make_parameters(1, noise, tied, K, L, D)
    found = tied_isotropic(p)
    expected = torch.einsum("k,kdd->", p.pi, full_noise(p)) / D
    assert (found.noise, found.tied) == ("isotropic", True)
    torch.testing.assert_close(found.Sigma, expected[None])
    assert torch.equal(found.A, p.A)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_diagonal_noise_leaves_the_covariances_of_features_out(noise: str, tied: bool) -> None:
    p = make_parameters(1, noise, tied, K, L, D)
    found = diagonal(p)
    assert found.tied == tied
    torch.testing.assert_close(full_noise(found), torch.diag_embed(full_noise(p).diagonal(dim1=1, dim2=2)))


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_signal_noise_weighs_every_target_alike(noise: str, tied: bool) -> None:
    """A step of one standard deviation in any direction of the targets is at distance 1, in whatever units they are."""
    p = make_parameters(1, noise, tied, K, L, D)
    y = p.c + 0.0
    mean = p.pi @ y
    spread = torch.einsum("k,kij->ij", p.pi, p.Gamma) + torch.einsum("k,ki,kj->ij", p.pi, y - mean, y - mean)
    steps = p.A @ torch.linalg.cholesky(spread)  # (K, D, L)
    found = signal(p)
    assert (found.noise, found.tied) == ("full", False)
    distances = steps.mT @ torch.linalg.solve(found.Sigma, steps)
    torch.testing.assert_close(distances, torch.eye(L, dtype=y.dtype).expand(K, L, L))
    units = torch.tensor([1.0, 1000.0], dtype=y.dtype)
    rescaled = p._replace(A=p.A / units, c=p.c * units, Gamma=p.Gamma * torch.outer(units, units))
    torch.testing.assert_close(signal(rescaled).Sigma, found.Sigma)


def test_signal_noise_of_a_dead_target_stays_positive() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    dead = signal(p._replace(A=p.A * torch.tensor([1.0, 0.0], dtype=p.A.dtype)))
    values = torch.linalg.eigvalsh(dead.Sigma)
    torch.testing.assert_close(values[:, 0] / values[:, -1], torch.full((K,), 1e-3 / D, dtype=values.dtype))


def test_tied_isotropic_noise_leaves_the_gradient_of_a_plain_squared_error() -> None:
    """With one σ² the weights of features and components drop out, as in the authors' code."""
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    x.requires_grad_()
    step = objective(y, network_noise="tied_isotropic", responsibilities="targets")
    step.prepare(head_of(p), 0)
    step._step = step._step and step._step.to(torch.float64)
    step.loss(head_of(p), x, y).backward()  # type: ignore[no-untyped-call]
    r = target_responsibilities(y, p)
    residual = x.detach()[:, None] - torch.einsum("kdl,nl->nkd", p.A, y) - p.b
    pull = torch.einsum("nk,nkd->nd", r, residual)
    assert x.grad is not None
    cosine = torch.nn.functional.cosine_similarity(x.grad.flatten(), pull.flatten(), dim=0)
    assert cosine == pytest.approx(1.0, abs=1e-6)  # its Σ was in float32


# responsibilities of the network step


def assigned(step: InverseRegression, p: Parameters, round_: int = 0) -> Tensor:
    x, y, _ = samples()
    step.prepare(head_of(p), round_)
    return step._assign(p, x, y)


def test_responsibilities_come_from_features_and_targets_or_from_targets() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    assert torch.equal(assigned(objective(y), p), responsibilities(x, y, p))
    assert torch.equal(assigned(objective(y, responsibilities="targets"), p), target_responsibilities(y, p))
    assert not torch.allclose(responsibilities(x, y, p), target_responsibilities(y, p), atol=0.1)


def test_while_frozen_they_come_from_the_targets() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    step = objective(y, frozen_rounds=2)
    assert torch.equal(assigned(step, p, round_=1), target_responsibilities(y, p))
    assert torch.equal(assigned(step, p, round_=2), responsibilities(x, y, p))


def test_sampled_assignments_are_one_of_k_with_the_probability_of_each() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    _, y, _ = samples()
    step = objective(y, assignment="sampled", responsibilities="targets")
    torch.manual_seed(0)
    draws = torch.stack([assigned(step, p) for _ in range(300)])
    assert ((draws == 0) | (draws == 1)).all()
    assert (draws.sum(-1) == 1).all()
    # a share of 300 draws has a standard error of at most 0.03
    torch.testing.assert_close(draws.mean(0), target_responsibilities(y, p), atol=0.12, rtol=0)


def test_one_component_has_all_the_weight() -> None:
    _, y, _ = samples()
    assert torch.equal(assigned(objective(y), make_parameters(1, "diagonal", False, 1, L, D)), y.new_ones(N, 1))


# the closed-form step


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_solve_for_one_component_is_gllims_fit(noise: str, tied: bool) -> None:
    x, y, _ = samples()
    head = InverseRegressionHead(D, L)
    step = objective(y, components=1, noise=noise, tied=tied)
    expected = fit(x, y, 1, noise=noise, tied=tied, variance_floor=1e-4)
    for round_ in (-1, 0):  # EM from its own answer stays there
        figures = step.solve(head, x, y, round_)
        for name, value in expected.parameters._asdict().items():
            torch.testing.assert_close(getattr(head.mixture, name), value, atol=1e-10, rtol=1e-10)
    assert figures["log_likelihood"] == pytest.approx(expected.log_likelihoods[-1] / N)
    assert figures["components"] == 1


def test_while_frozen_solve_keeps_the_first_responsibilities() -> None:
    x, y, _ = samples()
    step, head = objective(y, frozen_rounds=2), InverseRegressionHead(D, L)
    start = initial_responsibilities(y, K, 0)
    expected = fit(x, y, responsibilities=start, max_iterations=1, variance_floor=1e-4)
    for round_ in (-1, 0):  # the solution after round 0 is for round 1, which is frozen too
        figures = step.solve(head, x, y, round_)
        assert torch.equal(head.mixture.A, expected.parameters.A)
        assert figures["em_iterations"] == 1
    step.solve(head, x, y, 1)
    assert not torch.equal(head.mixture.A, expected.parameters.A)


def test_after_that_em_goes_on_from_the_last_mixture() -> None:
    x, y, _ = samples()
    step, head = objective(y), InverseRegressionHead(D, L)
    step.solve(head, x, y, -1)
    first = head.mixture
    step.solve(head, x, y, 0)
    expected = fit(x, y, start=first, variance_floor=1e-4, tolerance=1e-3, max_iterations=100)
    assert torch.equal(head.mixture.A, expected.parameters.A)


def test_em_from_targets_keeps_components_that_moved_features_would_empty() -> None:
    """Features far from the last lines belong, by them, to one component; by their targets, to all."""
    x, y, _ = samples()
    heads = {start: InverseRegressionHead(D, L) for start in ("parameters", "targets")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyComponentWarning)
        for start, head in heads.items():
            step = objective(y, em_start=start)
            step.solve(head, x, y, -1)
            step.solve(head, x + 1e3, y, 0)
    assert heads["parameters"].mixture.n_components < K
    assert heads["targets"].mixture.n_components == K


def test_em_that_has_not_converged_is_no_cause_for_a_warning() -> None:
    """The next round goes on; the tests' settings would make an error of it."""
    x, y, _ = samples()
    step, head = objective(y, max_iterations=2, tolerance=1e-12), InverseRegressionHead(D, L)
    step.solve(head, x, y, -1)
    assert step.solve(head, x, y, 0)["em_iterations"] == 2


# least squares


def started(ridge: float = 0.3, round_: int = -1) -> tuple[LeastSquaresHead, Tensor, Tensor]:
    x = (3 * normal(generator(1), N, D) + 2).float()
    y = (20 * x[:, :L].double() + 10 * normal(generator(2), N, L) + 40).float()
    head = LeastSquaresHead(D, L)
    LeastSquares(ObjectiveConfig(name="least_squares", ridge=ridge)).solve(head, x, y, round_)
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
    LeastSquares(ObjectiveConfig()).solve(head, x, y + 5, 0)
    assert torch.equal(head.linear.weight, weight)
    assert torch.equal(head.target_mean, mean)
    residual = (y + 5 - head.point(x)).detach().double()
    torch.testing.assert_close(head.covariance, residual.T @ residual / N, rtol=1e-6, atol=1e-5)
    assert not torch.equal(head.covariance, before)


def test_an_exact_fit_and_a_constant_target_still_give_a_distribution() -> None:
    x = normal(generator(1), N, D).float()
    y = torch.cat([x[:, :1], torch.full((N, 1), 7.0)], 1)
    head = LeastSquaresHead(D, L)
    LeastSquares(ObjectiveConfig(ridge=1e-9)).solve(head, x, y, -1)
    assert torch.isfinite(head(x).log_prob(y.double())).all()
    torch.testing.assert_close(head(x).mean[:, 1], torch.full((N,), 7.0, dtype=torch.float64))


def test_the_loss_is_the_mean_squared_error_of_standardised_targets() -> None:
    head, x, y = started()
    found = LeastSquares(ObjectiveConfig()).loss(head, x, y)
    expected = (((head.point(x) - y) / y.std(0)) ** 2).mean()
    torch.testing.assert_close(found, expected)


def test_the_loss_does_not_depend_on_the_targets_unit() -> None:
    head, x, y = started()
    other = LeastSquaresHead(D, L)
    step = LeastSquares(ObjectiveConfig(ridge=0.3))
    step.solve(other, x, 100 * y + 3, -1)
    torch.testing.assert_close(step.loss(other, x, 100 * y + 3), step.loss(head, x, y), rtol=1e-4, atol=0)


# mixture density


def started_density(components: int) -> tuple[MixtureDensityHead, MixtureDensity, Tensor, Tensor]:
    x = (3 * normal(generator(1), N, D) + 2).float()
    y = (20 * x[:, :L].double() + 10 * normal(generator(2), N, L) + 40).float()
    head = MixtureDensityHead(D, L)
    step = MixtureDensity(ObjectiveConfig(name="mixture_density", ridge=0.3, components=components))
    step.solve(head, x, y, -1)
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
    torch.testing.assert_close(step.loss(head, x, y).double(), expected, rtol=1e-5, atol=1e-5)  # float32


def test_a_mixture_density_learns_two_answers_of_one_input() -> None:
    """y = ±(30 + x) with equal chance: the error of the mean stays, the likelihood finds both branches."""
    x = normal(generator(1), 400, D).float()
    sign = torch.where(torch.rand(400, 1, generator=generator(2)) < 0.5, -1.0, 1.0)
    y = sign * (30 + x[:, :1]) + torch.randn(400, 1, generator=generator(3))
    head = MixtureDensityHead(D, 1)
    step = MixtureDensity(ObjectiveConfig(name="mixture_density", components=2))
    step.solve(head, x, y, -1)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        step.loss(head, x, y).backward()  # type: ignore[no-untyped-call]
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
    assert step.solve(head, x + 1, y + 5, 0) == {}
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_the_recipe_names_the_objective() -> None:
    y = torch.randn(20, 2, generator=generator())
    assert isinstance(make_objective(ObjectiveConfig(name="least_squares"), y), LeastSquares)
    assert isinstance(make_objective(ObjectiveConfig(name="mixture_density"), y), MixtureDensity)
    assert isinstance(make_objective(ObjectiveConfig(), y), InverseRegression)
