"""The recipe of a training: all its options, read from TOML and saved in every checkpoint.

The package contains the recipes of `deepgllim/recipes`; `load_recipe` reads one of them or a file.
"""

import reprlib
import tomllib
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deepgllim.errors import ConfigurationError
from deepgllim.nn.sections import (
    AugmentationConfig,
    DataConfig,
    NetworkConfig,
    ObjectiveConfig,
    ScheduleConfig,
    Section,
)
from deepgllim.storage import refuse_unreadable

__all__ = ["AugmentationConfig", "DataConfig", "NetworkConfig", "ObjectiveConfig", "Recipe", "ScheduleConfig"]
__all__ += ["RENAMED", "load_recipe", "parse_recipe", "read_saved_recipe", "recipe_names"]

RENAMED = {
    "objective.components": "objective.n_components",
    "objective.noise": "objective.covariance_type",
    "objective.max_iterations": "objective.max_iter",
    "objective.tolerance": "objective.tol",
    "objective.variance_floor": "objective.covariance_floor",
}
"""New name of each option that was renamed since version 0.1.0."""


class Recipe(Section):
    """All options of a training, by section.

    Example:
        >>> recipe = Recipe()
        >>> recipe.override({"objective.n_components": 2}).objective.n_components
        2
    """

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    def override(self, options: dict[str, Any]) -> "Recipe":
        """Return a recipe with some options changed.

        Args:
            options: values by dotted names, `section.option`.

        Raises:
            ConfigurationError: for an option that is unknown or was renamed, or a value out of range.
        """
        values = self.model_dump()
        for dotted, value in options.items():
            section, _, option = dotted.partition(".")
            if dotted in RENAMED:
                raise ConfigurationError(f"the option {dotted!r} is now called {RENAMED[dotted]!r}: use the new name")
            if option not in values.get(section, {}):
                known = [f"{name}.{key}" for name, entries in values.items() for key in entries]
                near = get_close_matches(dotted, known, n=3, cutoff=0.4) or [f"{name}.…" for name in values]
                raise ConfigurationError(
                    f"unknown option {dotted!r}: did you mean {', '.join(near)}? docs/cli.md and "
                    "`deepgllim recipes inverse_regression` list all"
                )
            values[section][option] = value
        return parse_recipe(values, "the options given")


def parse_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Return the recipe of nested values, `{section: {option: value}}`; other options have their defaults.

    Args:
        values: sections and options.
        source: origin of the values, for the error message.

    Raises:
        ConfigurationError: for options that are unknown, were renamed or have a wrong value; the message has all.
    """
    old = [name for name in RENAMED if _has(values, name)]
    if old:
        renamed = ", ".join(f"{name} is now called {RENAMED[name]}" for name in old)
        raise ConfigurationError(f"{source}: {renamed}: use the new name")
    try:
        return Recipe.model_validate(_none(values))
    except ValidationError as error:
        shown = reprlib.Repr()
        shown.maxstring = shown.maxother = 80
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))} = {shown.repr(fault['input'])}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigurationError(f"{source}: {faults}") from None
    except RecursionError:
        raise ConfigurationError(f"{source}: nested too deeply for a recipe: options are section.option") from None


def read_saved_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Return the recipe in a file that was written by this version or an older one, which may have old option names.

    Raises:
        ConfigurationError: for options that are unknown or have a wrong value.
    """
    values = {name: dict(section) if isinstance(section, dict) else section for name, section in values.items()}
    for old, new in RENAMED.items():
        if _has(values, old):
            section, _, option = old.partition(".")
            values[section].setdefault(new.partition(".")[2], values[section].pop(option))
    return parse_recipe(values, source)


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("deepgllim.recipes").iterdir()
        if entry.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """Return a recipe of the package, or of a TOML file.

    Args:
        name: name of a recipe of the package, or path of a file.

    Raises:
        ConfigurationError: if there is neither, or the file is not a valid recipe.

    Example:
        >>> load_recipe("least_squares").objective.name
        'least_squares'
    """
    if name in recipe_names():
        text = files("deepgllim.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    else:
        text = _read(name)
    try:
        return parse_recipe(tomllib.loads(text), name)
    except RecursionError:
        raise ConfigurationError(f"{name}: nested too deeply for a recipe: options are section.option") from None
    except ConfigurationError:
        raise
    except ValueError as error:  # of TOML, or of a number of thousands of digits
        raise ConfigurationError(f"{name}: not valid TOML ({error}): see docs/training.md for the form") from None


def _read(name: str) -> str:
    """Return the text of a recipe file."""
    try:
        if not Path(name).is_file():
            known = ", ".join(recipe_names())
            raise ConfigurationError(f"unknown recipe {name!r}: give a TOML file or one of {known}")
        refuse_unreadable(name, ConfigurationError)
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{name}: not a text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read ({error.strerror}): check the path") from None


def _has(values: dict[str, Any], dotted: str) -> bool:
    """Return whether nested values have an option."""
    section, _, option = dotted.partition(".")
    return isinstance(values.get(section), dict) and option in values[section]


def _none(values: Any) -> Any:
    """Replace the word "none", which stands for null in TOML, by None."""
    if isinstance(values, dict):
        return {key: _none(value) for key, value in values.items()}
    return None if values == "none" else values
