"""`deepgllim recipes`."""

import json
import sys
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import results
from deepgllim.cli.streams import ERRORS, holds_unicode, visible

if TYPE_CHECKING:
    from deepgllim.nn.config import Recipe


def recipes(name: str | None = None, /) -> None:
    """List the recipes of the package, or print one recipe.

    The printed recipe has a comment for each option. Write it to a file, edit the file, and pass it to
    `deepgllim train --recipe`.

    ```
    deepgllim recipes inverse_regression > my_recipe.toml
    ```

    Args:
        name: Name or TOML file of the recipe to print; without it the recipes are listed.
    """
    from deepgllim.nn.config import load_recipe, recipe_names

    if name is not None:
        text = as_toml(load_recipe(name))
        print(text if holds_unicode(sys.stdout) else text.encode("ascii", ERRORS).decode(), end="")  # TOML is UTF-8
        return
    for known in recipe_names():
        results().print(f"{known}: {summary(known)}")


def summary(name: str) -> str:
    """Return the comment at the start of the file of a recipe.

    Example:
        >>> summary("paper")[:23]
        'The method of the paper'
    """
    from importlib.resources import files

    text = files("deepgllim.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    lines = text.splitlines()
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return " ".join(line.removeprefix("#").strip() for line in lines[:end])


def as_toml(recipe: "Recipe") -> str:
    """Return all options of a recipe as TOML, each after a comment with its description."""
    lines: list[str] = []
    for section in type(recipe).model_fields:
        options = getattr(recipe, section)
        lines += [f"# {(type(options).__doc__ or '').strip()}", f"[{section}]"]
        for option, field in type(options).model_fields.items():
            lines += [f"# {field.description}", f"{option} = {toml_value(getattr(options, option))}"]
        lines += [""]
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """Return a value in TOML syntax; None becomes "none", as in recipes.

    Example:
        >>> toml_value(None), toml_value((0, 3)), toml_value(False), toml_value("a")
        ('"none"', '[0, 3]', 'false', '"a"')
    """
    return visible(json.dumps("none" if value is None else value, ensure_ascii=False))
