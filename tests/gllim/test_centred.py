"""All functions of a mixture far from zero give the same results as near zero."""

import pytest
import torch
from hypothesis import given

from deepgllim.gllim import (
    Parameters,
    centre,
    impute,
    invert,
    joint_log_density,
    predict,
    predict_features,
    predict_incomplete,
    sample,
    target_responsibilities,
)
from tests.gllim.strategies import (
    SHIFTS,
    all_close,
    close,
    generator,
    near_and_far,
    normal,
    parameter_sets,
    properties,
    seeds,
)


@properties
@given(parameter_sets(), seeds, SHIFTS, SHIFTS)
def test_a_distant_origin_loses_no_digits(p: Parameters, seed: int, far_x: float, far_y: float) -> None:
    near, far, x, y = near_and_far(p, seed, far_x, far_y)
    expected, found = predict(x, invert(near)), predict(x + far_x, invert(far))
    last = 4 * torch.finfo(torch.float64).eps  # digits of the answers themselves
    assert close(found.log_density, expected.log_density, 1e-12)
    assert close(found.log_weights, expected.log_weights, 1e-12)
    assert close(found.covariances, expected.covariances, 1e-12)
    assert bool((found.mean - far_y - expected.mean).abs().max() <= last * abs(far_y) + 1e-12)
    assert close(joint_log_density(x + far_x, y + far_y, far), joint_log_density(x, y, near), 1e-12)
    inverse, theirs = predict_features(y + far_y, far), predict_features(y, near)
    assert close(inverse.variance.nan_to_num(), theirs.variance.nan_to_num(), 1e-12)
    assert bool((inverse.mean - far_x - theirs.mean).abs().max() <= last * abs(far_x) + 1e-12)
    drawn = sample(far, 5, generator(seed))
    for value, own, shift in zip(drawn, sample(near, 5, generator(seed)), (far_x, far_y), strict=True):
        assert bool((value - shift - own).abs().max() <= last * (abs(shift) + own.abs().max()))


@properties
@given(parameter_sets(), seeds, SHIFTS, SHIFTS)
def test_missing_features_are_handled_far_from_zero(p: Parameters, seed: int, far_x: float, far_y: float) -> None:
    near, far, x, _ = near_and_far(p, seed, far_x, far_y)
    x = torch.where(torch.rand(x.shape, generator=generator(seed)) < 0.4, torch.nan, x)
    expected, found = predict_incomplete(x, near), predict_incomplete(x + far_x, far)
    assert close(found.log_density, expected.log_density, 1e-12)
    assert close(found.covariances, expected.covariances, 1e-12)
    filled = impute(x + far_x, far) - far_x - impute(x, near)
    assert bool(filled.abs().max() <= 1e-15 * abs(far_x) + 1e-11)


@properties
@given(parameter_sets(), seeds)
def test_absolute_parameters_have_the_precision_of_the_data(p: Parameters, seed: int) -> None:
    """c and b of the absolute values are rounded as values of that size are; nothing is lost beyond it."""
    shift = 2.0**27
    near, far, x, y = near_and_far(p, seed, shift, shift)
    rounding = 1e3 * shift * torch.finfo(torch.float64).eps  # 3e-5 of parameters of order one
    found, expected = predict(x + shift, invert(far.absolute)), predict(x, invert(near))
    assert close(found.log_density, expected.log_density, rounding)
    assert close(found.covariances, expected.covariances, rounding)
    density = joint_log_density(x + shift, y + shift, far.absolute)
    assert close(density, joint_log_density(x, y, near), rounding)
    assert close(target_responsibilities(y + shift, far.absolute), target_responsibilities(y, p), rounding)


@properties
@given(parameter_sets(), seeds)
def test_the_origin_can_be_changed(p: Parameters, seed: int) -> None:
    g = generator(seed)
    about = centre(p)
    assert centre(about) is about
    assert all_close(about.absolute, p, 1e-12)
    moved = about.about(normal(g, p.n_features), normal(g, p.n_targets))
    assert all_close(moved.absolute, p, 1e-12)
    assert all_close(about.to(torch.float64).parameters, about.parameters, 0.0)


@pytest.mark.parametrize("size", [1e-90, 1e90])
def test_a_mask_of_missing_features_keeps_the_range(size: float) -> None:
    """B B' of very small or large units leaves it where Σ⁻¹ B B' does not."""
    p = Parameters(*(torch.ones(*shape).double() for shape in ((1,), (1, 1), (1, 1, 1), (1, 2, 1), (1, 2), (1, 2))))
    scaled = p._replace(A=p.A * size**2, b=p.b * size, c=p.c / size, Gamma=p.Gamma / size**2, Sigma=p.Sigma * size**2)
    x = torch.tensor([[0.3, torch.nan]]).double()
    expected, found = predict_incomplete(x, p), predict_incomplete(x * size, scaled)
    assert close(found.means * size, expected.means, 1e-12)
