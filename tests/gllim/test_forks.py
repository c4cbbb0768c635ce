"""The child of a fork fits and predicts as its parent does, though OpenMP's threads stayed behind."""

import os
import subprocess
import sys

import pytest

TIMEOUT = 300  # seconds, for imports on busy cores; a child that waits for threads would wait for ever

PROGRAM = """
import os, sys
import numpy as np
import torch
from deepgllim import GLLiMRegressor

torch.set_num_threads(2)
rng = np.random.default_rng(0)
y = rng.uniform(-1, 1, (2000, 2))
X = y @ rng.normal(size=(2, 60)) + 0.1 * rng.normal(size=(2000, 60))
model = GLLiMRegressor(2, random_state=0, tol=1e-2).fit(X, y)
expected = model.predict(X)
child = os.fork()
if child == 0:
    same = [np.allclose(model.predict(X), expected), np.allclose(model.fit(X, y).predict(X), expected, atol=1e-9)]
    os._exit(0 if all(same) and torch.get_num_threads() == 1 else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or (0 if torch.get_num_threads() == 2 else 4))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_fits_and_predicts() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, start_new_session=True)
    try:
        assert process.wait(TIMEOUT) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)  # the child too
            process.wait()
