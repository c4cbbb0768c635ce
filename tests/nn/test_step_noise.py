"""The noise covariance of the network step, derived from that of the mixture."""

import pytest
import torch

from deepgllim.nn.step_noise import diagonal, signal, tied_isotropic
from tests.gllim.strategies import NOISES, full_noise, make_parameters

STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]
K, D, L = 3, 5, 2


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_tied_isotropic_noise_is_the_mean_variance(noise: str, tied: bool) -> None:
    p = make_parameters(1, noise, tied, K, L, D)
    found = tied_isotropic(p)
    expected = torch.einsum("k,kdd->", p.pi, full_noise(p)) / D
    assert (found.covariance_type, found.tied) == ("isotropic", True)
    torch.testing.assert_close(found.Sigma, expected[None])
    assert torch.equal(found.A, p.A)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_diagonal_noise_leaves_the_covariances_of_features_out(noise: str, tied: bool) -> None:
    p = make_parameters(1, noise, tied, K, L, D)
    found = diagonal(p)
    assert found.tied == tied
    torch.testing.assert_close(full_noise(found), torch.diag_embed(full_noise(p).diagonal(dim1=1, dim2=2)))


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_signal_noise_weighs_every_target_alike(noise: str, tied: bool) -> None:
    """A step of one standard deviation in any direction of the targets is at distance 1, in whatever units they are."""
    p = make_parameters(1, noise, tied, K, L, D)
    y = p.c + 0.0
    mean = p.pi @ y
    spread = torch.einsum("k,kij->ij", p.pi, p.Gamma) + torch.einsum("k,ki,kj->ij", p.pi, y - mean, y - mean)
    steps = p.A @ torch.linalg.cholesky(spread)  # (K, D, L)
    found = signal(p)
    assert (found.covariance_type, found.tied) == ("full", False)
    distances = steps.mT @ torch.linalg.solve(found.Sigma, steps)
    torch.testing.assert_close(distances, torch.eye(L, dtype=y.dtype).expand(K, L, L))
    units = torch.tensor([1.0, 1000.0], dtype=y.dtype)
    rescaled = p._replace(A=p.A / units, c=p.c * units, Gamma=p.Gamma * torch.outer(units, units))
    torch.testing.assert_close(signal(rescaled).Sigma, found.Sigma)


def test_signal_noise_of_a_dead_target_stays_positive() -> None:
    p = make_parameters(1, "diagonal", False, K, L, D)
    dead = signal(p._replace(A=p.A * torch.tensor([1.0, 0.0], dtype=p.A.dtype)))
    values = torch.linalg.eigvalsh(dead.Sigma)
    torch.testing.assert_close(values[:, 0] / values[:, -1], torch.full((K,), 1e-3 / D, dtype=values.dtype))
