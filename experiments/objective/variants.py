"""Compare options of the recipe of the demonstration, on people whose pictures the demonstration is trained on.

The choice of the default uses none of the demonstration's test people: of its 40 people to learn from, each seed draws
eight to test on and seven for validation. log p(x) is that of the features alone, without the density of maps. An
interrupted run continues where it stopped.
"""

import argparse
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from deepgllim.apps.demo.methods import SplitInputs
from deepgllim.apps.demo.run import demo_recipe, split_people
from deepgllim.data import load_data, select_subjects
from deepgllim.nn import AugmentationConfig, Recipe
from deepgllim.runs import face_inputs, training_inputs
from deepgllim.synthetic.miniature import unpack_miniature
from experiments import protocol
from experiments.demonstration import Material, compute_material, measure

HERE = Path(__file__).parent
SEEDS = (0, 1, 2, 3)
N_TEST, N_VALIDATION = 8, 7
FIRST_DRAW = 100
"""Seed of the draw of people for seed 0."""

LEAST_SQUARES, BASE = "least squares", "base"
VARIANTS: dict[str, dict[str, Any]] = {
    LEAST_SQUARES: {},
    BASE: {},
    "window 0.2": {"schedule.em_window": 0.2, "schedule.em_every": 1},
    "window 1, the default": {"schedule.em_window": 1.0},
    "window 2": {"schedule.em_window": 2.0},
    "K = 1": {"objective.n_components": 1},
    "K = 2": {"objective.n_components": 2},
    "16 features": {"network.projection": 16},
    "64 features": {"network.projection": 64},
    "shrinkage 0.05": {"objective.shrinkage": 0.05},
    "target noise 1": {"objective.target_noise": 1.0},
}
"""Options that a variant changes in the recipe of the demonstration, with a window of half an epoch as the base."""


class Job(NamedTuple):
    """One training: a key of `VARIANTS`, and the seed of the people, the weights and the order."""

    variant: str
    seed: int


def recipe_of(job: Job, quick: bool) -> Recipe:
    """Return the recipe of a job."""
    name = "demo_least_squares" if job.variant == LEAST_SQUARES else "demo_inverse_regression"
    base = {"objective.density_depth": None, "schedule.em_window": 0.5}
    return demo_recipe(name, job.seed, quick).override(base | VARIANTS[job.variant])


@lru_cache(maxsize=1)
def load_material(seed: int, work: Path, quick: bool) -> Material:
    """Return the output of the frozen stages for the people of a seed, and for pictures without heads."""
    learning, _ = split_people(load_data(f"folder:{unpack_miniature(work / 'heads')}"))
    names = np.unique(learning.subjects.astype(str))
    order = np.random.default_rng(FIRST_DRAW + seed).permutation(names)
    test, validation, training = (
        select_subjects(learning, tuple(part)) for part in np.split(order, [N_TEST, N_TEST + N_VALIDATION])
    )
    recipe, plain = recipe_of(Job(BASE, seed), quick), AugmentationConfig.off()
    validation_inputs, test_inputs = (face_inputs(part, recipe.data, plain) for part in (validation, test))
    pictures = SplitInputs(training_inputs(training, recipe), validation_inputs, test_inputs, learning.targets)
    return compute_material(recipe, pictures)


def run(job: Job, *, work: Path, quick: bool) -> dict[str, Any]:
    """Train a variant and return its metrics on the people that it was not trained on."""
    torch.set_num_threads(1)
    material = load_material(job.seed, work, quick)
    return job._asdict() | measure(material, job.variant, recipe_of(job, quick))


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each variant: means over seeds, and comparisons with least squares of the same seeds."""
    baseline = results.loc[results["variant"] == LEAST_SQUARES, ["seed", "geodesic", "nll"]]
    paired = results.merge(baseline, on="seed", suffixes=("", "_baseline"))
    paired["ratio"] = paired["geodesic"] / paired["geodesic_baseline"]
    paired["NLL − least squares"] = paired["nll"] - paired["nll_baseline"]
    groups = paired.groupby("variant", sort=False)
    found = groups[["geodesic", "ratio", "NLL − least squares", "roll", "auroc", "covariance_scale"]].mean()
    found.insert(0, "seeds", groups.size())
    found.insert(3, "range of ratios", groups["ratio"].agg(lambda each: f"{each.min():.3f} to {each.max():.3f}"))
    found.insert(7, "least AUROC", groups["auroc"].min())
    return found.round(3).reset_index()


def main() -> None:
    """Train the variants that are not in the table yet, then print the summary."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smoke test: two variants, small pictures, one round")
    parser.add_argument("--jobs", type=int, default=1, help="parallel trainings, one thread each")
    parser.add_argument("--work", type=Path, default=Path("runs/objective"), help="folder for the unpacked pictures")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the table")
    arguments = parser.parse_args()
    planned = [Job(name, seed) for seed in SEEDS for name in VARIANTS]
    planned = planned[:2] if arguments.quick else planned
    task = partial(run, work=arguments.work, quick=arguments.quick)
    table = arguments.output / "variants.csv"
    results = protocol.run_tasks(planned, task, table, arguments.jobs, Job._asdict)
    print(protocol.as_markdown(summary(results)))


if __name__ == "__main__":
    main()
