"""The M-step is a maximum of the expected log-likelihood, for every specification, under floors and a prior."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import oas
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.gllim import MixtureSpec, Parameters, Rows, Scaling, collect, e_step, m_step, sample
from deepgllim.gllim.covariances import noise_structure, shrink
from deepgllim.gllim.initialisation import given as known
from deepgllim.gllim.maximisation import Regularisation, expected_statistics, regularise, relative_floor
from tests.gllim.strategies import (
    Posterior,
    Problem,
    close,
    fit,
    full_noise,
    generator,
    normal,
    parameter_sets,
    parameters_of,
    plain_specs,
    posterior,
    problem_of,
    problems,
    properties,
)

STEP = 1e-4  # finds a maximum to half of this: a step on either side is lower


def expected_log_likelihood(x: Tensor, y: Tensor, q: Posterior, p: Parameters) -> float:
    """Σ r E[log p(x, y, w, u, k)] over the posterior of w and u, but for the latents' own density."""
    L, D = p.n_targets, p.n_features
    deviation = y[:, None] - p.c
    e = x[:, None] - torch.einsum("kdl,nl->nkd", p.A[:, :, :L], y) - p.b
    e = e - torch.einsum("kdw,nkw->nkd", p.A[:, :, L:], q.w)
    W, A_w = torch.linalg.inv(full_noise(p)), p.A[:, :, L:]
    distance = q.u * torch.einsum("nkl,klm,nkm->nk", deviation, torch.linalg.inv(p.Gamma), deviation)
    distance = distance + q.u * torch.einsum("nkd,kde,nke->nk", e, W, e)
    distance = distance + torch.einsum("kde,kdw,kwv,kev->k", W, A_w, q.V, A_w)
    log_determinant = torch.logdet(full_noise(p)) + torch.logdet(p.Gamma)
    terms = p.pi.log() - 0.5 * (distance + log_determinant - (L + D) * q.log_u)
    if p.dof is not None:
        half = 0.5 * p.dof
        terms = terms + half * half.log() - torch.lgamma(half) + (half - 1.0) * q.log_u - half * q.u
    return float((q.r * terms).sum())


def congruent(S: Tensor, g: torch.Generator, alike: bool) -> Tensor:
    """Return S (1 or K, ·) with a small perturbation within its structure, equal for all components if tied."""
    number = 1 if alike else len(S)
    if S.ndim < 3:
        return S * (STEP * normal(g, number, *S.shape[1:])).exp()
    T = torch.eye(S.shape[-1]).double() + STEP * normal(g, number, *S.shape[1:])
    if bool((torch.diag_embed(S.diagonal(dim1=1, dim2=2)) == S).all()):
        T = torch.diag_embed(T.diagonal(dim1=1, dim2=2))
        isotropic = (S.diagonal(dim1=1, dim2=2) == S[:, :1, 0]).all()
        T = T[:, :1, :1] * torch.eye(S.shape[-1]).double() if bool(isotropic) else T
    return T @ S @ T.mT


def neighbours(
    best: Parameters, spec: MixtureSpec, limits: Regularisation | None, g: torch.Generator
) -> dict[str, Parameters]:
    """Return parameters with one perturbation each, within the specification and above the floors."""
    Sigma, Gamma = congruent(best.Sigma, g, spec.tied), congruent(best.Gamma, g, spec.target_tied)
    if limits is not None:
        Sigma = noise_structure(spec.covariance_type).floor(Sigma, limits.feature_floor)
        Gamma = noise_structure("full").floor(Gamma, limits.target_floor)
    others = {
        name: best._replace(**{name: getattr(best, name) + STEP * normal(g, *getattr(best, name).shape)})
        for name in "Abc"
    }
    others |= {"Sigma": best._replace(Sigma=Sigma), "Gamma": best._replace(Gamma=Gamma)}
    if not spec.equal_weights:
        others["pi"] = best._replace(pi=torch.softmax(best.pi.log() + STEP * normal(g, len(best.pi)), 0))
    if spec.dof == "estimated" and best.dof is not None:
        others["dof"] = best._replace(dof=best.dof * (STEP * normal(g, len(best.pi))).exp())
    return others


def diffuse(spec: MixtureSpec, sizes: tuple[int, int, int]) -> Parameters:
    """Parameters of wide components, which share all samples."""
    p = parameters_of(spec, *sizes)
    return p._replace(Sigma=30.0 * p.Sigma, Gamma=10.0 * p.Gamma)


limits = st.sampled_from([None, (0.0, 5.0), (0.3, 0.0), (0.3, 5.0)])


