"""The trainings: a reduced form of the demonstration, one process for each seed and number of threads."""

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
from deepgllim.nn.config import Recipe
from deepgllim.nn.inputs import Inputs
from deepgllim.synthetic.miniature import unpack_miniature
from experiments.protocol import read_rows, write_rows
from experiments.trunk import Trunk

REDUCED: dict[str, Any] = {"network.frozen_depths": [6], "schedule.fixed_copies": 1}
"""What makes a training of the demonstration one of twenty seconds."""

QUICK: dict[str, Any] = {"schedule.rounds": 1, "data.image_size": 32}
QUICK_SHARE = 0.1
LEAST_SQUARES = "least squares"


class Group(NamedTuple):
    """The trainings of one process.

    Attributes:
        seed: of the people held out for validation, the order and the augmentation.
        threads: of torch.
    """

    seed: int
    threads: int


class Variant(NamedTuple):
    """One training of a group.

    Attributes:
        method: "least squares" or "inverse regression".
        components: K; 0 for least squares.
        beta: β; NaN for least squares.
    """

    method: str
    components: int
    beta: float


def variants(components: tuple[int, ...], betas: tuple[float, ...]) -> list[Variant]:
    """Least squares, then every K and β."""
    mixtures = [Variant("inverse regression", K, beta) for beta in betas for K in components]
    return [Variant(LEAST_SQUARES, 0, np.nan), *mixtures]


def recipe_of(variant: Variant, seed: int, quick: bool) -> Recipe:
    """The demonstration's recipe with the variant's options."""
    name = "demo_least_squares" if variant.method == LEAST_SQUARES else "demo_inverse_regression"
    options = REDUCED | (QUICK if quick else {})
    if variant.method != LEAST_SQUARES:
        options = options | {"objective.n_components": variant.components, "objective.beta": variant.beta}
    return demo_recipe(name, seed, quick=False).override(options)


class Material(NamedTuple):
    """What the trainings of a group share: the frozen stages and their outputs.

    Attributes:
        trunk: the frozen stages.
        parts: training, validation and test inputs.
        non_heads: inputs that show no head.
    """

    trunk: Trunk
    parts: SplitInputs
    non_heads: Inputs


def load_material(heads: Path, recipe: Recipe, quick: bool) -> Material:
    """Read the pictures and compute the frozen stages once."""
    manifest = load_data(f"folder:{unpack_miniature(heads)}")
    if quick:
        manifest = subsample(manifest, QUICK_SHARE, 0)
    pictures = make_splits(*split_people(manifest), recipe)
    trunk = Trunk(recipe, pictures.targets)
    training, validation, test = (trunk.activations(part) for part in pictures[:3])
    parts = SplitInputs(training, validation, test, pictures.targets)
    return Material(trunk, parts, trunk.activations(shuffle_blocks(pictures.test)))


def run_group(group: Group, planned: list[Variant], work: Path, quick: bool) -> Path:
    """All trainings of a group that its table does not hold yet; returns the table."""
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
    """One training, by the demonstration's own code."""
    recipe, trunk = recipe_of(variant, group.seed, quick), material.trunk
    own, model = trunk.recipe(recipe), trunk.model(recipe)
    return train_method(variant.method, own, material.parts, None, model=model, non_heads=material.non_heads)


def measure(variant: Variant, group: Group, material: Material, quick: bool) -> dict[str, Any]:
    """Figures on the test people of one training; a failure is a row too."""
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
