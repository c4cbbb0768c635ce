"""The paired bootstrap by person: what its intervals must be, whatever the errors."""

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
def test_the_interval_lies_among_the_peoples_own_differences(sample: Sample) -> None:
    a, b, people = sample
    found = paired_bootstrap(a, b, people, draws=200)
    own = [float((a - b)[people == person].mean()) for person in np.unique(people)]
    slack = 1e-9 * (1 + max(map(abs, own)))
    assert min(own) - slack <= found.lower <= found.upper <= max(own) + slack
    assert found.mean == pytest.approx(float(a.mean() - b.mean()), abs=1e-9)
    assert 0 <= found.below_zero <= 1


@given(samples(), st.integers(0, 1000))
def test_exchanged_methods_give_the_mirrored_interval(sample: Sample, seed: int) -> None:
    a, b, people = sample
    one, other = (paired_bootstrap(*pair, people, draws=200, seed=seed) for pair in ((a, b), (b, a)))
    np.testing.assert_allclose([one.mean, one.lower, one.upper], [-other.mean, -other.upper, -other.lower], atol=1e-9)


@given(samples(), st.integers(0, 1000))
def test_the_order_of_pictures_and_the_names_of_people_do_not_matter(sample: Sample, seed: int) -> None:
    a, b, people = sample
    order = np.random.default_rng(seed).permutation(len(a))
    one = paired_bootstrap(a, b, people, draws=200)
    other = paired_bootstrap(a[order], b[order], [f"p{person}" for person in people[order]], draws=200)
    np.testing.assert_allclose(one[:3], other[:3], atol=1e-9)


@given(samples(), st.floats(-50, 50))
def test_a_constant_added_to_one_method_moves_all_of_it(sample: Sample, shift: float) -> None:
    a, b, people = sample
    one, other = paired_bootstrap(a, b, people, draws=200), paired_bootstrap(a + shift, b, people, draws=200)
    np.testing.assert_allclose(np.array(other[:3]) - shift, one[:3], atol=1e-9)


def test_the_interval_is_the_central_limits_for_many_people() -> None:
    """100 people of 3 pictures: people's differences have a standard deviation of 2, so their mean one of 0.2."""
    generator = np.random.default_rng(0)
    people, offset = np.repeat(np.arange(100), 3), generator.normal(0.3, 2.0, 100)
    offset *= 2.0 / offset.std()
    found = paired_bootstrap(offset[people] + 5.0, np.full(300, 5.0), people)
    half = NormalDist().inv_cdf(0.975) * 0.2
    # 10,000 draws leave about 2 % of the half width to chance; skewness of 100 normal draws some more
    np.testing.assert_allclose([found.upper - found.mean, found.mean - found.lower], half, rtol=0.1)
    assert found.below_zero == pytest.approx(NormalDist(found.mean, 0.2).cdf(0), abs=0.03)


def test_pictures_of_one_person_are_no_independent_evidence() -> None:
    """Ten times the same pictures of two people leave the interval as wide as it was."""
    a, b, people = np.array([1.0, 9.0]), np.array([3.0, 4.0]), np.array([0, 1])
    assert paired_bootstrap(a, b, people) == paired_bootstrap(np.tile(a, 10), np.tile(b, 10), np.tile(people, 10))


@pytest.mark.parametrize(
    ("a", "b", "people", "draws", "message"),
    [
        ([1.0], [1.0, 2.0], ["x", "x"], 10, "shapes"),
        ([], [], [], 10, "shapes"),
        ([1.0], [float("nan")], ["x"], 10, "not finite"),
        ([1.0], [1.0], ["x"], 0, "draws is 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    a: list[float], b: list[float], people: list[str], draws: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        paired_bootstrap(a, b, people, draws)
