"""Filter and smoother: what they must equal where the answer is known, their symmetries, gaps, outliers, refusals."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.geometry.rotations import (
    Array,
    geodesic_distance,
    rotation_from_angles,
    rotation_from_vector,
    vector_from_rotation,
)
from deepgllim.pose.video.motion import HeadMotion, Mode, State, combine, correct, predict, start
from deepgllim.pose.video.smoothing import Estimate, RotationFilter, smooth_rotations

properties = settings(deadline=None, max_examples=10, derandomize=True, database=None)
seeds = st.integers(0, 10_000)
KALMAN: dict[str, Any] = {"hold": 0, "independent": 1, "gate": math.inf}
"""Options with which the filter is a Kalman filter, and takes every measurement."""

STILL = HeadMotion(acceleration=0, **KALMAN)
MOVING = HeadMotion(acceleration=200, persistence=0.4, **KALMAN)
SWITCHING = HeadMotion(acceleration=300, gate=math.inf)


def covariance(rng: np.random.Generator, scale: float = 1.0) -> Array:
    root = rng.normal(size=(3, 3))
    return np.asarray(scale * (root @ root.T + 0.1 * np.eye(3)))


def case(seed: int, count: int = 9, spread: float = 10.0) -> tuple[Array, Array, Array]:
    """Irregular times, rotations of which each is near the one before, covariances."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.2, size=count))
    rotations = [rotation_from_angles(*rng.uniform(-80, 80, size=3))]
    for _ in range(count - 1):
        rotations.append(rotation_from_vector(rng.normal(size=3) * spread) @ rotations[-1])
    return times, np.stack(rotations), np.stack([covariance(rng) for _ in range(count)])


def filtered(times: Array, rotations: Array, covariances: Array, motion: HeadMotion) -> list[Estimate]:
    online = RotationFilter(motion)
    return [online.update(t, R, C) for t, R, C in zip(times, rotations, covariances, strict=True)]


