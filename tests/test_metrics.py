"""Test metrics: known values, identities, and invalid arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepgllim.metrics import (
    area_under_roc,
    geodesic_error,
    interval_coverage,
    mean_absolute_error,
    mean_interval_width,
    negative_log_likelihood,
    summarise,
    vector_error,
)

angle = st.floats(-80, 80)


@given(angle, angle, angle)
def test_a_turn_about_one_axis_is_its_own_error(pitch: float, yaw: float, roll: float) -> None:
    for column, turn in enumerate((pitch, yaw, roll)):
        pose = np.zeros((1, 3))
        pose[0, column] = turn
        assert geodesic_error(np.zeros((1, 3)), pose)[0] == pytest.approx(abs(turn), abs=1e-10)
        # two of the three axes turn by the angle, the third stays
        assert vector_error(np.zeros((1, 3)), pose)[0] == pytest.approx(abs(turn) * 2 / 3, abs=1e-10)


def test_missing_angles_are_zero_and_order_is_by_name() -> None:
    truth, guess = np.array([[10.0, 20.0]]), np.array([[-5.0, 40.0]])
    full = geodesic_error([[10, 20, 0]], [[-5, 40, 0]])
    np.testing.assert_allclose(geodesic_error(truth, guess, ("pitch", "yaw")), full)
    np.testing.assert_allclose(geodesic_error(truth[:, ::-1], guess[:, ::-1], ("yaw", "pitch")), full)
    np.testing.assert_allclose(geodesic_error([[9.0, 10, 20]], [[1.0, -5, 40]], ("age", "pitch", "yaw")), full)


def test_angles_do_not_wrap_around() -> None:
    assert mean_absolute_error([[179.0]], [[-179.0]])[0] == 358
    assert geodesic_error([[0, 0, 179]], [[0, 0, -179]])[0] == pytest.approx(2)


def test_gaussian_intervals_cover_what_they_promise() -> None:
    y = np.random.default_rng(0).normal(size=(20_000, 2))
    share = interval_coverage(y, np.full_like(y, -1.6449), np.full_like(y, 1.6449))
    np.testing.assert_allclose(share, 0.9, atol=4 * np.sqrt(0.09 / 20_000))  # four standard errors
    np.testing.assert_allclose(mean_interval_width(y - 1, y + 2), 3)


def test_likelihood_of_zero_probability_is_infinite() -> None:
    assert negative_log_likelihood([-1.0, -np.inf]) == np.inf


def test_summary_has_every_measure() -> None:
    y = np.array([[0.0, 10, 30], [0, 20, 40]])
    guess = y + np.array([[1.0, 3, 9], [1, 5, 9]])
    summary = summarise(
        y, guess, ("pitch", "yaw", "age"), lower=y - 1, upper=y + 2, level=0.95, log_probabilities=[-1.0, -2.0]
    )
    expected = {"n": 2, "mae_pitch": 1, "mae_yaw": 4, "mae_age": 9, "mae": 2.5, "nll": 1.5}
    assert expected.items() <= summary.items()
    assert summary["coverage_95_yaw"] == 1
    assert summary["width_95_age"] == 3
    assert summary["geodesic"] == pytest.approx(geodesic_error(y[:, :2], guess[:, :2], ("pitch", "yaw")).mean())
    assert all(type(value) is float for value in summary.values())


def test_summary_without_angles() -> None:
    assert summarise([[1.0, 2.0]], [[2.0, 5.0]], ("age", "size")) == {"n": 1, "mae_age": 1, "mae_size": 3, "mae": 2}


def test_refuses_bad_arrays() -> None:
    with pytest.raises(ValueError, match=r"shapes \(1, 2\) and \(2, 2\)"):
        mean_absolute_error([[0, 0]], [[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="at least one row"):
        mean_absolute_error(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(ValueError, match="row 1, column 0 is nan"):
        mean_absolute_error([[0.0], [0.0]], [[0.0], [np.nan]])
    with pytest.raises(ValueError, match=r"row 0, column 0: lower 2\.0 is above upper 1\.0"):
        interval_coverage([[0.0]], [[2.0]], [[1.0]])


def test_refuses_bad_likelihoods() -> None:
    for values, message in (([], "is expected"), ([[0.0]], "is expected"), ([0.0, np.nan], "row 1 is nan")):
        with pytest.raises(ValueError, match=message):
            negative_log_likelihood(values)


def test_refuses_bad_names_and_options() -> None:
    y = np.zeros((2, 2))
    with pytest.raises(ValueError, match="do not name 2 columns"):
        geodesic_error(y, y)
    with pytest.raises(ValueError, match="none of age, size is an angle"):
        geodesic_error(y, y, ("age", "size"))
    with pytest.raises(ValueError, match="two ends"):
        summarise(y, y, ("pitch", "yaw"), lower=y)
    with pytest.raises(ValueError, match="level is 90"):
        summarise(y, y, ("pitch", "yaw"), lower=y, upper=y, level=90)
    with pytest.raises(ValueError, match="3 log probabilities for 2 rows"):
        summarise(y, y, ("pitch", "yaw"), log_probabilities=[0.0] * 3)


def test_the_area_under_the_curve_counts_pairs() -> None:
    generator = np.random.default_rng(0)
    positives, negatives = generator.integers(0, 6, 30), generator.integers(0, 5, 20)  # with ties
    pairs = positives[:, None] - negatives[None, :]
    assert area_under_roc(positives, negatives) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert area_under_roc([2, 3], [0, 1]) == 1
    assert area_under_roc([0, 1], [2, 3]) == 0
    assert area_under_roc([-np.inf, 1], [-np.inf, 1]) == 0.5


def test_the_area_under_the_curve_refuses_what_has_no_order() -> None:
    for positives, negatives, side in (([], [1], "positives"), ([1], [[1]], "negatives"), ([1], [np.nan], "negatives")):
        with pytest.raises(ValueError, match=f"{side} have shape"):
            area_under_roc(positives, negatives)
