"""The common protocol of the experiments: parallel jobs that can be resumed, one row of metrics per job, tables.

A job is a recipe, a seed and a share of the training pictures. Its row is added to `runs.csv` when it ends, so an
interrupted experiment continues where it stopped. Only `judge` reads the test people, after all choices are made.
"""

import argparse
import csv
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd
import torch

from deepgllim.data import Manifest, load_data, select_subjects, subsample
from deepgllim.nn import AugmentationConfig, FaceInputs, Inputs, Recipe, ScheduleConfig, load_model, train
from deepgllim.runs import build_model, evaluate_run, face_inputs, split_validation, training_inputs

J = TypeVar("J")
TRAINING_PEOPLE = tuple(f"{person:02d}" for person in range(1, 13))
TEST_PEOPLE = ("13", "14", "15")
MODEL = "model.safetensors"
IDENTITY = ("method", "learning_rate", "fraction", "seed")
"""Columns that identify a job in the tables."""


class Job(NamedTuple):
    """One training.

    Attributes:
        method: name in the tables.
        recipe: all options except the seed.
        learning_rate: learning rate of the recipe; it has its own column because it is searched.
        seed: seed of the validation people, the order and the augmentation.
        fraction: share of the training pictures of each person, in (0, 1].
    """

    method: str
    recipe: Recipe
    learning_rate: float
    seed: int
    fraction: float = 1.0

    @property
    def name(self) -> str:
        """The name of the folder of the job, which identifies it."""
        return folder_name(self.method, self.learning_rate, self.fraction, self.seed)


def folder_name(method: str, learning_rate: float, fraction: float, seed: int) -> str:
    """Return the name of the folder of a job, below `--work`."""
    return f"{method}_lr{learning_rate:g}_f{fraction:g}_s{seed}".replace(" ", "_")


