"""The objective of inverse regression: a family of likelihoods, and θ that follows the batches."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from deepgllim.errors import EmptyComponentWarning
from deepgllim.gllim import (
    Centred,
    DensityModel,
    Parameters,
    initial_responsibilities,
    joint_log_density,
    responsibilities,
    target_responsibilities,
)
from deepgllim.nn.config import Recipe
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inverse_regression import InverseRegression, free_energy
from deepgllim.nn.step_noise import tied_isotropic
from tests.gllim.strategies import NOISES, fit, full_noise, make_parameters, make_problem

STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]
N, K, D, L = 150, 3, 5, 2


def samples() -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and responsibilities, float64."""
    problem = make_problem(4, "diagonal", False, K, L, D, N)
    return problem.features, problem.targets, problem.r


def head_of(parameters: Parameters) -> InverseRegressionHead:
    head = InverseRegressionHead(D, L)
    head.mixture = parameters
    return head


def objective(targets: Tensor, head: InverseRegressionHead | None = None, **options: object) -> InverseRegression:
    """An objective with K = 3 and nothing frozen; options of the objective by name, of the schedule as schedule__em."""
    settings = {"n_components": K, "frozen_rounds": 0} | options
    names = {name: name.replace("__", ".") if "__" in name else f"objective.{name}" for name in settings}
    recipe = Recipe().override({names[name]: value for name, value in settings.items()})
    return InverseRegression(head or InverseRegressionHead(D, L), recipe, targets)


def gradient(step: InverseRegression, p: Parameters, round_: int = 0) -> Tensor:
    """The gradient of the loss of all samples with respect to the features."""
    x, y, _ = samples()
    x.requires_grad_()
    step.head.mixture = p
    step.prepare(round_)
    step.loss(x, y).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert all(value.grad is None and not value.requires_grad for value in step.head.mixture.tensors.values())
    return x.grad


def pull(p: Parameters, r: Tensor) -> Tensor:
    """Σ_k r_nk Σ_k⁻¹ (x_n − A_k y_n − b_k), (N, D): the direction of the paper's network step."""
    x, y, _ = samples()
    residual = x[:, None] - torch.einsum("kdl,nl->nkd", p.A, y) - p.b
    return torch.einsum("nk,kde,nke->nd", r, torch.linalg.inv(full_noise(p)), residual)


