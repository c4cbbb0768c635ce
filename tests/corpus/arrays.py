"""Valid and malicious arrays for `fit` and `predict` of `GLLiMRegressor`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from numpy.typing import NDArray

from deepgllim import GLLiMRegressor
from deepgllim.errors import ConfigurationError, DataError, SingularCovarianceWarning
from tests.corpus.outcomes import Refused

Float = NDArray[np.float64]
Data = tuple[Any, Any]


class Answers(NamedTuple):
    """What a fit comes to.

    Attributes:
        error: largest root mean square error of the training targets, in their standard deviations.
        coverage: least and largest share of them in their 90 % intervals.
        warns: of what besides.
    """

    error: float = 0.2
    coverage: tuple[float, float] = (0.8, 0.98)
    warns: tuple[type[Warning], ...] = ()


class Fit(NamedTuple):
    """Data made of the usual ones, options, sample weights, and what the fit comes to."""

    change: Callable[[Float, Float], Data]
    expected: Answers | Refused
    options: Mapping[str, Any] = MappingProxyType({})
    weights: Callable[[int], Any] = lambda n: None


def usual(n: int = 120, n_features: int = 6, n_targets: int = 2) -> tuple[Float, Float]:
    """Features that are linear in the targets, with a little noise."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, (n, n_targets))
    return y @ rng.normal(size=(n_targets, n_features)) + 0.05 * rng.normal(size=(n, n_features)), y


def refused(words: str, error: type[Exception] = DataError) -> Refused:
    return Refused(error, words)


GOOD = Answers()
SINGULAR = (SingularCovarianceWarning,)
NOT_FINITE, NAN = Refused(ValueError, "contains infinity"), Refused(ValueError, "contains NaN")
UNIT = refused("unit")
ONE = {"n_components": 1}


def x(change: Callable[[Float], Any]) -> Callable[[Float, Float], Data]:
    return lambda X, y: (change(X), y)


def t(change: Callable[[Float], Any]) -> Callable[[Float, Float], Data]:
    return lambda X, y: (X, change(y))


def with_value(values: Float, value: float) -> Float:
    return np.where(np.arange(values.size).reshape(values.shape) == 15, value, values)


def with_none(values: Float) -> NDArray[np.object_]:
    objects = values.astype(object)
    objects[2, 2] = None
    return objects


def frame(X: Float) -> pd.DataFrame:
    return pd.DataFrame(X, columns=list("abcdef")[: X.shape[1]])


def of_another_type(X: Float, name: str, values: object) -> pd.DataFrame:
    return frame(X).assign(**{name: values})  # type: ignore[arg-type]


def read_only(values: Float) -> Float:
    values.flags.writeable = False
    return values


