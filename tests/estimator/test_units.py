"""Shifts and scales of X and y change the results by the same rule, without loss of digits."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from deepgllim import GLLiMRegressor
from deepgllim.errors import DataError
from deepgllim.gllim import select

Float = NDArray[np.float64]
EXACT = 1e-9  # of what no rounding of a far value enters: eight fits amplify 1e-16 by less than this
GRID = 2.0**-12  # values of it and shifts up to 2^38 add without rounding
DIGITS = float(np.finfo(np.float64).eps)
few = settings(deadline=None, max_examples=6, derandomize=True, database=None)

SPECS: dict[str, dict[str, Any]] = {
    "diagonal": {},
    "full, Student": {"covariance_type": "full", "dof": 5.0},
    "isotropic, tied": {"covariance_type": "isotropic", "tied": True, "target_covariance": "isotropic"},
    "latents": {"n_latents": 1, "init": "joint"},
}


class Unit(NamedTuple):
    """x ↦ scale · x + shift."""

    scale: float
    shift: float

    def of(self, values: Float) -> Float:
        return values * self.scale + self.shift

    def back(self, values: Float) -> Float:
        return (values - self.shift) / self.scale

    @property
    def rounding(self) -> float:
        """Of values of order one, given in this unit."""
        return 1e-10 + 20 * DIGITS * abs(self.shift / self.scale)


shifts = st.sampled_from([-(2.0**38), -(2.0**20), 2.0**10, 2.0**30]).map(lambda shift: Unit(1.0, shift))
scales = st.sampled_from([-460, -300, -20, 30, 300, 460]).map(lambda power: Unit(2.0**power, 0.0))
units = st.one_of(shifts, scales)


def curve(n: int = 120) -> tuple[Float, Float]:
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, (n, 2))
    X = np.column_stack([np.sin(2 * y), y[:, 0] * y[:, 1], y]) + 0.1 * rng.normal(size=(n, 5))
    return np.round(X / GRID) * GRID, np.round(y / GRID) * GRID


def make(**options: Any) -> GLLiMRegressor:
    return GLLiMRegressor(**{"n_components": 2, "random_state": 0, "max_iter": 8, "tol": 0, **options})


def same(found: Float, expected: Float, rounding: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)


def agree(near: GLLiMRegressor, far: GLLiMRegressor, X: Float, y: Float, x_unit: Unit, y_unit: Unit) -> None:
    """Every answer of the one, in the other's units."""
    Z, t = x_unit.of(X), y_unit.of(y)
    r_x, r_y = x_unit.rounding, y_unit.rounding
    (mean, cov), (mean_far, cov_far) = near.predict(X, return_cov=True), far.predict(Z, return_cov=True)
    same(y_unit.back(mean_far), mean, r_y)
    same(cov_far / y_unit.scale**2, cov, r_y)  # it has the distances of the components' means, each of them rounded
    for edge, edge_far in zip(near.predict_interval(X[:9]), far.predict_interval(Z[:9]), strict=True):
        same(y_unit.back(edge_far), edge, r_y)
    modes, modes_far = near.predict_modes(X[:9]), far.predict_modes(Z[:9])
    same(y_unit.back(np.vstack([m[:1] for m in modes_far])), np.vstack([m[:1] for m in modes]), 1e-6 + r_y)
    same(far.log_density(Z) + X.shape[1] * np.log(x_unit.scale), near.log_density(X), EXACT)
    # the far mean is rounded, and its distance to y counts in standard deviations, of about 0.1
    same(far.score_samples(Z, t) + 2 * np.log(y_unit.scale), near.score_samples(X, y), 1e2 * r_y)
    same(far.responsibilities(Z), near.responsibilities(X), EXACT)
    same(far.responsibilities(Z, t), near.responsibilities(X, y), 1e2 * r_y)
    (inverse, std), (inverse_far, std_far) = (
        near.inverse_predict(y, return_std=True),
        far.inverse_predict(t, return_std=True),
    )
    same(x_unit.back(inverse_far), inverse, r_x)
    same(std_far / x_unit.scale, std, EXACT)
    for unit, drawn, drawn_far in zip((x_unit, y_unit), near.sample(9, 0), far.sample(9, 0), strict=True):
        same(unit.back(drawn_far), drawn, unit.rounding)


@pytest.mark.parametrize("spec", SPECS)
@few
@given(units, units)
def test_fits_are_equivariant_under_changes_of_units(spec: str, x_unit: Unit, y_unit: Unit) -> None:
    X, y = curve()
    near, far = make(**SPECS[spec]).fit(X, y), make(**SPECS[spec]).fit(x_unit.of(X), y_unit.of(y))
    agree(near, far, X, y, x_unit, y_unit)
    shift = len(X) * (5 * np.log(x_unit.scale) + 2 * np.log(y_unit.scale))
    same(np.array(far.log_likelihoods_) + shift, np.array(near.log_likelihoods_), EXACT)


