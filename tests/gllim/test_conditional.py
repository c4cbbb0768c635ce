"""The two log-densities against D × D algebra: log p(x, y, k) and log p(x) of the same features."""

import pytest
import torch

from deepgllim.gllim import DensityModel
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
def test_the_gradients_are_those_of_finite_differences(noise: str, tied: bool) -> None:
    model = DensityModel.of(make_parameters(3, noise, tied, K, L, D))
    x, y = normal(generator(0), 5, D).requires_grad_(), normal(generator(1), 5, L)
    assert torch.autograd.gradcheck(lambda value: tuple(model.densities(value, y)), (x,))
