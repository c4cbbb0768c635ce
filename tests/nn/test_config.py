"""Recipes: typed, bounded, documented, and the same after a round trip through text."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from deepgllim.errors import ConfigurationError
from deepgllim.nn.config import (
    RENAMED,
    AugmentationConfig,
    Recipe,
    load_recipe,
    parse_recipe,
    read_saved_recipe,
    recipe_names,
)


def test_the_package_holds_its_recipes_and_each_loads() -> None:
    demo = ["demo_inverse_regression", "demo_least_squares"]
    assert recipe_names() == [*demo, "facemesh", "inverse_regression", "least_squares", "paper"]
    for name in recipe_names():
        assert isinstance(load_recipe(name), Recipe)


def test_the_two_compared_recipes_differ_in_the_objective_alone() -> None:
    """The paper compares objectives, so nothing else may differ."""
    ours, baseline = load_recipe("inverse_regression"), load_recipe("least_squares")
    assert baseline.objective.name == "least_squares"
    assert baseline.model_copy(update={"objective": ours.objective}) == ours


def test_the_papers_recipe_does_not_augment() -> None:
    paper = load_recipe("paper")
    assert paper.augmentation == AugmentationConfig.off()
    assert paper.network.weights is None  # "none" in the file
    assert paper.schedule.clip_norm is None


def test_off_changes_nothing_and_the_default_does() -> None:
    assert not AugmentationConfig.off().changes_pictures
    assert AugmentationConfig().changes_pictures


@pytest.mark.parametrize("option", list(AugmentationConfig.model_fields))
def test_each_augmentation_by_itself_changes_pictures(option: str) -> None:
    value = getattr(AugmentationConfig(), option) or 0.5  # some are off by default
    config = AugmentationConfig.off().model_copy(update={option: value})
    assert config.changes_pictures


def test_every_option_and_section_is_described() -> None:
    for section in Recipe.model_fields:
        part = type(getattr(Recipe(), section))
        assert part.__doc__
        for option, field in part.model_fields.items():
            assert field.description, f"{section}.{option}"
            assert "\n" not in field.description


def test_defaults_pass_their_own_validation() -> None:
    """pydantic does not check defaults, so a wrong one would be found only when a user repeats it."""
    assert Recipe.model_validate(Recipe().model_dump()) == Recipe()


def test_json_gives_the_recipe_back() -> None:
    changed = Recipe().override(
        {"network.frozen_depths": [5, 3, 0], "network.projection": None, "schedule.clip_norm": "none"}
    )
    assert Recipe.model_validate_json(changed.model_dump_json()) == changed != Recipe()


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().schedule.rounds = 1  # type: ignore[misc]


FAULTS = [
    ("schedule.rounds", 0),
    ("schedule.rounds", "many"),
    ("schedule.rounds", 1.5),
    ("schedule.learning_rate", -1.0),
    ("schedule.learning_rate", float("nan")),
    ("schedule.learning_rate", float("inf")),
    ("augmentation.noise", float("inf")),
    ("schedule.seed", 2**32),
    ("schedule.seed", 2**64),
    ("schedule.seed", -1),
    ("schedule.batch_size", 1),
    ("schedule.warm_up", 1.0),
    ("schedule.optimizer", "adam"),
    ("data.image_size", 8),
    ("data.margin", 0.0),
    ("data.validation", 1.0),
    ("augmentation.box_shift", 1.5),
    ("augmentation.jpeg", 96),
    ("augmentation.mirror", "perhaps"),
    ("network.projection", 0),
    ("network.frozen_depths", [-1]),
    ("objective.covariance_type", "spherical"),
    ("objective.n_components", 0),
    ("objective.ridge", 0.0),
]


@pytest.mark.parametrize(("option", "value"), FAULTS)
def test_a_wrong_value_is_refused_by_option_and_value(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Recipe().override({option: value})
    assert option in str(caught.value)
    # of a sequence, the element at fault is named
    assert repr(value[0] if isinstance(value, list) else value) in str(caught.value)


def test_rounds_without_any_frozen_depth_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="frozen_depths"):
        Recipe().override({"network.frozen_depths": []})


@pytest.mark.parametrize("name", ["schedule.round", "shedule.rounds", "rounds", "schedule.rounds.more"])
def test_an_unknown_option_is_refused_with_the_nearest_known_ones(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown option") as caught:
        Recipe().override({name: 1})
    assert repr(name) in str(caught.value)
    assert "schedule.rounds" in str(caught.value).split("did you mean")[1]


def test_an_option_like_no_other_is_refused_with_the_sections() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown option '': did you mean data\.…, augmentation\.…"):
        Recipe().override({"": 1})


def test_override_changes_what_it_names_and_no_more() -> None:
    changed = Recipe().override({"objective.n_components": 3, "schedule.seed": 7})
    assert (changed.objective.n_components, changed.schedule.seed) == (3, 7)
    assert changed.override({"objective.n_components": 1, "schedule.seed": 0}) == Recipe()


def test_none_is_a_word_in_toml(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[network]\nprojection = "none"\n[schedule]\nclip_norm = "none"\n', encoding="utf-8")
    found = load_recipe(str(path))
    assert found.network.projection is None
    assert found.schedule.clip_norm is None
    assert found.objective == Recipe().objective


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[schedule]\nrounds = 0\n", ("schedule.rounds", "0")),
        ("[schedule]\nround = 2\n", ("schedule.round", "2")),
        ("[shedule]\nrounds = 2\n", ("shedule",)),
        ("schedule = 2\n", ("schedule", "2")),
        ("[schedule\n", ("TOML",)),
    ],
)
def test_a_wrong_file_is_refused_by_its_name_and_fault(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(str(path))
    for word in ("mine.toml", *words):
        assert word in str(caught.value)


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown recipe 'papre'.*inverse_regression, least_squares, paper"):
        load_recipe("papre")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_recipe({"schedule": {"rounds": 0, "seed": -1}}, "here")
    assert "schedule.rounds = 0" in str(caught.value)
    assert "schedule.seed = -1" in str(caught.value)


DEEP = "[" * 20_000 + "]" * 20_000
UNREADABLE = {
    "latin-1": ("# Zo\xeb".encode("latin-1"), "not a text in UTF-8"),
    "utf-16": ("[schedule]".encode("utf-16"), "not a text in UTF-8"),
    "binary": (bytes(range(256)), "not a text in UTF-8"),
    "zeros": (bytes(100), "not valid TOML"),
    "deep": (f"a={DEEP}".encode(), "nested too deeply"),
    "deep option": (f"[schedule]\nrounds={DEEP}".encode(), "nested too deeply"),
    "deep tables": (f"{'.'.join('a' * 2_000)}=1".encode(), "nested too deeply"),
    "many digits": (b"[schedule]\nseed=" + b"9" * 5000, "not valid TOML"),
    "huge seed": (b"[schedule]\nseed=18446744073709551616", "schedule.seed = 18446744073709551616"),
    "long value": (b"[schedule]\nrounds='" + b"x" * 100_000 + b"'", "schedule.rounds = 'xxx"),
    "long list": (b"[schedule]\nrounds=[" + b"1," * 2_000 + b"]", "schedule.rounds = [1, 1"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_is_no_recipe_is_refused_in_one_short_line(tmp_path: Path, name: str) -> None:
    content, said = UNREADABLE[name]
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_recipe_of_somebody_else_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine.toml"
    path.touch()

    def denied(self: Path, *words: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(ConfigurationError, match=r"mine\.toml: permission denied"):
        load_recipe(str(path))


def test_a_name_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read|unknown recipe"):
        load_recipe("a" * 5000)


# renamed options

VALUES: dict[str, object] = {
    "objective.components": 3,
    "objective.noise": "full",
    "objective.max_iterations": 7,
    "objective.tolerance": 0.5,
    "objective.variance_floor": 0.25,
}


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_option_name_is_refused_with_the_new_one(old: str, tmp_path: Path) -> None:
    section, _, option = old.partition(".")
    path = tmp_path / "mine.toml"
    path.write_text(f"[{section}]\n{option} = {json.dumps(VALUES[old])}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"mine\.toml: {old} is now called {RENAMED[old]}: use the new name$"):
        load_recipe(str(path))
    with pytest.raises(ConfigurationError, match=rf"'{old}' is now called '{RENAMED[old]}': use the new name$"):
        Recipe().override({old: VALUES[old]})


@pytest.mark.parametrize("old", RENAMED)
def test_a_saved_recipe_with_an_old_option_name_is_read(old: str) -> None:
    section, _, option = old.partition(".")
    values = {section: {option: VALUES[old]}}
    assert read_saved_recipe(values, "here") == Recipe().override({RENAMED[old]: VALUES[old]})
    assert values == {section: {option: VALUES[old]}}


def test_all_old_names_are_reported_in_one_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_recipe({"objective": {"components": 2, "noise": "full"}}, "here")
    assert "components is now called objective.n_components, objective.noise is now called" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [{"objective": 3}, {"objective": {"n_components": 0}}, {"objects": {}}])
def test_a_saved_recipe_with_wrong_options_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="here: obje"):
        read_saved_recipe(values, "here")
