"""Public names load when asked for, and say what to install where something is missing."""

import importlib
import subprocess
import sys

import pytest

import deepgllim


@pytest.mark.parametrize("name", deepgllim.__all__)
def test_public_names_are_there(name: str) -> None:
    assert name in dir(deepgllim)
    assert getattr(deepgllim, name) is not None


@pytest.mark.parametrize("name", [name for name in deepgllim.__all__ if name != "__version__"])
def test_public_names_are_those_of_their_modules(name: str) -> None:
    found = getattr(deepgllim, name)
    assert found.__name__ == name
    assert getattr(importlib.import_module(found.__module__), name) is found
    assert found.__doc__


def test_names_load_once_and_by_import() -> None:
    from deepgllim import GLLiMRegressor

    assert deepgllim.GLLiMRegressor is GLLiMRegressor


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'deepgllim' has no attribute 'GLLiMClassifier'"):
        _ = deepgllim.GLLiMClassifier
    assert not hasattr(deepgllim, "nothing")
    with pytest.raises(ImportError, match="cannot import name 'GLLiMClassifier'"):
        exec("from deepgllim import GLLiMClassifier")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_names_are_listed_before_they_are_loaded() -> None:
    listed = python("import sys, deepgllim; print(*dir(deepgllim)); assert 'torch' not in sys.modules")
    assert set(deepgllim.__all__) <= set(listed.split())


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("GLLiMRegressor", "torch"),
        ("GLLiMRegressor", "sklearn"),
        ("MultivariateGaussianMixture", "torch"),
        ("MultivariateStudentMixture", "torch"),
    ],
)
def test_what_is_not_installed_is_named_with_its_remedy(name: str, module: str) -> None:
    """None in sys.modules would mark a module as absent too, but SciPy looks there for torch itself."""
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
import deepgllim
try:
    deepgllim.{name}
except ImportError as error:
    print(error)
"""
    message = python(code)
    assert message.startswith(f"{name} needs {module}")
    assert message.endswith("pip install 'deepgllim[mixture]'")


def test_an_error_of_the_package_itself_is_not_taken_for_a_missing_one() -> None:
    """A module of deepgllim that is not there is a fault, not something to install."""
    code = """
import sys
sys.modules["deepgllim.distributions"] = None
import deepgllim
try:
    deepgllim.MultivariateGaussianMixture
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert python(code) == "deepgllim.distributions"
