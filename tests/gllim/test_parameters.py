"""Parameters and changes of unit."""

import torch
from hypothesis import given

from deepgllim.gllim import Parameters, Rows, Scaling, joint_log_density, sample
from tests.gllim.strategies import (
    Problem,
    close,
    generator,
    joint,
    make_parameters,
    moments,
    parameter_sets,
    problems,
    properties,
)

ROUNDING = 1e-12  # a few operations on values of order one; 1e-16 each


@given(parameter_sets)
@properties
def test_feature_mean_is_that_of_the_joint_model(p: Parameters) -> None:
    mean, _ = moments(joint(p))
    assert close(p.feature_mean, mean[: p.n_features], ROUNDING)


def test_properties_name_the_structure() -> None:
    for noise in ("isotropic", "diagonal", "full"):
        for tied in (True, False):
            p = make_parameters(0, noise, tied, K=3, L=2, D=4)
            assert (p.noise, p.tied, p.n_components, p.n_features, p.n_targets) == (noise, tied, 3, 4, 2)
            assert torch.equal(p.coefficients, torch.cat([p.A, p.b[:, :, None]], 2))
            assert {value.dtype for value in p.to(torch.float32)} == {torch.float32}


@given(parameter_sets)
@properties
def test_reduce_undoes_restore(p: Parameters) -> None:
    g = generator(1)
    D, L = p.n_features, p.n_targets
    scaling = Scaling(*(torch.rand(size, generator=g, dtype=torch.float64) + 0.5 for size in (D, D, L, L)))
    back = scaling.reduce(scaling.restore(p))
    assert all(close(a, b, ROUNDING) for a, b in zip(back, p, strict=True))


@given(problems)
@properties
def test_restored_parameters_are_the_same_density_in_the_data_units(problem: Problem) -> None:
    x, y = problem.features, 3.0 * problem.targets + 7.0
    scaling = Rows(x, y).scaling
    p = make_parameters(0, problem.noise, problem.tied, problem.r.shape[1], y.shape[1], x.shape[1])
    reduced = joint_log_density(*scaling.apply(x, y), p) - scaling.target_scale.log().sum()
    # quadratics of order 10⁴ at most, each term with a rounding of 1e-16
    assert close(joint_log_density(x, y, scaling.restore(p)), reduced, 1e-10)


def test_to_moves_between_dtypes_without_a_change_of_distribution() -> None:
    p = make_parameters(3, "diagonal", False, K=2, L=2, D=3)
    x, y = sample(p, 5, generator(0))
    low = joint_log_density(x.float(), y.float(), p.to(torch.float32))
    assert close(low.double(), joint_log_density(x, y, p), 1e-4)  # float32: 1e-7 a term, terms of order 100
