"""The trainings, a reduced form of the demonstration; one process for each seed and number of threads."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deepgllim.apps.demo.run import demo_recipe, make_splits, split_people
from deepgllim.data import load_data, subsample
from deepgllim.errors import DeepGLLiMError
from deepgllim.nn import Recipe
from deepgllim.synthetic.miniature import unpack_miniature
from experiments.demonstration import Material, compute_material, measure
from experiments.protocol import read_rows, write_rows

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


def load_material(heads: Path, recipe: Recipe, quick: bool) -> Material:
    """Read the pictures and compute the output of the frozen stages."""
    manifest = load_data(f"folder:{unpack_miniature(heads)}")
    if quick:
        manifest = subsample(manifest, QUICK_SHARE, 0)
    return compute_material(recipe, make_splits(*split_people(manifest), recipe))


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
        rows.append(group._asdict() | variant._asdict() | result_of(variant, group, material, quick))
        write_rows(rows, table)
    return table


def result_of(variant: Variant, group: Group, material: Material, quick: bool) -> dict[str, Any]:
    """Return the metrics of one training on the test people, or its error."""
    began = time.perf_counter()
    try:
        return {"failed": 0} | measure(material, variant.method, recipe_of(variant, group.seed, quick))
    except DeepGLLiMError as error:
        return {"failed": 1, "error": str(error).partition("\n")[0], "seconds": time.perf_counter() - began}
