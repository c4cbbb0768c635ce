"""What the tests of gllim/ share: drawn problems, random parameters, and the joint model by brute force."""

from typing import NamedTuple

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.gllim import Parameters

NOISES = ("isotropic", "diagonal", "full")
properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)


class Problem(NamedTuple):
    """Data that follow no mixture exactly, a first r, and the model to fit."""

    features: Tensor
    targets: Tensor
    r: Tensor
    noise: str
    tied: bool


class Gaussians(NamedTuple):
    """A mixture of full Gaussians: weights (K,), means (K, Q), covariances (K, Q, Q)."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


def generator(seed: int) -> torch.Generator:
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Standard normal values, float64."""
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def make_problem(seed: int, noise: str, tied: bool, K: int, L: int, D: int, N: int = 90) -> Problem:
    """Features that are a nonlinear function of the targets, with noise of unequal size."""
    g = generator(seed)
    y = normal(g, N, L) @ normal(g, L, L) + normal(g, L)
    x = torch.sin(y @ normal(g, L, D)) + y @ normal(g, L, D) + (0.1 + torch.rand(D, generator=g)) * normal(g, N, D)
    return Problem(x, y, torch.softmax(2.0 * normal(g, N, K), 1), noise, tied)


def covariance(g: torch.Generator, K: int, D: int) -> Tensor:
    """K well-conditioned covariances, (K, D, D)."""
    root = normal(g, K, D, D)
    return root @ root.mT / D + 0.3 * torch.eye(D, dtype=torch.float64)


def make_parameters(seed: int, noise: str, tied: bool, K: int, L: int, D: int) -> Parameters:
    """Random parameters of order one."""
    g = generator(seed)
    full = covariance(g, 1 if tied else K, D)
    Sigma = {"full": full, "diagonal": full.diagonal(dim1=1, dim2=2), "isotropic": full[:, 0, 0]}[noise]
    return Parameters(
        torch.softmax(normal(g, K), 0),
        normal(g, K, L),
        covariance(g, K, L),
        normal(g, K, D, L),
        normal(g, K, D),
        Sigma.contiguous(),
    )


structures = st.tuples(st.sampled_from(NOISES), st.booleans())
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5))  # K, L, D
seeds = st.integers(0, 10**6)
problems = st.builds(lambda seed, s, size: make_problem(seed, *s, *size), seeds, structures, sizes)
parameter_sets = st.builds(lambda seed, s, size: make_parameters(seed, *s, *size), seeds, structures, sizes)


def full_noise(p: Parameters) -> Tensor:
    """Σ of any structure as (K, D, D)."""
    K, D = p.n_components, p.n_features
    eye = torch.eye(D, dtype=p.Sigma.dtype)
    full = {
        "isotropic": lambda: p.Sigma[:, None, None] * eye,
        "diagonal": lambda: torch.diag_embed(p.Sigma),
        "full": lambda: p.Sigma,
    }[p.noise]()
    return full.expand(K, D, D)


def joint(p: Parameters) -> Gaussians:
    """p(x, y) as a mixture over [x; y], by (D + L) × (D + L) matrices."""
    AG = p.A @ p.Gamma
    top = torch.cat([full_noise(p) + AG @ p.A.mT, AG], 2)
    bottom = torch.cat([AG.mT, p.Gamma], 2)
    means = torch.cat([(p.A @ p.c[:, :, None])[:, :, 0] + p.b, p.c], 1)
    return Gaussians(p.pi, means, torch.cat([top, bottom], 1))


def marginal(mixture: Gaussians, kept: slice) -> Gaussians:
    """The mixture over some of its dimensions."""
    return Gaussians(mixture.weights, mixture.means[:, kept], mixture.covariances[:, kept, kept])


def log_densities(points: Tensor, mixture: Gaussians) -> Tensor:
    """log π_k + log N(point; component k), (N, K)."""
    normals = torch.distributions.MultivariateNormal(mixture.means, mixture.covariances)
    answer: Tensor = normals.log_prob(points[:, None]) + mixture.weights.log()  # type: ignore[no-untyped-call]
    return answer


def moments(mixture: Gaussians) -> tuple[Tensor, Tensor]:
    """Mean (Q,) and covariance (Q, Q) of the whole mixture."""
    mean = mixture.weights @ mixture.means
    second = mixture.covariances + mixture.means[:, :, None] * mixture.means[:, None, :]
    return mean, torch.einsum("k,kqr->qr", mixture.weights, second) - torch.outer(mean, mean)


def close(actual: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Equal to a share of the expected tensor's largest value: entries near 0 carry the rounding of the others."""
    assert actual.shape == expected.shape
    return bool((actual - expected).abs().max() <= tolerance * (expected.abs().max() + 1e-300))
