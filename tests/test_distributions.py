"""Mixtures: moments against Monte Carlo and closed forms, quantiles that invert, modes that are maxima."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from deepgllim.distributions import MultivariateGaussianMixture, gaussian_entropy
from deepgllim.errors import ConfigurationError

properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)


def make(seed: int, N: int = 3, K: int = 3, L: int = 2, spread: float = 2.0) -> MultivariateGaussianMixture:
    """Random mixtures, float64, with covariances shared by the batch."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    root = normal(K, L, L)
    covariances = root @ root.mT / L + 0.2 * torch.eye(L, dtype=torch.float64)
    return MultivariateGaussianMixture(normal(N, K), spread * normal(N, K, L), covariances)


mixtures = st.builds(make, st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))


def one(mean: list[float], covariance: list[list[float]]) -> MultivariateGaussianMixture:
    S = torch.tensor(covariance, dtype=torch.float64)
    return MultivariateGaussianMixture(
        torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[mean]], dtype=torch.float64), S[None]
    )


# moments and density


def test_moments_are_those_of_samples() -> None:
    torch.manual_seed(0)
    p = make(1, N=1)
    drawn = p.sample(torch.Size([200_000]))[:, 0]  # type: ignore[no-untyped-call]
    deviation = drawn.std(0)
    # five standard errors of a mean, and of a second moment for tails not much heavier than a Gaussian's
    assert ((drawn.mean(0) - p.mean[0]).abs() < 5 * deviation / math.sqrt(200_000)).all()
    torch.testing.assert_close(torch.cov(drawn.T), p.covariance_matrix[0], rtol=0.02, atol=0.05)


@properties
@given(mixtures)
def test_the_covariances_diagonal_is_torchs_variance(p: MultivariateGaussianMixture) -> None:
    torch.testing.assert_close(p.covariance_matrix.diagonal(dim1=1, dim2=2), p.variance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(p.covariance_matrix, p.covariance_matrix.mT)


@properties
@given(mixtures, st.integers(0, 1000))
def test_the_density_is_the_weighted_sum_of_scipys(p: MultivariateGaussianMixture, seed: int) -> None:
    N, K, L = p.means.shape
    y = 2 * torch.randn(N, L, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for n in range(N):
        density = sum(
            float(p.weights[n, k]) * stats.multivariate_normal.pdf(y[n], p.means[n, k], p.covariances[n, k])
            for k in range(K)
        )
        # underflow of the plain sum is the limit far from all means
        assert float(p.log_prob(y)[n].exp()) == pytest.approx(density, rel=1e-8, abs=1e-300)


def test_weights_are_normalised_and_any_constant_drops_out() -> None:
    p = make(0)
    shifted = MultivariateGaussianMixture(p.mixture_distribution.logits + 700, p.means, p.covariances)
    torch.testing.assert_close(shifted.weights, p.weights)
    torch.testing.assert_close(shifted.weights.sum(1), torch.ones(3, dtype=torch.float64))


def test_covariances_may_be_shared_or_one_for_each() -> None:
    p = make(0)
    other = MultivariateGaussianMixture(p.mixture_distribution.logits, p.means, p.covariances.contiguous())
    torch.testing.assert_close(other.covariance_matrix, p.covariance_matrix)
    torch.testing.assert_close(other.log_prob(p.mean), p.log_prob(p.mean))


def test_the_density_of_the_input_is_kept() -> None:
    p = make(0)
    assert p.input_log_density is None
    density = torch.tensor([1.0, 2.0, 3.0])
    kept = MultivariateGaussianMixture(p.mixture_distribution.logits, p.means, p.covariances, density)
    assert kept.input_log_density is density


def test_a_covariance_that_is_none_is_refused() -> None:
    with pytest.raises(RuntimeError, match="positive-definite"):
        one([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]])


# one component: closed forms


def test_one_component_is_a_gaussian() -> None:
    p = one([3.0, -1.0], [[4.0, 1.0], [1.0, 9.0]])
    reference = stats.multivariate_normal([3.0, -1.0], [[4.0, 1.0], [1.0, 9.0]])
    y = torch.tensor([[2.0, 5.0]], dtype=torch.float64)
    assert p.log_prob(y).item() == pytest.approx(reference.logpdf(y[0]))
    assert p.mean.tolist() == [[3.0, -1.0]]
    assert p.covariance_matrix.tolist() == [[[4.0, 1.0], [1.0, 9.0]]]
    for probability in (0.001, 0.5, 0.9):
        expected = stats.norm.ppf(probability, [3.0, -1.0], [2.0, 3.0])
        np.testing.assert_allclose(p.quantile(probability)[0], expected, rtol=1e-12)
    lower, upper = p.interval(0.9)
    half = 2 * stats.norm.ppf(0.95)
    np.testing.assert_allclose([lower[0, 0], upper[0, 0]], [3 - half, 3 + half], rtol=1e-12)
    (modes,) = p.modes()
    assert modes.tolist() == [[3.0, -1.0]]


@pytest.mark.parametrize("L", [1, 3])
def test_the_entropy_is_torchs(L: int) -> None:
    p = make(4, N=1, K=1, L=L)
    expected = torch.distributions.MultivariateNormal(p.means[:, 0], p.covariances[:, 0]).entropy()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gaussian_entropy(p.covariances[:, 0]), expected)


# quantiles