class Parser(argparse.ArgumentParser):
    """A parser whose option `--quick` changes the default folders, `--output` and `--work`.

    A smoke test thus neither replaces results nor leaves files from which a complete run continues.
    """

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Return the options; with `--quick`, folders that are not given are below runs/quick."""
        found = super().parse_args(*args, **kwargs)
        for name in ("output", "work") if getattr(found, "quick", False) else ():
            default = self.get_default(name)
            if default is not None and getattr(found, name) == default:
                setattr(found, name, Path("runs") / "quick" / default.name)
        return found


def options(description: str, out: Path) -> argparse.Namespace:
    """Parse the command line that the experiments share."""
    found: argparse.Namespace = parser(description, out).parse_args()
    return found


def parser(description: str, out: Path) -> argparse.ArgumentParser:
    """Return the parser of the options that the experiments share."""
    parser = Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR, or another source with the same people")
    parser.add_argument("--quick", action="store_true", help="smoke test: few pictures, one round, one seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="parallel trainings, one thread each")
    parser.add_argument(
        "--work", type=Path, default=Path("runs") / out.name, help="folder for models and partial results"
    )
    parser.add_argument("--output", type=Path, default=out, help="folder for the tables")
    return parser


@lru_cache(maxsize=1)
def people(source: str, names: tuple[str, ...], quick: bool) -> Manifest:
    """Return the faces of the given people; with `quick`, every fifteenth face."""
    manifest = select_subjects(load_data(source), names)
    return manifest.subset(list(range(0, len(manifest), 15))) if quick else manifest


def _pictures(recipe: Recipe) -> Recipe:
    """Return the options that the pictures depend on. Jobs that differ in other options share the pictures."""
    schedule = ScheduleConfig(seed=recipe.schedule.seed, fixed_copies=recipe.schedule.fixed_copies)
    return Recipe(data=recipe.data, augmentation=recipe.augmentation, schedule=schedule)


@lru_cache(maxsize=2)
def _inputs(source: str, recipe: Recipe, fraction: float, quick: bool) -> tuple[Inputs, FaceInputs]:
    split = split_validation(people(source, TRAINING_PEOPLE, quick), recipe)
    assert split.validation is not None
    seed = recipe.schedule.seed
    training = split.training if fraction == 1.0 else subsample(split.training, fraction, seed)
    return (
        training_inputs(training, recipe),
        face_inputs(split.validation, recipe.data, AugmentationConfig.off(), seed),
    )


def run_job(job: Job, *, source: str, work: Path, quick: bool) -> dict[str, Any]:
    """Train a job; return the metrics of the best round on validation people and the time."""
    torch.set_num_threads(1)
    recipe = job.recipe.override({"schedule.seed": job.seed, "schedule.learning_rate": job.learning_rate})
    if quick:
        recipe = recipe.override({"schedule.rounds": 1, "schedule.epochs_per_round": 1, "data.image_size": 32})
    training, validation = _inputs(source, _pictures(recipe), job.fraction, quick)
    model = build_model(recipe, people(source, TRAINING_PEOPLE, quick).targets)
    output = work / job.name
    history = train(model, recipe, training, validation, output=output).history
    (output / "checkpoint.safetensors").unlink(missing_ok=True)
    (output / "cache" / "activations.npy").unlink(missing_ok=True)
    best = min(history, key=lambda row: row["validation_mae"])
    return {
        **identity(job),
        "pictures": len(training) // (1 + recipe.schedule.fixed_copies),
        "best_round": best["round"],
        "components": best.get("components", ""),
        **{name: best[name] for name in ("validation_mae", "validation_mae_pitch", "validation_mae_yaw")},
        "seconds_network": sum(row["seconds_network"] for row in history),
        "seconds_features": sum(row["seconds_features"] for row in history),
        "seconds_em": sum(row["seconds_em"] for row in history),
    }


def judge(job: Job, *, source: str, work: Path, quick: bool) -> dict[str, Any]:
    """Return the metrics of a trained job on the test people."""
    torch.set_num_threads(1)
    figures = evaluate_run(load_model(work / job.name / MODEL), people(source, TEST_PEOPLE, quick))
    return identity(job) | {f"test_{name}": value for name, value in figures.items()}


def identity(job: Job) -> dict[str, Any]:
    """Return the columns that identify a job."""
    return {name: getattr(job, name) for name in IDENTITY}


def identity_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that identify its job."""
    return {name: row[name] for name in IDENTITY}


def run_all(
    jobs: Iterable[Job], task: Callable[..., dict[str, Any]], table: Path, arguments: argparse.Namespace
) -> pd.DataFrame:
    """Run the jobs that are not in the table yet, in parallel; add a row for each; return the table."""
    call = partial(task, source=arguments.data, work=arguments.work, quick=arguments.quick)
    return run_tasks(jobs, call, table, arguments.jobs, identity)


