"""Trainings of the form of the demonstration: the frozen stages are computed once for many trainings of the others."""

import time
import warnings
from typing import Any, NamedTuple

from deepgllim.apps.demo.methods import Method, SplitInputs, shuffle_blocks, table_row, train_method
from deepgllim.errors import EmptyComponentWarning, TrainingWarning
from deepgllim.nn import ArrayInputs, Recipe
from experiments.trunk import tail_model, tail_recipe, trunk_outputs


class Material(NamedTuple):
    """The output of the frozen stages, which several trainings share.

    Attributes:
        parts: training, validation and test inputs.
        non_heads: inputs without heads, for the AUROC of log p(x).
    """

    parts: SplitInputs
    non_heads: ArrayInputs


def compute_material(recipe: Recipe, pictures: SplitInputs) -> Material:
    """Return the output of the frozen stages for pictures, and for the test pictures with shuffled blocks."""
    inputs = [*pictures[:3], shuffle_blocks(pictures.test)]
    training, validation, test, non_heads = trunk_outputs(recipe, pictures.targets, inputs)
    return Material(SplitInputs(training, validation, test, pictures.targets), non_heads)


def train_on(material: Material, name: str, recipe: Recipe) -> Method:
    """Train the stages above the frozen ones and predict the test inputs."""
    model = tail_model(recipe, material.parts.targets)
    return train_method(name, tail_recipe(recipe), material.parts, None, model=model, non_heads=material.non_heads)


def measure(material: Material, name: str, recipe: Recipe) -> dict[str, Any]:
    """Train as `train_on` does, and return the metrics on the test inputs and those of the training.

    `least_components` is the smallest number of components after a round, 0 for least squares.
    """
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", EmptyComponentWarning)
        warnings.simplefilter("always", TrainingWarning)
        method = train_on(material, name, recipe)
    row = table_row(method)
    counts = [entry["components"] for entry in method.history if "components" in entry]
    return {
        "mae": row["mean"],
        **{name: row[name] for name in material.parts.targets},
        "geodesic": row["geodesic"],
        "nll": row["NLL"],
        "auroc": row["AUROC of log p(x)"],
        "coverage_90": row["90 % coverage"],
        "covariance_scale": float(method.model.head.covariance_scale),
        "least_components": min(counts, default=0),
        "rounds": len(method.history),
        "rounds_undone": sum(issubclass(warning.category, TrainingWarning) for warning in caught),
        "seconds": time.perf_counter() - began,
    }
