"""Valid and malicious recipes: the value of the option, or an error of one line."""

from operator import attrgetter
from pathlib import Path

import pytest

from deepgllim.nn.config import Recipe, load_recipe
from deepgllim.runs import build_model
from tests.corpus.outcomes import Refused, both_kinds, refuses
from tests.corpus.recipes import NETWORKS, RECIPES


def test_there_are_more_than_twenty_five_of_both_kinds() -> None:
    assert len(RECIPES) + len(NETWORKS) >= 25
    assert both_kinds((case.expected for case in RECIPES.values()), 8)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str, tmp_path: Path) -> None:
    content, expected = RECIPES[name]
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(expected, Refused):
        refuses(lambda: load_recipe(str(path)), expected)
    else:
        option, value = expected
        assert attrgetter(option)(load_recipe(str(path))) == value


@pytest.mark.parametrize("name", NETWORKS)
def test_network_of_a_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected, options = NETWORKS[name]
    make(tmp_path / "weights")
    recipe = Recipe().override({"network.weights": str(tmp_path / "weights"), **options})
    refuses(lambda: build_model(recipe, ("pitch", "yaw")), expected)
    assert not (tmp_path / "it-ran").exists()
