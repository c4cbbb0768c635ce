"""The printed table, and the statements of the paper as differences with intervals over resampled people."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepgllim.errors import DataError
from deepgllim.geometry import ANGLES
from experiments.bootstrap import paired_bootstrap
from experiments.protocol import mean_and_deviation, over_folds
from experiments.table1.jobs import Job, predictions_file


class Claim(NamedTuple):
    """A statement about two rows: the first has a smaller error than the second, or an error that is hardly larger."""

    text: str
    first: str
    second: str


def _of_beta(prefix: str) -> list[Claim]:
    """Return the statements that compare β = 1 with least squares and with the step of the paper."""
    network = "VGG-16: " if prefix else ""
    return [
        Claim(f"{network}{text}, K = {K}", f"{prefix}IR-FT, K = {K}, beta = 1", second.format(prefix=prefix, K=K))
        for text, second in (
            ("beta = 1 beats least squares", "{prefix}FCL-FT"),
            ("beta = 1 beats the paper's step", "{prefix}IR-FT, K = {K}"),
        )
        for K in (1, 2)
    ]


CLAIMS = (
    Claim("inverse beats forward on HOG", "HOG-IR", "HOG-SVR"),
    Claim("HOG beats frozen deep features, SVR", "HOG-SVR", "frozen-SVR"),
    Claim("HOG beats frozen deep features, IR", "HOG-IR", "frozen-IR"),
    Claim("HOG beats frozen VGG-16, SVR", "HOG-SVR", "VGG-SVR"),
    Claim("HOG beats frozen VGG-16, IR", "HOG-IR", "VGG-IR"),
    Claim("fine-tuned inverse beats fine-tuned least squares", "IR-FT, K = 2", "FCL-FT"),
    Claim("the same with K = 1", "IR-FT, K = 1", "FCL-FT"),
    Claim("the same with K = 2, against the text's schedule", "IR-FT, K = 2", "FCL-FT, the text's"),
    Claim("K = 1 is nearly as good as K = 2", "IR-FT, K = 1", "IR-FT, K = 2"),
    *_of_beta(""),
    Claim("last 3 stages: beta = 1 beats least squares, K = 1", "IR-FT, 3 stages, K = 1, beta = 1", "FCL-FT, 3 stages"),
    Claim("last 3 stages: the same, K = 2", "IR-FT, 3 stages, K = 2, beta = 1", "FCL-FT, 3 stages"),
    Claim("last 3 stages: beta = 0 beats least squares, K = 1", "IR-FT, 3 stages, K = 1, beta = 0", "FCL-FT, 3 stages"),
    Claim("last 3 stages: the same, K = 2", "IR-FT, 3 stages, K = 2, beta = 0", "FCL-FT, 3 stages"),
    Claim(
        "last 3 stages: beta = 1 beats beta = 0, K = 1",
        "IR-FT, 3 stages, K = 1, beta = 1",
        "IR-FT, 3 stages, K = 1, beta = 0",
    ),
    Claim("VGG-16: fine-tuned inverse beats fine-tuned least squares", "VGG-IR-FT, K = 2", "VGG-FCL-FT"),
    Claim("VGG-16: the same with K = 1", "VGG-IR-FT, K = 1", "VGG-FCL-FT"),
    Claim("VGG-16: K = 1 is nearly as good as K = 2", "VGG-IR-FT, K = 1", "VGG-IR-FT, K = 2"),
    *_of_beta("VGG-"),
)

HEADINGS = {"mae": "mean", "geodesic": "geodesic", "nll": "NLL", "coverage_90": "90 % coverage", "seconds": "seconds"}


def summary(results: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Return a row per method: means over folds, weighted by pictures, then mean ± standard deviation over seeds."""
    columns = [f"mae_{name}" for name in ANGLES if f"mae_{name}" in results] + list(HEADINGS)
    per_seed = over_folds(results, ["method", "seed"], columns).reset_index()
    table = mean_and_deviation(per_seed, ["method"], columns).set_index("method")
    table = table.loc[[name for name in order if name in table.index]].reset_index()
    return table.rename(columns=HEADINGS | {f"mae_{name}": name for name in ANGLES})


def picture_errors(work: Path, jobs: Sequence[Job]) -> pd.DataFrame:
    """Return the error of each method (column) on each picture (row, with its person), mean over seeds.

    Raises:
        DataError: the predictions of a job are not in the work folder.
    """
    files = [predictions_file(work, job) for job in jobs]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is absent, but its row is in results.csv: give the same --work, or remove it")
    columns = ["method", "row", "subject", "error"]
    table = pd.concat([pd.read_parquet(file, columns=columns) for file in files], ignore_index=True)
    return table.pivot_table(index=["row", "subject"], columns="method", values="error", aggfunc="mean")


def update_claims(work: Path, jobs: Sequence[Job], table: Path) -> pd.DataFrame:
    """Compute the claims whose rows have predictions, keep the other claims of the table, and write the table.

    Rows without predictions come from a run with another work folder, as in a fresh copy of the repository.

    Raises:
        DataError: only some of the predictions of a row exist, or there is neither a prediction nor a table.
    """
    known = {job.method for job in jobs if predictions_file(work, job).is_file()}
    there = [job for job in jobs if job.method in known]
    if table.is_file() and not there:
        return pd.read_csv(table)
    claims = compare(picture_errors(work, there or jobs))
    if table.is_file():
        old = pd.read_csv(table)
        claims = pd.concat([claims, old[~old["text"].isin(claims["text"])]], ignore_index=True)
        order = {claim.text: i for i, claim in enumerate(CLAIMS)}
        claims = claims.sort_values("text", key=lambda texts: texts.map(order), kind="stable", ignore_index=True)
    claims.to_csv(table, index=False, float_format="%.6g")
    return claims


def missing_claims(claims: pd.DataFrame, jobs: Sequence[Job]) -> list[str]:
    """Return a line for each claim about these jobs that is not in the table because predictions are absent."""
    methods, made = {job.method for job in jobs}, set(claims["text"])
    return [
        f"not computed: {claim.text}: the work folder has no predictions of {claim.first!r} or {claim.second!r}; "
        "remove their rows from results.csv and run both again"
        for claim in CLAIMS
        if {claim.first, claim.second} <= methods and claim.text not in made
    ]


def compare(errors: pd.DataFrame) -> pd.DataFrame:
    """Return the claims about the present rows: difference of errors, 95 % interval, share of draws below 0."""
    people = errors.index.get_level_values("subject").to_numpy()
    rows = []
    for claim in CLAIMS:
        if claim.first in errors and claim.second in errors:
            pair = errors[[claim.first, claim.second]].dropna()
            kept = people[errors[[claim.first, claim.second]].notna().all(axis=1).to_numpy()]
            found = paired_bootstrap(pair[claim.first], pair[claim.second], kept)
            rows.append(claim._asdict() | found._asdict())
    return pd.DataFrame(rows, columns=[*Claim._fields, "mean", "lower", "upper", "below_zero"])