@given(problems(), limits)
@settings(properties, max_examples=60)
def test_the_m_step_is_a_maximum(problem: Problem, limit: tuple[float, float] | None) -> None:
    x, y, _, spec = problem
    rows = Rows(x, y)
    rows.adapt(spec)
    x, y = rows.scaling.apply(x, y)
    old = diffuse(spec, problem.sizes)
    regularisation = None if limit is None else regularise(rows.scaling, limit[0], limit[1], 0.1)
    best = m_step(e_step(rows, old), spec, regularisation, old.dof)
    q = posterior(x, y, old)

    def value(p: Parameters) -> float:
        prior = 0.0 if regularisation is None else regularisation.log_prior(p, spec.target_tied)
        return expected_log_likelihood(x, y, q, p) + prior

    top, g = value(best), generator(0)
    for _ in range(4):
        for name, p in neighbours(best, spec, regularisation, g).items():
            # sums of 270 terms of order 10 to 100: a rounding of 1e-16 each, and ν's of up to 10⁶
            assert value(p) <= top + (1e-8 if name == "dof" else 1e-10), name


@given(problems(plain_specs))
@properties
def test_the_m_step_under_given_responsibilities_is_weighted_least_squares(problem: Problem) -> None:
    x, y, r, spec = problem
    rows = Rows(x, y)
    rows.adapt(spec)
    p = m_step(collect(rows, known(r), r.shape[1], noise_structure(spec.covariance_type), spec.tied), spec)
    x, y = rows.scaling.apply(x, y)
    design = torch.cat([y, torch.ones(len(y), 1)], 1)
    for k, weights in enumerate(r.T):
        root = weights.sqrt()[:, None]
        solution = np.linalg.lstsq((root * design).numpy(), (root * x).numpy(), rcond=None)[0]
        assert close(p.coefficients[k], torch.from_numpy(solution).T, 1e-8)  # normal equations: conditions squared
    assert close(p.pi, torch.full_like(p.pi, 1.0 / len(p.pi)) if spec.equal_weights else r.mean(0), 1e-12)
    assert close(p.c, r.T @ y / r.sum(0)[:, None], 1e-10)


def test_collinear_targets_have_the_least_slopes() -> None:
    x, y, _, _ = problem_of(MixtureSpec(), L=1)
    y = torch.cat([y, 2.0 * y + 1.0, 0.0 * y], 1)
    rows = Rows(x, y)
    p = m_step(collect(rows, known(torch.ones(90, 1)), 1, noise_structure("diagonal")))
    x, y = rows.scaling.apply(x, y)
    design = torch.cat([y, torch.ones(90, 1)], 1).numpy()
    solution = torch.from_numpy(np.linalg.lstsq(design, x.numpy(), rcond=1e-10)[0])
    assert close(p.coefficients[0], solution.T, 1e-8)  # a pseudo-inverse of the squared design, cut at 1e-13


@pytest.mark.parametrize("noise", ["isotropic", "diagonal", "full"])
def test_a_prior_equals_pseudo_samples(noise: str) -> None:
    x, y, _, spec = problem_of(MixtureSpec(covariance_type=noise))
    rows = Rows(x, y)
    one = collect(rows, known(torch.ones(90, 1)), 1, noise_structure(noise))
    plain, drawn = (m_step(one, spec, regularise(rows.scaling, 0.0, kappa, 0.2)) for kappa in (0.0, 30.0))
    variance = 0.2 * torch.diag(x.var(0, correction=0))
    if noise == "isotropic":
        variance = variance.diagonal().mean() * torch.eye(4).double()
    assert close(full_noise(drawn)[0], (90 * full_noise(plain)[0] + 30 * variance) / 120, 1e-12)
    assert close(drawn.Gamma[0], (90 * plain.Gamma[0] + 30 * 0.2 * torch.eye(2).double()) / 120, 1e-12)
    assert torch.equal(drawn.A, plain.A)


def test_the_log_prior_is_an_inverse_wishart_density_but_for_a_constant() -> None:
    """−½ κ (log |Σ| + tr(Σ⁻¹ S)), whichever way Σ is stored; the same for Γ."""
    g = generator(0)
    limits = Regularisation(
        torch.zeros(4), torch.zeros(2), 3.0, torch.rand(4, generator=g).double(), torch.rand(2, generator=g).double()
    )

    def value(S: Tensor, variance: Tensor) -> float:
        trace = torch.linalg.solve(S, torch.diag(variance).expand_as(S)).diagonal(dim1=1, dim2=2).sum()
        return -1.5 * float(torch.logdet(S).sum() + trace)

    for noise in ("isotropic", "diagonal", "full"):
        p = parameters_of(MixtureSpec(covariance_type=noise))
        expected = value(full_noise(p), limits.feature_variance) + value(p.Gamma, limits.target_variance)
        assert limits.log_prior(p) == pytest.approx(expected, rel=1e-12)
        assert limits._replace(prior_count=0.0).log_prior(p) == 0.0


