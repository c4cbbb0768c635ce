"""Test trainings that are killed at a file, run at the same time as another one, or fill the disk."""

import csv
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from deepgllim import runs
from deepgllim.data import Manifest, load_data
from deepgllim.errors import ConfigurationError, DataError, DeepGLLiMError, ModelError
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import Recipe
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.reporting import NullReporter
from tests.nn.tiny import convolutions, model, quick_export, recipe

RECIPE = recipe(data__image_size=16, data__validation=0.25, network__projection=4, schedule__rounds=2)
FROZEN = RECIPE.override({"network.frozen_depths": (2,), "schedule.fixed_copies": 1})
MODELS = ("model.safetensors", "model.onnx")
FILES = {
    RECIPE: ["training.npy", "validation.npy", "recipe.json", *2 * [CHECKPOINT, "metrics.csv"], *MODELS],
    FROZEN: [
        *("training.npy", "copies.npy", "validation.npy", "recipe.json", "activations.npy"),
        *2 * [CHECKPOINT, "metrics.csv"],
        *MODELS,
    ],
}
"""The files of a run in the order in which they are renamed."""

POINTS = [
    pytest.param(options, when, n, id=f"{name}, {when} {file}, {n + 1}")
    for name, options in (("augmented", RECIPE), ("frozen", FROZEN))
    for when in ("half", "before", "after")
    for n, file in enumerate(FILES[options])
    if options == RECIPE or when == "before"
]


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(options: Recipe, targets: tuple[str, ...]) -> DeepRegression:
        return model("inverse_regression", convolutions(), image_size=16, margin=1.4)

    monkeypatch.setattr(runs, "build_model", build)
    monkeypatch.setattr(runs, "export_verified", quick_export)


WHOLE: dict[int, dict[str, Any]] = {}


@pytest.fixture
def table(face_folder: Path) -> Manifest:
    return load_data(f"folder:{face_folder}")


@pytest.fixture
def whole(tmp_path: Path, table: Manifest) -> Callable[[Recipe], dict[str, Any]]:
    """Return a function that returns the contents of the folder of an uninterrupted run, shared by all tests."""

    def run(options: Recipe) -> dict[str, Any]:
        key = options.schedule.fixed_copies
        if key not in WHOLE:
            runs.train_run(table, options, tmp_path / "whole")
            WHOLE[key] = contents(tmp_path / "whole")
        return WHOLE[key]

    return run


def contents(output: Path) -> dict[str, Any]:
    """Every file's bytes by its place; of the metrics, what is not a duration; of the checkpoint, that it is there."""
    found: dict[str, Any] = {str(p.relative_to(output)): p.read_bytes() for p in output.rglob("*") if p.is_file()}
    with (output / "metrics.csv").open(newline="") as file:
        rows = [{name: v for name, v in row.items() if "seconds" not in name} for row in csv.DictReader(file)]
    return found | {"metrics.csv": rows, CHECKPOINT: CHECKPOINT in found}  # it holds durations too


@contextmanager
def forked(target: Callable[..., None], *args: Any) -> Iterator[Any]:
    """Start a forked process, and kill it at the end if it is still running."""
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads; none of them is in use
        process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def train_until(when: str, n: int, table: Manifest, options: Recipe, output: Path) -> None:
    """Train, and kill the process while it writes the n-th file, before or after it is renamed."""
    replace, synchronise = Path.replace, os.fsync
    renamed = 0

    def killing_fsync(descriptor: int) -> None:
        if when == "half" and renamed == n:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        synchronise(descriptor)

    def killing_replace(self: Path, target: Path) -> Path:
        nonlocal renamed
        if when == "before" and renamed == n:
            die()
        result = replace(self, target)
        if when == "after" and renamed == n:
            die()
        renamed += 1
        return result

    Path.replace, os.fsync = killing_replace, killing_fsync  # type: ignore[method-assign, assignment]
    runs.train_run(table, options, output)


def go_on(table: Manifest, options: Recipe, output: Path) -> list[str]:
    """Do as the messages say until the training is done; what was said."""
    said: list[str] = []
    resume = True
    while len(said) < 3:
        try:
            runs.train_run(table, options, output, resume=resume)
            return said
        except DeepGLLiMError as error:
            said.append(str(error))
            resume = "leave out --resume" not in said[-1]
    raise AssertionError(said)


@pytest.mark.parametrize(("options", "when", "n"), POINTS)
def test_a_training_killed_at_any_file_ends_as_an_uninterrupted_one(
    options: Recipe, when: str, n: int, table: Manifest, tmp_path: Path, whole: Callable[[Recipe], dict[str, Any]]
) -> None:
    output = tmp_path / "run"
    with forked(train_until, when, n, table, options, output) as process:
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    before_any = FILES[options].index(CHECKPOINT) + (when != "after") > n
    assert (output / CHECKPOINT).exists() != before_any
    said = go_on(table, options, output)
    assert len(said) == before_any
    assert contents(output) == whole(options)


