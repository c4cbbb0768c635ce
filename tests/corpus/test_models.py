"""Sixty valid and malicious model files: the predictions of the original, or an error of one line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deepgllim import HeadPose
from deepgllim.errors import ModelError
from deepgllim.nn.model_file import load_model
from deepgllim.pose.network import PoseNetwork
from tests.corpus.models import MODELS, NETWORKS, make_model, make_network, spec
from tests.corpus.outcomes import Refused, both_kinds, refuses
from tests.nn.tiny import N_INPUTS, perceptron

CROPS = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file is put; a program in it would leave a folder beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "model"


def test_there_are_sixty_of_both_kinds() -> None:
    assert len(NETWORKS) + len(MODELS) >= 60
    for cases in (NETWORKS, MODELS):
        assert both_kinds((case.expected for case in cases.values()), 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, file: Path) -> None:
    def answer() -> object:
        HeadPose(file, detector=None)
        return PoseNetwork(file)(CROPS).mean

    make_network(file)
    whole = answer()
    change, expected = NETWORKS[name]
    change(file)
    if expected is None:
        assert np.array_equal(answer(), whole)  # type: ignore[arg-type]
    else:
        refuses(answer, expected)
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str, file: Path) -> None:
    def answer() -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = load_model(file, perceptron())(torch.ones(2, N_INPUTS)).mean
        return found

    make_model(file)
    whole = answer()
    change, expected = MODELS[name]
    change(file)
    if expected is None:
        torch.testing.assert_close(answer(), whole, rtol=1e-2, atol=1e-3)
    else:
        refuses(answer, expected)
    assert not Path("it-ran").exists()


@pytest.mark.parametrize("backbone", ["../../x", "custom", ""])
def test_backbone_that_no_name_tells(backbone: str, file: Path) -> None:
    make_model(file)
    spec(backbone=backbone)(file)
    refuses(lambda: load_model(file), Refused(ModelError, "backbone"))
