"""Sequences in, figures out: a row a method and constant, the lag at equal jitter, the plot."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as File
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from deepgllim.geometry import pan_tilt_from_rotation
from deepgllim.geometry.rotations import Array
from research.smoothing.measures import measures
from research.smoothing.methods import CHOSEN, METHODS
from research.smoothing.rendering import Measure, Rendered, measured, render
from research.smoothing.sequence import RATE, Measurements, Noise, Path, random_path, simulate

COLOURS = {
    "raw": "0.6",
    "exponential average": "#b09a2f",
    "One Euro": "#8a63ac",
    "filter, one mode": "#5f6b73",
    "filter, every frame alike": "#4a9d6f",
    "filter": "#d1603d",
    "smoother": "#3b6fb6",
}
OUTLIERS = 0.01
"""Share of frames with a gross error in the rows that have some."""

_EXCERPT = 8.0  # seconds that are drawn, the last ones
_FIRST_PERSON = 9_000  # seeds of rendered people: not those of the sets that models are trained on


class Sighting(NamedTuple):
    """A movement and what was measured of it."""

    path: Path
    measured: Measurements


def simulated(count: int, seconds: float, noise: Noise) -> list[Sighting]:
    """Movements 0, 1, … with simulated measurements."""
    sequences = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        path = random_path(rng, seconds)
        sequences.append(Sighting(path, simulate(path, rng, noise)))
    return sequences


def rendered(count: int, seconds: float) -> Iterator[tuple[Path, Array, list[Rendered]]]:
    """Movements, the times of their frames, and the frames: a person each."""
    for seed in range(count):
        path = random_path(np.random.default_rng(seed), seconds)
        times = np.arange(0, seconds, 1 / RATE)
        yield path, times, list(render(path, times, _FIRST_PERSON + seed))


def predicted(count: int, seconds: float, measure: Measure) -> list[Sighting]:
    """Rendered movements with a predictor's answers."""
    return [
        Sighting(path, measured(frames, times, measure, np.random.default_rng(seed)))
        for seed, (path, times, frames) in enumerate(rendered(count, seconds))
    ]


def rows(sequences: Sequence[Sighting], label: str, methods: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """Figures of methods at their constants, means over sequences."""
    table = []
    for name, constant in methods:
        found = [measures(s.path, s.measured.times, METHODS[name][0](s.measured, constant)) for s in sequences]
        means = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        table.append({"measurements": label, "method": name, "constant": constant, "unit": METHODS[name][2], **means})
    return table


def every_constant() -> list[tuple[str, float]]:
    """All methods at all their constants."""
    return [(name, constant) for name, (_, constants, _) in METHODS.items() for constant in constants]


def lag_at(table: Sequence[dict[str, Any]], method: str, jitter: float) -> float:
    """The lag of a method at the constant that gives some jitter, between its rows; NaN beyond them or without any."""
    points = sorted((row["jitter"], row["lag"]) for row in table if row["method"] == method)
    if not points:
        return float("nan")
    x, y = np.log([point[0] for point in points]), [point[1] for point in points]
    return float(np.interp(np.log(jitter), x, y, left=np.nan, right=np.nan))


def plot(table: Sequence[dict[str, Any]], sequence: Sighting, file: File) -> None:
    """Lag against jitter, and what is shown of a part of a sequence."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5), width_ratios=(1, 1.5), layout="constrained")
    for name, colour in COLOURS.items():
        points = sorted((row["jitter"], row["lag"]) for row in table if row["method"] == name)
        if points:
            left.plot(*zip(*points, strict=True), "o-", color=colour, label=name, markersize=4)
    left.set(
        xscale="log", xlabel="jitter while held still, degrees a frame", ylabel="lag while moving, ms", ylim=(-15, 200)
    )
    left.legend()
    draw_excerpt(right, sequence)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def draw_excerpt(axes: Axes, sequence: Sighting) -> None:
    """Pan over time: the truth, what was measured, and what methods show."""
    times = sequence.measured.times
    part = times >= times[-1] - _EXCERPT
    truth = pan_tilt_from_rotation(sequence.path.rotation(times[part]))[:, 1]
    axes.plot(times[part], truth, "k", lw=3, alpha=0.25, label="truth")
    for name, constant in CHOSEN.items():
        pan = pan_tilt_from_rotation(METHODS[name][0](sequence.measured, constant).rotations)[part, 1]
        style = {"marker": ".", "ls": ""} if name == "raw" else {"lw": 1.3}
        unit = f", {constant:g} {METHODS[name][2]}" if constant else ""
        axes.plot(times[part], pan, color=COLOURS[name], label=name + unit, **style)
    axes.set(xlabel="seconds", ylabel="pan, degrees")
    axes.legend()
