"""The two log-densities against D × D algebra: log p(x, y, k) and log p(x) of the same features."""

import pytest
import torch
from hypothesis import given
from torch.distributions import MultivariateNormal

from deepgllim.gllim import DensityModel, invert, predict
from deepgllim.gllim.scaling import model_scaling
from tests.gllim.strategies import (
    NOISES,
    SHIFTS,
    generator,
    joint,
    log_densities,
    make_parameters,
    marginal,
    near_and_far,
    normal,
    properties,
    seeds,
    structures,
)

K, L, D, N = 3, 2, 4, 20
STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_both_densities_are_those_of_the_joint_gaussian_mixture(noise: str, tied: bool) -> None:
    p = make_parameters(3, noise, tied, K, L, D)
    x, y = normal(generator(0), N, D), normal(generator(1), N, L)
    found = DensityModel.of(p).densities(x, y)
    mixture = joint(p)
    expected = log_densities(torch.cat([x, y], 1), mixture)
    torch.testing.assert_close(found.log_joint, expected, atol=1e-9, rtol=1e-9)
    expected = torch.logsumexp(log_densities(x, marginal(mixture, slice(0, D))), 1)
    torch.testing.assert_close(found.log_marginal, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_target_noise_is_an_error_of_the_targets(noise: str, tied: bool) -> None:
    """p(y | x) is convolved with the error; p(x) does not change."""
    p = make_parameters(3, noise, tied, K, L, D)
    x, y = normal(generator(0), N, D), normal(generator(1), N, L)
    plain, found = DensityModel.of(p).densities(x, y), DensityModel.of(p, 0.3).densities(x, y)
    torch.testing.assert_close(found.log_marginal, plain.log_marginal)
    error = 0.3 * torch.diag(model_scaling(p).target_scale.square())
    predictive = predict(x, invert(p))
    components = MultivariateNormal(predictive.means, predictive.covariances + error)
    expected = predictive.log_weights + components.log_prob(y[:, None])  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found.log_joint - found.log_marginal[:, None], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_little_target_noise_changes_little(noise: str, tied: bool) -> None:
    p = make_parameters(3, noise, tied, K, L, D)
    x, y = normal(generator(0), N, D), normal(generator(1), N, L)
    plain, found = DensityModel.of(p).densities(x, y), DensityModel.of(p, 1e-9).densities(x, y)
    torch.testing.assert_close(found.log_joint, plain.log_joint, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("target_noise", [0.0, 0.2])
@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_the_gradients_are_those_of_finite_differences(noise: str, tied: bool, target_noise: float) -> None:
    model = DensityModel.of(make_parameters(3, noise, tied, K, L, D), target_noise)
    x, y = normal(generator(0), 5, D).requires_grad_(), normal(generator(1), 5, L)
    assert torch.autograd.gradcheck(lambda value: tuple(model.densities(value, y)), (x,))


@pytest.mark.parametrize("target_noise", [0.0, 0.1])
@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
@properties
@given(seeds, SHIFTS, SHIFTS)
def test_a_shift_of_features_and_targets_changes_no_density(
    noise: str, tied: bool, target_noise: float, seed: int, far_x: float, far_y: float
) -> None:
    near, far, x, y = near_and_far(make_parameters(seed, noise, tied, K, L, D), seed, far_x, far_y)
    model, moved = DensityModel.of(near, target_noise), DensityModel.of(far, target_noise)
    for expected, found in zip(model.densities(x, y), moved.densities(x + far_x, y + far_y), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    expected, found = model.target_responsibilities(y), moved.target_responsibilities(y + far_y)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("target_noise", [0.0, 0.1])
@properties
@given(seeds, structures)
def test_absolute_parameters_far_away_lose_their_own_rounding_only(
    target_noise: float, seed: int, structure: tuple[str, bool]
) -> None:
    """As a model's file has them: c and b are rounded as values of 1e7 are, to 2e-9."""
    near, far, x, y = near_and_far(make_parameters(seed, *structure, K, L, D), seed, 0.0, 1e7)
    x, far_y = x.requires_grad_(), y + 1e7
    expected = DensityModel.of(near, target_noise).densities(x, far_y - 1e7)
    found = DensityModel.of(far.absolute, target_noise).densities(x, far_y)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    slopes = [
        torch.autograd.grad(density.sum(), x, retain_graph=True)[0] for pair in (found, expected) for density in pair
    ]
    for one, other in zip(slopes[:2], slopes[2:], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
