"""The initial A_w against eigendecompositions of the residuals."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.gllim import MixtureSpec, Parameters, Rows, collect, e_step, m_step, sample
from deepgllim.gllim.covariances import noise_structure
from deepgllim.gllim.initialisation import given as known
from deepgllim.gllim.latents import add_latents
from tests.gllim.strategies import (
    NOISES,
    Problem,
    close,
    fit,
    full_noise,
    generator,
    normal,
    parameters_of,
    plain_specs,
    problem_of,
    problems,
    properties,
    residual_noise,
)


def first(problem: Problem, weights: Tensor | None = None) -> tuple[Rows, Parameters]:
    """Rows and the parameters of the first M-step, without latents."""
    x, y, r, spec = problem
    rows = Rows(x, y, weights, block_rows=40)
    return rows, m_step(collect(rows, known(r), r.shape[1], noise_structure(spec.covariance_type), spec.tied), spec)


def principal_axes(problem: Problem, rows: Rows, p: Parameters, n_latents: int) -> tuple[Tensor, Tensor]:
    """A_w A_wᵀ and the variances that are left of Σ, (K, D), by definition."""
    x, y = rows.scaling.apply(problem.features, problem.targets)
    e = x[:, None] - torch.einsum("kdl,nl->nkd", p.A, y) - p.b
    deviation = full_noise(p).diagonal(dim1=1, dim2=2).sqrt()
    residual = torch.einsum("nk,nkd,nke->kde", problem.r, e / deviation, e / deviation)
    values, axes = torch.linalg.eigh(residual / problem.r.sum(0)[:, None, None])
    rest = values[:, :-n_latents].mean(1)
    leading, U = values[:, -n_latents:] - rest[:, None], deviation[:, :, None] * axes[:, :, -n_latents:]
    return (U * leading[:, None]) @ U.mT, rest[:, None] * deviation.square()


@pytest.mark.parametrize("tied", [False, True])
@given(problem=problems(plain_specs.filter(lambda spec: not spec.equal_weights)))
@properties
def test_the_axes_are_the_principal_ones_of_the_residuals(tied: bool, problem: Problem) -> None:
    problem = problem._replace(spec=problem.spec._replace(tied=tied))
    rows, p = first(problem)
    D = p.n_features
    for n_latents in range(1, D):
        found = add_latents(rows, p, known(problem.r), n_latents, seed=0)
        outer, variances = principal_axes(problem, rows, p, n_latents)
        A_w = found.A[:, :, p.n_targets :]
        # a basis of all D ≤ 5 directions: eigenvectors to rounding over gaps between eigenvalues
        assert close(A_w @ A_w.mT, outer, 1e-9)
        if found.covariance_type == "isotropic":
            variances = variances.mean(1, keepdim=True).expand(-1, D)
        if found.tied:
            variances = (p.pi @ variances).expand(p.n_components, D)
        assert close(full_noise(found), torch.diag_embed(variances), 1e-9)
        assert torch.equal(found.A[:, :, : p.n_targets], p.A)


@pytest.mark.parametrize("noise", ["isotropic", "diagonal"])
@pytest.mark.parametrize("n_latents", [1, 2])
def test_initial_latents_increase_the_likelihood(noise: str, n_latents: int) -> None:
    """Without latents, the residuals' correlations are left unexplained."""
    problem = problem_of(MixtureSpec(covariance_type=noise), K=1, D=5)
    rows, p = first(problem)
    found = add_latents(rows, p, known(problem.r), n_latents, seed=0)
    assert float(e_step(rows, found).log_likelihood) > float(e_step(rows, p).log_likelihood) + 1.0


@pytest.mark.parametrize("noise", NOISES)
def test_few_of_many_axes_are_found_in_a_few_passes(noise: str) -> None:
    """D is more than the width of the subspace: what latents of variance 25 leave of noise of variance 1 is small."""
    D, N, Lw = 40, 500, 2
    p = parameters_of(MixtureSpec(covariance_type="isotropic", n_latents=Lw), K=1, D=D)
    p = p._replace(Sigma=torch.ones(1).double(), A=torch.cat([p.A[:, :, :2], 5.0 * p.A[:, :, 2:]], 2))
    x, y = sample(p, N, generator(0))
    problem = Problem(x, y, torch.ones(N, 1).double(), MixtureSpec(covariance_type=noise))
    rows, start = first(problem)
    found = add_latents(rows, start, known(problem.r), Lw, seed=0)
    outer, variances = principal_axes(problem, rows, start, Lw)
    A_w = found.A[:, :, 2:]
    # four passes shrink the other directions by (1/25)⁴ and more
    assert close(A_w @ A_w.mT, outer, 1e-4)
    kept = variances.mean() if noise == "isotropic" else variances
    assert close(full_noise(found).diagonal(dim1=1, dim2=2), torch.as_tensor(kept).expand(1, D), 1e-4)
    truth = residual_noise(p)
    # of a covariance from 500 samples: its relative error is 1 / sqrt(250), three of them
    assert close(residual_noise(found), truth, 0.2)


@given(plain_specs)
@properties
def test_weights_equal_repeated_samples(spec: MixtureSpec) -> None:
    problem = problem_of(spec)
    w = torch.arange(90) % 3
    index = torch.repeat_interleave(w)
    rows, p = first(problem, w)
    repeated = Rows(problem.features[index], problem.targets[index], scaling=rows.scaling)
    weighted, other = (
        add_latents(rows, p, known(problem.r), 2, 0),
        add_latents(repeated, p, known(problem.r[index]), 2, 0),
    )
    outer, expected = (q.A[:, :, 2:] @ q.A[:, :, 2:].mT for q in (weighted, other))
    assert close(outer, expected, 1e-9)
    assert close(weighted.Sigma, other.Sigma, 1e-9)


def test_seeds_hardly_change_the_initial_latents() -> None:
    problem = problem_of(MixtureSpec())
    rows, p = first(problem)
    one, other = (add_latents(rows, p, known(problem.r), 2, seed) for seed in (0, 1))
    assert close(residual_noise(one), residual_noise(other), 1e-9)
    again = add_latents(rows, p, known(problem.r), 2, 0)
    assert torch.equal(one.A, again.A)


@pytest.mark.parametrize("n_latents", [4, 7])
def test_as_many_latents_as_features_are_an_error(n_latents: int) -> None:
    problem = problem_of(MixtureSpec())
    with pytest.raises(ConfigurationError, match=f"n_latents = {n_latents} for n_features = 4: use fewer latents"):
        fit(problem.features, problem.targets, n_latents=n_latents)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("tied", [False, True])
def test_initial_latents_are_finite_without_noise(noise: str, tied: bool) -> None:
    """The targets determine the features, so that the residuals are zero."""
    y = normal(generator(0), 60, 2)
    x = y @ normal(generator(1), 2, 4)
    p = fit(x, y, 2, covariance_type=noise, tied=tied, n_latents=2, max_iter=3, tol=0).parameters
    assert all(bool(value.isfinite().all()) for value in p.tensors.values())