TYPES: dict[str, Fit] = {
    "as usual": Fit(lambda X, y: (X, y), GOOD),
    "float32": Fit(lambda X, y: (X.astype(np.float32), y.astype(np.float32)), GOOD),
    "float16": Fit(lambda X, y: (X.astype(np.float16), y.astype(np.float16)), GOOD),
    "longdouble": Fit(lambda X, y: (X.astype(np.longdouble), y.astype(np.longdouble)), GOOD),
    "big-endian": Fit(lambda X, y: (X.astype(">f8"), y.astype(">f8")), GOOD),
    "int8 targets": Fit(t(lambda y: (100 * y).astype(np.int8)), GOOD),
    "uint8": Fit(x(lambda X: ((X - X.min()) / np.ptp(X) * 255).astype(np.uint8)), GOOD),
    "int64 of 1e18": Fit(x(lambda X: (X * 1e18).astype(np.int64)), GOOD),
    "uint64 above int64": Fit(x(lambda X: ((X + 10) * 1e18).astype(np.uint64)), GOOD),
    "bool": Fit(x(lambda X: X > 0), Answers(1.0, (0.5, 1.0), SINGULAR)),
    "objects": Fit(lambda X, y: (X.astype(object), y.astype(object)), GOOD),
    "numbers in text": Fit(x(lambda X: X.astype(str)), GOOD),
    "a word": Fit(x(lambda X: np.where(X[2, 2] == X, "a", X.astype(object))), Refused(ValueError, "could not convert")),
    "complex": Fit(x(lambda X: X.astype(complex)), Refused(ValueError, "Complex data not supported")),
    "complex targets": Fit(t(lambda y: y + 1j), Refused(ValueError, "Complex data not supported")),
    "dates": Fit(x(lambda X: (X * 1e9).astype("datetime64[s]")), GOOD),
    "sparse": Fit(x(scipy.sparse.csr_matrix), Refused(TypeError, "Sparse data was passed")),
    "lists": Fit(lambda X, y: (X.tolist(), y.tolist()), GOOD),
    "tensors": Fit(lambda X, y: (torch.tensor(X), torch.tensor(y)), GOOD),
    "Fortran's order": Fit(lambda X, y: (np.asfortranarray(X), np.asfortranarray(y)), GOOD),
    "backwards": Fit(lambda X, y: (X[::-1, ::-1], y[::-1]), GOOD),
    "every second": Fit(lambda X, y: (np.repeat(X, 2, 0)[::2], np.repeat(y, 2, 1)[:, ::2]), GOOD),
    "read only": Fit(lambda X, y: (read_only(X), read_only(y)), GOOD),
    "table": Fit(lambda X, y: (frame(X), pd.DataFrame(y, columns=["u", "v"])), GOOD),
    "table of several types": Fit(x(lambda X: frame(X).astype({"a": "float32", "b": "Float64"})), GOOD),
    "series": Fit(lambda X, y: (frame(X), pd.Series(y[:, 0], index=np.arange(len(y))[::-1])), GOOD),
    "table with a word": Fit(x(lambda X: of_another_type(X, "a", "x")), Refused(ValueError, "could not convert")),
    "table with NA": Fit(x(lambda X: frame(X).convert_dtypes().mask(frame(X) > 2)), Refused(ValueError, "NaN")),
    "table of mixed names": Fit(x(lambda X: frame(X).rename(columns={"a": 0})), Refused(TypeError, "string")),
}

SHAPES: dict[str, Fit] = {
    "one target, flat": Fit(t(lambda y: y[:, 0]), GOOD),
    "one target, column": Fit(t(lambda y: y[:, :1]), GOOD),
    "one feature": Fit(lambda X, y: (X[:, :1], y[:, 0]), Answers(1.0)),
    "more targets than features": Fit(lambda X, y: (X[:, :2], np.column_stack([y, y**2, y**3])), Answers(1.0)),
    "more features than samples": Fit(lambda X, y: usual(20, 200), Answers(0.2, (0.3, 1.0)), ONE),
    "no samples": Fit(lambda X, y: (X[:0], y[:0]), Refused(ValueError, "0 sample")),
    "no features": Fit(x(lambda X: X[:, :0]), Refused(ValueError, "0 feature")),
    "no targets": Fit(t(lambda y: y[:, :0]), Refused(ValueError, "0 feature")),
    "one sample": Fit(lambda X, y: (X[:1], y[:1]), Answers(1e-6, (1.0, 1.0), SINGULAR), ONE),
    "two samples": Fit(lambda X, y: (X[:2], y[:2]), Answers(1.0, (0.0, 1.0), SINGULAR), ONE),
    "fewer samples than components": Fit(lambda X, y: (X[:4], y[:4]), refused("4"), {"n_components": 10}),
    "flat features": Fit(x(lambda X: X[:, 0]), Refused(ValueError, "Expected 2D array")),
    "features in three axes": Fit(x(lambda X: X[:, :, None]), Refused(ValueError, "dim 3")),
    "targets in three axes": Fit(t(lambda y: y[:, :, None]), Refused(ValueError, "dim 3")),
    "a target less": Fit(t(lambda y: y[:-1]), Refused(ValueError, "inconsistent numbers of samples")),
    "rows of different lengths": Fit(x(lambda X: [*X.tolist()[:-1], [1.0]]), Refused(ValueError, "inhomogeneous")),
}

