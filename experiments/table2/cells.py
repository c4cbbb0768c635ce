"""The cells of table 2: a rendered set, a number of components and a seed."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from deepgllim.data import Manifest
from deepgllim.geometry import ANGLES
from deepgllim.nn import Recipe, evaluate
from experiments.rendered import Heads, cost, crops, faces, trained

SETS = {"S2G": "s2g", "SSV": "ssv"}
IDENTITIES = 50
TRAINING, VALIDATION, TEST = slice(0, 32), slice(32, 40), slice(40, 50)
"""Indices of the people."""


class Job(NamedTuple):
    """One training: a key of `SETS`, the number of components and the seed."""

    set: str
    K: int
    seed: int


def heads_of(name: str, images: int, recipe: Recipe) -> Heads:
    """Return the rendered set of a key of `SETS`."""
    return Heads(SETS[name], images, IDENTITIES, recipe.data.image_size, seed=2017)


def parts_of(heads: Heads, work: Path) -> tuple[Manifest, Manifest, Manifest]:
    """Return the faces for training, validation and testing; the set is rendered first if it is not complete."""
    training, validation, test = (faces(heads, work, ANGLES, people) for people in (TRAINING, VALIDATION, TEST))
    return training, validation, test


def run(job: Job, *, recipe: Recipe, images: int, work: Path, suffix: str, jobs: int) -> dict[str, Any]:
    """Train a cell and return its metrics on the test people."""
    if jobs > 1:
        torch.set_num_threads(1)
    recipe = recipe.override({"objective.n_components": job.K, "schedule.seed": job.seed})
    heads = heads_of(job.set, images, recipe)
    training, validation, test = parts_of(heads, work)
    folder = work / f"{heads.folder}_K{job.K}_train{job.seed}{suffix}"
    model = trained(recipe, training, validation, folder)
    return {**job._asdict(), "pictures": len(training), **cost(folder), **evaluate(model, crops(test, recipe))}