# the family


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_with_beta_0_the_gradient_is_that_of_the_papers_equation_9(noise: str, tied: bool) -> None:
    """The responsibilities are held fixed, and the size is that of ‖·‖² / D, whatever the number of features."""
    p = make_parameters(1, noise, tied, K, L, D)
    x, y, _ = samples()
    expected = 2 * pull(p, responsibilities(x, y, p)) / (N * D)
    torch.testing.assert_close(gradient(objective(y, beta=0), p), expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_with_beta_1_the_loss_is_the_conditional_likelihood_of_the_prediction(noise: str, tied: bool) -> None:
    p = make_parameters(1, noise, tied, K, L, D)
    x, y, _ = samples()
    head = head_of(p)
    step = objective(y, head, beta=1)
    step.prepare(0)
    expected = -head(x).log_prob(y).mean() / L
    torch.testing.assert_close(step.loss(x, y), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("beta", [0.3, 0.9])
def test_between_them_the_gradient_is_a_sum_of_both(beta: float) -> None:
    p = make_parameters(1, "full", False, K, L, D)
    y = samples()[1]
    first, last = (gradient(objective(y, beta=b), p) * scale for b, scale in ((0, D / 2), (1, L)))
    mixed = gradient(objective(y, beta=beta), p) * ((1 - beta) * D / 2 + beta * L)
    torch.testing.assert_close(mixed, (1 - beta) * first + beta * last, atol=1e-12, rtol=1e-9)


def test_given_responsibilities_bound_the_likelihood_from_above() -> None:
    """F − (−log p) is the mean Kullback–Leibler divergence of r from p(k | x, y)."""
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, r = samples()
    model = DensityModel.of(p)
    exact = responsibilities(x, y, p)
    found = free_energy(x, y, r, model, 1.0) - free_energy(x, y, None, model, 1.0)
    divergence = (r * (r.clamp_min(1e-300).log() - exact.log())).sum(1).mean() / L
    torch.testing.assert_close(found, divergence, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(free_energy(x, y, exact, model, 0.5), free_energy(x, y, None, model, 0.5))


def test_beta_1_has_its_minimum_where_features_can_shrink_no_further() -> None:
    """Features that shrink onto A y + b, with θ after them, gain joint likelihood without bound, but no conditional."""
    _, y, _ = samples()
    g = torch.Generator().manual_seed(0)
    direction = torch.randn(D, L, generator=g).double()
    noise = torch.randn(N, D, generator=g).double()
    losses: dict[float, list[float]] = {0.0: [], 1.0: []}
    for size in (1.0, 1e-2, 1e-4):
        x = size * (y @ direction.T + 0.5 * noise)
        model = DensityModel.of(fit(x, y, covariance_type="full", covariance_floor=0.0).parameters)
        for beta, values in losses.items():
            values.append(float(free_energy(x, y, None, model, beta)))
    assert losses[0.0][0] > losses[0.0][1] + 4 > losses[0.0][2] + 8
    assert losses[1.0][1:] == pytest.approx([losses[1.0][0]] * 2, abs=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_target_noise_raises_the_share_of_a_target_with_large_residuals(beta: float) -> None:
    """The gradient of a target that the features hardly show grows beside that of one that they show well."""
    _, y, _ = samples()
    g = torch.Generator().manual_seed(0)
    x = torch.cat([y[:, :1] + 0.05 * torch.randn(N, 1, generator=g), y[:, 1:] + 5 * torch.randn(N, 1, generator=g)], 1)
    x = torch.cat([x, torch.randn(N, D - 2, generator=g)], 1).double()
    head = head_of(fit(x, y, covariance_type="full").parameters)
    shares = []
    for noise in (0.0, 1.0):
        step, features = (
            objective(y, head, n_components=1, covariance_type="full", beta=beta, target_noise=noise),
            x.clone(),
        )
        features.requires_grad_()
        step.prepare(0)
        step.loss(features, y).backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        size = features.grad.square().mean(0)
        shares.append(float(size[1] / size[0]))
    assert shares[1] > 3 * shares[0]


def test_the_loss_of_float32_features_is_float32() -> None:
    x, y, _ = samples()
    head = head_of(make_parameters(1, "full", True, K, L, D))
    step = objective(y, head)
    step.prepare(0)
    assert step.loss(x.float(), y.float()).dtype == torch.float32


def test_tied_isotropic_noise_leaves_the_gradient_of_a_plain_squared_error() -> None:
    """With one σ² the weights of features and components drop out, as in the authors' code."""
    p = make_parameters(1, "diagonal", False, K, L, D)
    _, y, _ = samples()
    found = gradient(objective(y, beta=0, network_noise="tied_isotropic", responsibilities="targets"), p)
    plain = pull(tied_isotropic(p), target_responsibilities(y, p))
    torch.testing.assert_close(found, 2 * plain / (N * D), atol=1e-12, rtol=1e-9)


# responsibilities of the network step


def assigned(step: InverseRegression, p: Parameters, round_: int = 0) -> Tensor:
    x, y, _ = samples()
    step.head.mixture = p
    step.prepare(round_)
    return step._assign(x, y)


def test_responsibilities_come_from_features_and_targets_or_from_targets() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    torch.testing.assert_close(assigned(objective(y), p), responsibilities(x, y, p))
    found = assigned(objective(y, responsibilities="targets"), p)
    torch.testing.assert_close(found, target_responsibilities(y, p), atol=1e-12, rtol=1e-12)
    assert not torch.allclose(responsibilities(x, y, p), target_responsibilities(y, p), atol=0.1)


def test_while_frozen_they_come_from_the_targets() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    x, y, _ = samples()
    step = objective(y, frozen_rounds=2)
    torch.testing.assert_close(assigned(step, p, round_=1), target_responsibilities(y, p), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(assigned(step, p, round_=2), responsibilities(x, y, p))


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


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_sampled_assignments_have_finite_losses(beta: float) -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    assert bool(torch.isfinite(gradient(objective(samples()[1], beta=beta, assignment="sampled"), p)).all())


def test_one_component_has_all_the_weight() -> None:
    _, y, _ = samples()
    assert torch.equal(assigned(objective(y), make_parameters(1, "diagonal", False, 1, L, D)), y.new_ones(N, 1))


# θ within a round


def followed(p: Parameters, steps: int = 40, **options: object) -> InverseRegressionHead:
    """The head after some batches of 50 samples."""
    x, y, _ = samples()
    settings: dict[str, object] = {"schedule__batch_size": 50, "schedule__em_every": 1, "covariance_floor": 1e-6}
    head = head_of(p)
    step = objective(y, head, n_components=p.n_components, covariance_type=p.covariance_type, **settings | options)
    step.prepare(0)
    for index in range(steps):
        rows = slice(50 * (index % 3), 50 * (index % 3) + 50)
        step.update(x[rows], y[rows])
    return head


def test_a_fixed_mixture_stays_within_the_round() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    assert torch.equal(followed(p, schedule__em="round").mixture.A, p.A)


def test_a_mixture_that_follows_approaches_em_on_the_batches() -> None:
    x, y, _ = samples()
    p = make_parameters(1, "full", False, 1, L, D)
    found = followed(p, steps=90, schedule__em_window=4.0).mixture
    expected = fit(x, y, covariance_type="full").parameters
    # running averages over 12 batches of three kinds weigh the last a little more
    torch.testing.assert_close(found.A, expected.A, atol=0.05, rtol=0.1)
    torch.testing.assert_close(found.Sigma, expected.Sigma, atol=0.05, rtol=0.2)


def test_the_loss_is_that_of_the_mixture_as_it_stands() -> None:
    x, y, _ = samples()
    p = make_parameters(1, "diagonal", False, K, L, D)
    head = head_of(p)
    step = objective(y, head, schedule__em_every=2)
    step.prepare(0)
    before = step.loss(x, y)
    step.update(x, y)
    assert torch.equal(step.loss(x, y), before)  # the M-step comes with the second batch
    step.update(x, y)
    after = step.loss(x, y)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, free_energy(x, y, None, DensityModel.of(head.mixture), 1.0))


def test_a_component_that_no_batch_belongs_to_is_seeded_again() -> None:
    y = samples()[1]
    p = make_parameters(1, "diagonal", False, K, L, D)
    away = p._replace(c=torch.cat([p.c[:2], p.c[2:] + 1e4]), pi=torch.tensor([0.45, 0.45, 0.1]).double())
    found = followed(away, steps=60).mixture
    assert found.n_components == K
    assert float(found.pi.min()) > 0.02
    assert float((found.c - y.mean(0)).abs().max()) < 100


# the closed-form step


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_solve_for_one_component_is_gllims_fit(noise: str, tied: bool) -> None:
    x, y, _ = samples()
    head = InverseRegressionHead(D, L)
    step = objective(y, head, n_components=1, covariance_type=noise, tied=tied)
    expected = fit(x, y, covariance_type=noise, tied=tied, covariance_floor=1e-4)
    step.start(x, y)
    first = head.mixture
    metrics = step.solve(x, y, 0)  # EM from its own result stays there
    for name, value in expected.parameters._asdict().items():
        torch.testing.assert_close(getattr(first, name), value, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(getattr(head.mixture, name), value, atol=1e-10, rtol=1e-10)
    assert metrics["log_likelihood"] == pytest.approx(expected.log_likelihoods[-1] / N)
    assert metrics["components"] == 1


def test_solve_shrinks_the_noise_as_the_recipe_says() -> None:
    x, y, _ = samples()
    head = InverseRegressionHead(D, L)
    objective(y, head, n_components=1, covariance_type="full", shrinkage=0.5).start(x, y)
    options: dict[str, Any] = {"shrinkage": 0.5, "covariance_floor": 1e-4, "max_iter": 100, "tol": 1e-3}
    expected = fit(x, y, covariance_type="full", **options).parameters
    assert torch.equal(head.mixture.Sigma, expected.Sigma)


def test_while_frozen_solve_keeps_the_first_responsibilities() -> None:
    x, y, _ = samples()
    step = objective(y, frozen_rounds=2)
    head = step.head
    start = initial_responsibilities(y, K, 0)
    expected = fit(x, y, responsibilities=start, max_iter=1, covariance_floor=1e-4)
    step.start(x, y)
    torch.testing.assert_close(head.mixture.A, expected.parameters.A, atol=1e-10, rtol=1e-10)
    metrics = step.solve(x, y, 0)  # the solution after round 0 is for round 1, which is frozen too
    torch.testing.assert_close(head.mixture.A, expected.parameters.A, atol=1e-10, rtol=1e-10)
    assert metrics["em_iterations"] == 1
    step.solve(x, y, 1)
    assert not torch.equal(head.mixture.A, expected.parameters.A)


def test_after_that_em_goes_on_from_the_last_mixture() -> None:
    x, y, _ = samples()
    step = objective(y)
    head = step.head
    step.start(x, y)
    first = head.mixture
    step.solve(x, y, 0)
    expected = fit(x, y, start=first, covariance_floor=1e-4, tol=1e-3, max_iter=100)
    assert torch.equal(head.mixture.A, expected.parameters.A)


@pytest.mark.parametrize("start", ["parameters", "targets"])
def test_em_ends_with_all_components_where_moved_features_emptied_some(start: str) -> None:
    """Features far from the last lines belong, by them, to one component; it is split until all are there again."""
    x, y, _ = samples()
    step = objective(y, em_start=start)
    head = step.head
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyComponentWarning)
        step.start(x, y)
        step.solve(x + 1e3, y, 0)
    assert head.mixture.n_components == K
    assert float(torch.logsumexp(joint_log_density(x + 1e3, y, head.mixture), 1).mean()) > -50


def test_em_that_has_not_converged_is_no_cause_for_a_warning() -> None:
    """The next round goes on; the tests' settings would make an error of it."""
    x, y, _ = samples()
    step = objective(y, max_iter=2, tol=1e-12)
    step.start(x, y)
    assert step.solve(x, y, 0)["em_iterations"] == 2


# after the last round


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_the_refit_is_em_from_the_mixture_as_it_stands(noise: str, tied: bool) -> None:
    x, y, _ = samples()
    step = objective(y[:100], n_components=2, covariance_type=noise, tied=tied)
    head = step.head
    step.start(x[:100], y[:100])
    expected = fit(
        x, y, start=head.mixture, covariance_type=noise, tied=tied, covariance_floor=1e-4, max_iter=100, tol=1e-3
    ).parameters
    step.refit(x, y)
    torch.testing.assert_close(head.mixture.A, expected.A)
    torch.testing.assert_close(head.mixture.Sigma, expected.Sigma)


def test_a_refit_that_is_not_asked_for_or_is_singular_leaves_the_mixture() -> None:
    x, y, _ = samples()
    head = InverseRegressionHead(D, L)
    step = objective(y, head, n_components=1, covariance_type="full", covariance_floor=0.0)
    step.start(x, y)
    before = head.mixture.A.clone()
    objective(y, head, n_components=1, covariance_type="full", refit=False).refit(x + y[:, :1], y)
    assert torch.equal(head.mixture.A, before)
    step.refit(y @ torch.ones(L, D).double(), y)  # features that the targets explain without error
    assert torch.equal(head.mixture.A, before)


# targets far from zero


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.0},
        {"beta": 0.5, "assignment": "weighted", "network_noise": "diagonal"},
        {"beta": 1.0, "target_noise": 0.1},
        {"network_noise": "signal", "frozen_rounds": 1},
        {"network_noise": "tied_isotropic"},
    ],
)
@pytest.mark.parametrize("em", ["round", "stepwise"])
def test_an_offset_of_the_targets_changes_neither_loss_nor_gradient(em: str, options: dict[str, object]) -> None:
    x, y, _ = samples()
    far = y + 1e7
    p = fit(x, y, K, covariance_type="full", max_iter=100, tol=1e-3).parameters
    about = Centred(p, torch.zeros_like(x[0]), torch.full_like(y[0], 1e7))
    answers = []
    for mixture, targets in ((p, far - 1e7), (about.absolute, far)):
        features = x.clone().requires_grad_()
        settings = {
            "covariance_type": "full",
            "schedule__em": em,
            "schedule__em_every": 1,
            "schedule__batch_size": 50,
        } | options
        head = head_of(mixture)
        step = objective(targets, head, **settings)
        step.prepare(0)
        step.update(x, targets)
        loss = step.loss(features, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        answers.append((loss.detach(), features.grad))
    for found, expected in zip(answers[1], answers[0], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_em_of_targets_far_from_zero_gives_the_same_regression() -> None:
    x, y, _ = samples()
    far = y + 1e7
    heads = []
    for targets in (far - 1e7, far):
        step = objective(targets, covariance_type="diagonal")
        head = step.head
        step.start(x, targets)
        step.solve(x, targets, 0)
        heads.append(head)
    near, moved = heads
    torch.testing.assert_close(moved.mixture.A, near.mixture.A, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(moved(x).mean - 1e7, near(x).mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved(x).log_prob(far), near(x).log_prob(far - 1e7), atol=1e-5, rtol=1e-5)
