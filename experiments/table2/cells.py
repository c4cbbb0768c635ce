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


class Parts(NamedTuple):
    """A rendered set, in parts of different people.

    Attributes:
        folder: name of the set, with which the folders of its models begin.
        training, validation, test: faces.
    """

    folder: str
    training: Manifest
    validation: Manifest
    test: Manifest


def parts_of(name: str, images: int, size: int, work: Path) -> Parts:
    """Return the parts of the set of a key of `SETS`; it is rendered first if it is not complete."""
    heads = Heads(SETS[name], images, IDENTITIES, size, seed=2017)
    training, validation, test = (faces(heads, work, ANGLES, people) for people in (TRAINING, VALIDATION, TEST))
    return Parts(heads.folder, training, validation, test)


def run(job: Job, *, recipe: Recipe, parts: dict[str, Parts], work: Path, suffix: str, jobs: int) -> dict[str, Any]:
    """Train a cell and return its metrics on the test people."""
    if jobs > 1:
        torch.set_num_threads(1)
    recipe = recipe.override({"objective.n_components": job.K, "schedule.seed": job.seed})
    own = parts[job.set]
    folder = work / f"{own.folder}_K{job.K}_train{job.seed}{suffix}"
    metrics = evaluate(trained(recipe, own.training, own.validation, folder), crops(own.test, recipe))
    return {**job._asdict(), "pictures": len(own.training), **cost(folder), **metrics}
