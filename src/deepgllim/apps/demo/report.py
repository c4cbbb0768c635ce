"""The demonstration's report: one HTML file that refers to nothing outside it."""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from deepgllim import __version__
from deepgllim.apps.demo import drawings
from deepgllim.apps.demo.trained import Method, SplitInputs, geodesic, spread, target_rows, unsure
from deepgllim.data import Manifest
from deepgllim.geometry.rotations import ANGLES
from deepgllim.storage import write_atomically

SAMPLES, EXTREMES = 12, 6
"""Faces shown with axes, and at either end of the certainty."""

EXPLAINED = {
    "pitch": "mean absolute error, degrees",
    "yaw": "mean absolute error, degrees",
    "roll": "mean absolute error, degrees",
    "mean": "of the three errors, degrees",
    "geodesic": "mean angle between the true and the predicted head, degrees",
    "NLL": "−log p(y | x) of the true pose, nats",
    "90 % coverage": "how often the 90 % intervals hold the true angle",
    "AUROC of log p(x)": "how well it tells heads from pictures without any; 0.5 is chance",
}
"""The rows of the table of methods: columns of `table_row`."""

PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "pillow", "matplotlib")


class Demonstration(NamedTuple):
    """All that the report tells.

    Attributes:
        methods: trained and judged; the first is inverse regression.
        rows: of the table, one a method.
        test, learning: the faces judged on, and those of the people learned from and validated on.
        parts: the network's inputs.
        commands: to try next.
        seed, seconds, quick: of the run.
    """

    methods: list[Method]
    rows: list[dict[str, float | str]]
    test: Manifest
    learning: Manifest
    parts: SplitInputs
    commands: list[str]
    seed: int
    seconds: float
    quick: bool


def write_report(path: Path, demonstration: Demonstration) -> None:
    """Write the report, whole or not at all.

    Raises:
        DataError: if it cannot be written.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "angle": angle}
    template = environment.from_string(files("deepgllim.apps.demo").joinpath("report.html").read_text(encoding="utf-8"))
    text = template.render(contents(demonstration))
    write_atomically(path, lambda place: place.write_text(text, encoding="utf-8"))


def contents(run: Demonstration) -> dict[str, Any]:
    """What the template shows, by name."""
    main, methods = run.methods[0], run.methods
    doubts, by = unsure(main)
    order = np.argsort(doubts, kind="stable")
    return {
        "rows": run.rows,
        "explained": EXPLAINED,
        "decimals": {column: 3 if column.startswith("AUROC") else 2 for column in EXPLAINED},
        "best": best(run.rows),
        "verdict": verdict(run.rows),
        "answer": answer(methods, chosen(main), run.test),
        "samples": cards(run.test, main, spaced(len(run.test))),
        "curves": drawings.training_curves(methods),
        "errors": drawings.errors_over_angles(methods),
        "calibration": drawings.calibration(methods),
        "by": by,
        "certain": cards(run.test, main, order[:EXTREMES]),
        "uncertain": cards(run.test, main, order[::-1][:EXTREMES]),
        "halves": [float(half.mean()) for half in np.array_split(geodesic(main)[order], 2)],
        "densities": drawings.input_densities(main),
        "odd": odd(run.test, main, by),
        "commands": run.commands,
        "facts": facts(run),
        "people": {"learning": len(set(run.learning.subjects)), "test": len(set(run.test.subjects))},
        "quick": run.quick,
    }


def spaced(n: int) -> NDArray[np.int64]:
    """Rows to show, evenly over the table."""
    return np.unique(np.linspace(0, n - 1, SAMPLES).round().astype(np.int64))


def cards(test: Manifest, method: Method, indices: Sequence[int] | NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
    """Faces with the true and the predicted axes."""
    known, uncertain = method.predictions, spread(method)
    return [
        {
            "who": test.subjects[i],
            "file": test.paths[i].name,
            "true": drawings.face(test, i, known.targets[i]),
            "predicted": drawings.face(test, i, known.mean[i]),
            "angles": target_rows(method, i),
            "spread": float(uncertain[i]),
            "log_density": float(known.log_density[i]),
        }
        for i in map(int, indices)
    ]


def odd(test: Manifest, method: Method, by: str) -> list[dict[str, Any]]:
    """The faces of the least log p(x), unless they are the least certain ones anyway."""
    order = np.argsort(method.predictions.log_density, kind="stable")
    return [] if by == "log p(x)" else cards(test, method, order[:EXTREMES])


def chosen(method: Method) -> int:
    """The face whose answer is told in full: of the least certain ones, that with the weightiest second mode."""
    import torch

    candidates = np.argsort(-unsure(method)[0], kind="stable")[:40]
    modes = method.distribution.select(torch.from_numpy(candidates.copy())).modes_with_probabilities()
    second = [float(probability[1]) if len(probability) > 1 else 0.0 for _, probability in modes]
    return int(candidates[int(np.argmax(second))])


def answer(methods: Sequence[Method], index: int, test: Manifest) -> dict[str, Any]:
    """One face's whole answer: densities, joint covariance, modes, log p(x)."""
    import torch

    main = methods[0]
    covariance = main.predictions.covariance[index]
    deviations = np.sqrt(np.diag(covariance))
    modes, probabilities = main.distribution.select(torch.tensor([index])).modes_with_probabilities()[0]
    known = main.predictions.log_density
    return {
        "card": cards(test, main, [index])[0],
        "plot": drawings.marginals(methods, index),
        "names": ANGLES,
        "deviations": deviations.tolist(),
        "correlations": (covariance / np.outer(deviations, deviations)).tolist(),
        "modes": [
            {"angles": mode, "probability": share}
            for mode, share in zip(modes.tolist(), probabilities.tolist(), strict=True)
        ],
        "rank": float((known < known[index]).mean()),
    }


