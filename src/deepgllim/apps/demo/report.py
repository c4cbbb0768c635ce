"""The report of the demonstration: one HTML file without references to other files."""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from deepgllim import __version__
from deepgllim.apps.demo import drawings
from deepgllim.apps.demo.methods import (
    Method,
    SplitInputs,
    geodesic_errors,
    geometric_std,
    target_rows,
    uncertainty_scores,
)
from deepgllim.data import Manifest
from deepgllim.geometry.rotations import ANGLES
from deepgllim.storage import write_atomically

SAMPLES, EXTREMES = 12, 6
"""Numbers of test faces in the section of samples, and in those of the most and the least certain faces."""

EXPLANATIONS = {
    "pitch": "mean absolute error, degrees",
    "yaw": "mean absolute error, degrees",
    "roll": "mean absolute error, degrees",
    "mean": "mean of the three errors, degrees",
    "geodesic": "mean angle between the true and the predicted rotation, degrees",
    "NLL": "−log p(y | x) of the true pose, nats",
    "90 % coverage": "share of true angles within their 90 % intervals",
    "AUROC of log p(x)": "separation of heads from pictures without a head; 0.5 is chance",
}
"""Explanations of the columns of `table_row`."""

PACKAGES = ("torch", "numpy", "scikit-learn", "scipy", "pillow", "matplotlib")


class Demonstration(NamedTuple):
    """The contents of the report.

    Attributes:
        methods: the trained methods; the first is inverse regression.
        rows: the table, one row for each method.
        test: the test faces.
        learning: the faces for training and validation.
        splits: the network inputs.
        commands: commands to try next.
        seed: seed of the run.
        seconds: duration of the run.
        quick: whether it is a smoke test on few pictures.
    """

    methods: list[Method]
    rows: list[dict[str, float | str]]
    test: Manifest
    learning: Manifest
    splits: SplitInputs
    commands: list[str]
    seed: int
    seconds: float
    quick: bool


