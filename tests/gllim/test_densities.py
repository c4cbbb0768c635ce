"""The families of noise against integrals over u, and against scipy."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats
from torch import Tensor

from deepgllim.gllim.densities import GAUSSIAN, MAX_DOF, MIN_DOF, STUDENT, family, solve_dof
from tests.gllim.strategies import covariance, generator, log_student, normal, properties, seeds

dofs = st.floats(MIN_DOF, 60.0)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(seeds, st.integers(1, 4), dofs)
@properties
def test_densities_are_those_of_scipy(seed: int, Q: int, dof: float) -> None:
    g = generator(seed)
    S, x = covariance(g, 1, Q), 3.0 * normal(g, 5, Q)
    distance = torch.einsum("nq,qr,nr->n", x, torch.linalg.inv(S[0]), x)[:, None]
    nu, mean = tensor(dof), torch.zeros(1, Q).double()
    student = STUDENT.log_density(distance, torch.logdet(S), Q, nu)
    # quadratics of order ten, by an inverse and by an eigendecomposition; scipy drops eigenvalues for nobody here
    torch.testing.assert_close(student, log_student(x[:, None], mean, S, nu), rtol=1e-10, atol=1e-10)
    gaussian = GAUSSIAN.log_density(distance, torch.logdet(S), Q, None)
    normals = torch.distributions.MultivariateNormal(mean, S)
    torch.testing.assert_close(gaussian, normals.log_prob(x[:, None]), rtol=1e-10, atol=1e-10)  # type: ignore[no-untyped-call]


@given(st.floats(0.5, 30.0), st.integers(1, 6), st.floats(0.0, 100.0))
@properties
def test_the_student_family_is_the_gaussian_one_over_u(dof: float, Q: int, distance: float) -> None:
    """u ~ Gamma(ν/2, ν/2) divides the covariance: the density and the expectations of u by quadrature over log u."""
    prior = stats.gamma(0.5 * dof, scale=2.0 / dof)

    def integral(weight: object) -> float:
        assert callable(weight)

        def integrand(s: float) -> float:
            u = math.exp(s)
            log_density = prior.logpdf(u) + 0.5 * Q * math.log(u / (2 * math.pi)) - 0.5 * u * distance
            return float(weight(s) * math.exp(log_density + s))

        return float(integrate.quad(integrand, -60.0, 6.0, points=[-6.0, -2.0, 0.0, 2.0], limit=400, epsabs=0)[0])

    density = integral(lambda s: 1.0)
    delta, nu = tensor(distance)[None], tensor(dof)
    # adaptive quadrature to its default relative 1.5e-8
    assert float(STUDENT.log_density(delta, tensor(0.0), Q, nu)) == pytest.approx(math.log(density), abs=1e-7)
    scale = STUDENT.expected_scale(delta, Q, nu)
    assert scale is not None
    assert float(scale) == pytest.approx(integral(math.exp) / density, rel=1e-7)
    log_scale = float(STUDENT.expected_log_scale(delta, Q, nu))
    assert log_scale == pytest.approx(integral(lambda s: s) / density, rel=1e-7, abs=1e-7)


@given(st.integers(1, 50), st.floats(0.0, 200.0))
@properties
def test_student_noise_with_many_degrees_of_freedom_is_gaussian(Q: int, distance: float) -> None:
    delta, nu = tensor(distance)[None], tensor(MAX_DOF)
    difference = STUDENT.log_density(delta, tensor(0.0), Q, nu) - GAUSSIAN.log_density(delta, tensor(0.0), Q, None)
    # the next term of the expansion in 1/ν is (δ² − 2 Q δ + Q² − 2 Q) / 4ν; lgamma at ν/2 has 6e6 · 1e-16 rounding
    assert float(difference.abs()) <= (distance + Q + 2.0) ** 2 / (4 * MAX_DOF) + 1e-8
    scale = STUDENT.expected_scale(delta, Q, nu)
    assert scale is not None
    assert float((scale - 1.0).abs()) <= (distance + Q + 1.0) / MAX_DOF
    assert float(STUDENT.expected_log_scale(delta, Q, nu).abs()) <= (distance + Q + 2.0) / MAX_DOF


def test_gaussian_noise_has_no_scale() -> None:
    delta = torch.ones(3, 2).double()
    assert family(None).expected_scale(delta, 4, None) is None
    assert torch.equal(family(None).expected_log_scale(delta, 4, None), torch.zeros_like(delta))


@given(st.lists(st.floats(0.06, 1e5), min_size=1, max_size=4))
@properties
def test_solve_dof_recovers_the_degrees_of_freedom(dofs: list[float]) -> None:
    half = 0.5 * torch.tensor(dofs, dtype=torch.float64)
    excess = torch.digamma(half) - half.log() - 1.0  # E[log u − u] of Gamma(ν/2, ν/2)
    # log ν to 60 halvings of its range; the equation's slope falls as 1/ν², its rounding does not: 1e-16 · ν
    torch.testing.assert_close(solve_dof(excess), 2.0 * half, rtol=1e-13 + 1e-14 * max(dofs), atol=0)


@given(st.floats(-8.0, -1.001))
@properties
def test_the_degrees_of_freedom_maximise_their_expected_log_likelihood(excess: float) -> None:
    def loss(log_half: float) -> float:
        half = math.exp(log_half)
        return -float(half * math.log(half) - special.gammaln(half) + half * excess)

    best = optimize.minimize_scalar(loss, bounds=(math.log(0.5 * MIN_DOF), math.log(0.5 * MAX_DOF)), method="bounded")
    found = float(solve_dof(tensor(excess)))
    assert loss(math.log(0.5 * found)) <= float(best.fun) + 1e-9 * (1.0 + abs(float(best.fun)))  # rounding of the loss


def test_degrees_of_freedom_stay_in_their_range() -> None:
    found = solve_dof(tensor(-1.0, -0.9, -1e6))  # no excess: Gaussian; more than any Student has
    torch.testing.assert_close(found, tensor(MAX_DOF, MAX_DOF, MIN_DOF), rtol=1e-12, atol=0)