def best(rows: list[dict[str, float | str]]) -> dict[str, str]:
    """For each column of the table, the method that leads: the least error, or the coverage nearest to 90 %."""
    leaders = {}
    for column in rows[0]:
        values = {str(row["method"]): row[column] for row in rows}
        known = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
        if column.startswith("AUROC") or len(known) < 2:
            continue
        aim = 0.9 if "coverage" in column else None
        distance = {name: abs(value - aim) if aim is not None else value for name, value in known.items()}
        leaders[column] = min(distance, key=lambda name: distance[name])
    return leaders


def verdict(rows: list[dict[str, float | str]]) -> str:
    """Which method is ahead, in a sentence, whichever it is."""
    (first, second), (sharper, other) = (sorted(rows, key=lambda row: float(row[by])) for by in ("mean", "NLL"))
    error = f"({float(first['mean']):.2f}° against {float(second['mean']):.2f}°)"
    likelihood = f"(NLL {float(sharper['NLL']):.2f} against {float(other['NLL']):.2f})"
    then = "and" if sharper["method"] == first["method"] else f"but {sharper['method']}"
    start = f"On these held-out people {first['method']} has the smaller mean error"
    return f"{start} {error}, {then} the better likelihood {likelihood}."


def facts(run: Demonstration) -> dict[str, str]:
    """With what the report was made."""
    recipe, parts = run.methods[0].recipe, run.parts
    schedule, network, objective = recipe.schedule, recipe.network, recipe.objective
    copies, rate = schedule.fixed_copies, f"{schedule.learning_rate:g}"
    learned = f"{len(parts.training) // (1 + copies)} to learn from, with {copies} augmented copies of each"
    own = [f"deepgllim {__version__}", f"Python {platform.python_version()}"]
    return {
        "seed": str(run.seed),
        "pictures": f"{learned}; {len(parts.validation)} to validate and {len(run.test)} to test, of other people each",
        "network": f"{network.backbone} on {recipe.data.image_size} pixels, {network.projection} features, "
        f"{network.frozen_depths[-1]} stages frozen",
        "schedule": f"{schedule.rounds} rounds of {schedule.epochs_per_round} epoch(s), batches of "
        f"{schedule.batch_size}, learning rate {rate}; the same for both",
        "mixture": f"K = {objective.n_components} at the start, {objective.covariance_type} covariance of the features",
        "training": ", ".join(f"{method.name} {method.seconds:.0f} s" for method in run.methods),
        "in all": f"{run.seconds:.0f} s until this report was drawn",
        "versions": ", ".join(own + [f"{name} {version(name)}" for name in PACKAGES]),
    }


def number(value: float, decimals: int = 2) -> str:
    """A figure with so many decimals; a dash for the unknown.

    Example:
        >>> number(6.1234), number(float("nan"))
        ('6.12', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{decimals}f}".replace("-", "−")


def angle(value: float) -> str:
    """Degrees, with a sign.

    Example:
        >>> angle(-3.21)
        '−3.2°'
    """
    return f"{value:+.1f}°".replace("-", "−")
