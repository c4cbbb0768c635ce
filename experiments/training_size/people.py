"""3, 5, 7, 9 and 12 people to learn from, least squares and inverse regression: table 4's form, with people left out.

Folds, test people, recipe and step size are those of `experiments.table1`. The people of a smaller set are among those
of a larger one, drawn by seed and fold; one of them, two of nine or more, validate and are not trained on. The frozen
stages are computed once for all trainings. A killed run goes on where it stopped.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import torch

from deepgllim.data import select_subjects
from deepgllim.evaluation import plot_curves
from deepgllim.nn.config import Recipe
from deepgllim.nn.evaluation import compute_metrics
from experiments import protocol
from experiments.table1.networks import inverse_regression, train_tail, trunk_recipe
from experiments.table1.options import SEEDS, FoldFaces, Options, folds
from experiments.table1.trunk import prepare_trunk

matplotlib.use("Agg")
HERE = Path(__file__).parent
COUNTS = (3, 5, 7, 9, 12)
EVERY = 8
"""The first person of a set validates, and the ninth."""

METHODS: dict[str, dict[str, Any]] = {
    "least squares": {"objective.name": "least_squares"},
    "inverse regression, K = 1, beta = 0": inverse_regression(1, beta=0),
    "inverse regression, K = 1, beta = 1": inverse_regression(1, beta=1),
}

COLUMNS = ["mae", "mae_pitch", "mae_yaw", "geodesic", "nll"]


class Job(NamedTuple):
    """One training: a method, how many people it learns from, whose test people are left out, the seed of the draw."""

    method: str
    people: int
    fold: int
    seed: int


def identity(job: Job) -> dict[str, Any]:
    """The columns that tell jobs apart."""
    return job._asdict()


def draw(options: Options, job: Job) -> FoldFaces:
    """The faces of a job; each training set is a part of those of more people."""
    training, test = folds(options)[job.fold]
    names = np.random.default_rng((job.seed, job.fold)).permutation(np.unique(training.subjects.astype(str)))
    chosen = [str(name) for name in names[: job.people]]
    held_out = chosen[::EVERY]
    learning = [name for name in chosen if name not in held_out]
    return FoldFaces(select_subjects(training, learning), select_subjects(training, held_out), test)


def job_recipe(options: Options, job: Job) -> Recipe:
    """That of table 1's rows of three stages, with the method's objective."""
    return trunk_recipe(options, METHODS[job.method], job.seed)


def judge(job: Job, *, options: Options) -> dict[str, Any]:
    """Train, and the figures on test people."""
    torch.set_num_threads(1)
    parts, began = draw(options, job), time.perf_counter()
    predictor = train_tail(job_recipe(options, job), parts.training, parts.validation, options)
    seconds = time.perf_counter() - began
    size = {"pictures": len(parts.training), "seconds": seconds}
    return identity(job) | size | compute_metrics(predictor(parts.test), parts.test.targets)


def make_plot(per_seed: pd.DataFrame, path: Path) -> None:
    """The error against the number of people, mean and deviation over seeds, a curve for each method."""
    from matplotlib import pyplot

    grouped = per_seed.groupby(["method", "people"])["mae"]
    mean, deviation = grouped.mean().unstack("method"), grouped.std().unstack("method").fillna(0.0)
    curves = {str(name): (mean[name].to_numpy(), deviation[name].to_numpy()) for name in mean.columns}
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    plot_curves(axes, mean.index.to_numpy(), curves, ("people to learn from", "mean error on unseen people, degrees"))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main() -> None:
    """The trunk once, then all trainings, the table and the plot."""
    parser = protocol.parser(__doc__ or "", HERE)
    parser.add_argument("--folds", type=int, help="test people of the first of table 1's folds only; all by default")
    arguments = parser.parse_args()
    options = Options(arguments.data, arguments.work, arguments.quick)
    counts, seeds = (COUNTS[:1], SEEDS[:1]) if arguments.quick else (COUNTS, SEEDS)
    numbers = range(1 if arguments.quick else arguments.folds or len(folds(options)))
    jobs = [Job(name, count, fold, seed) for seed in seeds for fold in numbers for count in counts for name in METHODS]
    torch.set_num_threads(arguments.jobs)
    prepare_trunk(options, job_recipe(options, jobs[0]))
    table = arguments.output / "people.csv"
    results = protocol.run_tasks(jobs, partial(judge, options=options), table, arguments.jobs, identity)
    per_seed = protocol.over_folds(results, ["method", "people", "seed"], COLUMNS).reset_index()
    make_plot(per_seed, arguments.output / "people.png")
    print(protocol.as_markdown(protocol.mean_and_deviation(per_seed, ["people", "method"], COLUMNS)))


if __name__ == "__main__":
    main()
