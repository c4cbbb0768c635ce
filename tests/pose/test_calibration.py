"""Tests of radii: of a Gaussian against tables, of a calibration at, between and beyond its levels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.pose.calibration import Calibration, gaussian_interval_radius, gaussian_region_radius

properties = settings(deadline=None, max_examples=60, derandomize=True, database=None)
level = st.floats(1e-3, 1 - 1e-9)

KNOWN = Calibration((1.0, 1.2, 0.8), (0.5, 0.8, 0.95), region=(1.7, 2.4, 4.0), interval=(0.8, 1.1, 2.9))


def test_gaussian_radii_are_those_of_the_tables() -> None:
    assert gaussian_interval_radius(0.95) == pytest.approx(1.959963985, abs=1e-9)
    squared = [gaussian_region_radius(p) ** 2 for p in (0.5, 0.9, 0.99)]
    assert squared == pytest.approx([2.365973884, 6.251388631, 11.344866730], abs=1e-8)  # χ², 3 degrees of freedom


def test_gaussian_regions_hold_their_share() -> None:
    lengths = np.linalg.norm(np.random.default_rng(0).normal(size=(40_000, 3)), axis=1)
    for p in (0.1, 0.5, 0.9):
        assert (lengths <= gaussian_region_radius(p)).mean() == pytest.approx(p, abs=0.01)  # four standard errors


def test_levels_very_near_one_have_radii() -> None:
    assert 8 < gaussian_interval_radius(1 - 1e-16) < 9
    assert 8 < gaussian_region_radius(1 - 1e-15) < 10


@pytest.mark.parametrize("radius", [gaussian_interval_radius, gaussian_region_radius, KNOWN.interval_radius])
@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 90.0, float("nan")])
def test_levels_are_probabilities(radius: Any, wrong: float) -> None:
    with pytest.raises(ConfigurationError, match="use a value strictly between 0 and 1"):
        radius(wrong)


def test_radii_at_the_levels_are_those_of_the_calibration() -> None:
    for p, region, interval in zip(KNOWN.levels, KNOWN.region, KNOWN.interval, strict=True):
        assert KNOWN.region_radius(p) == pytest.approx(region, abs=1e-9)
        assert KNOWN.interval_radius(p) == pytest.approx(interval, abs=1e-9)


@properties
@given(level, level)
def test_radii_grow_with_the_level(p: float, q: float) -> None:
    low, high = sorted((p, q))
    assert KNOWN.interval_radius(low) <= KNOWN.interval_radius(high) + 1e-12
    assert KNOWN.region_radius(low) <= KNOWN.region_radius(high) + 1e-12


@properties
@given(level, st.floats(0.2, 5))
def test_a_scaled_gaussian_is_exact_at_every_level(p: float, factor: float) -> None:
    levels = (0.3, 0.6, 0.9)
    stretched = Calibration(
        (1.0,),
        levels,
        region=tuple(factor * gaussian_region_radius(q) for q in levels),
        interval=tuple(factor * gaussian_interval_radius(q) for q in levels),
    )
    assert stretched.interval_radius(p) == pytest.approx(factor * gaussian_interval_radius(p), rel=1e-6, abs=1e-9)
    assert stretched.region_radius(p) == pytest.approx(factor * gaussian_region_radius(p), rel=1e-6, abs=1e-9)


def test_scales_multiply_standard_deviations() -> None:
    covariance = np.array([[4.0, 1.0, 0.0], [1.0, 9.0, 2.0], [0.0, 2.0, 16.0]])
    scaled = KNOWN.scaled(np.stack([covariance, np.eye(3)]))
    np.testing.assert_allclose(np.sqrt(np.diag(scaled[0])), [2, 3.6, 3.2])
    correlation = covariance[0, 1] / 6
    assert scaled[0, 0, 1] / (2 * 3.6) == pytest.approx(correlation)
    np.testing.assert_allclose(np.diag(scaled[1]), [1, 1.44, 0.64])
    with pytest.raises(ModelError, match="3 scales for 2 targets"):
        KNOWN.scaled(np.eye(2))


def test_the_verdict_needs_a_density_and_a_threshold() -> None:
    judge = Calibration((1.0,), (0.9,), (2.5,), (1.6,), log_density_threshold=-40.0)
    assert [judge.is_known(x) for x in (-40.0, -41.0, None)] == [True, False, None]
    assert KNOWN.is_known(-1e9) is None


def test_json_goes_both_ways() -> None:
    for calibration in (KNOWN, Calibration((1.0,), (0.9,), (2.5,), (1.6,), -40.0)):
        assert Calibration.from_json(calibration.to_json()) == calibration
    record = {name: value for name, value in KNOWN.to_json().items() if name != "log_density_threshold"}
    assert Calibration.from_json(record) == KNOWN


GOOD = KNOWN.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": [1.0, -1.0]}, "not positive numbers"),
        ({"scales": []}, "not positive numbers"),
        ({"levels": [0.5, 0.5, 0.9]}, "do not increase"),
        ({"levels": [0.5, 0.8, 1.0]}, "do not increase"),
        ({"region": [1.0, 2.0]}, "region .* is not one positive radius"),
        ({"interval": [1.0, 0.9, 2.0]}, "interval .* in ascending order"),
        ({"interval": [1.0, 1.1, float("inf")]}, "interval"),
        ({"scales": None}, "cannot read it"),
        ({"levels": ["a"]}, "cannot read it"),
        ({"log_density_threshold": "low"}, "cannot read it"),
        ({"shape": [1.0]}, "cannot read it"),
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Calibration.from_json(GOOD | change)


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(ModelError, match="levels"):
        Calibration.from_json({name: value for name, value in GOOD.items() if name != "levels"})
