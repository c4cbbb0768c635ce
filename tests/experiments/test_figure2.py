"""The paper's figure 2: its toy has two branches, its table and figure are made, the mixture beats the line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from experiments import protocol
from experiments.figure2 import toy

ROOT = Path(__file__).parents[2]


def test_the_toy_is_the_same_for_a_seed_and_mixed_the_same_for_all() -> None:
    one, again, other = toy.toy(50, 0), toy.toy(50, 0), toy.toy(50, 1)
    assert torch.equal(torch.as_tensor(one.values), torch.as_tensor(again.values))
    assert not torch.equal(one.targets, other.targets)
    assert one.values.shape == (50, toy.N_INPUTS)


def test_the_toys_targets_come_from_two_groups() -> None:
    """Half of them about −2 and half about 2, with few between."""
    y = toy.toy(20_000, 3).targets
    right = y[y > 0]
    assert len(right) / len(y) == pytest.approx(0.5, abs=0.015)  # four standard errors
    assert float(right.mean()) == pytest.approx(2.0, abs=0.05)  # the other group's tail and four standard errors
    assert float((y.abs() < 0.5).double().mean()) < 0.05


def test_the_runner_makes_the_table_and_the_figure(tmp_path: Path) -> None:
    """With fewer samples and rounds than in earnest; the order of the methods shows all the same."""
    command = [sys.executable, "-m", "experiments.figure2", "--quick", "--output", str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "| method |" in done.stdout
    table = protocol.read_table(tmp_path / "out" / "results.csv").set_index("method")
    assert list(table.index) == list(toy.METHODS)
    assert table["coverage of 90 % intervals"].between(0.7, 1.0).all()
    likelihood, error = table["negative log-likelihood"], table["mean absolute error"]
    assert likelihood["inverse regression, K = 2"] < likelihood["inverse regression, K = 1"]
    assert error.between(0, 4).all()
    assert table["mean log p(x)"].isna().tolist() == [True, False, False]
    with Image.open(tmp_path / "out" / "figure2.png") as image:
        assert image.size == (1300, 1040)
