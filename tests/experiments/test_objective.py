"""Test the comparison of objectives: the grid, one cell of each data set, and the tables."""

from pathlib import Path

import pandas as pd
import pytest

from experiments.objective import variants
from experiments.objective.cells import BETAS, COMPONENTS, FEATURES, NOISE, Cell, cells, recipe_of, run_cell, split_data
from experiments.objective.summary import along, best


def test_the_grid_is_complete() -> None:
    planned = cells("rendered", 0)
    assert len(planned) == len(set(planned)) == len(FEATURES) * (1 + len(BETAS) * len(COMPONENTS) * len(NOISE))


def test_the_grid_may_be_restricted_to_some_numbers_of_features() -> None:
    planned = cells("rendered", 0, [32, 128])
    assert {cell.features for cell in planned} == {32, 128}
    assert len(planned) == len(cells("rendered", 0)) * 2 // 3


def test_the_recipe_has_the_options_of_its_cell() -> None:
    recipe = recipe_of(Cell("rendered", "full, shrunk", 128, 5, 0.9, 3))
    assert (recipe.network.projection, recipe.objective.n_components, recipe.objective.beta) == (128, 5, 0.9)
    assert (recipe.objective.covariance_type, recipe.objective.shrinkage, recipe.objective.tied) == ("full", 0.2, False)
    assert recipe.schedule.seed == 3


def test_photographs_are_split_by_person(rendered_pointing04: Path, tmp_path: Path) -> None:
    learning, test = split_data("photographs", f"pointing04:{rendered_pointing04}", tmp_path)
    assert {str(name) for name in test.subjects} == {"13", "14", "15"}
    assert not set(learning.subjects) & set(test.subjects)


def test_a_cell_is_trained_and_evaluated(tmp_path: Path) -> None:
    row = run_cell(Cell("rendered", "tied full, shrunk", 32, 2, 1.0, 0), source="", work=tmp_path, quick=True)
    assert row["rounds"] == 1
    assert 0 < row["mae"] < 90
    assert 0 <= row["auroc"] <= 1


def rows() -> pd.DataFrame:
    columns = [
        *("data", "noise", "features", "components", "beta", "seed", "geodesic", "nll", "auroc"),
        *("covariance_scale", "least_components", "rounds_undone"),
    ]
    values = [
        ("rendered", "least squares", 32, 0, -1.0, 0, 10.0, 9.0, None, 1.0, 0, 0),
        ("rendered", "full", 32, 2, 1.0, 0, 8.0, 8.0, 0.9, 1.5, 2, 0),
        ("rendered", "full", 32, 5, 1.0, 0, 9.0, 9.5, 0.8, 2.5, 3, 1),
        ("rendered", "diagonal", 32, 2, 0.0, 0, 30.0, 12.0, 0.4, 4.0, 2, 2),
    ]
    return pd.DataFrame(values, columns=columns)


def test_tables_contain_medians_over_the_other_axes() -> None:
    table = along(rows(), "noise").set_index("noise")
    assert table.loc["full", "ratio"] == pytest.approx(0.85)
    assert table.loc["full", "all components left"] == 0.5
    assert table.loc["diagonal", "worst ratio"] == 3.0
    assert along(rows(), "beta", "noise == 'full'")["beta"].tolist() == [1.0]


def test_the_best_cells_have_the_highest_likelihood() -> None:
    assert best(rows(), 2)["nll"].tolist() == [8.0, 9.5]


def test_a_variant_is_tested_on_people_of_the_demonstration_that_it_does_not_learn_from(tmp_path: Path) -> None:
    row = variants.run(variants.Job("K = 2", 1), work=tmp_path, quick=True)
    assert 0 < row["geodesic"] < 180
    assert 0 <= row["auroc"] <= 1
    material = variants.load_material(1, tmp_path, True)
    sizes = [len(part) for part in material.parts[:3]]
    assert sizes == [25 * 40, 7 * 40, 8 * 40]
    assert len(material.non_heads) == 8 * 40


def test_variants_are_compared_with_least_squares_of_the_same_seed() -> None:
    columns = ["variant", "seed", "geodesic", "nll", "roll", "auroc", "covariance_scale"]
    values = [
        ("least squares", 0, 8.0, 9.5, 2.0, None, 2.0),
        ("least squares", 1, 10.0, 9.5, 2.0, None, 2.0),
        ("default", 0, 8.8, 9.0, 3.0, 0.9, 3.0),
        ("default", 1, 9.0, 9.0, 3.0, 0.7, 3.0),
    ]
    table = variants.summary(pd.DataFrame(values, columns=columns)).set_index("variant")
    assert table.loc["default", "ratio"] == pytest.approx(1.0)
    assert table.loc["default", "range of ratios"] == "0.900 to 1.100"
    assert table.loc["default", "NLL − least squares"] == -0.5
    assert table.loc["default", "least AUROC"] == 0.7


def test_every_variant_differs_from_the_base() -> None:
    base = variants.recipe_of(variants.Job("base", 0), False)
    for name in variants.VARIANTS:
        if name != "base":
            assert variants.recipe_of(variants.Job(name, 0), False) != base