@properties
@given(mixtures, st.floats(1e-4, 1 - 1e-4))
def test_the_quantile_inverts_the_marginal_distribution(p: MultivariateGaussianMixture, probability: float) -> None:
    y = p.quantile(probability)
    # where the density is low, the last digit of y is far less than this in probability
    torch.testing.assert_close(p.marginal_cdf(y), torch.full_like(y, probability), atol=1e-10, rtol=0)


@properties
@given(mixtures, st.floats(0.01, 0.99))
def test_an_interval_holds_its_level_and_leaves_the_same_on_either_side(
    p: MultivariateGaussianMixture, level: float
) -> None:
    lower, upper = p.interval(level)
    assert (lower < upper).all()
    torch.testing.assert_close(p.marginal_cdf(lower), 1 - p.marginal_cdf(upper), atol=1e-10, rtol=0)
    torch.testing.assert_close(
        p.marginal_cdf(upper) - p.marginal_cdf(lower), torch.full_like(upper, level), atol=1e-10, rtol=0
    )


def test_the_marginal_distribution_is_that_of_samples() -> None:
    torch.manual_seed(0)
    p = make(2, N=1)
    drawn = p.sample(torch.Size([100_000]))[:, 0]  # type: ignore[no-untyped-call]
    for probability in (0.05, 0.5, 0.95):
        share = (drawn <= p.quantile(probability)[0]).double().mean(0)
        # four standard errors of a share of 100 000
        assert (share - probability).abs().max() < 4 * math.sqrt(0.25 / 100_000)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_a_probability_outside_is_refused(probability: float) -> None:
    with pytest.raises(ConfigurationError, match="strictly between 0 and 1"):
        make(0).quantile(probability)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5])
def test_an_interval_of_no_level_is_refused(level: float) -> None:
    with pytest.raises(ConfigurationError):
        make(0).interval(level)


def test_quantiles_in_single_precision() -> None:
    p = make(3)
    single = MultivariateGaussianMixture(p.mixture_distribution.logits.float(), p.means.float(), p.covariances.float())
    assert single.quantile(0.9).dtype == torch.float32
    # values of order ten in float32
    torch.testing.assert_close(single.quantile(0.9).double(), p.quantile(0.9), atol=1e-4, rtol=1e-4)


# modes


def log_density(p: MultivariateGaussianMixture, n: int, points: Tensor) -> Tensor:
    single = MultivariateGaussianMixture(p.mixture_distribution.logits[n], p.means[n], p.covariances[n])
    return single.log_prob(points)


@properties
@given(mixtures)
def test_modes_are_maxima_in_falling_order(p: MultivariateGaussianMixture) -> None:
    for n, modes in enumerate(p.modes(tolerance=1e-9)):
        assert 1 <= len(modes) <= p.means.shape[1]
        heights = log_density(p, n, modes)
        assert (heights.diff() <= 1e-12).all()
        for mode in modes:
            gradient, hessian = derivatives(p, n, mode)
            scale = p.covariances[n].diagonal(dim1=1, dim2=2).amin(0).sqrt()
            # in units of the components' own deviations; the climb stops at steps of 1e-9, slow where it is flat
            assert float((gradient * scale).abs().max()) < 1e-4
            assert torch.linalg.eigvalsh(hessian).max() < 1e-3


def derivatives(p: MultivariateGaussianMixture, n: int, point: Tensor) -> tuple[Tensor, Tensor]:
    def density(y: Tensor) -> Tensor:
        return log_density(p, n, y[None])[0]

    gradient = torch.autograd.functional.jacobian(density, point)  # type: ignore[no-untyped-call]
    hessian = torch.autograd.functional.hessian(density, point)  # type: ignore[no-untyped-call]
    return gradient, hessian


def test_no_point_of_a_grid_is_higher_than_the_highest_mode() -> None:
    p = make(5, N=4, K=4)
    axis = torch.linspace(-8, 8, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    for n, modes in enumerate(p.modes()):
        assert float(log_density(p, n, grid).max()) <= float(log_density(p, n, modes[:1])) + 1e-9


def line(weights: list[float], means: list[float], deviation: float = 1.0) -> MultivariateGaussianMixture:
    K = len(means)
    return MultivariateGaussianMixture(
        torch.tensor([weights], dtype=torch.float64).log(),
        torch.tensor(means, dtype=torch.float64).view(1, K, 1),
        torch.full((K, 1, 1), deviation**2, dtype=torch.float64),
    )


@pytest.mark.parametrize(("distance", "expected"), [(1.5, 1), (6.0, 2)])
def test_two_components_have_two_modes_only_where_they_are_apart(distance: float, expected: int) -> None:
    """Equal ones are unimodal up to a distance of two standard deviations."""
    (modes,) = line([0.6, 0.4], [0.0, distance]).modes()
    assert len(modes) == expected
    assert float(modes[0]) == pytest.approx(0.0 if expected == 2 else 0.6, abs=0.2)


def test_far_components_are_modes_at_their_means_by_height() -> None:
    (modes,) = line([0.2, 0.5, 0.3], [-50.0, 0.0, 50.0]).modes()
    torch.testing.assert_close(modes.flatten(), torch.tensor([0.0, 50.0, -50.0], dtype=torch.float64))


def test_equal_components_are_one_mode() -> None:
    (modes,) = line([0.5, 0.5], [7.0, 7.0]).modes()
    assert modes.tolist() == [[7.0]]


def test_a_saddle_between_two_modes_is_none() -> None:
    """The middle component starts at a minimum, from where symmetry lets the climb go neither way."""
    (modes,) = line([0.495, 0.01, 0.495], [-2.5, 0.0, 2.5]).modes()
    assert len(modes) == 2
    assert float(modes.abs().min()) > 2
