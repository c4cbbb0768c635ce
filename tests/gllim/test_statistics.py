"""Sufficient statistics against plain sums, and their addition over rows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Parameters, Rows, SufficientStatistics, collect, e_step, joint_log_density
from deepgllim.gllim.covariances import noise_structure
from deepgllim.gllim.initialisation import given as known
from tests.gllim.strategies import (
    Problem,
    close,
    parameters_of,
    plain_specs,
    posterior,
    problem_of,
    problems,
    properties,
    specs,
)

SUMS = 1e-12  # sums of 90 terms of order one in another order


def same(a: SufficientStatistics, b: SufficientStatistics, tolerance: float = SUMS) -> bool:
    """All statistics equal, but for rounding."""
    return all(close(u, v, tolerance) for u, v in zip(a, b, strict=True))


def collected(rows: Rows, r: Tensor, spec: MixtureSpec) -> SufficientStatistics:
    """The statistics under given responsibilities."""
    return collect(rows, known(r), r.shape[1], noise_structure(spec.covariance_type), spec.tied)


def second_moment(x: Tensor, r: Tensor, spec: MixtureSpec) -> Tensor:
    """Σ_n r_nk x xᵀ, restricted to the structure of Σ."""
    full = torch.einsum("nk,nd,ne->kde", r, x, x)
    diagonal = full.diagonal(dim1=1, dim2=2)
    q = {"full": full, "diagonal": diagonal, "isotropic": diagonal.sum(1)}[spec.covariance_type]
    return q.sum(0, keepdim=True) if spec.tied else q


def expected_statistics(
    x: Tensor, y: Tensor, weights: Tensor, p: Parameters, spec: MixtureSpec
) -> SufficientStatistics:
    """Plain sums over the posterior."""
    q, K, L = posterior(x, y, p), p.n_components, p.n_targets
    r = q.r * weights[:, None]
    ru = r * q.u
    t = torch.cat([y[:, None].expand(-1, K, -1), q.w, torch.ones(len(y), K, 1)], 2)
    M = torch.einsum("nk,nkp,nkq->kpq", ru, t, t)
    M[:, L:-1, L:-1] += r.sum(0)[:, None, None] * q.V
    C = torch.einsum("nk,nd,nkp->kdp", ru, x, t)
    excess = (r * (q.log_u - q.u)).sum(0)
    return SufficientStatistics(r.sum(0), M, C, second_moment(x, ru, spec), excess, weights @ q.log_likelihood)


def weights_of(problem: Problem) -> Tensor:
    """0, 1 and 2½ in turn."""
    return torch.tensor([0.0, 1.0, 2.5]).double().repeat(30)[: len(problem.targets)]


@given(problems(plain_specs), st.booleans())
@properties
def test_collected_statistics_are_their_sums(problem: Problem, weighted: bool) -> None:
    w = weights_of(problem) if weighted else torch.ones(90).double()
    rows = Rows(problem.features, problem.targets, w if weighted else None, block_rows=17)
    x, y = rows.scaling.apply(problem.features, problem.targets)
    t, r = torch.cat([y, torch.ones(len(y), 1)], 1), problem.r * w[:, None]
    got = collected(rows, problem.r, problem.spec)
    M, C = torch.einsum("nk,np,nq->kpq", r, t, t), torch.einsum("nk,nd,np->kdp", r, x, t)
    q = second_moment(x, r, problem.spec)
    assert same(got, SufficientStatistics(r.sum(0), M, C, q, -r.sum(0), torch.zeros(()).double()))


@given(problems(), st.booleans())
@properties
def test_expected_statistics_are_those_of_the_posterior(problem: Problem, weighted: bool) -> None:
    w = weights_of(problem) if weighted else None
    rows = Rows(problem.features, problem.targets, w, block_rows=40)
    p = parameters_of(problem.spec, *problem.sizes)
    x, y = rows.scaling.apply(problem.features, problem.targets)
    expected = expected_statistics(x, y, torch.ones(90).double() if w is None else w, p, problem.spec)
    # D × D inverses against expanded quadratics of order 10⁴
    assert same(e_step(rows, p), expected, 1e-9)
    assert close(expected.log_likelihood, e_step(rows, p).log_likelihood, 1e-10)


@given(problems(), st.integers(1, 89), st.integers(1, 100))
@properties
def test_statistics_of_batches_sum_to_those_of_the_whole(problem: Problem, cut: int, block_rows: int) -> None:
    x, y, r, spec = problem
    w = weights_of(problem)
    whole = Rows(x, y, w)
    parts = [
        Rows(x[rows], y[rows], w[rows], scaling=whole.scaling, block_rows=block_rows)
        for rows in (slice(max(cut, 2)), slice(max(cut, 2), None))  # the first weight is 0
    ]
    p = parameters_of(spec, *problem.sizes)
    # log-densities of order 10⁴ by matrix products of other shapes, in another order of summation
    assert same(e_step(parts[0], p) + e_step(parts[1], p), e_step(whole, p), 1e-10)
    found = collected(parts[0], r[: max(cut, 2)], spec) + collected(parts[1], r[max(cut, 2) :], spec)
    assert same(found, collected(whole, r, spec))


@given(problems(), st.sampled_from([torch.float32, torch.float64]))
@properties
def test_weights_equal_repeated_samples(problem: Problem, dtype: torch.dtype) -> None:
    x, y, _, spec = problem
    w = torch.arange(90) % 3
    p = parameters_of(spec, *problem.sizes)
    scaling = Rows(x, y).scaling
    index = torch.repeat_interleave(w)
    weighted = e_step(Rows(x, y, w.numpy(), scaling=scaling, dtype=dtype), p)
    repeated = e_step(Rows(x[index], y[index], scaling=scaling, dtype=dtype), p)
    # float64: as above; float32: 6e-8 of terms that cancel down from 10 to 100 times the result
    assert same(weighted, repeated, 1e-10 if dtype == torch.float64 else 1e-4)


@given(problems())
@properties
def test_single_precision_products_are_near_those_in_double(problem: Problem) -> None:
    p = parameters_of(problem.spec, *problem.sizes)
    low, high = (e_step(Rows(*problem[:2], dtype=dtype), p) for dtype in (torch.float32, torch.float64))
    assert {value.dtype for value in low} == {torch.float64}
    # 6e-8 of quadratics up to 10⁴ moves log r by 1e-3 where nothing fits; their sums by less
    assert same(low, high, 1e-3)


@given(specs)
@properties
def test_keep_selects_components_by_mask(spec: MixtureSpec) -> None:
    problem, p = problem_of(spec), parameters_of(spec, K=3)
    whole = e_step(Rows(*problem[:2]), p)
    kept = whole.keep(torch.tensor([True, False, True]))
    for name in ("s0", "M", "C", "excess"):
        assert torch.equal(getattr(kept, name), getattr(whole, name)[[0, 2]])
    assert torch.equal(kept.q, whole.q if spec.tied else whole.q[[0, 2]])


def test_scaled_statistics_are_those_of_scaled_weights() -> None:
    problem = problem_of(MixtureSpec(n_latents=1, dof=4.0))
    p, w = parameters_of(problem.spec), weights_of(problem)
    scaling = Rows(*problem[:2]).scaling
    plain, doubled = (e_step(Rows(*problem[:2], weights, scaling=scaling), p) for weights in (w, 2.0 * w))
    assert same(plain.scaled(2.0), doubled)


def test_the_log_likelihood_is_that_of_the_joint_density() -> None:
    problem = problem_of(MixtureSpec())
    p = parameters_of(problem.spec)
    rows = Rows(*problem[:2])
    expected = torch.logsumexp(joint_log_density(*rows.scaling.apply(*problem[:2]), p), 1).sum()
    assert float(e_step(rows, p).log_likelihood) == pytest.approx(float(expected), rel=1e-10)  # another origin
