"""Test that each variant changes its options only, and that differences are paired by seed."""

from pathlib import Path

import pandas as pd
import pytest

from deepgllim.nn.config import Recipe, load_recipe
from experiments.ablation.variants import BASE, VARIANTS, differences, summary

RECIPE = Path(__file__).parents[2] / "experiments" / "ablation" / "recipe.toml"


def flat(recipe: Recipe) -> dict[str, object]:
    return {f"{part}.{name}": value for part, options in recipe.model_dump().items() for name, value in options.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_changes_only_its_options(name: str) -> None:
    base = load_recipe(str(RECIPE))
    old, new = flat(base), flat(base.override(VARIANTS[name]))
    changed = {option for option in old if old[option] != new[option]}
    assert changed == {option for option, value in VARIANTS[name].items() if old[option] != value}
    assert (not changed) == (name == BASE)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "epoch" in name])
def test_all_schedules_have_the_same_number_of_epochs(name: str) -> None:
    base = load_recipe(str(RECIPE))
    one, other = (recipe.schedule for recipe in (base, base.override(VARIANTS[name])))
    assert one.rounds * one.epochs_per_round == other.rounds * other.epochs_per_round


def rows(method: str, values: list[float]) -> list[dict[str, object]]:
    return [
        {"method": method, "seed": seed, "test_mae": v, "test_mae_pitch": v, "test_mae_yaw": v, "test_nll": 2 * v}
        for seed, v in enumerate(values)
    ]


def test_differences_are_paired_by_seed() -> None:
    """The deviation is that of the change, which is small, not that of the seeds, which is large."""
    name = list(VARIANTS)[1]
    results = pd.DataFrame([*rows(name, [6.5, 11.5, 16.5]), *rows(BASE, [5.0, 10.0, 15.0])]).sample(
        frac=1, random_state=0
    )
    runs = pd.DataFrame({"method": [BASE, name], "components": [5, 3]})
    table = summary(results, runs).set_index("method")
    assert table.index.tolist() == [BASE, name]
    assert table.loc[name, "mean"] == "11.50 ± 5.00"
    assert table.loc[name, "mean − base"] == "1.50 ± 0.00"
    assert table.loc[name, "NLL − base"] == "3.00 ± 0.00"
    assert table.loc[BASE, "mean − base"] == "0.00 ± 0.00"
    assert table["components left"].tolist() == [5.0, 3.0]


def test_seeds_without_base_are_left_out() -> None:
    results = pd.DataFrame([*rows(BASE, [5.0]), *rows("other", [6.0, 9.0])])
    assert differences(results)["mean − base"].tolist() == [0.0, 1.0]
