"""Test the toy data of figure 2, and that a mixture has a higher likelihood than one component on them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from experiments import protocol
from experiments.figure2 import toy


def test_toy_data_are_reproducible() -> None:
    one, again, other = toy.toy(50, 0), toy.toy(50, 0), toy.toy(50, 1)
    assert torch.equal(torch.as_tensor(one.values), torch.as_tensor(again.values))
    assert not torch.equal(one.targets, other.targets)
    assert one.values.shape == (50, toy.N_INPUTS)


def test_targets_come_from_two_groups() -> None:
    """Half of them are near −2 and half near 2, with few in between."""
    y = toy.toy(20_000, 3).targets
    right = y[y > 0]
    assert len(right) / len(y) == pytest.approx(0.5, abs=0.015)  # four standard errors
    assert float(right.mean()) == pytest.approx(2.0, abs=0.05)  # tail of the other group and four standard errors
    assert float((y.abs() < 0.5).double().mean()) < 0.05


def test_the_command_makes_the_table_and_the_figure(run_experiment: Callable[..., str], tmp_path: Path) -> None:
    """The order of the methods is the same with fewer samples and rounds."""
    assert "| method |" in run_experiment("figure2", "--quick", "--output", tmp_path / "out")
    table = protocol.read_table(tmp_path / "out" / "results.csv").set_index("method")
    assert list(table.index) == list(toy.METHODS)
    assert table["coverage of 90 % intervals"].between(0.7, 1.0).all()
    likelihood, error = table["negative log-likelihood"], table["mean absolute error"]
    assert likelihood["inverse regression, K = 2"] < likelihood["inverse regression, K = 1"]
    assert error.between(0, 4).all()
    assert table["mean log p(x)"].isna().tolist() == [True, False, False]
    with Image.open(tmp_path / "out" / "figure2.png") as image:
        assert image.size == (1300, 1040)
