"""Test `render`, `predict`, `export` and `calibrate` that are killed at a file and started again."""

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepgllim.cli import main
from deepgllim.nn import model_file
from deepgllim.nn.model import DeepRegression
from deepgllim.synthetic import output as written
from deepgllim.synthetic import render_set
from tests.nn.tiny import convolutions, model
from tests.pose.tiny import tiny_network
from tests.synthetic.fakes import FakeRenderer

COMMANDS = {
    "render": "render --images 3 --identities 2 --size 32 --processes 1 --quiet --output out",
    "predict": "predict few --no-detect --batch 1 --output out/t.csv --save out/drawn --quiet",
    "predict to parquet": "predict few --no-detect --batch 1 --output out/t.parquet --quiet",
    "predict again": "predict few --no-detect --batch 1 --save out/drawn --overwrite --quiet",
    "export": "export trained.safetensors out/tiny.onnx",
    "calibrate": "calibrate tiny.onnx out/better.onnx --data manifest:photos/faces.csv --json",
}
RESUMED = ("render", "predict", "predict to parquet")
"""Commands with --resume; the others start again."""

FILES = {
    "render": [
        *("render.json", "000000.jpg", "000000000-000000001.jsonl", "000001.jpg", "000000001-000000002.jsonl"),
        *("000002.jpg", "000000002-000000003.jsonl", "scenes.jsonl", "manifest.csv"),
    ],
    "predict": ["0.png", "1.png", "2.png", "t.csv"],
    "predict to parquet": ["t.parquet"],
    "predict again": ["0.png", "1.png", "2.png"],
    "export": ["tiny.onnx"],
    "calibrate": ["better.onnx"],
}
"""The files of a command in the order in which they are renamed."""

POINTS = [
    *((name, when, n) for name in ("render", "predict") for when, n in (("half", 0), ("before", 1), ("after", 2))),
    *((name, when, 0) for name in ("predict to parquet", "export") for when in ("half", "before", "after")),
    *((name, when, 0) for name in ("calibrate", "predict again") for when in ("half", "before", "after")),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose pan is the grey level less 128, of six people, an exported network, and a trained model's name."""
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    for name in ("photos", "few"):
        (folder / name).mkdir()
    rows = []
    for number in range(18):
        level = int(rng.integers(60, 196))
        Image.new("RGB", (16, 16), (level, level, level)).save(folder / "photos" / f"{number}.png")
        if number < 3:
            Image.new("RGB", (16, 16), (level, level, level)).save(folder / "few" / f"{number}.png")
        rows.append({"path": f"{number}.png", "subject": f"p{number % 6}", "pan": level - 128 + 10 * rng.normal()})
    pd.DataFrame(rows).to_csv(folder / "photos" / "faces.csv", index=False)
    tiny_network(folder / "tiny.onnx")
    (folder / "trained.safetensors").touch()
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the inputs; no GL driver and no large network is needed in it."""

    def load(path: Path) -> DeepRegression:
        return model("inverse_regression", convolutions(), image_size=16, margin=1.4).eval()

    for entry in inputs.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPGLLIM_MODEL", str(inputs / "tiny.onnx"))
    monkeypatch.setattr(model_file, "load_model", load)
    monkeypatch.setattr(written, "render_set", partial(render_set, renderer=FakeRenderer))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its place."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE: dict[str, dict[str, bytes]] = {}


@pytest.fixture
def whole(here: Path) -> Callable[[str], dict[str, bytes]]:
    """What an undisturbed command leaves, once for all tests."""

    def run(name: str) -> dict[str, bytes]:
        if name not in WHOLE:
            assert main(COMMANDS[name].split()) == 0
            WHOLE[name] = contents(here / "out")
            (here / "out").rename(here / "whole")
            (here / "out").mkdir()
        return WHOLE[name]

    return run


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def run_until(when: str, n: int, words: list[str]) -> None:
    """Run a command, and die half way through writing the n-th file, before it gets its name, or after."""
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
    main(words)


def killed(when: str, n: int, words: list[str]) -> None:
    process = multiprocessing.get_context("fork").Process(target=run_until, args=(when, n, words))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads; none of them is in use
        process.start()
    process.join(300)
    process.kill()
    assert process.exitcode == -signal.SIGKILL


def go_on(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Do as the messages say until the command ends well."""
    words, said = COMMANDS[name].split(), ""
    more = ["--resume"] if name in RESUMED else []
    for _ in range(3):
        capsys.readouterr()
        if main([*words, *more]) == 0:
            return
        said = capsys.readouterr().err
        if "leave --resume out" in said:
            more = []
        elif "--overwrite" in said:
            more = ["--overwrite"]
        else:
            break
    raise AssertionError(said)


@pytest.mark.parametrize(("name", "when", "n"), POINTS)
def test_a_command_killed_at_a_file_ends_as_an_undisturbed_one(
    name: str,
    when: str,
    n: int,
    here: Path,
    whole: Callable[[str], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = whole(name)
    killed(when, n, COMMANDS[name].split())
    finished = {file: data for file, data in contents(here / "out").items() if file in expected}
    assert name in RESUMED or finished.items() <= expected.items()  # none is half written
    go_on(name, capsys)
    assert contents(here / "out") == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_every_file_is_known(name: str, here: Path, recorded: list[str]) -> None:
    """A file that is written otherwise would not be tested."""
    assert main(COMMANDS[name].split()) == 0
    assert recorded == FILES[name]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that files get, in order."""
    replace, seen = Path.replace, list[str]()

    def record(self: Path, target: Any) -> Path:
        seen.append(Path(target).name)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", record)
        yield seen
