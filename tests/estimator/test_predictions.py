"""Predictions: consistent with the distribution, with the functions of gllim, and with brute force."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from torch import Tensor

from deepgllim import GLLiMRegressor, MultivariateGaussianMixture, MultivariateStudentMixture
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.estimator import missing
from deepgllim.gllim import Parameters, impute, invert, joint_log_density, predict, predict_features, responsibilities
from tests.gllim.strategies import joint, moments

Float = NDArray[np.float64]

SPECS: dict[str, dict[str, Any]] = {
    "diagonal": {},
    "tied full": {"covariance_type": "full", "tied": True},
    "latents": {"covariance_type": "isotropic", "n_latents": 2},
    "student": {"dof": 5.0},
    "student with latents": {"covariance_type": "full", "n_latents": 1, "dof": "estimated"},
}
specs = pytest.mark.parametrize("spec", SPECS)
ROUNDING = 1e-9  # log-densities of order ten by two ways, covariances of condition under 10⁴


def curve(n: int = 150, L: int = 2) -> tuple[Float, Float]:
    """Features that bend with the targets, D = 4."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-1.0, 1.0, (n, L))
    X = np.column_stack([np.sin(2.0 * y[:, 0]), np.cos(2.0 * y[:, 0]), y.sum(1), y[:, -1] ** 2])
    return X + 0.1 * rng.normal(size=X.shape), y


X, Y = curve()
KNOWN: dict[tuple[str, bool], GLLiMRegressor] = {}


def fitted(spec: str, flat: bool = False) -> Any:  # an answer's type depends on its arguments
    """A model of three components, fitted once for each specification; y[:, 0] alone where flat."""
    if (spec, flat) not in KNOWN:
        model = GLLiMRegressor(3, max_iter=15, tol=0.0, random_state=0, **SPECS[spec])
        KNOWN[spec, flat] = model.fit(X, Y[:, 0] if flat else Y)
    return KNOWN[spec, flat]


def tensors() -> tuple[Tensor, Tensor]:
    return torch.from_numpy(X), torch.from_numpy(Y)


# p(y | x)


