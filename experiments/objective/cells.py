"""The cells of the experiment, the pictures that they share, and the training of one cell."""

import time
import warnings
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deepgllim.apps.demo.methods import SplitInputs, shuffle_blocks, table_row, train_method
from deepgllim.apps.demo.run import make_splits, split_people
from deepgllim.data import Manifest, load_data, subsample
from deepgllim.errors import EmptyComponentWarning, TrainingWarning
from deepgllim.nn import ArrayInputs, Recipe, load_recipe
from deepgllim.synthetic.miniature import unpack_miniature
from experiments import protocol
from experiments.trunk import tail_model, tail_recipe, trunk_outputs

HERE = Path(__file__).parent
BETAS, COMPONENTS, FEATURES = (0.0, 0.5, 0.9, 1.0), (1, 2, 5, 10), (32, 128, 512)
NOISE: dict[str, dict[str, Any]] = {
    "isotropic": {"objective.covariance_type": "isotropic"},
    "diagonal": {"objective.covariance_type": "diagonal"},
    "full": {"objective.covariance_type": "full"},
    "full, shrunk": {"objective.covariance_type": "full", "objective.shrinkage": 0.2},
    "tied full, shrunk": {"objective.covariance_type": "full", "objective.shrinkage": 0.2, "objective.tied": True},
}
LEAST_SQUARES = "least squares"
QUICK_SHARE = 0.1


class Cell(NamedTuple):
    """One training.

    Attributes:
        data: "rendered" or "photographs".
        noise: structure of Σ, a key of `NOISE`, or "least squares".
        features: number of features, D.
        components: number of components, K; 0 for least squares.
        beta: β; −1 for least squares.
        seed: seed of the validation people, the weights and the order.
    """

    data: str
    noise: str
    features: int
    components: int
    beta: float
    seed: int


class Material(NamedTuple):
    """The inputs that the cells of one data set and seed share.

    Attributes:
        parts: output of the frozen stages for training, validation and test people.
        non_heads: output of the frozen stages for pictures without heads.
        people: number of people to learn from.
    """

    parts: SplitInputs
    non_heads: ArrayInputs
    people: int


def cells(data: str, seed: int, features: Sequence[int] = FEATURES) -> list[Cell]:
    """Return the cells of a data set: least squares for each number of features, then the grid."""
    baseline = [Cell(data, LEAST_SQUARES, D, 0, -1.0, seed) for D in features]
    grid = [
        Cell(data, noise, D, K, beta, seed)
        for D in features
        for beta in BETAS[::-1]
        for K in COMPONENTS
        for noise in NOISE
    ]
    return baseline + grid


def recipe_of(cell: Cell, quick: bool = False) -> Recipe:
    """Return the base recipe with the options of a cell."""
    options: dict[str, Any] = {"network.projection": cell.features, "schedule.seed": cell.seed}
    if cell.noise == LEAST_SQUARES:
        options["objective.name"] = "least_squares"
    else:
        options |= NOISE[cell.noise] | {"objective.n_components": cell.components, "objective.beta": cell.beta}
    if quick:
        options |= {"schedule.rounds": 1, "data.image_size": 32}
    return load_recipe(str(HERE / "recipe.toml")).override(options)


def split_data(data: str, source: str, work: Path) -> tuple[Manifest, Manifest]:
    """Return the faces to learn from and the faces of other people to test on."""
    if data == "photographs":
        return (
            protocol.people(source, protocol.TRAINING_PEOPLE, False),
            protocol.people(source, protocol.TEST_PEOPLE, False),
        )
    return split_people(load_data(f"folder:{unpack_miniature(work / 'heads')}"))


@lru_cache(maxsize=1)
def load_material(data: str, seed: int, source: str, work: Path, quick: bool) -> Material:
    """Read the pictures and compute the output of the frozen stages, once per process."""
    torch.set_num_threads(1)
    learning, test = split_data(data, source, work)
    if quick:
        learning, test = subsample(learning, QUICK_SHARE, 0), subsample(test, QUICK_SHARE, 0)
    recipe = recipe_of(Cell(data, LEAST_SQUARES, FEATURES[0], 0, -1.0, seed), quick)
    pictures = make_splits(learning, test, recipe)
    inputs = [*pictures[:3], shuffle_blocks(pictures.test)]
    training, validation, test_inputs, non_heads = trunk_outputs(recipe, pictures.targets, inputs)
    parts = SplitInputs(training, validation, test_inputs, pictures.targets)
    return Material(parts, non_heads, len(set(map(str, learning.subjects))))


def run_cell(cell: Cell, *, source: str, work: Path, quick: bool) -> dict[str, Any]:
    """Train a cell and return its metrics on the test people."""
    material = load_material(cell.data, cell.seed, source, work, quick)
    recipe = recipe_of(cell, quick)
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", EmptyComponentWarning)
        warnings.simplefilter("always", TrainingWarning)
        method = train_method(
            cell.noise,
            tail_recipe(recipe),
            material.parts,
            None,
            model=tail_model(recipe, material.parts.targets),
            non_heads=material.non_heads,
        )
    row = table_row(method)
    counts = [entry["components"] for entry in method.history if "components" in entry]
    return {
        **cell._asdict(),
        "mae": row["mean"],
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