VALUES: dict[str, Fit] = {
    "NaN": Fit(x(lambda X: with_value(X, np.nan)), NAN),
    "infinity": Fit(x(lambda X: with_value(X, np.inf)), NOT_FINITE),
    "target NaN": Fit(t(lambda y: with_value(y, np.nan)), NAN),
    "target infinite": Fit(t(lambda y: with_value(y, -np.inf)), NOT_FINITE),
    "None": Fit(x(with_none), NAN),
    "features 1e300": Fit(x(lambda X: X * 1e300), UNIT),
    "one feature of 1e300": Fit(x(lambda X: with_value(X, 1e300)), UNIT),
    "features 1e150": Fit(x(lambda X: X * 1e150), GOOD),
    "features 1e-160": Fit(x(lambda X: X * 1e-160), UNIT),
    "features 1e-310": Fit(x(lambda X: X * 1e-310), UNIT),
    "targets 1e300": Fit(t(lambda y: y * 1e300), UNIT),
    "targets 1e140": Fit(t(lambda y: y * 1e140), GOOD),
    "targets 1e-160": Fit(t(lambda y: y * 1e-160), UNIT),
    "targets 1e-310": Fit(t(lambda y: y * 1e-310), UNIT),
    "features 1e9 away": Fit(x(lambda X: X + 1e9), GOOD),
    "targets 1e9 away": Fit(t(lambda y: y + 1e9), GOOD),
    "targets 1e12 away": Fit(t(lambda y: y + 1e12), GOOD),
    "features and targets 1e6 away, float32": Fit(lambda X, y: (X + 1e6, y + 1e6), GOOD, {"dtype": "float32"}),
    "units from 1e-20 to 1e20": Fit(x(lambda X: X * np.array([1e20, 1e-20, 1, 1e10, 1e-10, 1])), GOOD),
    "constant features": Fit(x(np.ones_like), Answers(1.01)),
    "one constant feature": Fit(x(lambda X: np.where(np.arange(6) == 1, 7.0, X)), GOOD),
    "constant targets": Fit(t(np.ones_like), refused("1 distinct values are fewer than 2 components")),
    "constant targets, one component": Fit(t(np.ones_like), Answers(1e-6, (1.0, 1.0), SINGULAR), ONE),
    "one constant target": Fit(t(lambda y: y * [1, 0] + [0, 3]), Answers(0.2, (0.8, 1.0), SINGULAR), ONE),
    "features twice": Fit(x(lambda X: np.column_stack([X, X])), Answers(0.2, (0.6, 0.98))),
    "features twice, full noise": Fit(
        x(lambda X: np.column_stack([X, X])), Answers(0.2, (0.0, 1.0), SINGULAR), {"covariance_type": "full"}
    ),
    "targets twice": Fit(t(lambda y: y[:, [0, 0]]), Answers(0.2, (0.8, 1.0), SINGULAR)),
    "features are the targets": Fit(lambda X, y: (np.column_stack([y, y]), y), Answers(0.01, (0.8, 1.0), SINGULAR)),
    "all samples the same": Fit(
        lambda X, y: (X[:1].repeat(90, 0), y[:1].repeat(90, 0)), Answers(1e-6, (1, 1), SINGULAR), ONE
    ),
}

WEIGHED: list[tuple[str, Answers | Refused, Callable[[int], Any]]] = [
    ("weights of 3", GOOD, lambda n: np.full(n, 3.0)),
    ("weights of 1e100", GOOD, lambda n: np.full(n, 1e100)),
    ("weights of 0 and 1", GOOD, lambda n: np.arange(n) % 3 > 0),
    ("weights of 0", Refused(ValueError, "at least one non-zero"), lambda n: np.zeros(n)),
    ("negative weights", Refused(ValueError, "Negative values"), lambda n: -np.ones(n)),
    ("weights of NaN", NAN, lambda n: np.full(n, np.nan)),
    ("weights of 1e307", refused("overflows"), lambda n: np.full(n, 1e307)),
    ("weights that sum to 1", refused("divide the weights by their mean"), lambda n: np.full(n, 1 / n)),
    ("weights of one sample", refused(""), lambda n: np.eye(n)[0]),
    ("too few weights", Refused(ValueError, "sample_weight"), lambda n: np.ones(n - 1)),
]
WEIGHTS = {name: Fit(lambda X, y: (X, y), expected, {}, weights) for name, expected, weights in WEIGHED}