@properties
@given(seeds)
def test_a_still_head_is_the_mean_weighted_by_precision(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rotation_from_angles(*rng.uniform(-80, 80, size=3))
    vectors, covariances = rng.normal(size=(8, 3)) * 1e-3, np.stack([covariance(rng) for _ in range(8)])
    now = filtered(np.arange(8.0), rotation_from_vector(vectors) @ base, covariances, STILL)[-1]
    precisions = np.linalg.inv(covariances)
    total = np.linalg.inv(precisions.sum(axis=0))
    mean = total @ np.einsum("nij,nj->i", precisions, vectors)
    np.testing.assert_allclose(now.covariance, total, rtol=1e-4, atol=1e-5)  # the floor on the noise is 1e-6
    # exp of small vectors adds up to second order, 1e-6, on means of 1e-3
    np.testing.assert_allclose(vector_from_rotation(now.rotation @ base.T), mean, atol=3e-7)


@properties
@given(seeds)
def test_a_velocity_that_never_changes_is_the_line_of_least_squares(seed: int) -> None:
    """About one axis the filter is linear, so that large turns are exact too."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.05, 0.2, size=9))
    angles = 40 * times + rng.normal(size=9)
    even = HeadMotion(acceleration=0, persistence=math.inf, **KALMAN)
    rotations = rotation_from_vector(angles[:, None] * np.array([0.0, 1.0, 0.0]))
    now = filtered(times, rotations, np.repeat(np.eye(3)[None], 9, axis=0), even)[-1]
    design = np.stack([np.ones(9), times - times[-1]], axis=1)
    precision = design.T @ design + np.diag([0, 200.0**-2])  # with the prior of the velocity
    angle, speed = np.linalg.solve(precision, design.T @ angles)
    assert vector_from_rotation(now.rotation)[1] == pytest.approx(angle, abs=1e-4)
    assert now.velocity[1] == pytest.approx(speed, rel=1e-4)
    assert now.covariance[1, 1] == pytest.approx(np.linalg.inv(precision)[0, 0], rel=1e-4)


@properties
@given(st.floats(0.01, 1.0), st.integers(1, 12))
def test_what_errors_have_in_common_is_counted_as_generalised_least_squares_counts_it(share: float, count: int) -> None:
    """A still head, errors of variance 4 and correlation 1 − share: averaging takes away the rest alone."""
    motion = HeadMotion(acceleration=0, hold=0, independent=share)
    alike = np.repeat(np.eye(3)[None], count, axis=0)
    now = filtered(np.arange(float(count)), alike, 4 * alike, motion)[-1]
    errors = 4 * ((1 - share) * np.ones((count, count)) + share * np.eye(count))
    exact = 1 / np.linalg.inv(errors).sum()
    np.testing.assert_allclose(now.covariance, exact * np.eye(3), rtol=1e-4, atol=1e-12)


@properties
@given(seeds, st.sampled_from([MOVING, SWITCHING]))
def test_turning_the_camera_or_the_heads_frame_turns_the_answer(seed: int, motion: HeadMotion) -> None:
    times, rotations, covariances = case(seed)
    rng = np.random.default_rng(seed + 1)
    Q, B = (rotation_from_angles(*rng.uniform(-180, 180, size=3)) for _ in range(2))
    plain = smooth_rotations(times, rotations, covariances, motion)
    turned = smooth_rotations(times, Q @ rotations @ B, Q @ covariances @ Q.T, motion)
    np.testing.assert_allclose(turned.rotation, Q @ plain.rotation @ B, atol=1e-9)
    np.testing.assert_allclose(turned.covariance, Q @ plain.covariance @ Q.T, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(turned.velocity, plain.velocity @ Q.T, rtol=1e-7, atol=1e-6)
    online = filtered(times, Q @ rotations @ B, Q @ covariances @ Q.T, motion)[-1]
    np.testing.assert_allclose(online.rotation, turned.rotation[-1], atol=1e-9)


@properties
@given(seeds, st.sampled_from([0.05, 0.4, 50.0]))
def test_the_smoother_does_not_know_which_way_time_runs(seed: int, persistence: float) -> None:
    """The prior of the velocity is the stationary one; for small turns the answer is the same to second order."""
    motion = HeadMotion(acceleration=1, persistence=persistence, **KALMAN)
    times, rotations, covariances = case(seed, spread=0.1)
    covariances = 0.01 * covariances + 0.05 * np.eye(3)
    forth = smooth_rotations(times, rotations, covariances, motion)
    back = smooth_rotations(-times[::-1], rotations[::-1], covariances[::-1], motion)
    # turns of under a degree add up to a hundredth of themselves; the floor on the noise is 1e-6 of 0.05
    assert geodesic_distance(forth.rotation, back.rotation[::-1]).max() < 5e-3
    assert geodesic_distance(forth.rotation, rotations).max() > 0.05  # there was something to smooth
    np.testing.assert_allclose(back.covariance[::-1], forth.covariance, rtol=1e-2, atol=1e-4)
    np.testing.assert_allclose(-back.velocity[::-1], forth.velocity, atol=2e-2)


@properties
@given(seeds, st.floats(0.05, 1))
def test_the_smoother_is_never_less_sure_than_the_filter(seed: int, independent: float) -> None:
    motion = HeadMotion(acceleration=200, persistence=0.4, hold=0, independent=independent, gate=math.inf)
    times, rotations, covariances = case(seed)
    smoothed = smooth_rotations(times, rotations, covariances, motion)
    for k, online in enumerate(filtered(times, rotations, covariances, motion)):
        assert np.linalg.eigvalsh(online.covariance - smoothed.covariance[k])[0] > -1e-9
        assert np.linalg.eigvalsh(smoothed.covariance[k])[0] > 0
        assert np.linalg.eigvalsh(covariances[k] - online.covariance)[0] > -1e-5
    np.testing.assert_allclose(smoothed.rotation[-1], online.rotation, atol=1e-12)


@properties
@given(seeds, st.floats(0.01, 0.9), st.sampled_from([0.02, 0.3, 1e5, math.inf]))
def test_predicting_in_two_steps_is_predicting_in_one(seed: int, share: float, persistence: float) -> None:
    rng = np.random.default_rng(seed)
    mode = Mode(200, persistence)
    state = start(rotation_from_angles(*rng.uniform(-80, 80, size=3)), covariance(rng), mode)
    state = state._replace(velocity=rng.normal(size=3) * 10)
    once, _ = predict(state, 0.3, mode)
    twice, _ = predict(predict(state, 0.3 * share, mode)[0], 0.3 * (1 - share), mode)
    np.testing.assert_allclose(twice.rotation, once.rotation, atol=1e-13)
    np.testing.assert_allclose(twice.velocity, once.velocity, rtol=1e-12)
    # the Jacobian of a turn of 10 degrees is that of its middle, to second order
    np.testing.assert_allclose(twice.covariance, once.covariance, rtol=2e-2, atol=2e-2 * np.abs(once.covariance).max())
    resting = state._replace(velocity=np.zeros(3))
    once, _ = predict(resting, 0.3, mode)
    twice, _ = predict(predict(resting, 0.3 * share, mode)[0], 0.3 * (1 - share), mode)
    np.testing.assert_allclose(twice.covariance, once.covariance, rtol=1e-7, atol=1e-7)


def test_the_velocitys_prior_is_stationary() -> None:
    mode = Mode(200, 0.4)
    later, _ = predict(start(np.eye(3), np.eye(3), mode), 0.7, mode)
    np.testing.assert_allclose(later.covariance[3:, 3:], mode.speed**2 * np.eye(3), rtol=1e-12)


@properties
@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 5), st.floats(0, 5))
def test_modes_switch_as_a_markov_chain(hold: float, move: float, first: float, second: float) -> None:
    motion = HeadMotion(hold=hold, move=move)
    np.testing.assert_allclose(motion.switching(first) @ motion.switching(second), motion.switching(first + second))
    np.testing.assert_allclose(motion.switching(first).sum(axis=1), 1)
    np.testing.assert_allclose(
        (motion.switching(1e-6) - np.eye(2)) / 1e-6, [[-1 / hold, 1 / hold], [1 / move, -1 / move]], rtol=1e-4
    )
    assert motion.switching(1e4)[0, 0] == pytest.approx(hold / (hold + move))


@properties
@given(seeds)
def test_combining_is_the_mean_and_covariance_of_the_mixture(seed: int) -> None:
    """Against draws of small turns, about whichever rotation it is done."""
    rng = np.random.default_rng(seed)
    base, weights = rotation_from_angles(*rng.uniform(-80, 80, size=3)), np.array([0.3, 0.7])
    offsets = rng.normal(size=(2, 6)) * 1e-3
    spreads: list[Array] = [np.kron(np.eye(2), covariance(rng, 1e-6)).astype(np.float64) for _ in range(2)]
    states = [State(rotation_from_vector(o[:3]) @ base, o[3:], P) for o, P in zip(offsets, spreads, strict=True)]
    mean = weights @ offsets
    outer = [P + np.outer(o - mean, o - mean) for o, P in zip(offsets, spreads, strict=True)]
    inner = weights[0] * outer[0] + weights[1] * outer[1]
    for near in (base, states[0].rotation):
        both = combine(states, weights, near)
        np.testing.assert_allclose(vector_from_rotation(both.rotation @ base.T), mean[:3], atol=1e-7)
        np.testing.assert_allclose(both.velocity, mean[3:], atol=1e-12)
        np.testing.assert_allclose(both.covariance, inner, atol=1e-10)


def simulated(rng: np.random.Generator, motion: HeadMotion, times: Array) -> tuple[Array, Array, Array]:
    """A head that moves as the model has it, and measurements of it: truth, rotations, covariances."""
    exact, mode = np.zeros((6, 6)), motion.modes[-1]
    state = State(rotation_from_angles(*rng.uniform(-60, 60, size=3)), rng.normal(size=3) * mode.speed, exact)
    truth, measured, noises = [], [], []
    for step in np.diff(times, prepend=0.0):
        moved, _ = predict(state, step, mode)
        kick = np.linalg.cholesky(moved.covariance) @ rng.normal(size=6)
        rotation = rotation_from_vector(kick[:3]) @ moved.rotation
        state = moved._replace(rotation=rotation, velocity=moved.velocity + kick[3:], covariance=exact)
        noises.append(covariance(rng, scale=rng.choice([0.5, 20.0])))
        measured.append(rotation_from_vector(np.linalg.cholesky(noises[-1]) @ rng.normal(size=3)) @ rotation)
        truth.append(rotation)
    return np.stack(truth), np.stack(measured), np.stack(noises)


def test_the_errors_of_simulated_heads_are_as_large_as_the_covariance_says() -> None:
    """The mean squared Mahalanobis distance is 3, of the filter and of the smoother at both ends and between."""
    rng, times = np.random.default_rng(3), np.arange(1, 9) / 10
    motion = HeadMotion(acceleration=100, persistence=0.3, **KALMAN)
    distances: dict[str, list[float]] = {"filter, 4": [], "smoother, 0": [], "smoother, 4": [], "smoother, 7": []}
    for _ in range(40):
        truth, measured, noises = simulated(rng, motion, times)
        online, smoothed = filtered(times, measured, noises, motion), smooth_rotations(times, measured, noises, motion)
        for name, found in distances.items():
            k = int(name.split(",")[1])
            known = (online[k].rotation, online[k].covariance)
            if name.startswith("smoother"):
                known = (smoothed.rotation[k], smoothed.covariance[k])
            off = vector_from_rotation(truth[k] @ known[0].T)
            found.append(float(off @ np.linalg.solve(known[1], off)))
    for name, found in distances.items():
        assert np.mean(found) == pytest.approx(3, abs=4 * math.sqrt(6 / 40)), name  # four standard errors


def test_what_is_unsure_is_averaged_and_what_is_sure_is_followed() -> None:
    """One step of 20 degrees, seen in one frame: a sure network's is taken at once, an unsure one's hardly."""
    step = rotation_from_vector([0.0, 20.0, 0.0])
    answers = []
    for variance in (0.01, 400.0):
        online = RotationFilter(HeadMotion(gate=math.inf))
        for k in range(10):
            online.update(k / 30, np.eye(3), variance * np.eye(3))
        answers.append(float(geodesic_distance(online.update(1 / 3, step, variance * np.eye(3)).rotation, np.eye(3))))
    assert answers[0] > 19
    assert answers[1] < 5


def test_a_gap_is_predicted_and_doubt_grows_in_it() -> None:
    online = RotationFilter(MOVING)
    for k in range(30):
        online.update(k / 30, rotation_from_vector([0.0, 30.0 * k / 30, 0.0]), 0.1 * np.eye(3))
    ahead = [online.predict(29 / 30 + wait) for wait in (0.0, 0.1, 0.3)]
    turned = [float(vector_from_rotation(there.rotation)[1]) for there in ahead]
    assert turned[0] < turned[1] < turned[2] < 29 + 30 * 0.3 + 1  # it moves on, ever more slowly
    assert np.trace(ahead[0].covariance) < np.trace(ahead[1].covariance) < np.trace(ahead[2].covariance)
    assert not any(there.used for there in ahead)
    again = online.predict(29 / 30 + 0.1)
    np.testing.assert_array_equal(again.rotation, ahead[1].rotation)  # a prediction changes nothing


@pytest.mark.parametrize("patience", [1, 3])
def test_outliers_are_left_out_and_a_jump_is_not(patience: int) -> None:
    motion = HeadMotion(patience=patience)
    online, jump = RotationFilter(motion), rotation_from_vector([0.0, 120.0, 0.0])
    for k in range(20):
        online.update(k / 30, np.eye(3), np.eye(3))
    seen = [online.update((20 + k) / 30, jump, np.eye(3)) for k in range(patience)]
    assert [now.used for now in seen] == [False] * (patience - 1) + [True]
    assert all(geodesic_distance(now.rotation, np.eye(3)) < 1 for now in seen[:-1])
    np.testing.assert_allclose(seen[-1].rotation, jump, atol=1e-12)
    np.testing.assert_allclose(seen[-1].velocity, 0, atol=1e-12)  # a jump is no turn


def test_the_smoother_starts_anew_where_the_jump_was() -> None:
    times = np.arange(20) / 30
    rotations = np.repeat(np.eye(3)[None], 20, axis=0)
    rotations[12:] = rotation_from_vector([0.0, 120.0, 0.0])
    rotations[5] = rotation_from_vector([0.0, 0.0, 90.0])  # one outlier
    smoothed = smooth_rotations(times, rotations, np.repeat(np.eye(3)[None], 20, axis=0))
    assert smoothed.used.tolist() == [k != 5 for k in range(20)]  # type: ignore[union-attr]
    rotations[5] = np.eye(3)
    np.testing.assert_allclose(smoothed.rotation, rotations, atol=1e-9)


def test_a_video_of_jumps_ends() -> None:
    """Every measurement an outlier to the one before: each starts anew."""
    turns = rotation_from_vector(np.arange(15)[:, None] * np.array([0.0, 100.0, 0.0]))
    smoothed = smooth_rotations(np.arange(15) / 30, turns, np.repeat(0.1 * np.eye(3)[None], 15, axis=0))
    assert np.isfinite(smoothed.rotation).all()


def test_missing_measurements_are_bridged_and_nothing_is_known_before_the_first() -> None:
    times, rotations, covariances = case(1, spread=2.0)
    rotations[[0, 1, 5, 6]] = np.nan
    smoothed = smooth_rotations(times, rotations, covariances, MOVING)
    assert np.isnan(smoothed.rotation[:2]).all()
    assert np.isfinite(smoothed.rotation[2:]).all()
    assert smoothed.used.tolist() == [k not in (0, 1, 5, 6) for k in range(9)]  # type: ignore[union-attr]
    online = RotationFilter(MOVING)
    for k in np.flatnonzero(smoothed.used):
        last = online.update(times[k], rotations[k], covariances[k])
    np.testing.assert_allclose(smoothed.rotation[-1], last.rotation, atol=1e-3)  # gaps in one step or in several
    alone = smooth_rotations(times[2:], rotations[2:], covariances[2:], MOVING)
    np.testing.assert_array_equal(smoothed.rotation[2:], alone.rotation)


def test_nothing_measured_at_all() -> None:
    empty = smooth_rotations([0.0, 1.0], np.full((2, 3, 3), np.nan), np.full((2, 3, 3), np.nan))
    assert np.isnan(empty.rotation).all()
    assert not np.any(empty.used)


def test_exact_measurements_and_single_precision_do_no_harm() -> None:
    online = RotationFilter(STILL)
    for k in range(5):
        now = online.update(k, rotation_from_angles(5, 10, 15).astype(np.float32), np.zeros((3, 3), dtype=np.float32))
    assert geodesic_distance(now.rotation, rotation_from_angles(5, 10, 15)) < 1e-4
    np.testing.assert_allclose(now.rotation @ now.rotation.T, np.eye(3), atol=1e-14)  # made a rotation again


def test_minutes_leave_a_rotation_a_rotation() -> None:
    rng, mode = np.random.default_rng(0), Mode(300, 0.3)
    state = start(np.eye(3), np.eye(3), mode)
    for _ in range(1000):
        after, _ = predict(state, 1 / 30, mode)
        state, _ = correct(after, rotation_from_vector(rng.normal(size=3)) @ after.rotation, np.eye(3))
    np.testing.assert_allclose(state.rotation @ state.rotation.T, np.eye(3), atol=1e-11)
    assert np.linalg.eigvalsh(state.covariance)[0] > 0


def nodding(rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """One second held still, one second of a turn by 60 degrees, one second held still; noise of 1 degree."""
    times = np.arange(90) / 30
    angles = 60 * np.clip(times - 1, 0, 1)
    truth = rotation_from_vector(angles[:, None] * np.array([0.0, 1.0, 0.0]))
    return times, truth, rotation_from_vector(rng.normal(size=(90, 3))) @ truth, np.repeat(np.eye(3)[None], 90, axis=0)


def test_a_head_that_is_held_still_is_shown_still_and_one_that_turns_is_followed() -> None:
    """Against the same filter with one mode: steadier in the holds, no later in the turn."""
    jitter, late = {}, {}
    for name, hold in (("two modes", 1.5), ("one mode", 0.0)):
        turns, lags = [], []
        for seed in range(3):
            times, truth, rotations, covariances = nodding(np.random.default_rng(seed))
            motion = HeadMotion(hold=hold, independent=1)
            shown = np.stack([now.rotation for now in filtered(times, rotations, covariances, motion)])
            turns.append(geodesic_distance(shown[11:30], shown[10:29]) ** 2)
            off = vector_from_rotation(truth[40:60] @ np.swapaxes(shown[40:60], -1, -2))[:, 1]
            lags.append(off.mean() / 60)  # degrees behind over degrees a second
        jitter[name], late[name] = float(np.sqrt(np.mean(turns))), float(np.mean(lags))
    assert jitter["two modes"] < 0.3 * jitter["one mode"]
    assert late["two modes"] < 0.01  # seconds, a third of a frame


def test_the_smoother_of_two_modes_is_better_than_the_filter() -> None:
    errors: dict[str, list[float]] = {"measured": [], "filter": [], "smoother": []}
    for seed in range(2):
        times, truth, rotations, covariances = nodding(np.random.default_rng(seed))
        motion = HeadMotion(independent=1)
        smoothed = smooth_rotations(times, rotations, covariances, motion)
        online = filtered(times, rotations, covariances, motion)
        shown = np.stack([now.rotation for now in online])
        for name, R in (("measured", rotations), ("filter", shown), ("smoother", smoothed.rotation)):
            errors[name].append(float(geodesic_distance(R, truth).mean()))
        np.testing.assert_allclose(smoothed.rotation[-1], online[-1].rotation, atol=1e-12)
        assert np.linalg.eigvalsh(smoothed.covariance).min() > 0
    assert np.mean(errors["smoother"]) < 0.9 * np.mean(errors["filter"])
    assert np.mean(errors["filter"]) < 0.65 * np.mean(errors["measured"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"acceleration": -1},
        {"acceleration": math.inf},
        {"persistence": 0},
        {"drift": math.nan},
        {"independent": 0},
        {"hold": -1},
        {"patience": 0},
    ],
)
def test_refuses_a_motion_out_of_range(wrong: dict[str, Any]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigurationError, match=f"{name} {value:g} of a head's motion: give a number from"):
        HeadMotion(**wrong)


def test_refuses_what_is_no_measurement() -> None:
    online = RotationFilter()
    with pytest.raises(DataError, match="call update first"):
        online.predict(0.0)
    with pytest.raises(DataError, match="is not a rotation"):
        online.update(0.0, np.diag([1.0, 1.0, -1.0]), np.eye(3))
    with pytest.raises(DataError, match="is not a rotation"):
        online.update(0.0, np.full((3, 3), np.nan), np.eye(3))
    with pytest.raises(DataError, match="is not a covariance"):
        online.update(0.0, np.eye(3), np.diag([1.0, 1.0, -1.0]))
    with pytest.raises(DataError, match="is not a covariance"):
        online.update(0.0, np.eye(3), np.diag([1.0, 1.0, np.inf]))
    with pytest.raises(DataError, match="time nan"):
        online.update(math.nan, np.eye(3), np.eye(3))
    online.update(1.0, np.eye(3), np.eye(3))
    for late in (online.update, lambda time, *_: online.predict(time)):
        with pytest.raises(DataError, match=r"time 0\.5 s does not follow 1 s"):
            late(0.5, np.eye(3), np.eye(3))
    with pytest.raises(DataError, match=r"give \(T,\), \(T, 3, 3\) and \(T, 3, 3\)"):
        smooth_rotations([0.0, 1.0], np.eye(3)[None], np.eye(3)[None])
    with pytest.raises(DataError, match="do not increase"):
        smooth_rotations([0.0, 0.0], np.repeat(np.eye(3)[None], 2, 0), np.repeat(np.eye(3)[None], 2, 0))
