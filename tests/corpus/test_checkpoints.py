"""Valid and malicious checkpoints: a resumed run gives the identical model, or an error of one line."""

import shutil
from pathlib import Path

import pytest

from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.reporting import NullReporter
from deepgllim.nn.training import train
from tests.corpus.checkpoints import CHECKPOINTS
from tests.corpus.outcomes import both_kinds, refuses
from tests.nn.tiny import model, recipe, vectors


class Stop(NullReporter):
    """Reporter that ends a training in its third round, before its checkpoint is written."""

    def round_done(self, metrics: dict[str, float]) -> None:
        if metrics["round"] == 3:
            raise InterruptedError


def go(output: Path, *, resume: bool = False, stop: bool = False) -> bytes:
    """Train; the model's file."""
    reporter = Stop() if stop else NullReporter()
    train(model(), recipe(), vectors(), vectors(30, seed=8), output=output, resume=resume, reporter=reporter)
    return (output / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return go(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, whole: bytes) -> Path:
    """A run after two rounds of three, with an older model beside it. Read only."""
    output = tmp_path_factory.mktemp("stopped")
    with pytest.raises(InterruptedError):
        go(output, stop=True)
    (output / "model.safetensors").write_bytes(whole)
    return output


def test_there_are_twenty_of_both_kinds() -> None:
    assert len(CHECKPOINTS) >= 20
    assert both_kinds((case.expected for case in CHECKPOINTS.values()), 5)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint(name: str, stopped: Path, whole: bytes, tmp_path: Path) -> None:
    output = Path(shutil.copytree(stopped, tmp_path / "run"))
    change, expected = CHECKPOINTS[name]
    change(output / CHECKPOINT)
    if expected is None:
        (output / "model.safetensors").unlink()
        assert go(output, resume=True) == whole
    else:
        refuses(lambda: go(output, resume=True), expected)
