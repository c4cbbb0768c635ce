"""Public names of a package that are imported on first use."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_names(
    package: str, modules: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package whose names are imported on first use.

    Args:
        package: name of the package.
        modules: for each module below the package, the public names that it defines.

    Example:
        >>> load, names = lazy_names("deepgllim.geometry", {"rotations": ["AXES"]})
        >>> load("AXES").shape, names()
        ((3, 3), ['AXES'])
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return load, lambda: sorted(homes)
