"""The public names of nn."""

import subprocess
import sys

import pytest

from deepgllim import nn


@pytest.mark.parametrize("name", nn.__all__)
def test_a_public_name_is_loaded_from_its_module(name: str) -> None:
    assert getattr(nn, name) is not None
    assert name in dir(nn)
    assert nn._HOMES.keys() == set(nn.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'deepgllim.nn' has no attribute 'trian'"):
        _ = nn.trian


def test_reading_a_recipe_does_not_load_torch() -> None:
    code = "import sys; from deepgllim.nn import load_recipe; load_recipe('paper'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
