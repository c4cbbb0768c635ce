"""Test forked children: thread pools, sessions, torch and scikit-learn."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.pose.tiny import tiny_network
from tests.processes import FORK, run_script

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux forks processes that have threads")


def test_what_is_watched_is_told_once_in_each_child_as_long_as_it_exists() -> None:
    code = """
    from deepgllim.forking import notify_after_fork

    class Recorder:
        times = 0
        def after_fork(self):
            self.times += 1

    one, gone = Recorder(), Recorder()
    notify_after_fork(one); notify_after_fork(gone); del gone
    assert fork(lambda: os._exit(one.times)) == 1
    assert fork(lambda: os._exit(fork(lambda: os._exit(one.times)))) == 2
    assert one.times == 0
    """
    run_script(FORK + dedent(code))


def test_garbage_is_not_collected_before_the_child_knows_what_to_leave_alone(tmp_path: Path) -> None:
    """Garbage collection of a session in a cycle must not wait for the threads of the parent."""
    code = """
    import gc, sys

    def begin():
        signal.alarm(60)
        if gc.isenabled():
            gc.collect()  # as any allocation by the hooks of threading may

    os.register_at_fork(after_in_child=begin)
    from deepgllim.pose.runtime import Session

    garbage = [Session(sys.argv[1], 2)]
    garbage.append(garbage)
    del garbage
    assert fork(gc.collect) == 0
    assert gc.isenabled()
    assert fork(lambda: os._exit(gc.isenabled())) == 1
    gc.disable()
    assert fork(lambda: os._exit(gc.isenabled())) == 0
    assert not gc.isenabled()
    """
    run_script(FORK + dedent(code), tiny_network(tmp_path / "tiny.onnx"))


def test_mixtures_are_fitted_and_asked_in_a_child_as_in_the_parent() -> None:
    """EM uses the OpenMP pool of torch, k-means that of scikit-learn; a child has neither of their threads."""
    code = """
    import warnings
    import numpy as np, torch
    from deepgllim import GLLiMRegressor
    warnings.simplefilter("ignore")  # few iterations

    assert torch.get_num_threads() == 2
    generator = np.random.default_rng(0)
    y = generator.normal(size=(6000, 2))
    X = np.concatenate([y, y**2, generator.normal(size=(6000, 20))], axis=1)

    def fitted():
        return GLLiMRegressor(n_components=3, init="kmeans", max_iter=5, random_state=0).fit(X, y)

    parent = fitted()
    expected = parent.predict(X)

    def check():
        np.testing.assert_allclose(parent.predict(X), expected, atol=1e-8)
        np.testing.assert_allclose(fitted().predict(X), expected, atol=1e-6)
        assert np.isfinite(parent.predict_distribution(X).mean.numpy()).all()

    assert fork(check) == 0
    assert torch.get_num_threads() == 2
    """
    run_script(FORK + dedent(code))


def test_a_child_of_a_parent_without_pools_computes_on_all_threads() -> None:
    """A daemon that forks before it computes keeps the use of several processors."""
    code = """
    import torch
    from deepgllim import MultivariateGaussianMixture
    assert fork(lambda: os._exit(torch.get_num_threads())) == 2
    torch.ones(1000, 1000).exp()
    assert fork(lambda: os._exit(torch.get_num_threads())) == 1
    """
    run_script(FORK + dedent(code), variables={"OPENBLAS_NUM_THREADS": "1"})  # numpy's own pool begins with its import
