"""The demonstration: its toy has two branches, its table and figure are made, the mixture beats the line."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from deepgllim import demo
from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.model import load_model


def test_the_toy_is_the_same_for_a_seed_and_mixed_the_same_for_all() -> None:
    one, again, other = demo.toy(50, 0), demo.toy(50, 0), demo.toy(50, 1)
    assert torch.equal(torch.as_tensor(one.values), torch.as_tensor(again.values))
    assert not torch.equal(one.targets, other.targets)
    assert one.values.shape == (50, demo.N_INPUTS)


def test_the_toys_targets_come_from_two_groups() -> None:
    """Half of them about −2 and half about 2, with few between."""
    y = demo.toy(20_000, 3).targets
    right = y[y > 0]
    assert len(right) / len(y) == pytest.approx(0.5, abs=0.015)  # four standard errors
    assert float(right.mean()) == pytest.approx(2.0, abs=0.05)  # the other group's tail and four standard errors
    assert float((y.abs() < 0.5).double().mean()) < 0.05


def test_the_demonstration_makes_a_table_a_figure_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer samples and rounds than in earnest; the order of the methods shows all the same."""
    whole, toy = demo.recipe, demo.toy

    def short(method: ObjectiveConfig, seed: int) -> Recipe:
        return whole(method, seed).override({"schedule.rounds": 3, "schedule.epochs_per_round": 2})

    monkeypatch.setattr(demo, "recipe", short)
    monkeypatch.setattr(demo, "toy", lambda n, seed: toy(n // 2, seed))
    result = demo.run_demo(tmp_path / "out")
    assert [row["method"] for row in result.rows] == list(demo.METHODS)
    figures = {row["method"]: row for row in result.rows}
    columns = {
        "method",
        "mean absolute error",
        "negative log-likelihood",
        "coverage of 90 % intervals",
        "mean log p(x)",
    }
    assert all(set(row) == columns for row in result.rows)
    assert all(0.7 < float(row["coverage of 90 % intervals"]) <= 1.0 for row in result.rows)
    two, single = figures["inverse regression, K = 2"], figures["inverse regression, K = 1"]
    assert float(two["negative log-likelihood"]) < float(single["negative log-likelihood"])
    with Image.open(result.figure) as image:
        assert image.size == (1300, 1040)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "figure2.png",
        "least_squares.safetensors",
        "inverse_regression_K1.safetensors",
        "inverse_regression_K2.safetensors",
    }
    network = demo.network(demo.METHODS["inverse regression, K = 2"], 0)
    loaded = load_model(tmp_path / "out" / "inverse_regression_K2.safetensors", network.backbone)
    assert loaded.head.mixture.n_components == 2  # type: ignore[union-attr]