def test_every_file_is_a_kill_point(table: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written otherwise would not be tested."""
    replace = Path.replace
    seen: list[str] = []

    def record(self: Path, target: Path) -> Path:
        seen.append(Path(target).name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", record)
    for options, expected in FILES.items():
        seen.clear()
        output = tmp_path / f"run{len(expected)}"
        runs.train_run(table, options, output)
        assert seen == expected
        assert {path.name for path in output.rglob("*") if path.is_file()} == set(expected)


# two runs in one folder


def states(output: Path) -> dict[Path, tuple[int, int, int]]:
    found = {path: path.stat() for path in output.rglob("*") if path.is_file()}
    return {path: (state.st_ino, state.st_size, state.st_mtime_ns) for path, state in found.items()}


class Pausing(NullReporter):
    """A reporter that signals the end of a round to another process, and waits for its answer."""

    def __init__(self, connection: Connection, round_: int) -> None:
        self.connection, self.round = connection, round_

    def round_done(self, metrics: dict[str, float]) -> None:
        if metrics["round"] == self.round:
            self.connection.send("done")
            self.connection.recv()


def train_pausing(table: Manifest, output: Path, connection: Connection, round_: int) -> None:
    runs.train_run(table, FROZEN, output, reporter=Pausing(connection, round_))


@pytest.mark.parametrize("round_", [1, 2])
def test_a_second_run_is_refused_and_the_first_ends_as_if_alone(
    round_: int, table: Manifest, tmp_path: Path, whole: Callable[[Recipe], dict[str, Any]]
) -> None:
    """In its first round there is no checkpoint, in the second there is: then only --resume comes so far."""
    output, (here, there) = tmp_path / "run", multiprocessing.Pipe()
    with forked(train_pausing, table, output, there, round_) as process:
        assert here.recv() == "done"
        before = states(output)
        with pytest.raises(DataError, match=rf"run: in use by process {process.pid} on ") as caught:
            runs.train_run(table, FROZEN, output, resume=round_ == 2)
        assert "\n" not in str(caught.value)
        assert states(output) == before
        here.send("go on")
        process.join(60)
        assert process.exitcode == 0
    assert contents(output) == whole(FROZEN)


def train_at(moment: float, table: Manifest, output: Path, connection: Connection) -> None:
    time.sleep(max(0.0, moment - time.time()))
    try:
        runs.train_run(table, FROZEN, output)
        connection.send("trained")
    except DeepGLLiMError as error:
        connection.send(f"{type(error).__name__}: {error}")


def test_of_two_runs_started_at_once_one_trains(
    table: Manifest, tmp_path: Path, whole: Callable[[Recipe], dict[str, Any]]
) -> None:
    output, (here, there) = tmp_path / "run", multiprocessing.Pipe()
    moment = time.time() + 0.5
    with forked(train_at, moment, table, output, there), forked(train_at, moment, table, output, there):
        said = sorted(here.recv() for _ in range(2))
    assert said[1] == "trained"
    # where one process was late by more than the other's whole training, it finds a run
    assert said[0].startswith(("DataError: ", "ConfigurationError: ")), said
    assert "in use by process" in said[0] or "--resume" in said[0]
    assert contents(output) == whole(FROZEN)


def test_a_killed_run_does_not_hold_its_folder(table: Manifest, tmp_path: Path) -> None:
    output, (here, there) = tmp_path / "run", multiprocessing.Pipe()
    with forked(train_pausing, table, output, there, 2) as process:
        assert here.recv() == "done"
        process.kill()
        process.join()
        runs.train_run(table, FROZEN, output, resume=True)


# a full disk


def train_and_tell(table: Manifest, output: Path, connection: Connection) -> None:
    try:
        runs.train_run(table, FROZEN, output)
        connection.send("trained")
    except (DataError, ModelError) as error:
        connection.send(str(error))


def fill(file: Path, left: int) -> None:
    """Leave so many kilobytes of a disk."""
    disk = os.statvfs(file.parent)
    file.write_bytes(bytes(disk.f_bavail * disk.f_frsize - left * 1024))


@pytest.mark.parametrize("left", [0, 20, 40, 60, 80, 100])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    left: int, table: Manifest, small_disk: Path, tmp_path: Path, whole: Callable[[Recipe], dict[str, Any]]
) -> None:
    output, (here, there) = small_disk / "run", multiprocessing.Pipe()
    fill(small_disk / "other", left)
    with forked(train_and_tell, table, output, there) as process:
        process.join(60)
        assert process.exitcode == 0  # and not -SIGBUS
    said = here.recv()
    assert "No space left on device" in said
    assert str(output) in said
    assert "\n" not in said
    assert not [path for path in output.rglob("*") if path.name.endswith(".tmp")]
    (small_disk / "other").unlink()
    go_on(table, FROZEN, output)
    assert contents(output) == whole(FROZEN)


# folders that can be neither begun nor resumed


@pytest.mark.parametrize("resume", [True, False])
def test_no_two_messages_refer_to_each_other(resume: bool, table: Manifest, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("round\n1\n")  # as an older version's run, killed in its first round
    with pytest.raises(ConfigurationError, match="give a new folder"):
        runs.train_run(table, RECIPE, tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["metrics.csv"]


def test_other_peoples_temporary_files_are_kept(table: Manifest, tmp_path: Path) -> None:
    runs.train_run(table, RECIPE, tmp_path / "run")
    export, checkpoint = tmp_path / "run" / ".first.onnx.77.tmp", tmp_path / "run" / f".{CHECKPOINT}.77.tmp"
    for path in (export, checkpoint):
        path.write_text("half")
    torch.manual_seed(0)
    runs.train_run(table, RECIPE, tmp_path / "run", resume=True)
    assert export.exists()
    assert not checkpoint.exists()
