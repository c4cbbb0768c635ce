"""GLLiMRegressor with EM on another device: arrays in, arrays out; see `tests/second_device.py`."""

from typing import Any

import numpy as np
import pytest
import torch

from deepgllim import GLLiMRegressor
from tests.second_device import SecondDevice


def problem() -> tuple[Any, Any]:
    """Features (120, 3) of targets (120, 1)."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(120, 1))
    return np.hstack([y, np.sin(y), y**2]) + 0.1 * rng.normal(size=(120, 3)), y


@pytest.mark.parametrize("options", [{}, {"dtype": "float32"}, {"covariance_type": "full", "dof": 5.0}])
def test_fit_and_predict(options: dict[str, Any]) -> None:
    X, y = problem()
    with SecondDevice():
        near, far = (GLLiMRegressor(2, max_iter=4, tol=0.0, device=place, **options) for place in (None, "meta"))
        near.fit(X, y), far.fit(X, y)
        assert np.array_equal(far.predict(X), near.predict(X))
        assert np.array_equal(far.predict_interval(X)[1], near.predict_interval(X)[1])
        assert np.array_equal(far.fit(X, y).inverse_predict(y), near.inverse_predict(y))


def test_batches_of_a_stream() -> None:
    X, y = problem()
    with SecondDevice():
        near, far = (GLLiMRegressor(2, max_iter=4, tol=0.0, device=place) for place in (None, "meta"))
        for rows in (slice(0, 60), slice(60, 120)):
            near.partial_fit(X[rows], y[rows]), far.partial_fit(X[rows], y[rows])
        assert np.array_equal(far.predict(X), near.predict(X))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_the_same_predictions() -> None:
    X, y = problem()
    near, far = (GLLiMRegressor(2, max_iter=4, tol=0.0, device=place) for place in (None, "cuda"))
    for model in (near, far):
        model.fit(X, y)
    np.testing.assert_allclose(far.predict(X), near.predict(X), rtol=1e-8)
    np.testing.assert_allclose(far.partial_fit(X, y).predict(X), near.partial_fit(X, y).predict(X), rtol=1e-8)
