"""Names of targets in files of earlier versions."""

from collections.abc import Iterable

FORMER_NAMES = {"tip": "neck_roll"}
"""Former names of targets, each with the present name."""


def present_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of targets with the former ones replaced, unless the present name is there too.

    Example:
        >>> present_names(["tilt", "pan", "tip"])
        ('tilt', 'pan', 'neck_roll')
    """
    given = tuple(names)
    existing = set(given)
    return tuple(name if FORMER_NAMES.get(name, name) in existing else FORMER_NAMES[name] for name in given)
