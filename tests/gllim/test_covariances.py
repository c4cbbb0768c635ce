"""The tables of the structures of Σ and Γ against D × D algebra."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, NumericalError
from deepgllim.gllim.covariances import NOISE, cholesky, floor_eigenvalues, noise_structure, target_structure
from tests.gllim.strategies import (
    NOISES,
    TARGET_COVARIANCES,
    close,
    covariance,
    full_noise,
    generator,
    make_parameters,
    normal,
    properties,
    seeds,
    sizes,
    structures,
    uniform,
)

ROUNDING = 1e-11  # matrices up to 5 × 5 with condition numbers under 10³


@given(seeds, structures, sizes)
@properties
def test_precision_distance_and_determinant_are_those_of_the_full_matrix(
    seed: int, structure: tuple[str, bool], size: tuple[int, int, int]
) -> None:
    noise, tied = structure
    K, L, D = size
    p = make_parameters(seed, noise, tied, K, L, D)
    full, table = full_noise(p), noise_structure(noise)
    x = normal(generator(seed), 7, D)
    precision = table.precision(p.Sigma)
    distance = torch.einsum("nd,kde,ne->nk", x, torch.linalg.inv(full), x)
    assert close(table.distance(precision, table.square(x, None)).expand(7, K), distance, ROUNDING)
    assert close(table.weigh(precision, p.A), torch.linalg.solve(full, p.A), ROUNDING)
    assert close(table.log_determinant(precision, D).expand(K), torch.logdet(full), ROUNDING)
    variances = uniform(generator(seed), D)
    trace = (torch.linalg.inv(full).diagonal(dim1=1, dim2=2) * variances).sum(1)
    assert close(table.trace(precision, variances).expand(K), trace, ROUNDING)


@given(seeds, sizes)
@properties
def test_moments_and_residuals_are_traces_and_diagonals_of_the_full_ones(seed: int, size: tuple[int, int, int]) -> None:
    K, L, D = size
    g = generator(seed)
    x, r, B, C = normal(g, 9, D), torch.rand(9, K, generator=g).double(), normal(g, K, D, L), normal(g, K, D, L)
    moment, explained = torch.einsum("nk,nd,ne->kde", r, x, x), B @ C.mT
    count = r.sum(0)
    symmetric = (moment - explained + (moment - explained).mT) / 2 / count[:, None, None]
    kept = {
        "full": symmetric,
        "diagonal": symmetric.diagonal(dim1=1, dim2=2),
        "isotropic": symmetric.diagonal(dim1=1, dim2=2).mean(1),
    }
    for noise, table in NOISE.items():
        residual = table.moment(table.square(x, torch.empty_like(x)), r) - table.explained(B, C)
        assert close(table.spread(residual, count, D), kept[noise], ROUNDING)


@given(seeds, st.integers(1, 5))
@properties
def test_scatter_is_the_moment_of_a_sample_that_has_the_variances(seed: int, D: int) -> None:
    x = normal(generator(seed), 1, D)
    for table in NOISE.values():
        moment = table.moment(table.square(x, None), torch.ones(1, 1).double())[0]
        own = moment.diagonal().diag() if moment.ndim == 2 else moment  # variances have no covariances
        assert close(table.scatter(x[0].square()), own, ROUNDING)


@given(seeds, st.integers(1, 5), st.floats(0.01, 3.0))
@properties
def test_floor_maximises_the_likelihood_under_the_constraint(seed: int, D: int, height: float) -> None:
    g = generator(seed)
    S = covariance(g, 1, D)
    floor = height * (0.5 + torch.rand(D, generator=g).double())
    for noise in NOISES:
        p = make_parameters(seed, noise, False, 1, 1, D)._replace(Sigma=S)
        sample = {"full": S, "diagonal": S.diagonal(dim1=1, dim2=2), "isotropic": S.diagonal(dim1=1, dim2=2).mean(1)}
        best = noise_structure(noise).floor(sample[noise].clone(), floor)
        target = S if noise == "full" else full_noise(p._replace(Sigma=sample[noise]))
        rivals = [noise_structure(noise).floor(0.5 * q + 0.5 * best, floor) for q in _others(g, noise, sample[noise])]

        def value(Sigma: torch.Tensor, target: torch.Tensor = target, p=p) -> float:  # type: ignore[no-untyped-def]
            full = full_noise(p._replace(Sigma=Sigma))
            return float(-torch.logdet(full) - torch.linalg.solve(full, target).diagonal(dim1=1, dim2=2).sum())

        # a maximum: no other admissible Σ does better, but for rounding of the log-determinants
        assert all(value(rival) <= value(best) + 1e-9 for rival in rivals)


def _others(g: torch.Generator, noise: str, sample: torch.Tensor) -> list[torch.Tensor]:
    """Return covariances near that of the sample."""
    if noise == "full":
        return [
            sample * 0.7,
            sample * 1.5,
            covariance(g, 1, sample.shape[-1]),
            sample + covariance(g, 1, sample.shape[-1]),
        ]
    return [sample * (0.3 + 2.0 * torch.rand(sample.shape, generator=g).double()) for _ in range(6)]


@given(seeds, st.integers(1, 4), st.sampled_from(TARGET_COVARIANCES))
@properties
def test_a_target_covariance_maximises_the_likelihood_in_its_structure(seed: int, L: int, name: str) -> None:
    g = generator(seed)
    S = covariance(g, 2, L)
    best = target_structure(name)(S)

    def value(Gamma: torch.Tensor) -> float:
        return float((-torch.logdet(Gamma) - torch.linalg.solve(Gamma, S).diagonal(dim1=1, dim2=2).sum(1)).sum())

    for scale in (1e-3, 0.1, 1.0):
        other = target_structure(name)(covariance(g, 2, L))
        assert value((1 - scale) * best + scale * other) <= value(best) + 1e-12  # rounding of log-determinants
    if name != "full":
        assert torch.equal(best, torch.diag_embed(best.diagonal(dim1=1, dim2=2)))
    if name == "isotropic":
        assert torch.equal(best, best[:, :1, :1] * torch.eye(L).double())


@given(seeds, st.integers(1, 5))
@properties
def test_floored_eigenvalues_are_at_least_one_relative_to_the_floor(seed: int, D: int) -> None:
    g = generator(seed)
    matrices, floor = 0.2 * covariance(g, 3, D), 0.5 * torch.rand(D, generator=g).double() + 0.05
    scale = floor.sqrt()
    values = torch.linalg.eigvalsh(floor_eigenvalues(matrices, floor) / scale / scale[:, None])
    raised = torch.linalg.eigvalsh(matrices / scale / scale[:, None]).clamp(min=1.0)
    assert close(values, raised, ROUNDING)


def test_a_floor_of_zero_changes_nothing() -> None:
    matrices = covariance(generator(0), 2, 3)
    assert torch.equal(floor_eigenvalues(matrices, torch.zeros(3).double()), matrices)


def test_singular_covariances_are_an_error() -> None:
    matrices = torch.eye(2, dtype=torch.float64).repeat(3, 1, 1)
    matrices[1] = 1.0
    with pytest.raises(NumericalError, match=r"the target covariance of component 1 is singular.*covariance_floor"):
        cholesky(matrices, "the target covariance")
    with pytest.raises(NumericalError, match="of component 1 is singular"):
        noise_structure("full").precision(matrices)
    variances = torch.ones(3, 4)
    variances[2, 1] = 0.0
    with pytest.raises(NumericalError, match="component 2, feature 1"):
        noise_structure("diagonal").precision(variances)
    with pytest.raises(NumericalError, match="component 0"):
        noise_structure("isotropic").precision(torch.tensor([torch.nan, 1.0]))


def test_unknown_structures_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="'spherical': use one of isotropic, diagonal, full"):
        noise_structure("spherical")
    with pytest.raises(ConfigurationError, match="unknown target_covariance 'tied': use one of full, diagonal, isotro"):
        target_structure("tied")
