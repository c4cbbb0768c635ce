"""Train on 3, 5, 7, 9 and 12 people, with least squares and inverse regression.

Folds, test people, recipe and learning rate are those of `experiments.table1`. People are drawn by seed and fold, and
each set contains the smaller ones. One person of a set validates, or two if the set has nine or more. The output of the
frozen stages is computed once for all trainings. An interrupted run continues where it stopped.
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
from deepgllim.nn import Recipe, compute_metrics
from experiments import protocol
from experiments.bootstrap import paired_bootstrap
from experiments.table1.activations import prepare_trunk
from experiments.table1.networks import inverse_regression, train_tail, trunk_recipe
from experiments.table1.options import SEEDS, FoldFaces, Options, folds

matplotlib.use("Agg")
HERE = Path(__file__).parent
COUNTS = (3, 5, 7, 9, 12)
EVERY = 8
"""Persons 0, 8, … of a set validate."""

BASELINE = "least squares"
METHODS: dict[str, dict[str, Any]] = {
    BASELINE: {"objective.name": "least_squares"},
    "inverse regression, K = 1, beta = 0": inverse_regression(1, beta=0),
    "inverse regression, K = 1, beta = 1": inverse_regression(1, beta=1),
}

COLUMNS = ["mae", "mae_pitch", "mae_yaw", "geodesic", "nll"]


class Job(NamedTuple):
    """One training: method, number of people, fold of the test people, and seed of the draw."""

    method: str
    people: int
    fold: int
    seed: int


def identity(job: Job) -> dict[str, Any]:
    """Return the columns that identify a job."""
    return job._asdict()


def draw(options: Options, job: Job) -> FoldFaces:
    """Return the faces of a job; its people are a subset of those of jobs with more people."""
    training, test = folds(options)[job.fold]
    names = np.random.default_rng((job.seed, job.fold)).permutation(np.unique(training.subjects.astype(str)))
    chosen = [str(name) for name in names[: job.people]]
    held_out = chosen[::EVERY]
    learning = [name for name in chosen if name not in held_out]
    return FoldFaces(select_subjects(training, learning), select_subjects(training, held_out), test)


def job_recipe(options: Options, job: Job) -> Recipe:
    """Return the recipe of the rows of table 1 with three trained stages, with the objective of the method."""
    return trunk_recipe(options, METHODS[job.method], job.seed)


def judge(job: Job, *, options: Options) -> dict[str, Any]:
    """Train a job and return its metrics on the test people."""
    torch.set_num_threads(1)
    parts, began = draw(options, job), time.perf_counter()
    predictor = train_tail(job_recipe(options, job), parts.training, parts.validation, options)
    seconds = time.perf_counter() - began
    size = {"pictures": len(parts.training), "seconds": seconds}
    return identity(job) | size | compute_metrics(predictor(parts.test), parts.test.targets)


def differences(results: pd.DataFrame) -> pd.DataFrame:
    """Return the difference of each method's error from that of least squares, by number of people and for all.

    The pairs have the same people and seed. The 95 % interval is over resampled folds, each with all its trainings;
    `lower in` is the share of the pairs in which the method has the smaller error.
    """
    by = ["people", "fold", "seed"]
    baseline = results.loc[results["method"] == BASELINE, [*by, "mae"]]
    pairs = results[results["method"] != BASELINE].merge(baseline, on=by, suffixes=("", "_baseline"))
    rows = []
    for method, own in pairs.groupby("method", sort=False):
        for count, part in [*own.groupby("people"), ("all", own)]:
            found = paired_bootstrap(part["mae"], part["mae_baseline"], part["fold"])
            row = {"people": count, "method": method, "difference": f"{found.mean:+.2f}"}
            row["95 % interval"] = f"{found.lower:+.2f} to {found.upper:+.2f}"
            rows.append(row | {"lower in": f"{int((part['mae'] < part['mae_baseline']).sum())} of {len(part)}"})
    return pd.DataFrame(rows)


def make_plot(per_seed: pd.DataFrame, path: Path) -> None:
    """Plot the error over the number of people: mean and deviation over seeds, a curve per method."""
    from matplotlib import pyplot

    grouped = per_seed.groupby(["method", "people"])["mae"]
    mean, deviation = grouped.mean().unstack("method"), grouped.std().unstack("method").fillna(0.0)
    curves = {str(name): (mean[name].to_numpy(), deviation[name].to_numpy()) for name in mean.columns}
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    plot_curves(axes, mean.index.to_numpy(), curves, ("people to learn from", "mean error on unseen people, degrees"))
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main() -> None:
    """Compute the output of the trunk, run all trainings, and write the table and the plot."""
    parser = protocol.parser(__doc__ or "", HERE)
    parser.add_argument("--folds", type=int, help="number of folds of table 1 to run; all by default")
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
    print(protocol.as_markdown(differences(results)))


if __name__ == "__main__":
    main()
