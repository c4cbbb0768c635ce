"""The two log-densities against D × D algebra: log p(x, y, k) and log p(x) of the same features."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from deepgllim.gllim import DensityModel, invert, predict
from deepgllim.gllim.parameters import model_scaling
from tests.gllim.strategies import NOISES, generator, joint, log_densities, make_parameters, marginal, normal

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
    """p(y | x) becomes its convolution with the error; p(x) stays."""
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
