"""Tests of the mixture in numpy: moments by hand, modes and densities against the torch class."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.pose.mixture import Mixture

properties = settings(deadline=None, max_examples=25, derandomize=True, database=None)
seeds = st.integers(0, 10_000)


def random_mixture(seed: int, K: int = 6, L: int = 3) -> Mixture:
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(K, L, L)) * 3
    means = generator.normal(size=(K, L)) * generator.choice([2.0, 30.0])
    return Mixture.of(generator.uniform(0.1, 1, K), means, roots @ np.swapaxes(roots, 1, 2) + np.eye(L))


def of_torch(mixture: Mixture) -> MultivariateGaussianMixture:
    weights, means, covariances = (torch.from_numpy(np.array(values)[None]) for values in mixture)
    return MultivariateGaussianMixture(weights.log(), means, covariances)


@properties
@given(seeds)
def test_moments_and_density_are_those_of_the_torch_class(seed: int) -> None:
    mixture = random_mixture(seed)
    theirs = of_torch(mixture)
    np.testing.assert_allclose(mixture.mean, theirs.mean[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mixture.covariance, theirs.covariance_matrix[0], rtol=1e-10, atol=1e-10)
    points = np.random.default_rng(seed).normal(size=(4, 3)) * 20
    expected = [float(theirs.log_prob(torch.from_numpy(point[None]))) for point in points]
    np.testing.assert_allclose(mixture.log_prob(points), expected, rtol=1e-10)


@properties
@given(seeds)
def test_modes_are_those_of_the_torch_class(seed: int) -> None:
    mixture = random_mixture(seed)
    ((points, probabilities),) = of_torch(mixture).modes_with_probabilities()
    modes = mixture.modes()
    assert len(modes) == len(points)
    # both climb until a step is under 1e-6: slow climbs end about that far from the summit
    np.testing.assert_allclose([mode.point for mode in modes], points, atol=1e-4)
    np.testing.assert_allclose([mode.probability for mode in modes], probabilities, rtol=1e-10)
    assert sum(mode.probability for mode in modes) == pytest.approx(1)


@properties
@given(seeds)
def test_no_place_near_a_mode_is_higher(seed: int) -> None:
    mixture = random_mixture(seed)
    around = np.random.default_rng(seed).normal(size=(50, 3))
    around *= 0.1 / np.linalg.norm(around, axis=1, keepdims=True)
    for mode in mixture.modes():
        assert (mixture.log_prob(mode.point + around) < mixture.log_prob(mode.point)).all()


def test_a_mode_has_the_covariance_of_its_components() -> None:
    """Two components at 0 and 2 have one mode, the one at 100 another."""
    mixture = Mixture.of([0.4, 0.4, 0.2], [[-1.0], [1.0], [100.0]], [[[4.0]], [[4.0]], [[9.0]]])
    near, far = mixture.modes()
    assert near.point[0] == pytest.approx(0, abs=1e-5)
    assert near.covariance[0, 0] == pytest.approx(5, abs=1e-5)  # 4 within, 1 between
    assert (near.probability, far.probability) == pytest.approx((0.8, 0.2))
    assert far.covariance[0, 0] == pytest.approx(9, abs=1e-6)


def test_light_components_may_be_left_out() -> None:
    mixture = Mixture.of([0.99999, 0.00001], [[0.0], [50.0]], np.ones((2, 1, 1)))
    assert len(mixture.modes()) == 2
    (only,) = mixture.modes(min_weight=1e-4)
    assert only.probability == 1
    assert only.covariance[0, 0] == pytest.approx(1)
    assert len(mixture.modes(min_weight=2.0)) == 1  # the heaviest stays


def test_a_component_of_weight_zero_is_nowhere() -> None:
    mixture = Mixture.of([1.0, 0.0], [[0.0], [5.0]], np.ones((2, 1, 1)))
    assert mixture.log_prob(np.array([0.0])) == pytest.approx(-0.5 * np.log(2 * np.pi))
    assert mixture.modes()[0].probability == 1


def test_marginals_take_rows_in_the_order_given() -> None:
    mixture = random_mixture(3)
    part = mixture.marginal([2, 0])
    np.testing.assert_allclose(part.mean, mixture.mean[[2, 0]], rtol=1e-14)
    np.testing.assert_allclose(part.covariance, mixture.covariance[np.ix_([2, 0], [2, 0])], rtol=1e-14)


def test_single_precision_becomes_a_whole_distribution() -> None:
    weights = np.array([0.3, 0.3, 0.4], dtype=np.float32) * np.float32(1.0001)
    mixture = Mixture.of(weights, np.zeros((3, 2), dtype=np.float32), np.tile(np.eye(2, dtype=np.float32), (3, 1, 1)))
    assert mixture.weights.dtype == np.float64
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-15)
