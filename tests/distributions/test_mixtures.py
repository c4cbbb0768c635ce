"""Mixtures: moments against Monte Carlo and closed forms, quantiles that invert, modes that are maxima."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from deepgllim.distributions import (
    MultivariateGaussianMixture,
    MultivariateMixture,
    MultivariateStudentMixture,
    MultivariateStudentT,
    gaussian_entropy,
)
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


def make_student(
    seed: int, N: int = 3, K: int = 3, L: int = 2, least: float = 0.5, most: float = 30.0
) -> MultivariateStudentMixture:
    """The locations and scale matrices of `make`, with degrees of freedom of each component log-uniform in a range."""
    p, g = make(seed, N, K, L), torch.Generator().manual_seed(seed + 1)
    dof = least * (most / least) ** torch.rand(N, K, generator=g, dtype=torch.float64)
    return MultivariateStudentMixture(p.mixture_distribution.logits, p.means, p.scales, dof)


sizes = (st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
gaussians = st.builds(make, *sizes)
students = st.builds(make_student, *sizes)
mixtures: st.SearchStrategy[MultivariateMixture] = st.one_of(gaussians, students)


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


def test_the_moments_of_students_are_those_of_samples() -> None:
    torch.manual_seed(0)
    p = make_student(1, N=1, least=9.0)  # finite eighth moments, so that the errors below are themselves estimable
    drawn = p.sample(torch.Size([200_000]))[:, 0]  # type: ignore[no-untyped-call]
    squares = torch.einsum("nl,nm->nlm", drawn - p.mean, drawn - p.mean)
    # five standard errors of each mean and second moment
    assert ((drawn.mean(0) - p.mean[0]).abs() < 5 * drawn.std(0) / math.sqrt(200_000)).all()
    assert ((squares.mean(0) - p.covariance_matrix[0]).abs() < 5 * squares.std(0) / math.sqrt(200_000)).all()


@properties
@given(st.one_of(gaussians, st.builds(make_student, *sizes, st.just(2.1))))
def test_mean_and_variance_are_torchs(p: MultivariateMixture) -> None:
    reference = torch.distributions.MixtureSameFamily(p.mixture_distribution, p.component_distribution)
    torch.testing.assert_close(p.mean, reference.mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(p.variance, reference.variance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(p.covariance_matrix.diagonal(dim1=1, dim2=2), p.variance)
    torch.testing.assert_close(p.covariance_matrix, p.covariance_matrix.mT)


def scipys(p: MultivariateMixture, n: int, k: int, y: Tensor) -> float:
    """The density of one component."""
    if isinstance(p, MultivariateStudentMixture):
        dof = float(p.dof[n, k])  # the stubs of scipy allow integers only
        return float(stats.multivariate_t.pdf(y, p.means[n, k], p.scales[n, k], dof))  # type: ignore[arg-type]
    return float(stats.multivariate_normal.pdf(y, p.means[n, k], p.covariances[n, k]))


@properties
@given(mixtures, st.integers(0, 1000))
def test_the_density_is_the_weighted_sum_of_scipys(p: MultivariateMixture, seed: int) -> None:
    N, K, L = p.means.shape
    y = 2 * torch.randn(N, L, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for n in range(N):
        density = sum(float(p.weights[n, k]) * scipys(p, n, k, y[n]) for k in range(K))
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


def test_an_invalid_covariance_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"covariance \[0\] is not positive definite, from its row 2"):
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
def test_the_quantile_inverts_the_marginal_distribution(p: MultivariateMixture, probability: float) -> None:
    y = p.quantile(probability)
    # where the density is low, the last digit of y is far less than this in probability
    torch.testing.assert_close(p.marginal_cdf(y), torch.full_like(y, probability), atol=1e-10, rtol=0)


@properties
@given(mixtures, st.floats(0.01, 0.99))
def test_an_interval_is_central_and_has_its_level(p: MultivariateMixture, level: float) -> None:
    lower, upper = p.interval(level)
    assert (lower < upper).all()
    torch.testing.assert_close(p.marginal_cdf(lower), 1 - p.marginal_cdf(upper), atol=1e-10, rtol=0)
    torch.testing.assert_close(
        p.marginal_cdf(upper) - p.marginal_cdf(lower), torch.full_like(upper, level), atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("p", [make(2, N=1), make_student(2, N=1)], ids=["gaussian", "student"])
def test_the_marginal_distribution_is_that_of_samples(p: MultivariateMixture) -> None:
    torch.manual_seed(0)
    drawn = p.sample(torch.Size([100_000]))[:, 0]  # type: ignore[no-untyped-call]
    for probability in (0.05, 0.5, 0.95):
        share = (drawn <= p.quantile(probability)[0]).double().mean(0)
        # four standard errors of a share of 100 000
        assert (share - probability).abs().max() < 4 * math.sqrt(0.25 / 100_000)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, math.nan])
def test_probabilities_out_of_range_are_an_error(probability: float) -> None:
    with pytest.raises(ConfigurationError, match="strictly between 0 and 1"):
        make(0).quantile(probability)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 1.5])
def test_levels_out_of_range_are_an_error(level: float) -> None:
    with pytest.raises(ConfigurationError):
        make(0).interval(level)


def test_quantiles_in_single_precision() -> None:
    p = make(3)
    single = MultivariateGaussianMixture(p.mixture_distribution.logits.float(), p.means.float(), p.covariances.float())
    assert single.quantile(0.9).dtype == torch.float32
    # values of order ten in float32
    torch.testing.assert_close(single.quantile(0.9).double(), p.quantile(0.9), atol=1e-4, rtol=1e-4)


@properties
@given(mixtures)
def test_several_quantiles_are_those_of_each(p: MultivariateMixture) -> None:
    together = p.marginal_quantiles((0.1, 0.5, 0.9))
    assert together.shape == (3, *p.mean.shape)
    assert (together.diff(dim=0) > 0).all()
    torch.testing.assert_close(together[1], p.quantile(0.5), rtol=0, atol=0)


def test_no_quantiles_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="no probabilities"):
        make(0).marginal_quantiles([])


@pytest.mark.parametrize(("dof", "probability"), [(5.0, 1e-300), *((0.1, p) for p in (1e-9, 0.02, 0.5, 1 - 1e-9))])
def test_quantiles_far_out_in_the_tails(dof: float, probability: float) -> None:
    """Brackets of a hundred orders of magnitude, around a narrow component that holds most of the weight."""
    p = line([0.01, 0.99], [-1.0, 1.0], dof=[dof, 50.0])
    assert float(p.marginal_cdf(p.quantile(probability))) == pytest.approx(probability, rel=1e-12, abs=0)


def test_an_extreme_quantile_is_finite() -> None:
    """Of 0.05 degrees of freedom, the 1e-9 quantile is near −1e167."""
    quantile = MultivariateStudentMixture(
        torch.zeros(1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.full((1,), 0.05)
    ).quantile(1e-9)
    assert quantile.isfinite().all()
    assert float(quantile) < -1e36


# modes


def log_density(p: MultivariateMixture, n: int, points: Tensor) -> Tensor:
    return p.log_prob(points[:, None])[:, n]


@properties
@given(mixtures)
def test_modes_are_maxima_in_descending_order(p: MultivariateMixture) -> None:
    for n, modes in enumerate(p.modes(tolerance=1e-9)):
        assert 1 <= len(modes) <= p.means.shape[1]
        heights = log_density(p, n, modes)
        assert (heights.diff() <= 1e-12).all()
        for mode in modes:
            gradient, hessian = derivatives(p, n, mode)
            scale = p.scales[n].diagonal(dim1=1, dim2=2).amin(0).sqrt()
            # in units of the components' deviations; the iteration stops at steps of 1e-9
            assert float((gradient * scale).abs().max()) < 1e-4
            assert torch.linalg.eigvalsh(hessian).max() < 1e-3


def derivatives(p: MultivariateMixture, n: int, point: Tensor) -> tuple[Tensor, Tensor]:
    def density(y: Tensor) -> Tensor:
        return log_density(p, n, y[None])[0]

    gradient = torch.autograd.functional.jacobian(density, point)  # type: ignore[no-untyped-call]
    hessian = torch.autograd.functional.hessian(density, point)  # type: ignore[no-untyped-call]
    return gradient, hessian


@properties
@given(mixtures)
def test_the_probabilities_of_modes_are_a_distribution(p: MultivariateMixture) -> None:
    answers = p.modes_with_probabilities()
    assert [len(modes) for modes, _ in answers] == [len(modes) for modes in p.modes()]
    for modes, probabilities in answers:
        assert probabilities.shape == modes.shape[:1]
        assert (probabilities > 0).all()
        assert float(probabilities.sum()) == pytest.approx(1.0, rel=1e-12)


@properties
@given(mixtures)
def test_no_mean_is_higher_than_the_highest_mode(p: MultivariateMixture) -> None:
    """The iteration increases the density."""
    for n, modes in enumerate(p.modes()):
        assert float(log_density(p, n, p.means[n]).max()) <= float(log_density(p, n, modes[:1])) + 1e-9


@pytest.mark.parametrize("p", [make(5, N=4, K=4), make_student(5, N=4, K=4)], ids=["gaussian", "student"])
def test_no_point_of_a_grid_is_higher_than_the_highest_mode(p: MultivariateMixture) -> None:
    axis = torch.linspace(-8, 8, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    for n, modes in enumerate(p.modes()):
        assert float(log_density(p, n, grid).max()) <= float(log_density(p, n, modes[:1])) + 1e-9


def line(
    weights: list[float], means: list[float], deviation: float = 1.0, dof: list[float] | None = None
) -> MultivariateMixture:
    K = len(means)
    log_weights = torch.tensor([weights], dtype=torch.float64).log()
    locations = torch.tensor(means, dtype=torch.float64).view(1, K, 1)
    scales = torch.full((K, 1, 1), deviation**2, dtype=torch.float64)
    if dof is None:
        return MultivariateGaussianMixture(log_weights, locations, scales)
    return MultivariateStudentMixture(log_weights, locations, scales, torch.tensor(dof, dtype=torch.float64))


@pytest.mark.parametrize(("distance", "expected"), [(1.5, 1), (6.0, 2)])
def test_two_components_have_two_modes_only_where_they_are_apart(distance: float, expected: int) -> None:
    """Equal ones are unimodal up to a distance of two standard deviations."""
    (modes,) = line([0.6, 0.4], [0.0, distance]).modes()
    assert len(modes) == expected
    assert float(modes[0]) == pytest.approx(0.0 if expected == 2 else 0.6, abs=0.2)


@pytest.mark.parametrize("dof", [None, [40.0] * 4])
def test_far_components_are_modes_at_their_means_by_height(dof: list[float] | None) -> None:
    weights, means = [0.2, 0.4, 0.3, 0.1], [-50.0, 0.0, 50.0, 0.0]
    ((modes, probabilities),) = line(weights, means, dof=dof).modes_with_probabilities()
    torch.testing.assert_close(modes.flatten(), torch.tensor([0.0, 50.0, -50.0], dtype=torch.float64))
    # the iterations of two components converge to the first
    torch.testing.assert_close(probabilities, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))


@pytest.mark.parametrize("dof", [None, [3.0, 1.0]])
def test_equal_components_are_one_mode(dof: list[float] | None) -> None:
    ((modes, probabilities),) = line([0.5, 0.5], [7.0, 7.0], dof=dof).modes_with_probabilities()
    assert modes.flatten().tolist() == pytest.approx([7.0])
    assert probabilities.tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("dof", [None, [20.0] * 3])
def test_a_saddle_point_is_not_a_mode(dof: list[float] | None) -> None:
    """The middle component starts at a minimum, where the gradient is zero by symmetry."""
    (modes,) = line([0.495, 0.01, 0.495], [-2.5, 0.0, 2.5], dof=dof).modes()
    assert len(modes) == 2
    assert float(modes.abs().min()) > 2


# the Student component


def make_component(seed: int, L: int = 2, dof: tuple[float, ...] = (0.5, 3.0, 100.0)) -> MultivariateStudentT:
    """A batch of one for each of the degrees of freedom."""
    p = make(seed, N=1, K=len(dof), L=L)
    factor = torch.linalg.cholesky(p.scales[0])
    return MultivariateStudentT(p.means[0], factor, torch.tensor(dof, dtype=torch.float64))


@properties
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(0.05, 1e6), st.floats(0.0, 50.0))
def test_the_density_of_a_student_is_scipys(seed: int, L: int, dof: float, distance: float) -> None:
    t = make_component(seed, L, (dof,))
    y = t.loc[0] + distance * t.scale_tril[0, :, 0]
    scale = (t.scale_tril @ t.scale_tril.mT)[0]
    expected = stats.multivariate_t.logpdf(y, t.loc[0], scale, dof)  # type: ignore[arg-type]
    # log Γ(ν/2) reaches 6e6 here, of which a float64 keeps 1e-9, in either library
    assert t.log_prob(y).item() == pytest.approx(expected, rel=1e-9, abs=1e-8)


def test_in_one_dimension_a_student_is_torchs() -> None:
    t = make_component(0, L=1, dof=(0.5, 1.0, 1.5, 2.0, 2.5, 30.0))
    reference = torch.distributions.StudentT(t.df, t.loc[:, 0], t.scale_tril[:, 0, 0])
    y = torch.linspace(-9, 9, 6, dtype=torch.float64)
    torch.testing.assert_close(t.log_prob(y[:, None]), reference.log_prob(y))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(t.mean[:, 0], reference.mean, equal_nan=True)
    torch.testing.assert_close(t.variance[:, 0], reference.variance, equal_nan=True)


def test_a_covariance_exists_above_two_degrees_of_freedom() -> None:
    t = make_component(0, dof=(0.5, 1.5, 2.0, 4.0))
    assert t.covariance_matrix[0].isnan().all()
    for infinite in t.covariance_matrix[1:3]:
        assert infinite.diagonal().tolist() == [math.inf, math.inf]
        assert infinite[0, 1].isnan()
        assert infinite[1, 0].isnan()
    torch.testing.assert_close(t.covariance_matrix[3], 2 * t.scale_tril[3] @ t.scale_tril[3].T)


@pytest.mark.parametrize("L", [1, 3])
def test_the_distances_of_drawn_students_follow_fishers_distribution(L: int) -> None:
    """δ(y) / L ~ F(L, ν), and the directions of S^-½ (y − m) are uniform."""
    torch.manual_seed(0)
    t = make_component(1, L)
    y = t.rsample((4000,))
    assert y.shape == (4000, 3, L)
    standard = torch.linalg.solve_triangular(t.scale_tril, (y - t.loc)[..., None], upper=False)[..., 0]
    for index, dof in enumerate(t.df.tolist()):
        distance = standard[:, index].square().sum(-1) / L
        # a true sampler fails one such test in a thousand; the seed is fixed
        assert stats.kstest(distance.numpy(), stats.f(L, dof).cdf).pvalue > 1e-3
        direction = standard[:, index] / standard[:, index].norm(dim=-1, keepdim=True)
        # five standard errors of a mean of coordinates of variance 1 / L
        assert direction.mean(0).abs().max() < 5 / math.sqrt(4000 * L)


def test_the_shapes_of_a_student_are_those_of_its_arguments_together() -> None:
    t = MultivariateStudentT(torch.zeros(4, 1, 2), torch.eye(2), torch.ones(3))
    assert (t.batch_shape, t.event_shape) == (torch.Size([4, 3]), torch.Size([2]))
    assert t.sample(torch.Size([5])).shape == (5, 4, 3, 2)
    assert t.log_prob(torch.zeros(2)).shape == (4, 3)
    larger = t.expand((6, 4, 3))
    assert larger.batch_shape == (6, 4, 3)
    torch.testing.assert_close(larger.log_prob(torch.ones(2))[5], t.log_prob(torch.ones(2)))


def test_a_drawn_student_has_gradients() -> None:
    loc = torch.zeros(2, requires_grad=True)
    MultivariateStudentT(loc, torch.eye(2), torch.tensor(3.0)).rsample().sum().backward()  # type: ignore[no-untyped-call]
    assert loc.grad is not None
    assert loc.grad.tolist() == [1.0, 1.0]


def test_torch_checks_a_students_arguments() -> None:
    with pytest.raises(ValueError, match="parameter df"):
        MultivariateStudentT(torch.zeros(2), torch.eye(2), torch.tensor(-1.0))
    with pytest.raises(ValueError, match="within the support"):
        MultivariateStudentT(torch.zeros(2), torch.eye(2), torch.tensor(1.0)).log_prob(torch.full((2,), math.nan))


# mixtures of them


def test_one_student_component_has_students_marginals() -> None:
    p = make_student(3, N=1, K=1)
    deviation = p.scales[0, 0].diagonal().sqrt()
    for probability in (1e-6, 0.1, 0.5, 0.99):
        expected = stats.t.ppf(probability, float(p.dof), p.means[0, 0], deviation)
        np.testing.assert_allclose(p.quantile(probability)[0], expected, rtol=1e-11)
        np.testing.assert_allclose(p.marginal_cdf(torch.as_tensor(expected)[None])[0], probability, rtol=1e-9)
    ((modes, probabilities),) = p.modes_with_probabilities()
    torch.testing.assert_close(modes, p.means[0])
    assert probabilities.tolist() == [1.0]


@properties
@given(*sizes, st.sampled_from([1e3, 1e4, 1e6, 1e8]))
def test_many_degrees_of_freedom_are_a_gaussian(seed: int, N: int, K: int, L: int, dof: float) -> None:
    p = make(seed, N, K, L)
    q = MultivariateStudentMixture(p.mixture_distribution.logits, p.means, p.scales, torch.tensor(dof).expand(K))
    torch.testing.assert_close(q.mean, p.mean)
    within = torch.einsum("nk,nklm->nlm", p.weights, p.scales)
    torch.testing.assert_close(q.covariance_matrix, p.covariance_matrix + 2 / (dof - 2) * within)
    y = p.mean
    deviation = y[:, None] - p.means
    distance = float((deviation * torch.linalg.solve(p.scales, deviation)).sum(-1).max())
    # log t − log N = (δ² − 2 (L + 1) δ + L² + …) / 4ν at most; and of log Γ(5e7), a float64 keeps 1e-7
    atol = (distance**2 + 2 * (L + 1) * distance + L**2) / dof + 1e-6
    torch.testing.assert_close(q.log_prob(y), p.log_prob(y), rtol=0, atol=atol)
    for probability in (0.05, 0.5, 0.9):
        # the distribution functions are 0.16 / ν apart at most
        cumulative = p.marginal_cdf(q.quantile(probability))
        torch.testing.assert_close(cumulative, torch.full_like(y, probability), rtol=0, atol=0.16 / dof + 1e-10)


def test_scales_and_degrees_of_freedom_may_be_shared_or_one_for_each() -> None:
    p = make(0)
    logits, scales, dof = p.mixture_distribution.logits, p.scales[0], torch.tensor([3.0, 4.0, 5.0]).double()
    shared = MultivariateStudentMixture(logits, p.means, scales, dof)
    each = MultivariateStudentMixture(logits, p.means, scales.repeat(3, 1, 1, 1), dof.repeat(3, 1))
    assert shared.scales.shape == (3, 3, 2, 2)
    assert shared.dof.shape == (3, 3)
    torch.testing.assert_close(shared.covariance_matrix, each.covariance_matrix)
    torch.testing.assert_close(shared.log_prob(p.mean), each.log_prob(p.mean))
    torch.testing.assert_close(shared.quantile(0.1), each.quantile(0.1))


def test_moments_exist_where_those_of_every_component_with_a_weight_do() -> None:
    def moments(dof: list[float], weights: list[float]) -> tuple[float, float]:
        p = line(weights, [0.0, 2.0], dof=dof)
        return float(p.mean), float(p.variance)

    assert moments([4.0, 4.0], [0.5, 0.5]) == pytest.approx((1.0, 3.0))
    assert moments([1.5, 4.0], [0.5, 0.5]) == pytest.approx((1.0, math.inf))
    assert moments([1.0, 4.0], [0.5, 0.5]) == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert moments([1.0, 4.0], [0.0, 1.0]) == pytest.approx((2.0, 2.0))


def test_students_keep_the_density_of_the_input() -> None:
    p, density = make_student(0), torch.tensor([1.0, 2.0, 3.0])
    assert p.input_log_density is None
    kept = MultivariateStudentMixture(p.mixture_distribution.logits, p.means, p.scales, p.dof, density)
    assert kept.input_log_density is density


def test_students_quantiles_in_single_precision() -> None:
    p = make_student(3, least=2.0)
    arguments = (p.mixture_distribution.logits, p.means, p.scales, p.dof)
    single = MultivariateStudentMixture(*(argument.float() for argument in arguments))
    assert single.quantile(0.9).dtype == torch.float32
    torch.testing.assert_close(single.quantile(0.9).double(), p.quantile(0.9), atol=1e-4, rtol=1e-4)
    # the constant of the density is a difference of log Γ
    torch.testing.assert_close(single.log_prob(p.mean.float()).double(), p.log_prob(p.mean), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dof", [0.0, -2.0, math.nan, math.inf])
def test_degrees_of_freedom_outside_are_an_error(dof: float) -> None:
    with pytest.raises(ConfigurationError, match=f"dof {dof:g}: degrees of freedom must be above 0 and finite"):
        line([0.5, 0.5], [0.0, 1.0], dof=[3.0, dof])


def test_an_invalid_scale_matrix_is_an_error() -> None:
    p = make_student(0)
    scales = p.scales.clone()
    scales[1, 2] = -scales[1, 2]
    with pytest.raises(ConfigurationError, match=r"scale matrix \[1, 2\] is not positive definite"):
        MultivariateStudentMixture(p.mixture_distribution.logits, p.means, scales, p.dof)
