"""Reports of a training: the interface of progress reporters, and the table of metrics by round."""

import csv
from pathlib import Path
from typing import Protocol

from deepgllim.storage import write_atomically


class Reporter(Protocol):
    """Interface of the objects that are notified of the progress of a training."""

    def start(self, steps: int, done: int) -> None:
        """Called before the first round and after a round was undone: network steps in total, and those done."""
        ...

    def advance(self, message: str) -> None:
        """Called after each network step, with a line on its epoch and loss."""
        ...

    def round_done(self, metrics: dict[str, float]) -> None:
        """Called after each round, with its row of metrics."""
        ...

    def status(self, message: str) -> None:
        """Called before a part that is not a round, with a line on it."""
        ...


class NullReporter:
    """A reporter that ignores all notifications."""

    def start(self, steps: int, done: int) -> None:
        """Do nothing."""

    def advance(self, message: str) -> None:
        """Do nothing."""

    def round_done(self, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def status(self, message: str) -> None:
        """Do nothing."""


def write_metrics(output: Path | None, rows: list[dict[str, float]]) -> None:
    """Write the metrics of all rounds to `metrics.csv` in the run folder, atomically; do nothing without a folder."""
    if output is not None:
        write_atomically(output / "metrics.csv", lambda place: write_rows(place, rows))


def write_rows(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows of metrics to a CSV file; its columns are those of all rows, in the order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
