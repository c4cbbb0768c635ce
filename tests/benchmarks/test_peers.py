"""The runner of xllim: what it refuses, and, where xllim is installed, that it does the work that we do."""

import importlib.util

import numpy as np
import pytest
import torch

from benchmarks.peers import run_xllim
from deepgllim.gllim import Rows, e_step, m_step
from tests.gllim.strategies import generator, make_parameters, normal

INSTALLED = importlib.util.find_spec("xllim") is not None
START = make_parameters(0, "diagonal", False, 2, 2, 4)


@pytest.mark.skipif(INSTALLED, reason="xllim is installed")
def test_a_missing_package_is_named() -> None:
    arrays = {name: value.numpy() for name, value in START.tensors.items()}
    with pytest.raises(ImportError, match=r"pip install xllim==2\.0\.11"):
        run_xllim(np.zeros((9, 4)), np.zeros((9, 2)), arrays, 1)


@pytest.mark.skipif(not INSTALLED, reason="xllim is not installed")
def test_the_same_iterations_end_at_the_same_parameters() -> None:
    y = normal(generator(1), 200, 2)
    x = torch.sin(y @ normal(generator(2), 2, 4)) + 0.3 * normal(generator(3), 200, 4)
    theirs, _ = run_xllim(x.numpy(), y.numpy(), {name: value.numpy() for name, value in START.tensors.items()}, 3)
    rows = Rows(x, y)
    ours = rows.scaling.reduce(START)
    for _ in range(3):
        ours = m_step(e_step(rows, ours))
    for name, value in rows.scaling.restore(ours).tensors.items():
        np.testing.assert_allclose(theirs[name], value.numpy(), rtol=0, atol=1e-10 * float(value.abs().max()))
