"""Test the comparison of filters: movements, simulated measurements, metrics and rendering."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepgllim.errors import RenderError
from deepgllim.geometry.rotations import (
    Array,
    geodesic_distance,
    pan_tilt_from_rotation,
    rotation_from_pan_tilt,
    rotation_from_vector,
    vector_from_rotation,
)
from experiments import protocol
from research.smoothing import rendering
from research.smoothing.measures import measures
from research.smoothing.methods import CHOSEN, Shown, exponential, raw
from research.smoothing.report import lag_at, rows, simulated
from research.smoothing.sequence import RATE, Measurements, Noise, random_path, simulate
from research.smoothing.sequence import Path as Movement


@pytest.fixture(scope="module")
def movement() -> Movement:
    return random_path(np.random.default_rng(5), 20.0)


def test_a_head_is_held_still_or_moves_without_a_jump(movement: Movement) -> None:
    times = np.arange(0, 20, 1 / RATE)
    held, moving = movement.flags(times)
    assert not (held & moving).any()
    assert held.mean() > 0.2
    assert moving.mean() > 0.2
    turned = geodesic_distance(movement.rotation(times[1:]), movement.rotation(times[:-1]))
    assert turned[held[1:] & held[:-1]].max() < 0.01  # the nearest of 500 places a second
    assert turned.max() < 700 / RATE  # 250 degrees a second on average is under 2 times that at its fastest
    assert turned[moving[1:]].mean() > 1


def test_errors_of_measurements_have_the_stated_covariance(movement: Movement) -> None:
    """The covariance of the errors is the given one, and a share of it is independent in each frame."""
    distances, fresh = [], []
    for seed in range(60):
        measured = simulate(movement, np.random.default_rng(seed), Noise(missing=0, dropped=0))
        off = vector_from_rotation(movement.rotation(measured.times) @ np.swapaxes(measured.rotations, -1, -2))
        unit = np.linalg.solve(np.linalg.cholesky(measured.covariances), off[..., None])[..., 0]
        held, _ = movement.flags(measured.times)
        distances.append((unit**2).mean())
        fresh.append((np.diff(unit, axis=0)[held[1:] & held[:-1]] ** 2).mean() / 2)
    assert np.mean(distances) == pytest.approx(1, abs=0.15)  # functions of a place vary much over few places
    assert np.mean(fresh) == pytest.approx(0.15, abs=0.05)  # the covariances of the frames differ slightly


def test_frames_are_missing_dropped_and_wrong_as_often_as_asked(movement: Movement) -> None:
    measured = simulate(movement, np.random.default_rng(0), Noise(missing=0.1, dropped=0.2, outliers=0.1))
    assert len(measured.times) == pytest.approx(0.8 * 600, abs=50)
    assert np.isnan(measured.rotations).any(axis=(1, 2)).mean() == pytest.approx(0.1, abs=0.06)
    assert (geodesic_distance(measured.rotations, movement.rotation(measured.times)) > 39).mean() == pytest.approx(
        0.1, abs=0.06
    )


def exact(movement: Movement, times: Array, late: float = 0.0) -> Measurements:
    return Measurements(times, movement.rotation(times - late), np.repeat(np.eye(3)[None], len(times), axis=0))


@pytest.mark.parametrize("late", [0.0, 0.08, 0.3])
def test_lag_is_what_the_truth_is_late_by(movement: Movement, late: float) -> None:
    times = np.arange(0, 20, 1 / RATE)
    found = measures(movement, times, raw(exact(movement, times, late), 0))
    assert found["lag"] == pytest.approx(1000 * late, abs=1)
    assert found["jitter"] == pytest.approx(0, abs=1e-5)
    assert found["error"] == pytest.approx(0, abs=1e-5) if late == 0 else found["error_moving"] > 1
    assert np.isnan(found["coverage"])


def test_jitter_is_the_turn_from_frame_to_frame(movement: Movement) -> None:
    """Independent turns of standard deviation s about one axis differ by s·√2."""
    times = np.arange(0, 20, 1 / RATE)
    noise = np.random.default_rng(1).normal(size=(len(times), 1)) * [0.5, 0, 0]
    shown = Shown(rotation_from_vector(noise) @ movement.rotation(times))
    assert measures(movement, times, shown)["jitter"] == pytest.approx(0.5 * np.sqrt(2), rel=0.15)


def test_coverage_of_the_right_covariance_is_its_level(movement: Movement) -> None:
    times = np.arange(0, 20, 1 / RATE)
    noise = 2 * np.random.default_rng(1).normal(size=(len(times), 3))
    shown = Shown(rotation_from_vector(noise) @ movement.rotation(times), np.repeat(4 * np.eye(3)[None], len(times), 0))
    assert measures(movement, times, shown)["coverage"] == pytest.approx(0.9, abs=0.04)


def test_an_exponential_average_is_late_by_its_constant() -> None:
    """On a turn that never ends, between a frame and the constant."""
    times = np.arange(0, 10, 1 / RATE)
    turn = np.arange(0, 10 * 500 + 1)[:, None] / 500 * [10.0, 0, 0]
    movement = Movement(turn, np.zeros(len(turn), bool), np.ones(len(turn), bool))
    shown = exponential(exact(movement, times), 0.2).rotations[-1]
    behind = (99.666667 - pan_tilt_from_rotation(shown)[1]) / 10
    assert 0.2 - 1 / RATE < behind < 0.2


def test_angles_become_rotations_with_the_covariance_of_draws() -> None:
    rng = np.random.default_rng(0)
    mean, root = np.array([[30.0, 60.0, -10.0]]), rng.normal(size=(3, 3)) * 0.3
    R, C = rendering.rotations_of(mean, (root @ root.T)[None], ("tilt", "pan", "neck_roll"))
    tilt, pan, neck_roll = (mean + rng.normal(size=(20_000, 3)) @ root.T).T
    draws = vector_from_rotation(rotation_from_pan_tilt(pan, tilt, neck_roll) @ R[0].T)
    np.testing.assert_allclose(np.cov(draws.T), C[0], atol=0.05 * np.abs(C).max())  # 20,000 draws: 1 %, and bends
    with pytest.raises(ValueError, match="the model predicts age"):
        rendering.rotations_of(mean, C, ("age",))


def test_a_rendered_person_turns_as_the_path_says(movement: Movement, tmp_path: Path) -> None:
    times = np.array([2.0, 2.1, 2.2])
    try:
        frames = list(rendering.render(movement, times, seed=1))
    except RenderError as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal([frame.rotation for frame in frames], movement.rotation(times))
    for frame in frames:
        x0, y0, x1, y1 = frame.box
        assert 0 < x0 < x1 < rendering.SIZE
        assert 0 < y0 < y1 < rendering.SIZE
    assert np.asarray(frames[0].image).std() > 10
    rendering.save_frames(frames, times, tmp_path / "frames")
    table = protocol.read_table(tmp_path / "frames" / "truth.csv")
    written = table[[f"r{i}{j}" for i in range(3) for j in range(3)]].to_numpy().reshape(3, 3, 3)
    np.testing.assert_allclose(written, movement.rotation(times), atol=1e-6)
    with Image.open(tmp_path / "frames" / table.file[2]) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(frames[2].image))

    def perfect(images: object, boxes: object) -> tuple[Array, Array]:
        return movement.rotation(times), np.repeat(np.eye(3)[None], 3, axis=0)

    assert len(rendering.measured(frames, times, perfect, np.random.default_rng(0)).rotations) == 3


def test_the_filter_reduces_jitter_on_a_short_movement() -> None:
    table = {row["method"]: row for row in rows(simulated(1, 5.0, Noise()), "simulated", CHOSEN.items())}
    assert table["smoother"]["jitter"] < table["filter"]["jitter"] < 0.5 * table["raw"]["jitter"]


def test_lags_are_compared_at_equal_jitter() -> None:
    table = [{"method": "a", "jitter": j, "lag": lag} for j, lag in ((1.0, 10.0), (0.1, 110.0))]
    assert lag_at(table, "a", np.sqrt(0.1)) == pytest.approx(60)  # half way, on the axis of the plot
    assert np.isnan(lag_at(table, "a", 0.05))