def test_floors_are_shares_of_the_variances() -> None:
    variance = torch.tensor([4.0, 0.0, 2.0]).double()
    assert relative_floor(variance, 0.1).tolist() == pytest.approx([0.4, 0.2, 0.2])  # a constant: the mean variance
    assert relative_floor(torch.zeros(2).double(), 0.1).tolist() == pytest.approx([0.1, 0.1])
    scaling = Scaling(torch.zeros(3).double(), variance, torch.zeros(2).double(), torch.ones(2).double())
    limits = regularise(scaling, 1e-3, 2.0, 0.5)
    assert limits.feature_floor.tolist() == pytest.approx([4e-3, 2e-3, 2e-3])
    assert limits.target_floor.tolist() == [1e-3, 1e-3]
    assert limits.feature_variance.tolist() == pytest.approx([2.0, 1.0, 1.0])
    assert (limits.prior_count, limits.target_variance.tolist()) == (2.0, [0.5, 0.5])


# the model's own statistics, and shrinkage

STRUCTURES = [(noise, tied) for noise in ("isotropic", "diagonal", "full") for tied in (False, True)]


@pytest.mark.parametrize("target_covariance", ["full", "diagonal", "isotropic"])
@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_the_m_step_of_expected_statistics_returns_the_parameters(
    noise: str, tied: bool, target_covariance: str
) -> None:
    spec = MixtureSpec(1, noise, tied, target_covariance)
    p = parameters_of(spec, K=3)
    found = m_step(expected_statistics(p), spec)
    for name, value in p.tensors.items():
        assert close(getattr(found, name), value, 1e-10), name


def test_expected_statistics_are_the_mean_over_samples() -> None:
    spec = MixtureSpec(covariance_type="full")
    p = parameters_of(spec, K=2)
    x, y = sample(p, 200_000, generator(5))
    scaling = Scaling(torch.zeros(4), torch.ones(4), torch.zeros(2), torch.ones(2))
    scaling = Scaling(*(value.double() for value in scaling))
    found = e_step(Rows(x, y, scaling=scaling), p).scaled(1.0 / len(x))
    expected = expected_statistics(p)
    for name in ("s0", "M", "C", "q"):
        # 200,000 samples: a standard error of a few thousandths of each moment's scale
        assert close(getattr(found, name), getattr(expected, name), 0.03), name


@settings(properties)
@given(p=parameter_sets(plain_specs), share=st.floats(0.01, 0.99))
def test_shrinkage_keeps_the_mean_variance_and_narrows_the_spectrum(p: Parameters, share: float) -> None:
    count = torch.ones(len(p.Sigma)).double()
    found = full_noise(p._replace(Sigma=shrink(p.Sigma, share, count)))
    before, after = torch.linalg.eigvalsh(full_noise(p)), torch.linalg.eigvalsh(found)
    assert close(after.mean(1), before.mean(1), 1e-9)
    spread = (before - before.mean(1, keepdim=True)) * (1.0 if p.covariance_type == "isotropic" else 1.0 - share)
    assert close(after, before.mean(1, keepdim=True) + spread, 1e-8)


@pytest.mark.parametrize("n", [8, 50, 5000])
def test_the_closed_form_intensity_is_scikit_learns(n: int) -> None:
    x = normal(generator(3), n, 6) @ torch.diag(torch.arange(1.0, 7.0).double())
    empirical = x.T @ x / n
    expected, share = oas(x.numpy(), assume_centered=True)
    found = shrink(empirical[None], "oas", torch.tensor([float(n)]).double())
    np.testing.assert_allclose(found[0], expected, rtol=1e-9)
    assert 0 < share < 1


def test_an_isotropic_covariance_is_shrunk_to_itself_in_closed_form() -> None:
    S = 2.0 * torch.eye(3).double()[None]
    assert torch.equal(shrink(S, "oas", torch.tensor([10.0]).double()), S)


@pytest.mark.parametrize("noise", ["diagonal", "full"])
def test_em_with_shrinkage_converges(noise: str) -> None:
    x, y = sample(parameters_of(MixtureSpec(covariance_type=noise), K=2, D=6), 400, generator(2))
    plain, shrunk = (
        fit(x, y, 2, covariance_type=noise, shrinkage=share, tol=1e-6, random_state=1) for share in (0.0, 0.5)
    )
    assert shrunk.converged
    conditions = [torch.linalg.cond(full_noise(result.parameters)).max() for result in (plain, shrunk)]
    assert conditions[1] < conditions[0]


@pytest.mark.parametrize("value", [-0.1, 1.0, "ledoit", float("nan")])
def test_invalid_shrinkage_is_an_error(value: float | str) -> None:
    with pytest.raises(ConfigurationError, match=f"shrinkage is {value!r}"):
        fit(torch.randn(20, 3), torch.randn(20, 1), shrinkage=value)
