"""A hundred arrays, valid and malicious: correct predictions with calibrated intervals, or an error of one line.

What scikit-learn checks it refuses itself, by the ValueError and TypeError that its interface prescribes.
"""

import copy
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from deepgllim import GLLiMRegressor
from tests.corpus.arrays import FITS, QUESTIONS, Answers, Float, usual
from tests.corpus.outcomes import Refused, both_kinds, quietly, refuses

PRESCRIBED = (ValueError, TypeError, NotFittedError)


def test_there_are_a_hundred_of_both_kinds() -> None:
    assert len(FITS) + len(QUESTIONS) >= 100
    assert both_kinds((case.expected for case in FITS.values()), 35)


@pytest.mark.parametrize("name", FITS)
def test_fit(name: str) -> None:
    change, expected, options, weights = FITS[name]
    X, y = change(*usual())
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    model = GLLiMRegressor(**{"n_components": 2, "random_state": 0, **options})
    if isinstance(expected, Refused):
        refuses(lambda: model.fit(X, y, sample_weight=weights(n)), expected, other=PRESCRIBED)
        return
    quietly(lambda: model.fit(X, y, sample_weight=weights(n)), *expected.warns)
    check(model, X, np.asarray(y, dtype=np.float64), expected)


def check(model: GLLiMRegressor, X: Any, y: Float, expected: Answers) -> None:
    mean, std = model.predict(X, return_std=True)
    lower, upper = model.predict_interval(X)
    assert all(np.isfinite(found).all() for found in (mean, std, lower, upper, model.log_density(X)))
    assert mean.shape == y.shape
    spread = np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
    error, covered = np.sqrt(np.mean(((mean - y) / spread) ** 2)), np.mean((lower <= y) & (y <= upper))
    assert error <= expected.error
    assert expected.coverage[0] <= covered <= expected.coverage[1]


@pytest.fixture(scope="module")
def fitted() -> GLLiMRegressor:
    return GLLiMRegressor(n_components=2, random_state=0).fit(*usual())


@pytest.mark.parametrize("name", QUESTIONS)
def test_question(name: str, fitted: GLLiMRegressor) -> None:
    ask, expected = QUESTIONS[name]
    X, y = usual()
    model = copy.deepcopy(fitted)
    if isinstance(expected, Refused):
        refuses(lambda: ask(model, X), expected, other=PRESCRIBED)
    else:
        assert expected(ask(model, X), y)
