"""The inversion against conditioning the joint Gaussians by D × D algebra."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.gllim import Parameters, Predictive, fit, invert, joint_log_density, predict, sample
from tests.gllim.strategies import (
    close,
    generator,
    joint,
    log_densities,
    make_parameters,
    make_problem,
    marginal,
    normal,
    parameter_sets,
    properties,
    seeds,
)

# Matrices up to 8 × 8 with condition numbers to 10⁴, quadratics to 10⁴; 1e-16 each.
ROUNDING = 1e-8


def points(p: Parameters, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples, and some features that nothing explains."""
    x, y = sample(p, 8, generator(seed))
    x[6:] += 3.0
    return x, y


def log_predictive(answer: Predictive, targets: torch.Tensor) -> torch.Tensor:
    """log p(y | x) of the predictive mixture, (N,)."""
    normals = torch.distributions.MultivariateNormal(answer.means, answer.covariances)
    terms: torch.Tensor = normals.log_prob(targets[:, None])  # type: ignore[no-untyped-call]
    return torch.logsumexp(answer.log_weights + terms, 1)


@given(parameter_sets, seeds)
@properties
def test_prediction_is_the_joint_conditioned_on_the_features(p: Parameters, seed: int) -> None:
    x, _ = points(p, seed)
    answer = predict(x, invert(p))
    D = p.n_features
    _, means, covariances = joint(p)
    gain = torch.linalg.solve(covariances[:, :D, :D], covariances[:, :D, D:]).mT  # (K, L, D)
    deviation = x[:, None] - means[:, :D]  # (N, K, D)
    assert close(answer.means, means[:, D:] + torch.einsum("kld,nkd->nkl", gain, deviation), ROUNDING)
    assert close(answer.covariances, covariances[:, D:, D:] - gain @ covariances[:, :D, D:], ROUNDING)
    log_joint = log_densities(x, marginal(joint(p), slice(D)))
    assert close(answer.log_density, torch.logsumexp(log_joint, 1), ROUNDING)
    assert close(answer.log_weights, torch.log_softmax(log_joint, 1), 1e-7)  # a difference of log-densities


@given(parameter_sets, seeds)
@properties
def test_conditional_is_joint_over_marginal(p: Parameters, seed: int) -> None:
    x, y = points(p, seed)
    answer = predict(x, invert(p))
    log_joint = torch.logsumexp(joint_log_density(x, y, p), 1)
    assert close(log_predictive(answer, y), log_joint - answer.log_density, 1e-7)  # a difference of the two


@given(parameter_sets, seeds, st.sampled_from([1e4, -1e4]))
@properties
def test_features_far_from_the_origin_lose_no_digits(p: Parameters, seed: int, shift: float) -> None:
    x, _ = points(p, seed)
    near, far = predict(x, invert(p)), predict(x + shift, invert(p._replace(b=p.b + shift)))
    # at 10⁴ features and b are rounded to 1e-12, an absolute error of 1e-9 in quadratics of slope 10²;
    # an expansion about 0 would be wrong by 10⁸ × 1e-16 × the precision's condition
    assert close(far.log_density, near.log_density, 1e-8)
    assert close(far.means, near.means, 1e-8)


def test_fit_and_prediction_far_from_the_origin_are_those_near_it() -> None:
    problem = make_problem(0, "diagonal", False, K=2, L=2, D=5)
    x, y = problem.features, problem.targets
    answers = [
        predict(
            x + shift, invert(fit(x + shift, y, responsibilities=problem.r, max_iterations=5, tolerance=0).parameters)
        )
        for shift in (0.0, 1e4)
    ]
    assert close(answers[1].means, answers[0].means, 1e-7)  # inputs rounded to 1e-12 of 0.1, five iterations
    assert close(answers[1].log_density, answers[0].log_density, 1e-7)


def test_weights_sum_to_one_where_all_densities_are_tiny() -> None:
    p = make_parameters(0, "diagonal", False, K=3, L=2, D=4)
    answer = predict(1e6 * normal(generator(0), 5, 4), invert(p))
    assert close(answer.log_weights.exp().sum(1), torch.ones(5).double(), 1e-12)


def test_prediction_in_float32_is_near_that_in_float64() -> None:
    p = make_parameters(0, "diagonal", False, K=3, L=2, D=5)
    x, _ = points(p, 0)
    low, high = predict(x, invert(p.to(torch.float32))), predict(x, invert(p))
    assert low.means.dtype == torch.float32
    assert close(low.means.double(), high.means, 1e-3)  # 1e-7 times condition numbers of 10³
