"""The printed table, and the paper's claims as differences with intervals over resampled people."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from deepgllim.errors import DataError
from deepgllim.rotations import ANGLES
from experiments.bootstrap import paired_bootstrap
from experiments.protocol import mean_and_deviation, over_folds
from experiments.table1.jobs import Job, predictions_file


class Claim(NamedTuple):
    """What the paper says of two rows: the first errs less, or hardly more, than the second."""

    text: str
    first: str
    second: str


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
)

HEADINGS = {"mae": "mean", "geodesic": "geodesic", "nll": "NLL", "coverage_90": "90 % coverage", "seconds": "seconds"}


def summary(results: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """A row a method: the mean over folds by pictures, then mean ± standard deviation over seeds."""
    columns = [f"mae_{name}" for name in ANGLES if f"mae_{name}" in results] + list(HEADINGS)
    per_seed = over_folds(results, ["method", "seed"], columns).reset_index()
    table = mean_and_deviation(per_seed, ["method"], columns).set_index("method")
    table = table.loc[[name for name in order if name in table.index]].reset_index()
    return table.rename(columns=HEADINGS | {f"mae_{name}": name for name in ANGLES})


def picture_errors(work: Path, jobs: Sequence[Job]) -> pd.DataFrame:
    """The error of every method (column) on every picture (row, with its person), mean over seeds.

    Raises:
        DataError: if a job's predictions are not in the work folder.
    """
    files = [predictions_file(work, job) for job in jobs]
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is absent though its row is in results.csv: give the same --work, or start anew")
    columns = ["method", "row", "subject", "error"]
    table = pd.concat([pd.read_parquet(file, columns=columns) for file in files], ignore_index=True)
    return table.pivot_table(index=["row", "subject"], columns="method", values="error", aggfunc="mean")


def update_claims(work: Path, jobs: Sequence[Job], table: Path) -> pd.DataFrame:
    """The claims from the jobs' predictions, written to their table; the table as it is where no prediction is there.

    Raises:
        DataError: some predictions are there and others are not, or there is neither a prediction nor a table.
    """
    if table.is_file() and not any(predictions_file(work, job).is_file() for job in jobs):
        return pd.read_csv(table)  # of a run elsewhere, as in a fresh copy of the repository
    claims = compare(picture_errors(work, jobs))
    claims.to_csv(table, index=False, float_format="%.6g")
    return claims


def compare(errors: pd.DataFrame) -> pd.DataFrame:
    """The paper's claims about rows that are there: difference of errors, 95 % interval, share of draws below 0."""
    people = errors.index.get_level_values("subject").to_numpy()
    rows = []
    for claim in CLAIMS:
        if claim.first in errors and claim.second in errors:
            pair = errors[[claim.first, claim.second]].dropna()
            kept = people[errors[[claim.first, claim.second]].notna().all(axis=1).to_numpy()]
            found = paired_bootstrap(pair[claim.first], pair[claim.second], kept)
            rows.append(claim._asdict() | found._asdict())
    return pd.DataFrame(rows, columns=[*Claim._fields, "mean", "lower", "upper", "below_zero"])
