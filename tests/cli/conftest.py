"""Fixtures: a small trained run, and functions that call the command line in this process."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from deepgllim.cli import main
from tests.cli.tiny import TINY


class Called(NamedTuple):
    """Exit code, standard output and standard error of a call."""

    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread, which is faster for images of 32 pixels."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function: `call("predict", path)` runs `deepgllim predict PATH` in this process."""

    def run(*argv: object) -> Called:
        capsys.readouterr()
        code = main([str(word) for word in argv])
        return Called(code, *capsys.readouterr())

    return run


@pytest.fixture
def refused(call: Call) -> Call:
    """Return a function like `call` for calls that fail with one line on standard error and no standard output."""

    def run(*argv: object) -> Called:
        called = call(*argv)
        assert called.code in (1, 2)
        assert called.out == ""
        assert called.err.startswith("deepgllim: ")
        assert called.err.count("\n") == 1, called.err
        return called

    return run


@pytest.fixture(scope="session")
def shared_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of twelve noise images, 64 × 48, of four people, with manifest.csv. Read only."""
    folder = tmp_path_factory.mktemp("shared_faces")
    generator = np.random.default_rng(0)
    lines = ["path,subject,x0,y0,x1,y1,pitch,yaw"]
    for n in range(12):
        pitch, yaw = generator.uniform(-40, 40, size=2)
        pixels = generator.integers(0, 255, size=(48, 64, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
        lines.append(f"{n}.png,{n % 4 + 1:02d},10,2,54,46,{pitch:.2f},{yaw:.2f}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def shared_run(shared_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished training of two rounds. Read only."""
    output = tmp_path_factory.mktemp("shared_run")
    assert main(["train", "--data", f"folder:{shared_faces}", "--output", str(output), "--quiet", *TINY]) == 0
    return output


@pytest.fixture
def model(shared_run: Path) -> Path:
    """Return the file of the trained model. Read only."""
    return shared_run / "model.safetensors"


@pytest.fixture
def own_run(shared_run: Path, tmp_path: Path) -> Path:
    """Return a copy of the run for tests that change it."""
    return Path(shutil.copytree(shared_run, tmp_path / "own_run"))


def contents(folder: Path) -> dict[str, str]:
    """Return a digest of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def unchanged() -> Iterator[Callable[[Path], None]]:
    """Return a function that checks at the end of the test that the files of a folder have not changed."""
    before: dict[Path, dict[str, str]] = {}
    yield lambda folder: before.__setitem__(folder, contents(folder))
    for folder, files in before.items():
        assert contents(folder) == files
