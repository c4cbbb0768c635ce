"""The jobs of table 1: the search on validation people, then every fold and seed on its test people."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from deepgllim.data import Manifest
from deepgllim.metrics import geodesic_error
from deepgllim.nn.evaluation import Predictions, compute_metrics
from deepgllim.storage import write_atomically
from experiments.table1.methods import METHODS, Method, Predictor
from experiments.table1.options import FoldFaces, Options, rows, split


class Job(NamedTuple):
    """One fit.

    Attributes:
        method: a key of METHODS.
        settings: the name of one of its candidates.
        fold: whose test people are left out.
        seed: of validation people, order, augmentation, k-means.
    """

    method: str
    settings: str
    fold: int
    seed: int


def identity(job: Job) -> dict[str, Any]:
    """The columns that tell jobs apart."""
    return job._asdict()


def searches(methods: dict[str, Method], seed: int, quick: bool = False) -> list[Job]:
    """Every candidate of every method that has a choice, on the first fold; with `quick`, two of each."""
    return [
        Job(name, label, 0, seed)
        for name, method in methods.items()
        if len(method.candidates) > 1
        for label in list(method.candidates)[: 2 if quick else None]
    ]


def chosen(methods: dict[str, Method], search: pd.DataFrame) -> dict[str, str]:
    """For each method the settings of the least validation error."""
    best = {name: next(iter(method.candidates)) for name, method in methods.items()}
    if len(search):
        found = search.loc[search.groupby("method")["mae"].idxmin()]
        best |= {str(row.method): str(row.settings) for row in found.itertuples() if row.method in methods}
    return best


def fit(job: Job, options: Options) -> tuple[Predictor, FoldFaces, float]:
    """A job's predictor, its faces, and the seconds that the training took."""
    torch.set_num_threads(1)
    method, parts = METHODS[job.method], split(options, job.fold, job.seed)
    began = time.perf_counter()
    predictor = method.fit(parts.training, parts.validation, job.seed, method.candidates[job.settings], options)
    return predictor, parts, time.perf_counter() - began


def validate(job: Job, *, options: Options) -> dict[str, Any]:
    """The figures on validation people: what the choice of settings sees."""
    predictor, parts, seconds = fit(job, options)
    return identity(job) | {"seconds": seconds} | compute_metrics(predictor(parts.validation), parts.validation.targets)


def judge(job: Job, *, options: Options) -> dict[str, Any]:
    """The figures on test people, whose predictions go to the work folder, a row a picture."""
    predictor, parts, seconds = fit(job, options)
    predictions = predictor(parts.test)
    found = compute_metrics(predictions, parts.test.targets)
    coverage = float(np.mean([found[f"coverage_90_{name}"] for name in parts.test.targets]))
    path = predictions_file(options.work, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = by_picture(job, predictions, parts.test)
    write_atomically(path, lambda place: table.to_parquet(place, index=False))
    return identity(job) | {"pictures": len(parts.training), "seconds": seconds} | found | {"coverage_90": coverage}


def predictions_file(work: Path, job: Job) -> Path:
    """Where a job's predictions are kept."""
    name = "".join(letter if letter.isalnum() else "_" for letter in f"{job.method} {job.settings}")
    return work / "predictions" / f"{name}_fold{job.fold}_seed{job.seed}.parquet"


def by_picture(job: Job, predictions: Predictions, faces: Manifest) -> pd.DataFrame:
    """Label, mean, interval and standard deviation of each target, log-likelihood and errors of every picture."""
    table = pd.DataFrame({"row": rows(faces), "subject": faces.subjects.astype(str)}).assign(**identity(job))
    deviations = np.sqrt(np.diagonal(predictions.covariance, axis1=1, axis2=2))
    for column, name in enumerate(faces.targets):
        for label in ("targets", "mean", "lower", "upper"):
            table[f"{label}_{name}"] = getattr(predictions, label)[:, column]
        table[f"deviation_{name}"] = deviations[:, column]
    table["error"] = np.abs(predictions.mean - predictions.targets).mean(1)
    table["geodesic"] = geodesic_error(predictions.targets, predictions.mean, faces.targets)
    return table.assign(log_probability=predictions.log_probability, log_density=predictions.log_density)
