"""The inversion against conditioning the joint model by D × D algebra, for every specification."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Parameters, Predictive, invert, joint_log_density, predict, sample
from tests.gllim.strategies import (
    all_finite,
    close,
    conditional,
    fit,
    generator,
    log_student,
    normal,
    parameter_sets,
    parameters_of,
    problem_of,
    properties,
    seeds,
)

# Matrices up to 8 × 8 with condition numbers to 10⁴, quadratics to 10⁴; 1e-16 each.
ROUNDING = 1e-8
SPECS = [
    MixtureSpec(),
    MixtureSpec(covariance_type="full", tied=True, n_latents=1),
    MixtureSpec(covariance_type="isotropic", dof=4.0),
    MixtureSpec(n_latents=2, dof="estimated"),
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=["plain", "tied full latent", "student", "student latents"])


def points(p: Parameters, seed: int) -> tuple[Tensor, Tensor]:
    """Return samples, and some features far from all components."""
    x, y = sample(p, 8, generator(seed))
    x[6:] += 3.0
    return x, y


def log_predictive(answer: Predictive, targets: Tensor) -> Tensor:
    """log p(y | x) of the predictive mixture, (N,)."""
    if answer.dof is None:
        normals = torch.distributions.MultivariateNormal(answer.means, answer.covariances)
        terms: Tensor = normals.log_prob(targets[:, None])  # type: ignore[no-untyped-call]
    else:
        terms = log_student(targets[:, None], answer.means, answer.covariances, answer.dof)
    return torch.logsumexp(answer.log_weights + terms, 1)


@given(parameter_sets(), seeds)
@properties
def test_prediction_is_the_joint_conditioned_on_the_features(p: Parameters, seed: int) -> None:
    x, _ = points(p, seed)
    answer = predict(x, invert(p))
    D, L = p.n_features, p.n_targets
    log_weights, means, scales, log_density = conditional(x, p, [*range(D)], [*range(D, D + L)])
    assert close(answer.means, means, ROUNDING)
    assert answer.covariances.shape == ((p.n_components, L, L) if p.dof is None else scales.shape)
    assert close(answer.covariances.expand_as(scales), scales, ROUNDING)
    assert close(answer.log_density, log_density, ROUNDING)
    assert close(answer.log_weights, log_weights, 1e-7)  # a difference of log-densities
    assert close(answer.mean, torch.einsum("nk,nkl->nl", log_weights.exp(), means), 1e-7)
    assert (answer.dof is None) == (p.dof is None)
    if answer.dof is not None and p.dof is not None:
        assert torch.equal(answer.dof, (p.dof + D).expand(8, -1))


@given(parameter_sets(), seeds)
@properties
def test_conditional_is_joint_over_marginal(p: Parameters, seed: int) -> None:
    x, y = points(p, seed)
    answer = predict(x, invert(p))
    log_joint = torch.logsumexp(joint_log_density(x, y, p), 1)
    assert close(log_predictive(answer, y), log_joint - answer.log_density, 1e-7)  # a difference of the two


@given(parameter_sets())
@properties
def test_the_forward_covariance_is_that_of_a_gaussian_answer(p: Parameters) -> None:
    forward = invert(p._replace(dof=None))
    assert torch.equal(predict(torch.zeros(3, p.n_features), forward).covariances, forward.covariances)


@given(parameter_sets(), seeds, st.sampled_from([1e4, -1e4]))
@properties
def test_features_far_from_the_origin_lose_no_digits(p: Parameters, seed: int, shift: float) -> None:
    x, _ = points(p, seed)
    near, far = predict(x, invert(p)), predict(x + shift, invert(p._replace(b=p.b + shift)))
    # at 10⁴ features and b are rounded to 1e-12, an absolute error of 1e-9 in quadratics of slope 10²;
    # an expansion about 0 would be wrong by 10⁸ × 1e-16 × the precision's condition
    assert close(far.log_density, near.log_density, 1e-8)
    assert close(far.means, near.means, 1e-8)


@each_spec
def test_fit_and_prediction_far_from_the_origin_are_those_near_it(spec: MixtureSpec) -> None:
    x, y, r, _ = problem_of(spec, D=5)
    answers = []
    for shift in (0.0, 1e4):
        result = fit(x + shift, y, responsibilities=r, max_iter=5, tol=0, **spec._asdict())
        answers.append(predict(x + shift, invert(result.parameters)))
    assert close(answers[1].means, answers[0].means, 1e-7)  # inputs rounded to 1e-12 of 0.1, five iterations
    assert close(answers[1].log_density, answers[0].log_density, 1e-7)


@each_spec
def test_weights_sum_to_one_where_all_densities_are_tiny(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3)
    answer = predict(1e6 * normal(generator(0), 5, 4), invert(p))
    assert close(answer.log_weights.exp().sum(1), torch.ones(5).double(), 1e-12)
    assert all(bool(value.isfinite().all()) for value in answer if value is not None)


@each_spec
def test_prediction_in_float32_is_near_that_in_float64(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3, D=5)
    x, _ = points(p, 0)
    low, high = predict(x, invert(p.to(torch.float32))), predict(x, invert(p))
    assert low.means.dtype == torch.float32
    assert close(low.means.double(), high.means, 1e-3)  # 1e-7 times condition numbers of 10³


def test_gaussian_answers_are_those_of_student_noise_of_many_degrees() -> None:
    p = parameters_of(MixtureSpec(covariance_type="full", n_latents=2), K=3)
    x, _ = points(p, 0)
    student = predict(x, invert(p._replace(dof=torch.full_like(p.pi, 1e6))))
    gaussian = predict(x, invert(p))
    # log-densities differ by δ² / 4ν with δ up to 100; weights and their means by as much
    assert close(student.log_density, gaussian.log_density, 1e-3)
    assert close(student.mean, gaussian.mean, 1e-2)
    assert close(student.covariances, gaussian.covariances.expand_as(student.covariances), 1e-3)


def test_features_are_converted_to_the_dtype_of_the_parameters() -> None:
    p = parameters_of(MixtureSpec())
    x = (10.0 * normal(generator(0), 5, 4)).round()
    for other in (x.float(), x.int(), x.half()):
        assert torch.equal(predict(other, invert(p)).means, predict(x, invert(p)).means)
    assert all_finite(p)