def train_and_judge(jobs: Sequence[Job], arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train the jobs, evaluate them on the test people, and return `runs.csv` and `results.csv`.

    A job of `runs.csv` is trained again if it has neither a result nor a model in `--work`, which may be another folder
    than that of its first training.
    """
    runs, results = arguments.output / "runs.csv", arguments.output / "results.csv"
    judged = {_key(identity_of(row)) for row in read_rows(results)}
    missing = {
        key
        for job in jobs
        if (key := _key(identity(job))) not in judged and not (arguments.work / job.name / MODEL).is_file()
    }
    rows = read_rows(runs)
    kept = [row for row in rows if _key(identity_of(row)) not in missing]
    if len(kept) < len(rows):
        write_rows(kept, runs)
    return run_all(jobs, run_job, runs, arguments), run_all(jobs, judge, results, arguments)


def run_tasks(
    jobs: Iterable[J],
    task: Callable[[J], dict[str, Any]],
    table: Path,
    processes: int,
    identify: Callable[[J], dict[str, Any]],
) -> pd.DataFrame:
    """Run jobs of any type as `run_all` does; `identify` returns the columns of a row that identify a job."""
    rows = read_rows(table)
    for row in _done(task, waiting(jobs, table, identify), processes):
        rows.append(row)
        write_rows(rows, table)
    return pd.DataFrame(rows)


def waiting(jobs: Iterable[J], table: Path, identify: Callable[[J], dict[str, Any]]) -> list[J]:
    """Return the jobs that have no row in a table; `identify` returns the columns that identify a job."""
    found = {_key(identify(job)): job for job in jobs}
    columns = list(identify(next(iter(found.values())))) if found else []
    for row in read_rows(table):
        found.pop(_key({name: row[name] for name in columns}), None)
    return list(found.values())


def _done(task: Callable[[J], dict[str, Any]], jobs: Sequence[J], processes: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of jobs in the order in which they end; with one process, run them in this process."""
    if processes == 1:
        yield from map(task, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for future in as_completed([pool.submit(task, job) for job in jobs]):
                yield future.result()
        finally:  # after a failure, do not start the waiting jobs
            pool.shutdown(cancel_futures=True)


def read_table(table: Path) -> pd.DataFrame:
    """Read a table of metrics; return an empty table if the file does not exist."""
    return pd.read_csv(table) if table.is_file() else pd.DataFrame()


def join(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of both tables."""
    return pd.concat([first, second], ignore_index=True)


def read_rows(table: Path) -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries; none if the file does not exist."""
    return [{str(name): value for name, value in row.items()} for row in read_table(table).to_dict("records")]


def write_rows(rows: Sequence[dict[str, Any]], table: Path) -> None:
    """Write rows to a CSV file, with six significant digits."""
    table.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def _key(row: dict[str, Any]) -> tuple[str | float, ...]:
    return tuple(float(value) if isinstance(value, int | float) else str(value) for value in row.values())


def best_rates(runs: pd.DataFrame) -> dict[str, float]:
    """Return the learning rate of each method with the lowest validation error for the first seed."""
    first = runs[(runs.seed == runs.seed.min()) & (runs.fraction == 1.0)]
    chosen = first.loc[first.groupby("method").validation_mae.idxmin()]
    return {str(row.method): float(row.learning_rate) for row in chosen.itertuples()}


def over_folds(results: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return the means of columns over groups of rows, weighted by the number of pictures (column n)."""
    weighted = results[list(columns)].astype(float).mul(results["n"], axis=0)
    groups = [results[name] for name in by]
    sums, pictures = weighted.groupby(groups, sort=False), results["n"].groupby(groups, sort=False)
    return sums.sum(min_count=1).div(pictures.sum(), axis=0)


def mean_and_deviation(frame: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Return "mean ± standard deviation" of each column over the rows of a group; the deviation of one row is 0."""
    frame = frame.sort_values(list(by))
    grouped = frame.groupby(list(by), sort=False)[list(columns)]
    mean, deviation = grouped.mean(), grouped.std(ddof=1).fillna(0.0)
    text = {c: [f"{m:.2f} ± {d:.2f}" for m, d in zip(mean[c], deviation[c], strict=True)] for c in columns}
    return pd.DataFrame(text, index=mean.index).reset_index()


def plot_over(shares: pd.DataFrame, whole: pd.DataFrame, column: str, path: Path) -> None:
    """Plot a metric against the share of training pictures: mean and deviation over seeds, a curve per method."""
    from matplotlib import pyplot

    from deepgllim.evaluation import plot_curves

    grouped = join(shares, whole).groupby(["method", "fraction"])[column]
    mean, deviation = grouped.mean().unstack("method"), grouped.std().unstack("method").fillna(0.0)
    curves = {str(method): (mean[method].to_numpy(), deviation[method].to_numpy()) for method in mean.columns}
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    labels = ("training pictures, %", "mean error on unseen people, degrees")
    plot_curves(axes, 100 * mean.index.to_numpy(), curves, labels)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def as_markdown(frame: pd.DataFrame) -> str:
    """Return a table in Markdown."""
    lines = [
        list(map(str, frame.columns)),
        ["---"] * frame.shape[1],
        *([str(value) for value in row] for row in frame.to_numpy(object).tolist()),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