@specs
def test_prediction_is_that_of_the_functions(spec: str) -> None:
    model = fitted(spec)
    answer = predict(torch.from_numpy(X), invert(model.parameters_))
    distribution = model.predict_distribution(X)
    assert isinstance(distribution, MultivariateGaussianMixture if answer.dof is None else MultivariateStudentMixture)
    mean, std = model.predict(X, return_std=True)
    again, covariance = model.predict(X, return_cov=True)
    for found in (
        model.predict(X),
        mean,
        again,
        distribution.mean,
    ):  # parameters_ are rounded, those about the origin are asked
        np.testing.assert_allclose(found, answer.mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(covariance, distribution.covariance_matrix, rtol=1e-12)
    np.testing.assert_allclose(std**2, np.diagonal(covariance, axis1=1, axis2=2), rtol=1e-12)
    np.testing.assert_allclose(model.log_density(X), answer.log_density, rtol=1e-11, atol=1e-11)
    np.testing.assert_array_equal(distribution.input_log_density, model.log_density(X))


@specs
def test_one_dimensional_targets_stay_one_dimensional(spec: str) -> None:
    n, (flat, column) = len(X), (fitted(spec, True), fitted(spec))
    x = X[:5]
    mean, std = flat.predict(x, return_std=True)
    assert mean.shape == std.shape == (5,)
    assert flat.predict(x, return_cov=True)[1].shape == (5, 1, 1)
    assert [edge.shape for edge in flat.predict_interval(x)] == [(5,), (5,)]
    assert flat.predict_quantiles(x, [0.1, 0.9]).shape == (2, 5)
    assert flat.sample_y(x, 7).shape == (7, 5)
    assert flat.inverse_predict(Y[:5, 0]).shape == (5, 4)
    assert [values.shape for values in flat.sample(6)] == [(6, 4), (6,)]
    assert all(modes.ndim == 1 for modes in flat.predict_modes(x))
    mean, std = column.predict(x, return_std=True)
    assert mean.shape == std.shape == (5, 2)
    assert column.predict(x, return_cov=True)[1].shape == (5, 2, 2)
    assert [edge.shape for edge in column.predict_interval(x)] == [(5, 2), (5, 2)]
    assert column.predict_quantiles(x).shape == (3, 5, 2)
    assert column.sample_y(x, 7).shape == (7, 5, 2)
    assert column.inverse_predict(Y[:5]).shape == (5, 4)
    assert [values.shape for values in column.sample(6)] == [(6, 4), (6, 2)]
    assert all(modes.ndim == 2 for modes in column.predict_modes(x))
    for model in (flat, column):
        assert model.log_density(x).shape == (5,)
        assert model.responsibilities(x).shape == (5, 3)
    assert flat.score_samples(X, Y[:, 0]).shape == column.score_samples(X, Y).shape == (n,)


def test_one_column_stays_one_column() -> None:
    model: Any = GLLiMRegressor().fit(X, Y[:, :1])
    mean, std = model.predict(X, return_std=True)
    assert mean.shape == std.shape == (150, 1)
    assert model.inverse_predict(Y[:4, :1]).shape == model.inverse_predict(Y[:4, 0]).shape == (4, 4)


@specs
def test_conditional_density_is_joint_over_marginal(spec: str) -> None:
    model = fitted(spec)
    log_joint = torch.logsumexp(joint_log_density(*tensors(), model.parameters_), 1).numpy()
    found = model.score_samples(X, Y)
    np.testing.assert_allclose(found, log_joint - model.log_density(X), rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(found, model.predict_distribution(X).log_prob(torch.from_numpy(Y)), rtol=1e-12)
    np.testing.assert_array_equal(model.score_samples(X), model.log_density(X))


@specs
def test_densities_integrate_to_one(spec: str) -> None:
    model, grid = fitted(spec, True), np.linspace(-40.0, 40.0, 40_001)
    for x in X[:3]:
        density = np.exp(model.score_samples(np.tile(x, (len(grid), 1)), grid))
        # a step of 0.002 against deviations of 0.05; Student tails beyond 40 with ν + 4 degrees of freedom
        assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-6)


@specs
def test_responsibilities_are_probabilities(spec: str) -> None:
    model = fitted(spec)
    r, weights = model.responsibilities(X, Y), model.responsibilities(X)
    for values in (r, weights):
        np.testing.assert_allclose(values.sum(1), 1.0, rtol=1e-12)
        assert (values >= 0).all()
    # by way of p(y | x) here, of p(x | y) there
    np.testing.assert_allclose(r, responsibilities(*tensors(), model.parameters_), rtol=1e-8, atol=1e-12)
    distribution = model.predict_distribution(X)
    np.testing.assert_allclose(weights, distribution.weights, rtol=1e-12)
    # Bayes: p(z | x, y) ∝ p(z | x) p(y | x, z)
    terms = distribution.component_distribution.log_prob(torch.from_numpy(Y)[:, None])
    by_bayes = torch.softmax(torch.from_numpy(weights).log() + terms, 1)
    np.testing.assert_allclose(r, by_bayes, atol=1e-8)  # densities of ten digits, in an exponent


@specs
def test_blocks_of_rows_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    model = fitted(spec)
    whole, distribution = model.predict(X), model.predict_distribution(X)
    monkeypatch.setattr(missing, "BLOCK_ELEMENTS", 4 * 40)  # forty rows at once
    parts = model.predict_distribution(X)
    np.testing.assert_allclose(model.predict(X), whole, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(parts.covariance_matrix, distribution.covariance_matrix, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(model.score_samples(X, Y), distribution.log_prob(torch.from_numpy(Y)), rtol=1e-10)
    one = np.concatenate([model.log_density(row[None]) for row in X[:7]])
    np.testing.assert_allclose(one, model.log_density(X)[:7], rtol=1e-12)


# quantiles, intervals, samples, modes


@specs
def test_intervals_have_their_coverage(spec: str) -> None:
    model, n = fitted(spec), 20_000
    for level in (0.5, 0.9):
        lower, upper = model.predict_interval(X[:3], level)
        drawn = model.sample_y(X[:3], n, random_state=1)
        share = ((drawn >= lower) & (drawn <= upper)).mean(0)
        # five standard errors of a share
        np.testing.assert_allclose(share, level, atol=5.0 * (level * (1.0 - level) / n) ** 0.5)
        np.testing.assert_array_equal(
            [lower, upper], model.predict_quantiles(X[:3], [(1 - level) / 2, (1 + level) / 2])
        )


@specs
def test_quantiles_increase_with_the_probability(spec: str) -> None:
    model, levels = fitted(spec), [0.001, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999]
    quantiles = model.predict_quantiles(X[:20], levels)
    assert quantiles.shape == (7, 20, 2)
    assert (np.diff(quantiles, axis=0) > 0).all()
    cdf = np.stack([model.predict_distribution(X[:20]).marginal_cdf(torch.from_numpy(q)) for q in quantiles])
    np.testing.assert_allclose(cdf, np.broadcast_to(np.reshape(levels, (-1, 1, 1)), cdf.shape), atol=1e-9)


def test_one_gaussian_component_has_its_closed_forms() -> None:
    model = GLLiMRegressor().fit(X, Y[:, 0])
    mean, std = model.predict(X, return_std=True)
    half = stats.norm.ppf(0.975) * std
    lower, upper = model.predict_interval(X, 0.95)
    np.testing.assert_allclose(lower, mean - half, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(upper, mean + half, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.score_samples(X, Y[:, 0]), stats.norm.logpdf(Y[:, 0], mean, std), rtol=1e-9)


@specs
def test_samples_have_the_moments_of_the_prediction(spec: str) -> None:
    model, n = fitted(spec), 20_000
    drawn = model.sample_y(X[:3], n, random_state=0)
    mean, covariance = model.predict(X[:3], return_cov=True)
    centred = drawn - mean
    products = centred[..., :, None] * centred[..., None, :]
    # six standard errors, measured on the draws themselves
    assert (np.abs(centred.mean(0)) < 6.0 * centred.std(0) / n**0.5).all()
    assert (np.abs(products.mean(0) - covariance) < 6.0 * products.std(0) / n**0.5).all()


def test_samples_are_reproduced_by_a_seed_and_leave_torchs_alone() -> None:
    model = fitted("student")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (model.sample_y(X[:4], 3, random_state=seed) for seed in (0, 0, 1))
    joint_first, joint_again = (model.sample(4, random_state=0) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(np.array_equal(a, b) for a, b in zip(joint_first, joint_again, strict=True))
    assert not np.array_equal(model.sample_y(X[:4]), model.sample_y(X[:4]))


@pytest.mark.parametrize("spec", ["diagonal", "tied full", "latents"])
def test_joint_samples_have_the_moments_of_the_model(spec: str) -> None:
    model, n = fitted(spec), 40_000
    x, y = model.sample(n, random_state=0)
    whole = joint(model.parameters_.observe_latents())
    mean, covariance = (value.numpy() for value in moments(whole))
    centred = np.concatenate([x, y], 1) - mean[:6]
    products = centred[:, :, None] * centred[:, None, :]
    # six standard errors, measured on the draws themselves
    assert (np.abs(centred.mean(0)) < 6.0 * centred.std(0) / n**0.5).all()
    assert (np.abs(products.mean(0) - covariance[:6, :6]) < 6.0 * products.std(0) / n**0.5).all()


@specs
def test_modes_are_maxima_and_the_highest_is_first(spec: str) -> None:
    model = fitted(spec)
    distribution, found = model.predict_distribution(X[:10]), model.predict_modes(X[:10])
    assert len(found) == 10
    for n, modes in enumerate(found):
        assert 1 <= len(modes) <= 3
        heights = [model.score_samples(X[n : n + 1], mode[None])[0] for mode in modes]
        assert (np.diff(heights) <= 1e-12).all()
        _, std = model.predict(X[n : n + 1], return_std=True)
        around = modes[0] + 0.01 * std * np.random.default_rng(n).normal(size=(20, 2))
        assert (model.score_samples(np.tile(X[n], (20, 1)), around) <= heights[0] + 1e-9).all()
        component = float(distribution.log_prob(distribution.means.transpose(0, 1))[:, n].max())
        assert heights[0] >= component - 1e-9


def test_all_modes_of_a_multimodal_target_are_found() -> None:
    """x = |y| + noise: either sign of y."""
    rng = np.random.default_rng(0)
    y = rng.choice([-1.0, 1.0], 400) * rng.uniform(1.0, 2.0, 400)
    model: Any = GLLiMRegressor(2, random_state=0).fit(np.abs(y)[:, None] + 0.02 * rng.normal(size=(400, 1)), y)
    (modes,) = model.predict_modes([[1.5]])
    # the noise of 0.02 in regressions on 200 samples
    np.testing.assert_allclose(np.sort(modes), [-1.5, 1.5], atol=0.02)
    assert abs(model.predict([[1.5]])[0]) < 0.5  # the mean lies between, where no target is


# p(x | y)


def inverse_by_brute_force(y: Tensor, p: Parameters) -> tuple[Tensor, Tensor]:
    """Mean (n, D) and covariance (n, D, D) of x | y from the matrices of the joint model over [x; y]."""
    D, L = p.n_features, p.n_targets
    weights, mean, S = joint(p.observe_latents())
    mean, S = mean[:, : D + L], S[:, : D + L, : D + L]
    gain = torch.linalg.solve(S[:, D:, D:], S[:, D:, :D]).mT
    deviation = y[:, None] - mean[:, D:]
    component = mean[:, :D] + torch.einsum("kdl,nkl->nkd", gain, deviation)
    within = (S[:, :D, :D] - gain @ S[:, D:, :D]).expand(len(y), -1, -1, -1)
    logs = []
    for k in range(len(weights)):
        at, c, Gamma = y.numpy(), p.c[k].numpy(), p.Gamma[k].numpy()
        if p.dof is None:
            density = stats.multivariate_normal.logpdf(at, c, Gamma)
        else:
            density = stats.multivariate_t.logpdf(at, c, Gamma, df=float(p.dof[k]))  # type: ignore[arg-type]
        logs.append(torch.as_tensor(density).reshape(-1) + weights[k].log())
    if p.dof is not None:
        distance = torch.einsum("nkl,klm,nkm->nk", deviation, torch.linalg.inv(p.Gamma), deviation)
        within = within * ((p.dof + distance) / (p.dof + L - 2))[:, :, None, None]
    r = torch.softmax(torch.stack(logs, 1), 1)
    expected = torch.einsum("nk,nkd->nd", r, component)
    spread = component - expected[:, None]
    return expected, torch.einsum("nk,nkde->nde", r, within + spread[..., :, None] * spread[..., None, :])


@specs
def test_features_are_predicted_from_targets(spec: str) -> None:
    model = fitted(spec)
    mean, covariance = inverse_by_brute_force(torch.from_numpy(Y), model.parameters_)
    found, matrices = model.inverse_predict(Y, return_cov=True)
    again, std = model.inverse_predict(Y, return_std=True)
    np.testing.assert_allclose(found, mean, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(matrices, covariance, rtol=0, atol=ROUNDING * float(covariance.abs().max()))
    np.testing.assert_allclose(std**2, np.diagonal(matrices, axis1=1, axis2=2), rtol=1e-12)
    np.testing.assert_array_equal(model.inverse_predict(Y), again)
    expected = predict_features(torch.from_numpy(Y), model.parameters_).mean
    np.testing.assert_allclose(again, expected, rtol=1e-12, atol=1e-13)
    assert np.abs(model.inverse_predict(Y) - X).mean() < 0.3  # noise of 0.1, three lines for a curve


# tables


def test_a_table_has_names_and_the_index_of_its_input() -> None:
    table = pd.DataFrame(X, columns=list("abcd"), index=[f"face{n}" for n in range(len(X))])
    model = GLLiMRegressor(2, random_state=0).fit(table, pd.DataFrame(Y, columns=["yaw", "pitch"], index=table.index))
    frame = model.predict_frame(table[::7], level=0.5)
    assert list(frame.index) == list(table.index[::7])
    names = [name + suffix for name in ("yaw", "pitch") for suffix in ("", "_std", "_lower", "_upper")]
    assert list(frame.columns) == [*names, "log_density"]
    mean, std = model.predict(table[::7], return_std=True)
    lower, upper = model.predict_interval(table[::7], level=0.5)
    for index, name in enumerate(("yaw", "pitch")):
        for suffix, values in (("", mean), ("_std", std), ("_lower", lower), ("_upper", upper)):
            np.testing.assert_array_equal(frame[name + suffix], values[:, index])
    np.testing.assert_array_equal(frame["log_density"], model.log_density(table[::7]))


def test_targets_without_names_get_numbers() -> None:
    assert list(fitted("diagonal").predict_frame(X[:2]))[::4] == ["y0", "y1", "log_density"]
    frame = fitted("diagonal", True).predict_frame(X[:2].tolist())
    assert list(frame) == ["y", "y_std", "y_lower", "y_upper", "log_density"]
    assert list(frame.index) == [0, 1]
    named: Any = GLLiMRegressor().fit(X, pd.Series(Y[:, 0], name="yaw"))
    assert list(named.predict_frame(X[:2])) == ["yaw", "yaw_std", "yaw_lower", "yaw_upper", "log_density"]
    assert named.predict(X[:2]).shape == (2,)


# missing features


def with_gaps() -> tuple[Float, Float]:
    gaps = X[:40].copy()
    gaps[::2, 1] = np.nan
    return gaps, Y[:40]


@specs
def test_missing_features_are_integrated_out_of_every_prediction(spec: str) -> None:
    gaps, y = with_gaps()
    model = clone(fitted(spec)).set_params(missing="integrate").fit(X, Y)
    for found in (
        *model.predict(gaps, return_cov=True),
        *model.predict_interval(gaps),
        model.log_density(gaps),
        model.score_samples(gaps, y),
        model.sample_y(gaps, 2),
        model.responsibilities(gaps),
        *model.predict_modes(gaps),
    ):
        assert np.isfinite(found).all()


@specs
def test_responsibilities_of_incomplete_features(spec: str) -> None:
    model = clone(fitted(spec)).set_params(missing="integrate").fit(X, Y)
    gaps, y = with_gaps()
    distribution = model.predict_distribution(gaps)
    terms = distribution.component_distribution.log_prob(torch.from_numpy(y)[:, None])
    by_bayes = torch.softmax(distribution.weights.log() + terms, 1)  # p(z | x, y) ∝ p(z | x) p(y | x, z)
    np.testing.assert_allclose(model.responsibilities(gaps, y), by_bayes, atol=1e-8)
    model.set_params(missing="impute")
    filled = impute(torch.from_numpy(gaps), model.parameters_).numpy()
    np.testing.assert_allclose(model.responsibilities(gaps, y), model.responsibilities(filled, y), atol=1e-12)


# refusals


def test_inputs_of_wrong_shape_are_an_error() -> None:
    model = fitted("diagonal")
    with pytest.raises(ValueError, match="X has 3 features, but GLLiMRegressor is expecting 4"):
        model.predict(X[:, :3])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        model.predict(X[0])
    for y in (Y[:5, :1], Y[:5, 0], np.ones((5, 3)), Y[:4]):
        with pytest.raises(DataError, match=r"targets have shape .*: use \(5, 2\), as in the fit"):
            model.score_samples(X[:5], y)
        with pytest.raises(DataError, match=r"use \(5, 2\), as in the fit"):
            model.responsibilities(X[:5], y)
    with pytest.raises(DataError, match=r"targets have shape \(5, 3\): use \(n, 2\)"):
        model.inverse_predict(np.ones((5, 3)))
    with pytest.raises(ValueError, match="contains NaN"):
        model.score_samples(X[:1], [[0.0, np.nan]])
    with pytest.raises(ConfigurationError, match="both return_std and return_cov"):
        model.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ConfigurationError, match=r"level 1\.5"):
        model.predict_interval(X[:1], 1.5)
    with pytest.raises(ConfigurationError, match="level 0"):
        model.predict_frame(X[:1], level=0.0)
    with pytest.raises(ConfigurationError, match="probability 1"):
        model.predict_quantiles(X[:1], [0.5, 1.0])


def test_invalid_numbers_of_draws_are_an_error() -> None:
    model = fitted("diagonal")
    for number in (0, -1):
        with pytest.raises(ValueError, match=f"n_samples.*{number}"):
            model.sample(number)
        with pytest.raises(ValueError, match=f"n_samples.*{number}"):
            model.sample_y(X[:2], number)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_seeds_may_be_numpys(kind: type) -> None:
    model = fitted("diagonal")
    np.testing.assert_array_equal(model.sample_y(X[:2], random_state=kind(3)), model.sample_y(X[:2], random_state=3))
    np.testing.assert_array_equal(model.sample(2, random_state=kind(3))[0], model.sample(2, random_state=3)[0])


def test_return_std_and_return_cov_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="both return_std and return_cov"):
        fitted("diagonal").inverse_predict(Y, return_std=True, return_cov=True)


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "predict_distribution",
        "predict_interval",
        "predict_quantiles",
        "predict_modes",
        "predict_frame",
        "log_density",
        "score_samples",
        "responsibilities",
        "inverse_predict",
        "sample_y",
    ],
)
def test_predictions_before_the_fit_are_an_error(method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(GLLiMRegressor(), method)(X)
    with pytest.raises(NotFittedError):
        GLLiMRegressor().sample()


# quality


@specs
def test_the_score_is_r2(spec: str) -> None:
    model = fitted(spec)
    w = np.linspace(0.0, 1.0, len(X))
    assert model.score(X, Y) == pytest.approx(r2_score(Y, model.predict(X)))
    assert model.score(X, Y, w) == pytest.approx(r2_score(Y, model.predict(X), sample_weight=w))
    assert model.score(X, Y) > 0.7  # of three lines for a curve and a square, with noise of 0.1


@specs
def test_unlikely_inputs_have_a_low_density(spec: str) -> None:
    model = fitted(spec)
    far = np.full((1, 4), 1e6)
    assert model.log_density(far)[0] < model.log_density(X).min()
    mean, std = model.predict(far, return_std=True)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()
    assert all(np.isfinite(edge).all() for edge in model.predict_interval(far))
