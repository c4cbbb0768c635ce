"""Log-densities by two matrix products against densities of the joint model by brute force, for every specification."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.gllim import Parameters, joint_log_density, responsibilities, sample, target_responsibilities
from deepgllim.gllim.likelihood import target_log_density
from tests.gllim.strategies import close, generator, joint, log_densities, marginal, parameter_sets, properties, seeds

# Quadratics up to about 10⁴ from terms that cancel, condition numbers to 10³; 1e-16 each.
ROUNDING = 1e-9


def drawn(p: Parameters, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A few samples, then a few points that no component explains."""
    x, y = sample(p, 8, generator(seed))
    x[5:] += 5.0
    return x, y


@given(parameter_sets(), seeds)
@properties
def test_joint_log_density_is_that_of_the_joint_model(p: Parameters, seed: int) -> None:
    x, y = drawn(p, seed)
    expected = log_densities(torch.cat([x, y], 1), joint(p), p.dof)
    assert close(joint_log_density(x, y, p), expected, ROUNDING)
    # a difference of log-densities carries their rounding
    assert close(responsibilities(x, y, p), torch.softmax(expected, 1), 1e-6)


@given(parameter_sets(), seeds)
@properties
def test_target_responsibilities_are_those_of_the_marginal(p: Parameters, seed: int) -> None:
    _, y = drawn(p, seed)
    log_targets = log_densities(y, marginal(joint(p), slice(p.n_features, None)), p.dof)
    expected = torch.softmax(log_targets, 1)
    assert close(target_log_density(y, p) + p.pi.log(), log_targets, ROUNDING)
    assert close(target_responsibilities(y, p), expected, ROUNDING)


@given(parameter_sets(), seeds, st.sampled_from([1e6, -1e6]))
@properties
def test_densities_are_invariant_under_shifts(p: Parameters, seed: int, shift: float) -> None:
    x, y = drawn(p, seed)
    near, far = joint_log_density(x, y, p), joint_log_density(x + shift, y, p._replace(b=p.b + shift))
    # x and b at 10⁶ are rounded to 1e-10; a quadratic of slope 10² makes that 1e-8, of values of order 10 and more.
    # Its expansion about 0, with terms of 10¹², would be wrong by 1e-4 and more.
    assert close(far, near, 1e-8)


@pytest.mark.parametrize("dof", [None, 3.0])
def test_improbable_points_keep_finite_responsibilities(dof: float | None) -> None:
    p = Parameters(
        torch.tensor([0.5, 0.5]).double(),
        torch.tensor([[0.0], [1.0]]).double(),
        torch.ones(2, 1, 1).double(),
        torch.ones(2, 3, 1).double(),
        torch.zeros(2, 3).double(),
        torch.full((2, 3), 1e-6).double(),
        None if dof is None else torch.full((2,), dof).double(),
    )
    r = responsibilities(torch.full((1, 3), 1e3).double(), torch.zeros(1, 1).double(), p)
    assert bool(torch.isfinite(r).all())
    assert abs(float(r.sum()) - 1.0) < 1e-12
