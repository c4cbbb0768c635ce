"""Test that the recipes of table 2 differ in the network step only."""

from pathlib import Path

from deepgllim.nn import load_recipe
from experiments.steps import CONDITIONAL

FOLDER = Path(__file__).parents[2] / "experiments" / "table2"


def test_the_recipe_with_beta_1_is_the_other_with_the_conditional_step() -> None:
    paper, conditional = (load_recipe(str(FOLDER / f"{name}.toml")) for name in ("recipe", "conditional"))
    assert conditional == paper.override(CONDITIONAL)
