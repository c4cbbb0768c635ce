"""The cells of the experiment, the pictures that they share, and the training of one cell."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from deepgllim.apps.demo.run import make_splits, split_people
from deepgllim.data import Manifest, load_data, subsample
from deepgllim.nn import Recipe, load_recipe
from deepgllim.synthetic.miniature import unpack_miniature
from experiments import protocol
from experiments.demonstration import Material, compute_material, measure

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


@lru_cache(maxsize=1)
def split_data(data: str, source: str, work: Path) -> tuple[Manifest, Manifest]:
    """Return the faces to learn from and the faces of other people to test on, read once per process."""
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
    return compute_material(recipe, make_splits(learning, test, recipe))


def run_cell(cell: Cell, *, source: str, work: Path, quick: bool) -> dict[str, Any]:
    """Train a cell and return its metrics on the test people."""
    material = load_material(cell.data, cell.seed, source, work, quick)
    return cell._asdict() | measure(material, cell.noise, recipe_of(cell, quick))