OPTED: list[tuple[str, Any, Answers | Refused]] = [
    ("n_components", 0, refused("n_components", ConfigurationError)),
    ("n_components", 2.0, refused("n_components", ConfigurationError)),
    ("n_components", True, refused("n_components", ConfigurationError)),
    ("n_components", 500, refused("500")),
    ("n_latents", -1, refused("n_latents", ConfigurationError)),
    ("n_latents", 50, refused("", ConfigurationError)),
    ("tol", float("nan"), refused("tol is nan", ConfigurationError)),
    ("covariance_floor", -1, refused("covariance_floor", ConfigurationError)),
    ("dof", 0, refused("dof", ConfigurationError)),
    ("dof", "estimated", GOOD),
    ("covariance_type", "round", refused("round", ConfigurationError)),
    ("covariance_type", "full", GOOD),
    ("init", "luck", refused("luck", ConfigurationError)),
    ("dtype", "float16", refused("unknown dtype 'float16'", ConfigurationError)),
    ("missing", "ignore", refused("unknown missing 'ignore'", ConfigurationError)),
    ("random_state", -1, Refused(ValueError, "Seed must be between 0 and")),
]
OPTIONS = {f"{name} {value!r}": Fit(lambda X, y: (X, y), expected, {name: value}) for name, value, expected in OPTED}

FITS = {**TYPES, **SHAPES, **VALUES, **WEIGHTS, **OPTIONS}


class Question(NamedTuple):
    """What a fitted model is asked, and what its answer must be, or satisfy."""

    ask: Callable[[GLLiMRegressor, Float], Any]
    expected: Callable[[Any, Float], bool] | Refused


def finite(answer: Any, _: Float) -> bool:
    return bool(np.isfinite(answer).all())


FAR = refused("is so far from the training data that its squared distance overflows")

QUESTIONS: dict[str, Question] = {
    "no rows": Question(lambda m, X: m.predict(X[:0]), Refused(ValueError, "0 sample")),
    "fewer features": Question(lambda m, X: m.predict(X[:, :3]), Refused(ValueError, "3 features")),
    "NaN": Question(lambda m, X: m.predict(with_value(X, np.nan)), NAN),
    "NaN, integrated": Question(
        lambda m, X: m.set_params(missing="integrate").predict(with_value(X, np.nan)), lambda a, y: rms(a - y) < 0.2
    ),
    "nothing known": Question(
        lambda m, X: m.set_params(missing="integrate").predict(X * np.nan), lambda a, y: rms(a - y.mean(0)) < 0.05
    ),
    "1e8 times as far": Question(lambda m, X: m.predict(X * 1e8), finite),
    "a density far away": Question(lambda m, X: m.log_density(X + 1e8), lambda a, y: bool((a < -1e8).all())),
    "1e300": Question(lambda m, X: m.predict(np.sign(X) * 1e300), FAR),
    "density of 1e300": Question(lambda m, X: m.log_density(np.sign(X) * 1e300), FAR),
    "level 0": Question(lambda m, X: m.predict_interval(X, level=0), refused("level", ConfigurationError)),
    "level 1": Question(lambda m, X: m.predict_interval(X, level=1), refused("level", ConfigurationError)),
    "level NaN": Question(lambda m, X: m.predict_interval(X, level=np.nan), refused("level", ConfigurationError)),
    "level 1 - 1e-15": Question(lambda m, X: m.predict_interval(X, level=1 - 1e-15), finite),
    "half a draw": Question(
        lambda m, X: m.sample(0.5),  # type: ignore[arg-type]
        refused("n_samples", ConfigurationError),
    ),
    "draws": Question(lambda m, X: m.sample(5, 0)[0], lambda a, y: a.shape == (5, 6)),
    "columns in another order": Question(
        lambda m, X: m.fit(frame(X), usual()[1]).predict(frame(X)[list("fedcba")]), Refused(ValueError, "order")
    ),
    "targets of another width": Question(lambda m, X: m.score_samples(X, X[:, :3]), refused("have shape")),
    "not fitted": Question(lambda m, X: GLLiMRegressor().predict(X), Refused(ValueError, "not fitted yet")),
    "a batch far away": Question(
        lambda m, X: m.partial_fit(X, X[:, :2]).partial_fit(X + 1e6, X[:, :2] + 1e6).predict(X + 1e6), finite
    ),
}


def rms(values: Float) -> float:
    return float(np.sqrt(np.mean(values**2)))