@few
@given(units, units)
def test_streams_warm_starts_and_files_keep_the_digits(
    tmp_path_factory: pytest.TempPathFactory, x_unit: Unit, y_unit: Unit
) -> None:
    X, y = curve()
    Z, t = x_unit.of(X), y_unit.of(y)
    near = make().partial_fit(X, y).partial_fit(X[:60], y[:60])
    far = make().partial_fit(Z, t).partial_fit(Z[:60], t[:60])
    agree(near, far, X, y, x_unit, y_unit)
    near, far = (make(warm_start=True).fit(*data).fit(*data) for data in ((X, y), (Z, t)))
    agree(near, far, X, y, x_unit, y_unit)
    path: Path = tmp_path_factory.mktemp("units") / "m"
    far.save(path)
    again = GLLiMRegressor.load(path)
    agree(near, again, X, y, x_unit, y_unit)
    assert np.array_equal(again.predict(Z), far.predict(Z))


@pytest.mark.parametrize("missing", ["integrate", "impute"])
@pytest.mark.parametrize("noise", ["diagonal", "full"])
@few
@given(units, units)
def test_incomplete_features_are_predicted_in_any_units(missing: str, noise: str, x_unit: Unit, y_unit: Unit) -> None:
    X, y = curve()
    holes = np.where(np.random.default_rng(1).random(X.shape) < 0.3, np.nan, X)[:20]
    near = make(missing=missing, covariance_type=noise).fit(X, y)
    far = make(missing=missing, covariance_type=noise).fit(x_unit.of(X), y_unit.of(y))
    rounding = y_unit.rounding + x_unit.rounding * (missing == "impute")  # what is filled in is rounded
    same(y_unit.back(far.predict(x_unit.of(holes))), near.predict(holes), 10 * rounding)
    if missing == "integrate":
        present = (~np.isnan(holes)).sum(1)
        found = far.log_density(x_unit.of(holes)) + present * np.log(x_unit.scale)
        same(found, near.log_density(holes), EXACT)


@few
@given(units, units)
def test_selection_does_not_depend_on_units(x_unit: Unit, y_unit: Unit) -> None:
    X, y = curve()
    near = select(X, y, n_components=[1, 2, 3], criterion="held_out_conditional").table
    far = select(x_unit.of(X), y_unit.of(y), n_components=[1, 2, 3], criterion="held_out_conditional").table
    assert list(far["n_components"]) == list(near["n_components"])
    shift = 2 * np.log(y_unit.scale)
    same(far["held_out_conditional"].to_numpy() + shift, near["held_out_conditional"].to_numpy(), 1e2 * y_unit.rounding)
    same(far["icl"].diff()[1:].to_numpy(), near["icl"].diff()[1:].to_numpy(), 1e2 * EXACT)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("power", [-310, -160, 160])
@pytest.mark.parametrize("which", ["X", "y", "one column", "between blocks"])
def test_values_whose_squares_leave_the_range_are_an_error(which: str, power: int, dtype: str) -> None:
    X, y = curve()
    if which == "y":
        y = y * 10.0**power
    elif which == "X":
        X = X * 10.0**power
    else:
        X[:, 3] = 10.0**power * (X[:, 3] if which == "one column" else np.arange(len(X)) // 60)
    with pytest.raises(DataError, match=r"column [035] of \[features, targets\] .*: use a (larger|smaller) unit"):
        make(dtype=dtype).fit(X, y)


def test_float32_has_its_own_range() -> None:
    X, y = curve()
    for size in (1e-20, 1e20):
        with pytest.raises(DataError, match=r"standard deviation of .* leaves the range of float32"):
            make(dtype="float32").fit(X * size, y)
        make().fit(X * size, y)
    make(dtype="float32").fit(X * 1e-10, y * 1e-100)


def test_constant_columns_of_any_magnitude_are_valid() -> None:
    X, y = curve()
    for value in (0.1, 1e-300, 1e300, 0.0):
        with_constant = np.column_stack([X, np.full(len(X), value)])
        weights = np.random.default_rng(0).uniform(0.5, 1.5, len(X))
        for w in (None, weights):
            model = make().fit(with_constant, y, sample_weight=w)
            same(model.predict(with_constant), make().fit(X, y, sample_weight=w).predict(X), 1e-8)


def test_a_row_without_weight_makes_no_column_vary() -> None:
    X, y = curve()
    X = np.column_stack([X, np.zeros(len(X))])
    X[7, 5] = 1e-200
    weights = np.ones(len(X))
    weights[7] = 0.0
    make().fit(X, y, sample_weight=weights)
    weights[7] = 1.0
    with pytest.raises(DataError, match=r"column 5 .* smaller unit"):
        make().fit(X, y, sample_weight=weights)
