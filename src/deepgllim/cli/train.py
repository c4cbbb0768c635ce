"""`deepgllim train`, and a reporter of its progress."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from deepgllim.cli.console import SilentError, complain, number, progress_bar, results, table
from deepgllim.cli.options import Source, Switch, Text, faces, names, settings
from deepgllim.errors import DeepGLLiMError, ProcessError

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepgllim.nn.distributed import Processes
    from deepgllim.nn.reporting import Reporter
    from deepgllim.nn.training import TrainingResult

SHOWN_METRICS = {
    "validation_mae": "MAE",
    "validation_geodesic": "geodesic error",
    "validation_nll": "NLL",
    "coverage": "90 % coverage",
    "train_loss": "training loss",
    "components": "K",
}
"""Names of the metrics of a round that are printed; metrics.csv contains all metrics."""


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

    The output folder contains `model.safetensors`, `metrics.csv` (one row for each round), `recipe.json`,
    `checkpoint.safetensors`, and `model.onnx` if the targets are the angles of a head pose. After Ctrl-C, the same
    command with `--resume` continues after the last finished round. Started by `torchrun`, several processes or
    devices share the training: `torchrun --nproc-per-node 2 -m deepgllim train …`.

    ```
    deepgllim train --data pointing04:data/pointing04 --recipe inverse_regression --output runs/first \\
        --set objective.n_components=2 --set schedule.rounds=8
    ```

    Args:
        output: Output folder, new or empty.
        recipe: A recipe of the package (see `deepgllim recipes`) or a TOML file.
        set_: Set an option of the recipe, as `section.option=value`; can be repeated. The value is parsed as TOML (`2`,
            `false`, `[0, 3]`) or else taken as a string; `none` is no value.
        resume: Continue the run in `--output` after its last finished round; recipe and options must be the same.
        skip_unreadable: Skip images that cannot be read; `unreadable.csv` in the output folder lists them.
        targets: Comma-separated columns to predict; by default those of pitch, yaw and roll that exist, or
            else of tilt, pan and neck_roll.
        subjects: Comma-separated names of the people to train on, such as `01,02,03`.
        quiet: Show no progress.
    """
    from deepgllim.nn.config import load_recipe
    from deepgllim.nn.distributed import launched_processes
    from deepgllim.runs import train_run

    with resumable(output), launched_processes() as processes, one_voice(processes):
        options = load_recipe(recipe).override(settings(set_))
        manifest = faces(data, None if targets is None else names(targets), subjects)
        with progress(quiet) if processes.rank == 0 else nullcontext() as reporter:
            trained = train_run(
                *(manifest, options, output),
                resume=resume,
                skip_unreadable=skip_unreadable,
                reporter=reporter,
                processes=processes,
            )
        processes.wait()  # an error of process 0 after its last round is not another error here
    if processes.rank == 0:
        summarise(trained, output, options.schedule.select_by, skip_unreadable)


def summarise(trained: "TrainingResult", output: Path, criterion: str, skip_unreadable: bool) -> None:
    """Print the rounds of a finished training and its files."""
    show(trained.history, f"validation_{criterion}")
    if skip_unreadable and (output / "unreadable.csv").is_file():
        complain(f"skipped images are listed in {output / 'unreadable.csv'}")
    results().print(f"model: {output / 'model.safetensors'}")
    if trained.exported is None:
        results().print("not exported: the targets are not the angles of a head pose")
    else:
        results().print(f"exported: {trained.exported}")


def show(history: list[dict[str, float]], criterion: str) -> None:
    """Print the table of rounds, and the round whose model is saved."""
    rows = [main_metrics(row) for row in history]
    columns = [name for name in SHOWN_METRICS.values() if any(name in row for row in rows)]
    cells = [
        [row["round"], *(shown.get(name, float("nan")) for name in columns)]
        for row, shown in zip(history, rows, strict=True)
    ]
    results().print(table(["round", *columns], cells))
    validated = [row for row in history if criterion in row]
    if validated:
        best = min(validated, key=lambda row: row[criterion])
        results().print(f"saved: round {best['round']:.0f}, with the smallest {criterion}")


def main_metrics(row: dict[str, float]) -> dict[str, float]:
    """Return the metrics of a round that are printed, by their printed names; the coverage is the mean over targets.

    Example:
        >>> main_metrics({"validation_mae": 6.5, "validation_coverage_90_yaw": 0.5, "validation_coverage_90_roll": 1.0})
        {'MAE': 6.5, '90 % coverage': 0.75}
    """
    coverage = [value for name, value in row.items() if name.startswith("validation_coverage_90_")]
    known = row | ({"coverage": sum(coverage) / len(coverage)} if coverage else {})
    return {shown: known[name] for name, shown in SHOWN_METRICS.items() if name in known}


@contextmanager
def resumable(output: Path) -> Iterator[None]:
    """Add to a KeyboardInterrupt, or to the end of another process, how the run is continued."""
    try:
        yield
    except (KeyboardInterrupt, ProcessError) as error:
        from deepgllim.nn.checkpoint import CHECKPOINT

        remedy = "no round was finished, so --resume is not possible: give the same command to start again"
        if (output / CHECKPOINT).is_file():
            remedy = "give the same command with --resume to continue after the last finished round"
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt(remedy) from None
        raise ProcessError(f"{error}: {remedy}") from None


@contextmanager
def one_voice(processes: "Processes") -> Iterator[None]:
    """Let only the first process that fails report its error: the others fail because of it, or in the same way."""
    from deepgllim.nn.distributed import connection_errors

    try:
        with connection_errors():
            yield
    except (DeepGLLiMError, OSError, KeyboardInterrupt) as error:
        if processes.claim():
            raise
        raise SilentError(130 if isinstance(error, KeyboardInterrupt) else 1) from error


class RichReporter:
    """A progress bar, and a line for each finished round above it."""

    def __init__(self, bar: "Progress") -> None:
        self.bar = bar
        self.task = bar.add_task("reading images and computing the first features", total=None)

    def start(self, steps: int, done: int) -> None:
        """Set the number of steps."""
        self.bar.reset(self.task, total=steps, completed=done, description="training")

    def advance(self, message: str) -> None:
        """Advance by one step."""
        self.bar.update(self.task, advance=1, description=message)

    def round_done(self, figures: dict[str, float]) -> None:
        """Print the metrics of a round."""
        shown = ", ".join(f"{name} {number(value)}" for name, value in main_metrics(figures).items())
        self.bar.console.print(f"round {figures['round']:.0f}: {shown}")

    def status(self, message: str) -> None:
        """Print a line, and show it in place of the epoch."""
        self.bar.update(self.task, description=message)
        self.bar.console.print(message)


@contextmanager
def progress(quiet: bool) -> "Iterator[Reporter | None]":
    """Yield a reporter on standard error, with a bar if that is a terminal; None if quiet."""
    if quiet:
        yield None
        return
    with progress_bar() as bar:
        yield RichReporter(bar)
