"""`deepgllim train`, and its progress on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from deepgllim.cli.console import complain, number, progress_bar, results, table
from deepgllim.cli.options import Source, Switch, Text, faces, names, settings

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepgllim.nn.reporting import Reporter

FIGURES = {
    "validation_mae": "MAE",
    "validation_geodesic": "geodesic error",
    "validation_nll": "NLL",
    "coverage": "90 % coverage",
    "train_loss": "training loss",
    "components": "K",
}
"""What is shown of a round, and under which name; metrics.csv has it all."""


def train(
    *,
    data: Source,
    output: Path,
    recipe: str = "inverse_regression",
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
    resume: Switch = False,
    skip_unreadable: Switch = False,
    targets: Text = None,
    subjects: Text = None,
    quiet: Switch = False,
) -> None:
    """Train a model on labelled images of faces.

    The run's folder gets `model.safetensors`, `metrics.csv` (a row a round), `recipe.json` and
    `checkpoint.safetensors`. Ctrl-C loses at most one round: give the same command again with `--resume`.

    ```
    deepgllim train --data pointing04:data/pointing04 --recipe inverse_regression --output runs/first \\
        --set objective.n_components=2 --set schedule.rounds=8
    ```

    Args:
        output: The run's folder, new or empty.
        recipe: A recipe of the package (see `deepgllim recipes`) or a TOML file.
        set_: Change one option of the recipe, as `section.option=value`; may be given again. The value is read as TOML
            (`2`, `false`, `[0, 3]`), else as text; `none` stands for no value.
        resume: Go on from the last finished round of the run in `--output`, with the recipe and options it began with.
        skip_unreadable: Go on without pictures that cannot be read; `unreadable.csv` in the run's folder lists them.
        targets: Columns to predict, with commas between them; by default those of pitch, yaw and roll that are there.
        subjects: Learn from these people only, with commas between them, as `01,02,03`.
        quiet: Show no progress.
    """
    from deepgllim.nn.config import load_recipe
    from deepgllim.runs import train_run

    options = load_recipe(recipe).override(settings(set_))
    manifest = faces(data, None if targets is None else names(targets), subjects)
    with resumable(output), progress(quiet) as reporter:
        trained = train_run(
            manifest, options, output, resume=resume, skip_unreadable=skip_unreadable, reporter=reporter
        )
    show(trained.history, f"validation_{options.schedule.select_by}")
    if skip_unreadable and (output / "unreadable.csv").is_file():
        complain(f"pictures left out are listed in {output / 'unreadable.csv'}")
    results().print(f"model: {output / 'model.safetensors'}")
    if trained.exported is None:
        results().print("not exported: the targets are not the angles of a head pose")
    else:
        results().print(f"exported: {trained.exported}")


def show(history: list[dict[str, float]], criterion: str) -> None:
    """The table of rounds, and which of them the model is of."""
    rows = [main_figures(row) for row in history]
    columns = [name for name in FIGURES.values() if any(name in row for row in rows)]
    cells = [
        [row["round"], *(shown.get(name, float("nan")) for name in columns)]
        for row, shown in zip(history, rows, strict=True)
    ]
    results().print(table(["round", *columns], cells))
    judged = [row for row in history if criterion in row]
    if judged:
        best = min(judged, key=lambda row: row[criterion])
        results().print(f"kept: round {best['round']:.0f}, of the least {criterion}")


def main_figures(row: dict[str, float]) -> dict[str, float]:
    """The figures of a round that are shown, by the names they are shown under; the targets' coverage as its mean.

    Example:
        >>> main_figures({"validation_mae": 6.5, "validation_coverage_90_yaw": 0.5, "validation_coverage_90_roll": 1.0})
        {'MAE': 6.5, '90 % coverage': 0.75}
    """
    coverage = [value for name, value in row.items() if name.startswith("validation_coverage_90_")]
    known = row | ({"coverage": sum(coverage) / len(coverage)} if coverage else {})
    return {shown: known[name] for name, shown in FIGURES.items() if name in known}


@contextmanager
def resumable(output: Path) -> Iterator[None]:
    """Tell on Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        from deepgllim.nn.checkpoint import CHECKPOINT

        if (output / CHECKPOINT).is_file():
            raise KeyboardInterrupt(
                "give the same command with --resume to go on after the last finished round"
            ) from None
        raise KeyboardInterrupt(
            "no round was finished, so there is nothing to --resume: give the same command again to begin anew"
        ) from None


class RichReporter:
    """A bar with the time left, and a line a round above it."""

    def __init__(self, bar: "Progress") -> None:
        self.bar = bar
        self.task = bar.add_task("reading pictures, first features", total=None)

    def start(self, steps: int, done: int) -> None:
        """Now the number of steps is known."""
        self.bar.reset(self.task, total=steps, completed=done, description="training")

    def advance(self, message: str) -> None:
        """One step more."""
        self.bar.update(self.task, advance=1, description=message)

    def round_done(self, figures: dict[str, float]) -> None:
        """One line."""
        shown = ", ".join(f"{name} {number(value)}" for name, value in main_figures(figures).items())
        self.bar.console.print(f"round {figures['round']:.0f}: {shown}")


@contextmanager
def progress(quiet: bool) -> "Iterator[Reporter | None]":
    """A reporter on standard error: a bar on a terminal, only the rounds' lines elsewhere, nothing if quiet."""
    if quiet:
        yield None
        return
    with progress_bar() as bar:
        yield RichReporter(bar)
