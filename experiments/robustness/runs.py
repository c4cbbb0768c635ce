"""The trainings, a reduced form of the demonstration; one process for each seed and number of threads."""

import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deepgllim.apps.demo.methods import Method, SplitInputs, shuffle_blocks, table_row, train_method
from deepgllim.apps.demo.run import demo_recipe, make_splits, split_people
from deepgllim.data import load_data, subsample
from deepgllim.errors import DeepGLLiMError, EmptyComponentWarning, TrainingWarning
from deepgllim.nn import Inputs, Recipe
from deepgllim.synthetic.miniature import unpack_miniature
from experiments.protocol import read_rows, write_rows
from experiments.trunk import tail_model, tail_recipe, trunk_outputs

REDUCED: dict[str, Any] = {
    "network.frozen_depths": [6],
    "schedule.fixed_copies": 1,
    "objective.density_depth": None,
}
"""Options that reduce a training of the demonstration to twenty seconds; log p(x) is that of the features."""

QUICK: dict[str, Any] = {"schedule.rounds": 1, "data.image_size": 32}
QUICK_SHARE = 0.1
LEAST_SQUARES = "least squares"


class Group(NamedTuple):
    """The trainings of one process.

    Attributes:
        seed: seed of the validation people, the order and the augmentation.
        threads: number of threads of torch.
    """

    seed: int
    threads: int


class Variant(NamedTuple):
    """One training of a group.

    Attributes:
        method: "least squares" or "inverse regression".
        components: number of components, K; 0 for least squares.
        beta: β; NaN for least squares.
    """

    method: str
    components: int
    beta: float


def variants(components: tuple[int, ...], betas: tuple[float, ...]) -> list[Variant]:
    """Return least squares, then inverse regression with each β and K."""
    mixtures = [Variant("inverse regression", K, beta) for beta in betas for K in components]
    return [Variant(LEAST_SQUARES, 0, np.nan), *mixtures]


def recipe_of(variant: Variant, seed: int, quick: bool) -> Recipe:
    """Return the recipe of the demonstration with the options of a variant."""
    name = "demo_least_squares" if variant.method == LEAST_SQUARES else "demo_inverse_regression"
    options = REDUCED | (QUICK if quick else {})
    if variant.method != LEAST_SQUARES:
        options = options | {"objective.n_components": variant.components, "objective.beta": variant.beta}
    return demo_recipe(name, seed, quick=False).override(options)


class Material(NamedTuple):
    """The output of the frozen stages, which the trainings of a group share.

    Attributes:
        parts: training, validation and test inputs.
        non_heads: inputs without heads.
    """

    parts: SplitInputs
    non_heads: Inputs


def load_material(heads: Path, recipe: Recipe, quick: bool) -> Material:
    """Read the pictures and compute the output of the frozen stages."""
    manifest = load_data(f"folder:{unpack_miniature(heads)}")
    if quick:
        manifest = subsample(manifest, QUICK_SHARE, 0)
    pictures = make_splits(*split_people(manifest), recipe)
    inputs = [*pictures[:3], shuffle_blocks(pictures.test)]
    training, validation, test, non_heads = trunk_outputs(recipe, pictures.targets, inputs)
    return Material(SplitInputs(training, validation, test, pictures.targets), non_heads)


def run_group(group: Group, planned: list[Variant], work: Path, quick: bool) -> Path:
    """Run the trainings of a group that are not in its table yet, and return the path of the table."""
    torch.set_num_threads(group.threads)
    table = work / f"seed{group.seed}_threads{group.threads}.csv"
    rows = read_rows(table)
    waiting = planned[len(rows) :]
    if not waiting:
        return table
    heads = work / f"heads{group.seed}_{group.threads}"
    material = load_material(heads, recipe_of(planned[0], group.seed, quick), quick)
    for variant in waiting:
        rows.append(group._asdict() | variant._asdict() | measure(variant, group, material, quick))
        write_rows(rows, table)
    return table


def train(variant: Variant, group: Group, material: Material, quick: bool) -> Method:
    """Train one variant with the code of the demonstration."""
    recipe = recipe_of(variant, group.seed, quick)
    model = tail_model(recipe, material.parts.targets)
    return train_method(
        variant.method, tail_recipe(recipe), material.parts, None, model=model, non_heads=material.non_heads
    )


def measure(variant: Variant, group: Group, material: Material, quick: bool) -> dict[str, Any]:
    """Return the metrics of one training on the test people, or its error."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TrainingWarning)
        warnings.simplefilter("always", EmptyComponentWarning)
        try:
            method = train(variant, group, material, quick)
        except DeepGLLiMError as error:
            return {"failed": 1, "error": str(error).partition("\n")[0], "seconds": time.perf_counter() - began}
    row = table_row(method)
    counts = [entry["components"] for entry in method.history if "components" in entry]
    return {
        "failed": 0,
        "mae": row["mean"],
        "geodesic": row["geodesic"],
        "nll": row["NLL"],
        "auroc": row["AUROC of log p(x)"],
        "coverage_90": row["90 % coverage"],
        "covariance_scale": float(method.model.head.covariance_scale),
        "rounds": len(method.history),
        "rounds_undone": sum(issubclass(warning.category, TrainingWarning) for warning in caught),
        "least_components": min(counts, default=0),
        "seconds": time.perf_counter() - began,
    }
