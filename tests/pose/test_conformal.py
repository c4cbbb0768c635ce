"""Tests of conformal calibration: coverage for wrong covariances, weights of people, missing labels."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from deepgllim.errors import DataError
from deepgllim.pose.conformal import chi_square, fit_calibration, region_levels

Array = npt.NDArray[np.float64]
Triple = tuple[float, float, float]

properties = settings(deadline=None, max_examples=25, derandomize=True, database=None)
LEVELS = (0.5, 0.8, 0.9, 0.95)


def drawn(
    seed: int, people: int, each: int, spread: tuple[float, ...], shift: float = 0.0
) -> tuple[Array, Array, Array]:
    """Return residuals of people, each with a shift, and covariances without the scales and shifts."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), each)
    own = shift * rng.standard_normal((people, len(spread)))[who]
    residuals = np.asarray(spread) * rng.standard_normal((len(who), len(spread))) + own
    return residuals, np.tile(np.eye(len(spread)), (len(who), 1, 1)), who.astype(np.float64)


@given(st.floats(0, 60), st.sampled_from([1, 2, 3]))
@properties
def test_the_distribution_function_is_scipys(value: float, dof: int) -> None:
    assert chi_square(value, dof) == pytest.approx(chi2.cdf(value, dof), abs=1e-12)


def test_other_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(ValueError, match="4 degrees of freedom: a pose has 1, 2 or 3"):
        chi_square(1.0, 4)


def test_regions_hold_their_levels_for_people_not_seen() -> None:
    """The standard deviations are wrong by factors of 2, 5 and 0.5; the shifts of people give heavy tails."""
    calibration = fit_calibration(*drawn(0, 200, 20, (2.0, 5.0, 0.5), shift=2.0), levels=LEVELS)
    residuals, covariances, _ = drawn(1, 400, 20, (2.0, 5.0, 0.5), shift=2.0)
    reached = region_levels(residuals, covariances, calibration)
    for level in LEVELS:  # 400 people: a standard error of 2 %, at most
        assert (reached <= level).mean() == pytest.approx(level, abs=0.04)
    uncalibrated = region_levels(residuals, covariances, None)
    assert (uncalibrated <= 0.9).mean() < 0.5


def test_true_covariances_are_left_as_they_are() -> None:
    calibration = fit_calibration(*drawn(0, 100, 100, (1.0, 1.0, 1.0)), levels=LEVELS)
    np.testing.assert_allclose(calibration.scales, 1.0, atol=0.03)
    for level, radius in zip(LEVELS, calibration.region, strict=True):
        assert radius == pytest.approx(math.sqrt(chi2.ppf(level, 3)), abs=0.08)


def test_cautious_regions_are_wider_for_few_people_than_for_many() -> None:
    """With one more person at infinity and ten people, the 80 % radius is the 88 % quantile."""
    wide = fit_calibration(*drawn(3, 10, 2000, (1.0, 1.0, 1.0)), levels=(0.8,), cautious=True)
    narrow = fit_calibration(*drawn(3, 2000, 10, (1.0, 1.0, 1.0)), levels=(0.8,), cautious=True)
    plain = fit_calibration(*drawn(3, 10, 2000, (1.0, 1.0, 1.0)), levels=(0.8,))
    assert plain.region[0] == pytest.approx(math.sqrt(chi2.ppf(0.8, 3)), abs=0.05)
    assert wide.region[0] == pytest.approx(math.sqrt(chi2.ppf(0.88, 3)), abs=0.05)
    assert narrow.region[0] == pytest.approx(math.sqrt(chi2.ppf(0.8, 3)), abs=0.05)


def test_people_count_alike_however_many_pictures_they_have() -> None:
    """One person with 10,000 images and large errors has a weight of 1 % among 99 people with 10 images each."""
    residuals, covariances, who = drawn(0, 100, 10, (1.0, 1.0, 1.0))
    large = 50.0 * np.random.default_rng(1).standard_normal((10_000, 3))
    residuals, who = np.concatenate([residuals, large]), np.concatenate([who, np.full(10_000, 99)])
    calibration = fit_calibration(residuals, np.tile(np.eye(3), (len(who), 1, 1)), who, levels=(0.9,))
    share = (region_levels(residuals[:990], covariances[:990], calibration) <= 0.9).mean()
    assert 0.88 < share < 0.97


def test_missing_labels_are_left_out_with_their_degrees_of_freedom() -> None:
    residuals, covariances, who = drawn(0, 300, 10, (3.0, 3.0, 3.0))
    residuals[:, 2] = np.nan
    calibration = fit_calibration(residuals, covariances, who, levels=LEVELS)
    np.testing.assert_allclose(calibration.scales, (3.0, 3.0, 1.0), atol=0.15)  # nothing is known of the third
    reached = region_levels(residuals, covariances, calibration)
    assert (reached <= 0.9).mean() == pytest.approx(0.9, abs=0.02)
    assert calibration.region[2] == pytest.approx(math.sqrt(chi2.ppf(0.9, 3)), abs=0.15)


@given(st.floats(0.2, 5), st.integers(0, 99))
@properties
def test_residuals_and_covariances_in_other_units_change_nothing(factor: float, seed: int) -> None:
    residuals, covariances, who = drawn(seed, 12, 8, (1.0, 2.0, 3.0))
    one = fit_calibration(residuals, covariances, who, levels=LEVELS)
    other = fit_calibration(factor * residuals, factor**2 * covariances, who, levels=LEVELS)
    np.testing.assert_allclose(one.scales, other.scales)
    np.testing.assert_allclose(one.region, other.region, rtol=1e-6)
    np.testing.assert_allclose(one.interval, other.interval, rtol=1e-6)


def test_the_threshold_of_the_verdict_is_a_quantile() -> None:
    densities = np.arange(1000.0)
    residuals, covariances, who = drawn(0, 100, 10, (1.0, 1.0, 1.0))
    found = fit_calibration(residuals, covariances, who, levels=(0.9,), log_densities=densities, known=0.95)
    assert found.log_density_threshold == pytest.approx(49.95)


def test_bad_input_is_refused() -> None:
    residuals, covariances, who = drawn(0, 3, 4, (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"residuals \(12, 3\).*expected \(N, L\)"):
        fit_calibration(residuals, covariances[:, 0], who)
    with pytest.raises(DataError, match="1 people with labels: calibration needs two or more"):
        fit_calibration(residuals, covariances, np.zeros(12))
