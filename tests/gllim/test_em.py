"""EM: identities for every specification, and edge cases."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.errors import DataError, EmptyComponentWarning, NumericalError
from deepgllim.gllim import Fit, MixtureSpec, Parameters, Rows, e_step, joint_log_density, predict_incomplete
from deepgllim.gllim.removal import occupied
from tests.gllim.strategies import (
    NOISES,
    Problem,
    all_close,
    all_finite,
    close,
    fit,
    full_noise,
    generator,
    joint,
    make_parameters,
    make_problem,
    normal,
    parameters_of,
    plain_specs,
    predicted,
    problem_of,
    problems,
    properties,
    seeds,
    specs,
    structures,
)

SPECS: dict[str, MixtureSpec] = {
    "isotropic": MixtureSpec(covariance_type="isotropic"),
    "diagonal": MixtureSpec(),
    "full": MixtureSpec(covariance_type="full"),
    "tied full, tied targets": MixtureSpec(covariance_type="full", tied=True, target_tied=True, equal_weights=True),
    "isotropic targets, latent": MixtureSpec(covariance_type="isotropic", target_covariance="isotropic", n_latents=1),
    "student": MixtureSpec(target_covariance="diagonal", dof=4.0),
    "tied student, latents": MixtureSpec(covariance_type="isotropic", tied=True, n_latents=2, dof="estimated"),
    "full student, latent": MixtureSpec(covariance_type="full", n_latents=1, dof="estimated"),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def run(problem: Problem, iterations: int = 12, **options: Any) -> Fit:
    """Run a number of iterations from the responsibilities of the problem, without removals."""
    x, y, r, spec = problem
    settings = {"tol": 0.0, "min_count": 0.0, "max_iter": iterations, **spec._asdict(), **options}
    return fit(x, y, responsibilities=r, **settings)


def without_axes(p: Parameters) -> Parameters:
    """Replace A_w, which is determined up to a rotation, by A_w A_wᵀ."""
    A_w = p.A[:, :, p.n_targets :]
    return p._replace(A=torch.cat([p.A[:, :, : p.n_targets], A_w @ A_w.mT], 2))


# Identity 1: the likelihood never falls.


def never_falls(result: Fit) -> bool:
    """A log-likelihood is a sum of terms up to 1/floor = 10⁶ times its own size, each with a rounding of 1e-16."""
    trace = torch.tensor([iteration.objective for iteration in result.trace], dtype=torch.float64)
    return bool((trace.diff() >= -1e-9 * (1.0 + trace.abs().max())).all())


@given(problems(), st.sampled_from([1e-6, 1e-2, 0.5]), st.sampled_from([0.0, 0.0, 4.0]))
@settings(properties, max_examples=100)
def test_the_objective_never_decreases(problem: Problem, floor: float, prior_count: float) -> None:
    assert never_falls(run(problem, covariance_floor=floor, prior_count=prior_count))


@given(problems(), st.integers(1, 10))
@properties
def test_the_likelihood_never_decreases_with_weights(problem: Problem, seed: int) -> None:
    w = -torch.rand(90, generator=generator(seed)).log()
    assert never_falls(run(problem, sample_weight=w))


@each_spec
def test_the_likelihood_never_decreases_at_the_floor(spec: MixtureSpec) -> None:
    problem = problem_of(spec, K=3, L=2, D=5, seed=5)
    x, y = problem.features.clone(), problem.targets
    x[:, 0] = y[:, 0]  # explained without error
    x[:, 1] = 4.2  # constant
    x[:, 2] = x[:, 3]  # the same twice
    result = run(problem._replace(features=x), iterations=20, covariance_floor=0.3)
    variance = x.var(0, correction=0)
    floor = 0.3 * torch.where(variance > 1e-20, variance, variance.mean())
    scale = (floor.mean().expand(5) if spec.covariance_type == "isotropic" else floor).sqrt()
    least = torch.linalg.eigvalsh(full_noise(result.parameters) / scale / scale[:, None]).min()
    assert float(least) > 1.0 - 1e-9  # the constraint is held
    assert spec.dof is not None or abs(float(least) - 1.0) < 1e-9  # and active; Student noise spreads out
    assert never_falls(result)


@given(seeds, specs)
@properties
def test_the_likelihood_never_decreases_for_targets_on_a_grid(seed: int, spec: MixtureSpec) -> None:
    g = generator(seed)
    y = torch.cartesian_prod(torch.arange(-90.0, 91.0, 30.0), torch.arange(-60.0, 61.0, 30.0)).repeat(6, 1).double()
    x = torch.sin(y / 40.0 @ normal(g, 2, 6)) + 0.05 * normal(g, len(y), 6)
    r = torch.softmax(-(torch.cdist(y, y[torch.randperm(35, generator=g)[:8]]) / 20.0).square(), 1)
    assert never_falls(run(Problem(x, y, r, spec)))


@given(problems())
@properties
def test_the_trace_is_the_likelihood_of_the_returned_parameters(problem: Problem) -> None:
    x, y = problem.features, 30.0 * problem.targets + 5.0
    result = run(problem._replace(targets=y), 4)
    value = float(torch.logsumexp(joint_log_density(x, y, result.parameters), 1).sum())
    # quadratics of up to 10⁶ where the floor is reached, in other units and about another origin
    assert abs(value - result.log_likelihoods[-1]) < 1e-7 * (1.0 + abs(value))


@given(problems(specs.map(lambda spec: spec._replace(dof=None))))
@properties
def test_student_noise_with_many_degrees_of_freedom_is_gaussian(problem: Problem) -> None:
    gaussian = run(problem, 3, covariance_floor=1e-2)
    student = run(problem._replace(spec=problem.spec._replace(dof=1e6)), 3, covariance_floor=1e-2)
    # u differs from 1 by (δ − D − L) / ν with δ up to 100 or so: 1e-4, which three iterations may multiply by ten
    p, q = (joint(result.parameters) for result in (gaussian, student))
    assert all(close(a, b, 1e-3) for a, b in zip(q, p, strict=True))
    # and a log-density by δ² / 4ν
    difference = student.log_likelihoods[-1] - gaussian.log_likelihoods[-1]
    assert abs(difference) < 1e-3 * (1.0 + abs(gaussian.log_likelihoods[-1]))


# Identity 2: rows in any blocks, and weights.


@given(problems(), st.integers(1, 100))
@properties
def test_the_size_of_blocks_does_not_matter(problem: Problem, block_rows: int) -> None:
    whole = run(problem, 3, covariance_floor=1e-3)
    blocks = run(problem, 3, covariance_floor=1e-3, block_rows=block_rows)
    # other orders of summation, amplified by three iterations; axes of latents up to their signs
    assert all_close(without_axes(blocks.parameters), without_axes(whole.parameters), 1e-7)


@given(problems(), seeds)
@properties
def test_weights_equal_repeated_samples(problem: Problem, seed: int) -> None:
    x, y, r, _ = problem
    w = torch.randint(0, 4, (90,), generator=generator(seed))
    i = torch.repeat_interleave(w)
    weighted = run(problem, 3, sample_weight=w.numpy(), covariance_floor=1e-3)
    repeated = run(problem._replace(features=x[i], targets=y[i], r=r[i]), 3, covariance_floor=1e-3)
    assert all_close(without_axes(weighted.parameters), without_axes(repeated.parameters), 1e-7)
    assert close(torch.tensor(weighted.log_likelihoods), torch.tensor(repeated.log_likelihoods), 1e-6)


@each_spec
def test_weights_are_used_with_a_given_start(spec: MixtureSpec) -> None:
    x, y, _, _ = problem_of(spec)
    w, start = torch.arange(90) % 3, parameters_of(spec)
    i = torch.repeat_interleave(w)
    options: dict[str, Any] = {
        "max_iter": 3,
        "tol": 0.0,
        "min_count": 0.0,
        "start": start,
        **spec._asdict(),
    }
    weighted = fit(x, y, sample_weight=w.double(), **options)
    repeated = fit(x[i], y[i], **options)
    assert all_close(weighted.parameters, repeated.parameters, 1e-9)  # the same sums in another order
    assert sum(weighted.trace[-1].counts) == pytest.approx(90.0)


# Identity 4: one component is ordinary least squares, weighted where samples are.


@given(problems(plain_specs), st.booleans())
@properties
def test_one_component_is_least_squares(problem: Problem, weighted: bool) -> None:
    x, y, spec = problem.features, 10.0 * problem.targets + 3.0, problem.spec
    w = -torch.rand(90, generator=generator(1)).double().log() if weighted else torch.ones(90).double()
    p = fit(x, y, 1, sample_weight=w if weighted else None, covariance_floor=0, **spec._asdict()).parameters
    root, share = w.sqrt()[:, None], (w / w.sum())[:, None]
    design = torch.cat([y, torch.ones(len(y), 1)], 1)
    solution = torch.from_numpy(np.linalg.lstsq((root * design).numpy(), (root * x).numpy(), rcond=None)[0])
    residual = x - design @ solution
    # normal equations square the design's condition number, up to 10³ for three drawn targets
    assert close(p.coefficients[0], solution.T, 1e-7)
    assert close(p.Sigma[0], kept(residual.T @ (share * residual), spec.covariance_type), 1e-7)
    mean = (share * y).sum(0)
    assert close(p.c[0], mean, 1e-9)
    sample = kept((y - mean).T @ (share * (y - mean)), spec.target_covariance)
    assert close(p.Gamma[0], sample if sample.ndim == 2 else sample * torch.eye(len(mean)).double(), 1e-9)


def kept(covariance: Tensor, structure: str) -> Tensor:
    """Restrict a covariance to a structure."""
    diagonal = covariance.diagonal()
    return {"full": covariance, "diagonal": diagonal, "isotropic": diagonal.mean()}[structure]


# Identity 5: units do not matter.


@given(problems(), seeds, st.sampled_from([0.0, 4.0]))
@properties
def test_fits_are_equivariant_under_changes_of_units(problem: Problem, seed: int, prior_count: float) -> None:
    x, y, _, spec = problem
    L, D = y.shape[1], x.shape[1]
    g = generator(seed)
    # isotropic covariances stay so under a common scale only
    s = torch.exp(2.0 * normal(g, 1 if spec.covariance_type == "isotropic" else D)).expand(D)
    t = torch.exp(2.0 * normal(g, 1 if spec.target_covariance == "isotropic" else L)).expand(L)
    shift, offset = 10.0 * normal(g, D), 10.0 * normal(g, L)
    options = {"covariance_floor": 1e-3, "prior_count": prior_count}
    p = run(problem, 4, **options).parameters
    q = run(problem._replace(features=s * x + shift, targets=t * y + offset), 4, **options).parameters
    A = s[:, None] * p.A / torch.cat([t, torch.ones(p.n_latents).double()])
    unit = {"isotropic": s[0] ** 2, "diagonal": s**2, "full": s[:, None] * s}[spec.covariance_type]
    expected = Parameters(
        p.pi,
        t * p.c + offset,
        t[:, None] * p.Gamma * t,
        A,
        s * p.b + shift - A[:, :, :L] @ offset,
        p.Sigma * unit,
        p.dof,
    )
    # four iterations from inputs that differ by rounding, 1e-16 × offset / spread ≤ 1e-13; EM amplifies it
    assert all_close(without_axes(q), without_axes(expected), 1e-6)
    assert close(predicted(s * x + shift, q), t * predicted(x, p) + offset, 1e-6)


@given(seeds, structures, st.sampled_from([None, 4.0]))
@properties
def test_full_noise_is_exact_under_any_linear_map_of_the_features(
    seed: int, structure: tuple[str, bool], dof: float | None
) -> None:
    problem = problem_of(MixtureSpec(1, "full", structure[1], dof=dof), D=3, seed=seed)
    T = torch.eye(3).double() + 0.3 * normal(generator(seed), 3, 3).clamp(-1, 1)
    p = run(problem, 3, covariance_floor=0.0).parameters
    q = run(problem._replace(features=problem.features @ T.T), 3, covariance_floor=0.0).parameters
    assert close(q.Sigma, T @ p.Sigma @ T.T, 1e-7)  # rounding times the condition of T, squared
    assert close(q.A, T @ p.A, 1e-7)


@given(seeds, structures)
@properties
def test_full_targets_are_exact_under_any_linear_map(seed: int, structure: tuple[str, bool]) -> None:
    problem = problem_of(MixtureSpec(1, *structure, target_tied=structure[1]), seed=seed)
    T = torch.eye(2).double() + 0.3 * normal(generator(seed), 2, 2).clamp(-1, 1)
    p = run(problem, 3, covariance_floor=0.0).parameters
    q = run(problem._replace(targets=problem.targets @ T.T), 3, covariance_floor=0.0).parameters
    assert close(q.Gamma, T @ p.Gamma @ T.T, 1e-7)  # as above
    assert close(q.A @ T, p.A, 1e-7)


# The structure of the result.


@given(problems())
@properties
def test_the_fit_has_its_specified_structure(problem: Problem) -> None:
    spec, (K, L, _) = problem.spec, problem.sizes
    result = run(problem, 3)
    p, Gamma = result.parameters, result.parameters.Gamma
    assert (p.covariance_type, p.n_latents) == (spec.covariance_type, spec.n_latents)
    assert len(p.Sigma) == (1 if spec.tied else K)
    assert not spec.equal_weights or p.pi.tolist() == [1.0 / K] * K
    assert not spec.target_tied or close(Gamma, Gamma[:1].expand(K, L, L), 1e-14)
    diagonal = Gamma.diagonal(dim1=1, dim2=2)
    assert spec.target_covariance == "full" or torch.equal(Gamma, torch.diag_embed(diagonal))
    assert spec.target_covariance != "isotropic" or close(diagonal, diagonal[:, :1].expand(K, L), 1e-14)
    assert (p.dof is None) == (spec.dof is None)
    assert spec.dof != 4.0 or (p.dof is not None and p.dof.tolist() == [4.0] * K)


def test_estimated_degrees_of_freedom_are_low_for_heavy_tails() -> None:
    x, y, _, _ = problem_of(MixtureSpec(), K=1, N=400)
    light = fit(x, y, 1, dof="estimated").parameters.dof
    x[::20] += 8.0  # one in twenty far off
    heavy = fit(x, y, 1, dof="estimated").parameters.dof
    assert light is not None
    assert heavy is not None
    assert float(heavy) < 4.0 < float(light)


@pytest.mark.parametrize("noise", NOISES)
def test_student_noise_is_robust_to_outliers(noise: str) -> None:
    y = normal(generator(0), 300, 2)
    slopes = normal(generator(1), 2, 4)
    x = y @ slopes + 0.1 * normal(generator(2), 300, 4)
    x[::15] += 30.0 * y[::15, :1]
    fits = [fit(x, y, covariance_type=noise, dof=dof) for dof in (None, 3.0)]
    errors = [float((fitted.parameters.A[0] - slopes.T).abs().max()) for fitted in fits]
    assert errors[1] < 0.1 < 1.0 < errors[0]


# Behaviour at the edges.


@each_spec
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float16, torch.float32])
def test_numbers_of_any_dtype_give_float64_parameters(spec: MixtureSpec, dtype: torch.dtype) -> None:
    x, y = ((20.0 + 5.0 * normal(generator(seed), 60, n)).round().clamp(0, 100) for seed, n in ((0, 4), (1, 2)))
    options: dict[str, Any] = {"max_iter": 3, "tol": 0, **spec._asdict()}
    results = [fit(a, b, 2, **options).parameters for a, b in ((x, y), (x.to(dtype), y.to(dtype).numpy()))]
    # the same numbers: only the summation may differ
    assert {value.dtype for value in results[1].tensors.values()} == {torch.float64}
    assert all_close(results[1], results[0], 1e-9)


@each_spec
def test_single_precision_products_give_nearly_the_same_fit(spec: MixtureSpec) -> None:
    problem = problem_of(spec, N=300)
    low, high = (run(problem, 5, dtype=dtype, covariance_floor=1e-3) for dtype in (torch.float32, torch.float64))
    assert {value.dtype for value in low.parameters.tensors.values()} == {torch.float64}
    # 6e-8 of quadratics up to 10³ moves log r by 1e-4, and five iterations what follows of it
    assert all(close(a, b, 5e-3) for a, b in zip(joint(low.parameters), joint(high.parameters), strict=True))
    assert low.log_likelihoods[-1] == pytest.approx(high.log_likelihoods[-1], rel=1e-4)


@each_spec
def test_seeds_reproduce(spec: MixtureSpec) -> None:
    x, y, _, _ = problem_of(spec, K=3)
    options: dict[str, Any] = {"random_state": 5, "max_iter": 4, "tol": 0, "min_count": 0, **spec._asdict()}
    first, again = (fit(x, y, 3, **options) for _ in range(2))
    assert all(torch.equal(a, again.parameters.tensors[name]) for name, a in first.parameters.tensors.items())
    assert first.log_likelihoods == again.log_likelihoods


def test_one_iteration_keeps_the_given_responsibilities() -> None:
    x, y, r, _ = problem_of(MixtureSpec())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # to stop after one step is what was asked for
        p = fit(x, y, responsibilities=r, max_iter=1).parameters
    assert close(p.pi, r.mean(0), 1e-12)


@each_spec
def test_a_given_start_continues_an_earlier_fit(spec: MixtureSpec) -> None:
    problem = problem_of(spec, K=3)
    whole, half = run(problem, 6), run(problem, 3)
    rest = fit(
        problem.features,
        problem.targets,
        start=half.parameters,
        tol=0,
        max_iter=3,
        min_count=0,
        **spec._asdict(),
    )
    assert close(torch.tensor(half.log_likelihoods + rest.log_likelihoods), torch.tensor(whole.log_likelihoods), 1e-9)


# Components that lose their samples: the others take these over.


@each_spec
@pytest.mark.parametrize("empty", [0.0, 1e-200, 1e-3])
def test_empty_components_are_removed_with_a_warning(spec: MixtureSpec, empty: float) -> None:
    x, y, r, _ = problem = problem_of(spec)
    more = torch.cat([r[:, :1], torch.full((90, 1), empty), r[:, 1:] - empty], 1).clamp(min=0)
    options: dict[str, Any] = {"max_iter": 3, "tol": 0, **spec._asdict()}
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 3 components"):
        result = fit(x, y, responsibilities=more / more.sum(1, keepdim=True), **options)
    # what is left is the fit under the responsibilities of the others, scaled to sum 1
    others = more[:, [0, 2]]
    expected = run(problem._replace(r=others / others.sum(1, keepdim=True)), 3).parameters
    assert all_close(without_axes(result.parameters), without_axes(expected), 1e-9)


def test_samples_of_a_removed_component_are_assigned_to_the_others() -> None:
    """Samples of this component alone have equal responsibilities at first."""
    x, y, r, _ = problem = problem_of(MixtureSpec())
    more = torch.cat([r, torch.zeros(90, 1)], 1)
    more[:3] = torch.tensor([0.0, 0.0, 1.0])
    shared = r.clone()
    shared[:3] = 0.5
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 3 components, which had 3 samples, fewer than 4"):
        result = fit(x, y, responsibilities=more, max_iter=1)
    assert all_close(result.parameters, run(problem._replace(r=shared), 1).parameters, 1e-12)
    assert sum(result.trace[-1].counts) == pytest.approx(90.0)


@each_spec
def test_a_component_that_becomes_empty_is_removed(spec: MixtureSpec) -> None:
    x, y, _, _ = problem_of(spec)
    start = parameters_of(spec, K=3)
    far = start._replace(c=start.c + torch.tensor([[0.0], [1e3], [0.0]]).double())
    options: dict[str, Any] = {"max_iter": 3, "tol": 0, **spec._asdict()}
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 3 components"):
        result = fit(x, y, start=far, min_count=1.0, **options)
    without = far.keep(torch.tensor([True, False, True]))
    expected = fit(x, y, start=without, min_count=0.0, **options)
    assert all_close(result.parameters, expected.parameters, 1e-9)
    assert sum(result.trace[0].counts) == pytest.approx(90.0)


def test_a_component_without_samples_is_removed_for_any_min_count() -> None:
    problem = problem_of(MixtureSpec())
    r = torch.cat([problem.r, torch.zeros(90, 1)], 1)
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 3 components"):
        result = run(problem._replace(r=r), 3)
    assert all_close(result.parameters, run(problem, 3).parameters, 1e-12)


def test_the_largest_component_is_never_removed() -> None:
    x, y, _, _ = problem_of(MixtureSpec(), N=6)
    r = torch.softmax(torch.arange(3.0), 0).repeat(6, 1)
    with pytest.warns(EmptyComponentWarning, match="removed 2 of 3"):
        result = fit(x, y, responsibilities=r, min_count=100)
    assert result.parameters.n_components == 1
    assert result.trace[-1].counts == pytest.approx((6.0,))


def test_only_components_below_min_count_are_removed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert occupied(torch.tensor([4.0, 50.0, 7.0]), 4.0).tolist() == [True] * 3
    with pytest.warns(EmptyComponentWarning, match="removed 2 of 3 components, which had 4, 0 samples, fewer than 5"):
        assert occupied(torch.tensor([4.0, 50.0, 0.0]), 5.0).tolist() == [False, True, False]


def test_a_decrease_after_a_removal_does_not_stop_the_fit() -> None:
    """The removal of a tiny component decreases the likelihood, and EM continues."""
    problem = make_problem(0, "diagonal", False, K=2, L=1, D=4)
    start = make_parameters(0, "diagonal", False, K=3, L=1, D=4)
    with pytest.warns(EmptyComponentWarning):
        result = fit(problem.features, problem.targets, start=start, min_count=32, tol=1e-6, max_iter=500)
    trace = result.log_likelihoods
    assert result.converged
    assert trace[-1] >= trace[-2] - 1e-9 * abs(trace[-1])


# Data with nothing to learn in parts.


@each_spec
def test_a_component_of_few_samples_is_finite(spec: MixtureSpec) -> None:
    x, y = normal(generator(0), 40, 6), normal(generator(1), 40, 2)
    r = torch.zeros(40, 2)
    r[:, 0] = 1.0
    r[:2] = torch.tensor([0.0, 1.0])
    result = fit(x, y, responsibilities=r, min_count=1, max_iter=5, tol=0, **spec._asdict())
    assert all_finite(result.parameters)
    assert bool(torch.isfinite(predicted(x, result.parameters)).all())


@each_spec
def test_a_fit_to_one_sample_predicts_it(spec: MixtureSpec) -> None:
    x, y = torch.tensor([[0.1, 2.0, -3.7]]), torch.tensor([[0.3, 7.0]])
    p = fit(x, y, 1, **spec._asdict(), max_iter=5, tol=0).parameters
    assert all_finite(p)
    assert close(predicted(x.double(), p), y.double(), 1e-6)


@each_spec
@pytest.mark.parametrize("K", [1, 2])
def test_fewer_samples_than_features_are_fitted(spec: MixtureSpec, K: int) -> None:
    x, y, _, _ = problem_of(spec, D=30, N=20)
    p = fit(x, y, K, max_iter=5, tol=0, min_count=1, **spec._asdict()).parameters
    assert all_finite(p)
    error = (predicted(x, p) - y).square().mean(0)
    assert bool((error < 0.5 * y.var(0)).all())  # thirty features that follow two targets


@each_spec
def test_fewer_samples_than_components_are_an_error(spec: MixtureSpec) -> None:
    x, y, _, _ = problem_of(spec, N=3)
    with pytest.raises(DataError, match="3 samples are fewer than 4 components: use more samples or a smaller K"):
        fit(x, y, 4, **spec._asdict())


@each_spec
def test_constant_and_duplicated_features_are_fitted(spec: MixtureSpec) -> None:
    problem = problem_of(spec, seed=3)
    constant = torch.full((90, 1), 0.1).double()
    x = torch.cat([problem.features, constant, problem.features[:, :1]], 1)
    result = run(problem._replace(features=x))
    assert all_finite(result.parameters)
    assert never_falls(result)
    error = (predicted(x, result.parameters) - problem.targets).square().mean(0)
    assert bool((error < 0.5 * problem.targets.var(0)).all())  # the other features determine the targets


@pytest.mark.parametrize("noise", NOISES)
def test_a_constant_feature_alone_changes_no_prediction(noise: str) -> None:
    problem = make_problem(3, noise, False, K=2, L=2, D=4)
    x = torch.cat([problem.features, torch.full((90, 1), 0.1).double()], 1)
    p, q = run(problem).parameters, run(problem._replace(features=x)).parameters
    if noise == "isotropic":
        assert bool((q.Sigma < p.Sigma).all())  # one variance for all: an easy feature lowers it
    else:
        assert close(predicted(x, q), predicted(problem.features, p), 1e-6)  # its noise is independent


@each_spec
def test_constant_features_predict_the_mean(spec: MixtureSpec) -> None:
    x, y, r, _ = problem_of(spec)
    p = run(Problem(torch.full_like(x, 0.1), y, r, spec), 5).parameters
    assert all_finite(p)
    answer = predicted(torch.full_like(x, 0.1), p)
    assert bool(answer.isfinite().all())
    if spec.dof != "estimated":  # the features' likelihood is then the same in all components
        assert close(answer[0], p.pi @ p.c, 1e-6)


@each_spec
def test_predictions_of_collinear_targets_are_collinear(spec: MixtureSpec) -> None:
    problem = problem_of(spec, L=1, D=5, seed=1)
    y = torch.cat([problem.targets, 2.0 * problem.targets + 1.0], 1)
    result = run(problem._replace(targets=y))
    both = predicted(problem.features, result.parameters)
    assert all_finite(result.parameters)
    if spec.target_covariance == "full":
        # the floor leaves the second a standard deviation of 1e-3 of its own about the line
        assert close(both[:, 1], 2.0 * both[:, 0] + 1.0, 1e-2)
    alone = predicted(problem.features, run(problem).parameters)
    assert close(both[:, :1], alone, 0.05 if spec.target_covariance == "full" else 0.3)  # others miss the relation


@each_spec
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7])
def test_predictions_of_constant_targets_are_constant(spec: MixtureSpec, value: float) -> None:
    problem = problem_of(spec, seed=1)
    y = torch.cat([problem.targets[:, :1], torch.full((90, 1), value).double()], 1)
    answer = predicted(problem.features, run(problem._replace(targets=y)).parameters)
    assert bool(((answer[:, 1] - value).abs() < 1e-6).all())  # the floor's deviation, 1e-3, is not in its mean


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("dof", [None, 4.0])
@pytest.mark.parametrize("what", ["constant feature", "explained feature", "duplicated feature", "collinear targets"])
def test_singular_covariances_without_a_floor_are_an_error(noise: str, what: str, dof: float | None) -> None:
    problem = make_problem(1, noise, False, K=2, L=2, D=3)
    x, y, spec = problem.features.clone(), problem.targets.clone(), MixtureSpec(covariance_type=noise, dof=dof)
    if what == "constant feature":
        x[:, 1] = 0.1
    elif what == "explained feature":
        x[:, 1] = 0.3 * y[:, 0] - y[:, 1]
    elif what == "duplicated feature":
        x[:, 1] = 3.0 * x[:, 2]
    else:
        y[:, 1] = 0.3 * y[:, 0] - 1.0
    if what == "duplicated feature" and noise != "full":
        assert never_falls(run(Problem(x, y, problem.r, spec), covariance_floor=0))
        return  # no singularity: these structures see each feature alone
    if noise == "isotropic" and what != "collinear targets":
        x = x[:, 1:2]  # one variance for all features: all must be without noise
    with pytest.raises(NumericalError, match=r"of component [01] is singular.*covariance_floor above 0"):
        run(Problem(x, y, problem.r, spec), covariance_floor=0)


@each_spec
def test_values_too_large_for_their_squares_are_an_error(spec: MixtureSpec) -> None:
    """Features of 10²⁰⁰ have no variance in float64: no result may be NaN."""
    x, y, r, _ = problem_of(spec)
    for features, targets in ((1e200 * x, y), (x, 1e200 * y)):
        with pytest.raises((DataError, NumericalError)):
            run(Problem(features, targets, r, spec))


@each_spec
def test_samples_with_weight_zero_are_ignored(spec: MixtureSpec) -> None:
    x, y, r, _ = problem_of(spec)
    w = (torch.arange(90) % 2).double()
    x[::2] = 1e6  # would be seen
    weighted = run(Problem(x, y, r, spec), 3, sample_weight=w)
    removed = run(Problem(x[1::2], y[1::2], r[1::2], spec), 3)
    assert all_close(without_axes(weighted.parameters), without_axes(removed.parameters), 1e-7)


def test_a_prior_keeps_a_small_component_from_collapsing() -> None:
    """The variance of two samples is that of the floor or of the prior."""
    x, y = normal(generator(0), 40, 3), normal(generator(1), 40, 1)
    r = torch.zeros(40, 2)
    r[:, 0] = 1.0
    r[:2] = torch.tensor([0.0, 1.0])
    options: dict[str, Any] = {"responsibilities": r, "min_count": 0.0, "max_iter": 1}
    bare = fit(x, y, **options).parameters
    prior = fit(x, y, prior_count=6.0, prior_variance=0.5, **options).parameters
    variance = x.var(0, correction=0)
    assert close(bare.Sigma[1], 1e-6 * variance, 1e-9)
    assert close(prior.Sigma[1], 6.0 / 8.0 * 0.5 * variance, 1e-9)


def test_missing_features_in_training_data_are_an_error() -> None:
    """Missing features are valid at prediction only."""
    x, y, _, _ = problem_of(MixtureSpec())
    p = fit(x, y, 1).parameters
    x[5, 2] = torch.nan
    assert bool(predict_incomplete(x, p).mean.isfinite().all())
    with pytest.raises(DataError, match="features row 5, column 2 is nan"):
        fit(x, y, 1)


def test_expected_counts_of_the_trace_are_those_of_the_statistics() -> None:
    problem = problem_of(MixtureSpec(n_latents=1))
    result = run(problem, 3)
    rows = Rows(problem.features, problem.targets)
    s0 = e_step(rows, rows.scaling.reduce(result.parameters)).s0
    assert result.trace[-1].counts == pytest.approx(s0.tolist(), rel=1e-9)