def write_report(path: Path, demonstration: Demonstration) -> None:
    """Write the report atomically.

    Raises:
        DataError: it cannot be written.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": format_number, "angle": format_angle}
    template = environment.from_string(files("deepgllim.apps.demo").joinpath("report.html").read_text(encoding="utf-8"))
    text = template.render(template_values(demonstration))
    write_atomically(path, lambda place: place.write_text(text, encoding="utf-8"))


def template_values(run: Demonstration) -> dict[str, Any]:
    """Return the values of the template by name."""
    main, methods = run.methods[0], run.methods
    scores, score_name = uncertainty_scores(main)
    order = np.argsort(scores, kind="stable")
    return {
        "rows": run.rows,
        "explanations": EXPLANATIONS,
        "decimals": {column: 3 if column.startswith("AUROC") else 2 for column in EXPLANATIONS},
        "best": best_methods(run.rows),
        "comparison": compare_methods(run.rows),
        "example": describe_example(methods, choose_example(main), run.test),
        "samples": make_cards(run.test, main, evenly_spaced(len(run.test))),
        "curves": drawings.plot_training(methods),
        "errors": drawings.plot_errors(methods),
        "calibration": drawings.plot_calibration(methods),
        "score_name": score_name,
        "certain": make_cards(run.test, main, order[:EXTREMES]),
        "uncertain": make_cards(run.test, main, order[::-1][:EXTREMES]),
        "halves": [float(half.mean()) for half in np.array_split(geodesic_errors(main)[order], 2)],
        "densities": drawings.plot_input_densities(main),
        "unusual": unusual_cards(run.test, main, score_name),
        "commands": run.commands,
        "details": run_details(run),
        "people": {"learning": len(set(run.learning.subjects)), "test": len(set(run.test.subjects))},
        "quick": run.quick,
    }


def evenly_spaced(n: int) -> NDArray[np.int64]:
    """Return `SAMPLES` indices, evenly spaced over n rows."""
    return np.unique(np.linspace(0, n - 1, SAMPLES).round().astype(np.int64))


def make_cards(
    test: Manifest, method: Method, indices: Sequence[int] | NDArray[np.integer[Any]]
) -> list[dict[str, Any]]:
    """Return the values of the cards of test faces, with pictures of the true and the predicted axes."""
    predictions, uncertainty = method.predictions, geometric_std(method)
    return [
        {
            "subject": test.subjects[i],
            "file": test.paths[i].name,
            "true": drawings.draw_face(test, i, predictions.targets[i]),
            "predicted": drawings.draw_face(test, i, predictions.mean[i]),
            "angles": target_rows(method, i),
            "uncertainty": float(uncertainty[i]),
            "log_density": float(predictions.log_density[i]),
        }
        for i in map(int, indices)
    ]


def unusual_cards(test: Manifest, method: Method, score_name: str) -> list[dict[str, Any]]:
    """Return the cards of the faces with the lowest log p(x), or none if these are the least certain faces."""
    order = np.argsort(method.predictions.log_density, kind="stable")
    return [] if score_name == "log p(x)" else make_cards(test, method, order[:EXTREMES])


def choose_example(method: Method) -> int:
    """Return the index of the face whose second mode has the highest probability, among the least certain ones."""
    candidates = np.argsort(-uncertainty_scores(method)[0], kind="stable")[:40]
    modes = method.distribution.select(torch.from_numpy(candidates.copy())).modes_with_probabilities()
    second = [float(probability[1]) if len(probability) > 1 else 0.0 for _, probability in modes]
    return int(candidates[int(np.argmax(second))])


def describe_example(methods: Sequence[Method], index: int, test: Manifest) -> dict[str, Any]:
    """Return the complete prediction for one face: densities, joint covariance, modes, log p(x)."""
    main = methods[0]
    covariance = main.predictions.covariance[index]
    deviations = np.sqrt(np.diag(covariance))
    modes, probabilities = main.distribution.select(torch.tensor([index])).modes_with_probabilities()[0]
    log_density = main.predictions.log_density
    return {
        "card": make_cards(test, main, [index])[0],
        "plot": drawings.plot_marginals(methods, index),
        "names": ANGLES,
        "deviations": deviations.tolist(),
        "correlations": (covariance / np.outer(deviations, deviations)).tolist(),
        "modes": [
            {"angles": mode, "probability": probability}
            for mode, probability in zip(modes.tolist(), probabilities.tolist(), strict=True)
        ],
        "rank": float((log_density < log_density[index]).mean()),
    }


def best_methods(rows: list[dict[str, float | str]]) -> dict[str, str]:
    """Return the best method of each column: that with the smallest value, or with the coverage nearest to 90 %."""
    best = {}
    for column in rows[0]:
        values = {str(row["method"]): row[column] for row in rows}
        numbers = {name: float(value) for name, value in values.items() if not isinstance(value, str)}
        if column.startswith("AUROC") or len(numbers) < 2:
            continue
        nominal = 0.9 if "coverage" in column else None
        distance = {name: value if nominal is None else abs(value - nominal) for name, value in numbers.items()}
        best[column] = min(distance, key=lambda name: distance[name])
    return best


def compare_methods(rows: list[dict[str, float | str]]) -> str:
    """Return a sentence on which method has the smaller error and which the better likelihood, to two decimals."""
    precise, errors = _lower(rows, "mean", "{:.2f}°")
    likely, likelihoods = _lower(rows, "NLL", "{:.2f}")
    error = f"{precise} has the smaller mean error" if precise else "both methods have the same mean error"
    if likely is None:
        likelihood = "and both have the same likelihood"
    elif likely == precise:
        likelihood = "and the better likelihood"
    else:
        likelihood = f"{'but' if precise else 'and'} {likely} has the better likelihood"
    return f"On these people, who are not in the training data, {error} ({errors}), {likelihood} (NLL {likelihoods})."


def _lower(rows: list[dict[str, float | str]], column: str, form: str) -> tuple[str | None, str]:
    """Return the method with the lower value, or None if both are equal as printed, and the printed values."""
    first, second = sorted(rows, key=lambda row: float(row[column]))
    printed = [form.format(float(row[column])) for row in (first, second)]
    if printed[0] == printed[1]:
        return None, printed[0]
    return str(first["method"]), " against ".join(printed)


def run_details(run: Demonstration) -> dict[str, str]:
    """Return seed, data, network, schedule, durations and versions of a run, by name."""
    recipe, splits = run.methods[0].recipe, run.splits
    schedule, network, objective = recipe.schedule, recipe.network, recipe.objective
    copies, rate = schedule.fixed_copies, f"{schedule.learning_rate:g}"
    training = f"{len(splits.training) // (1 + copies)} for training, with {copies} augmented copies of each"
    own = [f"deepgllim {__version__}", f"Python {platform.python_version()}"]
    return {
        "seed": str(run.seed),
        "pictures": f"{training}; {len(splits.validation)} for validation and {len(run.test)} for testing, from "
        "different people",
        "network": f"{network.backbone} on {recipe.data.image_size} pixels, {network.projection} features, "
        f"{network.frozen_depths[-1]} stages frozen",
        "schedule": f"{schedule.rounds} rounds of {schedule.epochs_per_round} epoch(s), batches of "
        f"{schedule.batch_size}, learning rate {rate}; the same for both methods",
        "mixture": f"K = {objective.n_components} at the start, {objective.covariance_type} covariance of the features",
        "training": ", ".join(f"{method.name} {method.seconds:.0f} s" for method in run.methods),
        "total": f"{run.seconds:.0f} s before the report was written",
        "versions": ", ".join(own + [f"{name} {version(name)}" for name in PACKAGES]),
    }


def format_number(value: float, decimals: int = 2) -> str:
    """Return a number with a fixed number of decimals, or a dash for NaN.

    Example:
        >>> format_number(6.1234), format_number(float("nan"))
        ('6.12', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{decimals}f}".replace("-", "−")


def format_angle(value: float) -> str:
    """Return an angle in degrees, with its sign.

    Example:
        >>> format_angle(-3.21)
        '−3.2°'
    """
    return f"{value:+.1f}°".replace("-", "−")
