"""Test properties of the intervals of the paired bootstrap over people."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepgllim.errors import DataError
from experiments.bootstrap import paired_bootstrap

Sample = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Errors of two methods on pictures of a few people."""
    n = draw(st.integers(1, 40))
    errors = st.lists(st.floats(0, 180), min_size=n, max_size=n)
    people = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    return np.array(draw(errors)), np.array(draw(errors)), np.array(people)


@given(samples())
def test_the_interval_is_within_the_range_of_the_differences_of_people(sample: Sample) -> None:
    a, b, people = sample
    found = paired_bootstrap(a, b, people, draws=200)
    own = [float((a - b)[people == person].mean()) for person in np.unique(people)]
    slack = 1e-9 * (1 + max(map(abs, own)))
    assert min(own) - slack <= found.lower <= found.upper <= max(own) + slack
    assert found.mean == pytest.approx(float(a.mean() - b.mean()), abs=1e-9)
    assert 0 <= found.below_zero <= 1


@given(samples(), st.integers(0, 1000))
def test_exchanging_the_methods_negates_the_interval(sample: Sample, seed: int) -> None:
    a, b, people = sample
    one, other = (paired_bootstrap(*pair, people, draws=200, seed=seed) for pair in ((a, b), (b, a)))
    np.testing.assert_allclose([one.mean, one.lower, one.upper], [-other.mean, -other.upper, -other.lower], atol=1e-9)


@given(samples(), st.integers(0, 1000))
def test_the_result_is_independent_of_order_and_names(sample: Sample, seed: int) -> None:
    a, b, people = sample
    order = np.random.default_rng(seed).permutation(len(a))
    one = paired_bootstrap(a, b, people, draws=200)
    other = paired_bootstrap(a[order], b[order], [f"p{person}" for person in people[order]], draws=200)
    np.testing.assert_allclose(one[:3], other[:3], atol=1e-9)


@given(samples(), st.floats(-50, 50))
def test_a_constant_added_to_one_method_shifts_the_result(sample: Sample, shift: float) -> None:
    a, b, people = sample
    one, other = paired_bootstrap(a, b, people, draws=200), paired_bootstrap(a + shift, b, people, draws=200)
    np.testing.assert_allclose(np.array(other[:3]) - shift, one[:3], atol=1e-9)


def test_the_interval_of_many_people_is_that_of_the_central_limit_theorem() -> None:
    """The differences of 100 people have a standard deviation of 2, so their mean has one of 0.2."""
    generator = np.random.default_rng(0)
    people, offset = np.repeat(np.arange(100), 3), generator.normal(0.3, 2.0, 100)
    offset *= 2.0 / offset.std()
    found = paired_bootstrap(offset[people] + 5.0, np.full(300, 5.0), people)
    half = NormalDist().inv_cdf(0.975) * 0.2
    # Monte Carlo error of 10,000 draws: about 2 % of the half width; the skewness of 100 normal draws adds to it
    np.testing.assert_allclose([found.upper - found.mean, found.mean - found.lower], half, rtol=0.1)
    assert found.below_zero == pytest.approx(NormalDist(found.mean, 0.2).cdf(0), abs=0.03)


def test_pictures_of_one_person_are_not_independent() -> None:
    """Repeating the pictures of two people ten times does not change the interval."""
    a, b, people = np.array([1.0, 9.0]), np.array([3.0, 4.0]), np.array([0, 1])
    assert paired_bootstrap(a, b, people) == paired_bootstrap(np.tile(a, 10), np.tile(b, 10), np.tile(people, 10))


@pytest.mark.parametrize(
    ("a", "b", "people", "draws", "message"),
    [
        ([1.0], [1.0, 2.0], ["x", "x"], 10, "shapes"),
        ([], [], [], 10, "shapes"),
        ([1.0], [float("nan")], ["x"], 10, "not finite"),
        ([1.0], [1.0], ["x"], 0, "draws = 0"),
    ],
)
def test_invalid_errors_and_draws_are_refused(
    a: list[float], b: list[float], people: list[str], draws: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        paired_bootstrap(a, b, people, draws)
