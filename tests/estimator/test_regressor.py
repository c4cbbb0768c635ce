"""GLLiMRegressor: the checks of scikit-learn, all kinds of input and source, files, and invalid options."""

import itertools
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from deepgllim import GLLiMRegressor
from deepgllim.errors import ConfigurationError, DataError, ModelError, SingularCovarianceWarning
from deepgllim.estimator import files, fitting
from deepgllim.gllim import BatchRows, Iteration, MixtureSpec, Options, Rows, joint_log_density, sample
from deepgllim.storage import read_tensors, write_tensors
from tests.gllim.strategies import fit, generator, make_parameters

Float = NDArray[np.float64]
Array = NDArray[Any]

SPECS: dict[str, dict[str, Any]] = {
    "diagonal": {},
    "isotropic": {"covariance_type": "isotropic", "target_covariance": "isotropic", "target_tied": True},
    "tied full": {"covariance_type": "full", "tied": True, "equal_weights": True},
    "latents": {"n_latents": 2},
    "student": {"dof": 5.0, "target_covariance": "diagonal"},
    "student with latents": {"covariance_type": "isotropic", "n_latents": 1, "dof": "estimated"},
}
ROUNDING = 1e-9  # sums over a hundred rows in another order, a few iterations of EM


# scikit-learn's own checks


def expected_failures(model: GLLiMRegressor) -> dict[str, str]:
    if model.n_components < 3:
        return {}
    return {
        "check_sample_weight_equivalence_on_dense_data": "k-means++ draws other centres from weights than from "
        "repetitions, as in scikit-learn's KMeans; from given responsibilities the two agree, see below"
    }


@pytest.mark.filterwarnings("ignore::deepgllim.errors.ConvergenceWarning")  # on data of a few noisy samples
@pytest.mark.filterwarnings("ignore::deepgllim.errors.EmptyComponentWarning")
@pytest.mark.filterwarnings("ignore::deepgllim.errors.SingularCovarianceWarning")  # or without any noise
@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        GLLiMRegressor(),
        GLLiMRegressor(n_components=3, init="joint", random_state=0),
        GLLiMRegressor(dof=4.0, covariance_type="isotropic"),
        GLLiMRegressor(
            covariance_type="full", tied=True, n_components=2, init="joint", random_state=0, prior_count=1.0
        ),
        GLLiMRegressor(n_latents=1, max_iter=20),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_checks_pass(estimator: GLLiMRegressor, check: Callable[[GLLiMRegressor], None]) -> None:
    check(estimator)


# data


def curve(n: int = 150, seed: int = 0, L: int = 2) -> tuple[Float, Float]:
    """Features that bend with the targets, D = 4."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(-1.0, 1.0, (n, L))
    X = np.column_stack([np.sin(2.0 * y[:, 0]), np.cos(2.0 * y[:, 0]), y.sum(1), y[:, -1] ** 2])
    return X + 0.1 * rng.normal(size=X.shape), y


def make(**options: Any) -> GLLiMRegressor:
    """Two components, ten iterations: enough for identities, and no warning of an early stop."""
    return GLLiMRegressor(**{"n_components": 2, "max_iter": 10, "tol": 0.0, "random_state": 0, **options})


def same(one: GLLiMRegressor, other: GLLiMRegressor, tolerance: float = ROUNDING) -> None:
    """The same parameters, to a share of the largest of each."""
    assert one.parameters_.tensors.keys() == other.parameters_.tensors.keys()
    for name, value in one.parameters_.tensors.items():
        expected = other.parameters_.tensors[name]
        atol = tolerance * float(expected.abs().max())
        assert value.shape == expected.shape, name
        assert bool(((value - expected).abs() <= atol).all()), name


def means(model: GLLiMRegressor, X: Any) -> Float:
    """E[y | x] alone."""
    answer = model.predict(X)
    assert isinstance(answer, np.ndarray)
    return answer


def total(model: GLLiMRegressor, X: Float, y: Float) -> float:
    joint = joint_log_density(torch.from_numpy(X), torch.from_numpy(y.reshape(len(y), -1)), model.parameters_)
    return float(torch.logsumexp(joint, 1).sum())


# fitting


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_fit_is_that_of_the_function(spec: dict[str, Any]) -> None:
    X, y = curve()
    model = make(**spec).fit(X, y)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))  # how a scikit-learn estimator draws one
    alone = fit(torch.from_numpy(X), torch.from_numpy(y), 2, **spec, max_iter=10, tol=0, random_state=seed)
    assert model.log_likelihoods_ == alone.log_likelihoods
    assert all(torch.equal(value, alone.parameters.tensors[name]) for name, value in model.parameters_.tensors.items())
    assert (model.n_components_, model.n_iter_, model.n_features_in_, model.converged_) == (2, 10, 4, False)
    assert model.log_likelihoods_[-1] == pytest.approx(total(model, X, y))


def test_lists_are_accepted() -> None:
    X, y = curve()
    listed = make().fit(X.tolist(), y.tolist())
    same(listed, make().fit(X, y), 0.0)
    assert means(listed, X[:3].tolist()).shape == (3, 2)
    assert listed.target_names_ is None


def test_tables_keep_their_names() -> None:
    X, y = curve()
    names = ["sine", "cosine", "sum", "square"]
    table, targets = pd.DataFrame(X, columns=names), pd.DataFrame(y, columns=["yaw", "pitch"])
    model = make().fit(table, targets)
    same(model, make().fit(X, y), 0.0)
    assert list(model.feature_names_in_) == names
    assert model.target_names_ == ["yaw", "pitch"]
    assert make().fit(table, targets["pitch"]).target_names_ == ["pitch"]
    assert make().fit(table, pd.Series(y[:, 0])).target_names_ is None
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(table[names[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_float32_is_not_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """EM reads the array or the memory map itself, not a copy of all rows."""
    seen: list[Array] = []

    class Spy(Rows):
        def __init__(self, features: Array, *args: Any, **options: Any) -> None:
            seen.append(features)
            super().__init__(features, *args, **options)

    monkeypatch.setattr(fitting, "Rows", Spy)
    X, y = curve()
    low = X.astype(np.float32)
    make().fit(low, y)
    assert seen[-1].dtype == np.float32
    assert np.shares_memory(seen[-1], low)
    low.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", dtype=np.float32, mode="r", shape=X.shape)
    make().fit(mapped, y)
    assert np.shares_memory(seen[-1], mapped)
    make().fit(X, y)
    assert np.shares_memory(seen[-1], X)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_products_in_float32_are_near_those_in_float64(spec: dict[str, Any]) -> None:
    X, y = curve()
    low, high = X.astype(np.float32), X.astype(np.float32).astype(np.float64)
    same(make(**spec).fit(low, y), make(**spec).fit(high, y))  # the same numbers, whatever holds them
    fast = make(dtype="float32", max_iter=3, **spec).fit(low, y)
    exact = make(max_iter=3, **spec).fit(high, y)
    # products good to 1e-7, means over 150 rows; three iterations of EM amplify it
    assert np.abs(means(fast, X) - means(exact, X)).max() < 1e-4
    assert fast.log_likelihoods_ == pytest.approx(exact.log_likelihoods_, rel=1e-4)
    assert fast.parameters_.A.dtype == torch.float64


def test_one_component_in_float32_is_good_to_five_digits() -> None:
    X, y = curve()
    low = X.astype(np.float32)
    fast, exact = (GLLiMRegressor(dtype=dtype).fit(low, y) for dtype in ("float32", "float64"))
    same(fast, exact, 1e-5)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_memory_maps_are_accepted(tmp_path: Path, mode: Any) -> None:
    X, y = curve()
    X.tofile(tmp_path / "x.bin")
    mapped = np.memmap(tmp_path / "x.bin", dtype=np.float64, mode=mode, shape=X.shape)
    model = make().fit(mapped, y)
    same(model, make().fit(X, y), 0.0)
    np.testing.assert_array_equal(model.predict(mapped), model.predict(X))
    np.testing.assert_array_equal(np.asarray(mapped), X)  # and nothing is written to it


def test_tensors_are_accepted() -> None:
    X, y = curve()
    model = make().fit(torch.from_numpy(X), torch.from_numpy(y))
    same(model, make().fit(X, y), 0.0)
    assert isinstance(model.predict(torch.from_numpy(X[:2])), np.ndarray)
    assert model.target_names_ is None


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint16, np.bool_, np.float16])
def test_numbers_of_any_dtype_are_accepted(dtype: type) -> None:
    X, y = curve()
    rounded: Array = (np.abs(X) * 3.0).astype(dtype)
    model = make(n_components=1).fit(rounded, y)
    same(model, make(n_components=1).fit(rounded.astype(np.float64), y), 0.0)
    assert np.isfinite(model.predict(rounded)).all()


def test_memory_layout_makes_no_difference() -> None:
    X, y = curve()
    for layout in (np.asfortranarray(X), X[::-1][::-1], np.repeat(X, 2, 1)[:, ::2]):
        same(make().fit(layout, np.asfortranarray(y)), make().fit(X, y), 0.0)


def test_inputs_are_not_modified() -> None:
    X, y = curve()
    w = np.ones(len(X))
    copies = X.copy(), y.copy(), w.copy()
    make().fit(X, y, w).predict(X)
    assert all(np.array_equal(a, b) for a, b in zip((X, y, w), copies, strict=True))


# weights


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_weights_are_repetitions(spec: dict[str, Any]) -> None:
    X, y = curve()
    count = np.arange(len(X)) % 3  # 0 is the sample left out
    twice = np.repeat(np.arange(len(X)), count)
    r = np.random.default_rng(1).dirichlet([1.0, 1.0], len(X))
    weighted = make(**spec).fit(X, y, count, responsibilities=r)
    repeated = make(**spec).fit(X[twice], y[twice], responsibilities=r[twice])
    same(weighted, repeated)
    assert weighted.log_likelihoods_ == pytest.approx(repeated.log_likelihoods_)


def test_metadata_is_routed() -> None:
    X, y = curve()
    w = np.linspace(0.0, 2.0, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        model = make(n_components=1).set_fit_request(sample_weight=True)
        piped = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        piped.fit(X, y, sample_weight=w)
        scaled = StandardScaler().fit_transform(X)
        same(piped[-1], make(n_components=1).fit(scaled, y, w))
        scored = make(n_components=1).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(scored, {"covariance_type": ["diagonal", "full"]}, cv=2).fit(X, y, sample_weight=w)
    same(
        search.best_estimator_,
        make(n_components=1, covariance_type=search.best_params_["covariance_type"]).fit(X, y, w),
        0.0,
    )


# as scikit-learn uses it


def test_options_can_be_read_and_set() -> None:
    model = make(dof="estimated", covariance_type="full")
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(n_components=4, tied=True).get_params()["n_components"] == 4
    assert not hasattr(clone(make().fit(*curve())), "parameters_")
    assert "n_components=4" in repr(model)
    with pytest.raises(ValueError, match="Invalid parameter 'k'"):
        model.set_params(k=3)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_pickle_predicts_as_before(spec: dict[str, Any]) -> None:
    X, y = curve()
    model = make(**spec).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params()


def test_searches_and_pipelines() -> None:
    X, y = curve(L=1)
    search = GridSearchCV(make(), {"n_components": [1, 4], "dof": [None, 5.0]}, cv=3).fit(X, y[:, 0])
    assert search.best_params_["n_components"] == 4  # the features bend
    piped = make_pipeline(StandardScaler(), make(n_components=4))
    scores = cross_val_score(piped, X, y[:, 0], cv=3)
    assert (scores > 0.9).all()  # noise of 0.1 in each of four features, targets of deviation 0.58
    # an affine change of the features changes nothing with diagonal noise but the rounding
    raw = cross_val_score(make(n_components=4), X, y[:, 0], cv=3)
    np.testing.assert_allclose(scores, raw, atol=1e-6)


def test_seeds_reproduce_and_generators_advance() -> None:
    X, y = curve()
    options = {"n_components": 5, "max_iter": 2, "init": "kmeans", "min_count": 0}
    same(make(**options).fit(X, y), make(**options).fit(X, y), 0.0)
    moving = make(**{**options, "random_state": np.random.RandomState(0)})
    first = moving.fit(X, y).parameters_.pi
    assert not torch.equal(first, moving.fit(X, y).parameters_.pi)
    assert np.isfinite(make(**{**options, "random_state": None}).fit(X, y).predict(X)).all()


# where EM starts


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_warm_start_continues_the_fit(spec: dict[str, Any]) -> None:
    X, y = curve()
    model = make(max_iter=4, warm_start=True, **spec).fit(X, y)
    first = model.log_likelihoods_
    second = model.fit(X, y).log_likelihoods_
    whole = make(max_iter=8, **spec).fit(X, y)
    assert second[0] >= first[-1]
    assert first + second == pytest.approx(whole.log_likelihoods_, rel=ROUNDING)
    same(model, whole, 1e-7)


def test_a_warm_start_takes_fewer_iterations() -> None:
    X, y = curve(400)
    model = GLLiMRegressor(3, tol=1e-3, max_iter=300, random_state=0, warm_start=True).fit(X, y)
    before, value = model.n_iter_, model.log_likelihoods_[-1]
    model.fit(X, y)
    assert model.n_iter_ < before
    assert model.log_likelihoods_[-1] >= value
    cold = GLLiMRegressor(3, tol=1e-3, max_iter=300, random_state=0).fit(X, y)
    assert cold.fit(X, y).n_iter_ == before


def test_a_given_start_replaces_the_initialization() -> None:
    X, y = curve()
    other = make(max_iter=3).fit(X, y)
    found = make(n_components=7, max_iter=2).fit(X, y, start=other.parameters_)  # its K, not 7
    assert found.n_components_ == 2
    same(found, make(max_iter=5).fit(X, y), 1e-7)
    with pytest.raises(ConfigurationError, match="start has covariance_type 'diagonal' but covariance_type is 'full'"):
        make(covariance_type="full").fit(X, y, start=other.parameters_)


def test_given_responsibilities_replace_the_initialization() -> None:
    X, y = curve()
    r = np.stack([y[:, 0] > 0, y[:, 0] <= 0], 1).astype(float)
    found = make(max_iter=1).fit(X, y, responsibilities=r)
    np.testing.assert_allclose(found.parameters_.pi, r.mean(0), rtol=1e-12)
    same(make(max_iter=1, n_components=9).fit(X, y, responsibilities=r.tolist()), found, 0.0)
    with pytest.raises(DataError, match=r"responsibilities \(149, 2\) do not fit 150 samples"):
        make().fit(X, y, responsibilities=r[1:])
    with pytest.raises(ConfigurationError, match="both responsibilities and start"):
        make().fit(X, y, responsibilities=r, start=found.parameters_)


def test_the_best_of_several_initializations_is_kept() -> None:
    X, y = curve()
    options: dict[str, Any] = {"n_components": 5, "max_iter": 8, "init": "kmeans", "min_count": 0}
    several = make(n_init=4, **options).fit(X, y)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    values = [
        fit(X, y, 5, init="kmeans", max_iter=8, tol=0, min_count=0, random_state=seed + i).log_likelihoods[-1]
        for i in range(4)
    ]
    assert len(set(values)) > 1
    assert several.log_likelihoods_[-1] == max(values)


def test_the_callback_receives_every_iteration() -> None:
    X, y = curve()
    seen: list[Iteration] = []
    model = make().fit(X, y, callback=seen.append)
    assert [iteration.number for iteration in seen] == list(range(1, 11))
    assert [iteration.log_likelihood for iteration in seen] == model.log_likelihoods_
    assert sum(seen[-1].counts) == pytest.approx(150)
    rows = Rows(X, y)
    make().fit_rows(rows, callback=seen.append)
    assert len(seen) == 20


# rows of other sources, and streams


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_batches_give_the_same_fit_as_arrays(spec: dict[str, Any]) -> None:
    X, y = curve()
    w = np.linspace(0.5, 1.5, len(X))
    ends = [0, 40, 47, 150]
    parts = [(X[i:j], y[i:j], w[i:j]) for i, j in itertools.pairwise(ends)]
    found, whole = make(**spec).fit_rows(BatchRows(parts)), make(**spec).fit(X, y, w)
    same(found, whole, 1e-8)
    assert found.n_features_in_ == 4
    assert means(found, X).shape == (150, 2)


def test_a_fit_on_rows_deletes_the_feature_names() -> None:
    X, y = curve()
    model = make().fit(pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(y, columns=["u", "v"]))
    model.fit_rows(Rows(X[:, :3], y))
    assert model.target_names_ is None
    assert not hasattr(model, "feature_names_in_")
    assert means(model, X[:, :3]).shape == (150, 2)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_stream_of_batches_approaches_the_fit(spec: dict[str, Any]) -> None:
    p = make_parameters(0, "diagonal", False, 2, 2, 4)
    p = p._replace(c=torch.tensor([[-4.0, 0.0], [4.0, 0.0]]).double())
    x, y = (values.numpy() for values in sample(p, 2400, generator(0)))
    whole, streamed = make(**spec).fit(x, y), make(**spec)
    for start in range(0, 2400, 120):
        streamed.partial_fit(x[start : start + 120], y[start : start + 120])
    first = make(**spec).fit(x[:120], y[:120])
    assert streamed.n_iter_ == 20
    best, begun, last = (total(model, x, y) / 2400 for model in (whole, first, streamed))
    # the fit has an error of (free parameters) / 2N ≈ 40 / 5000 nats a sample, the first batch by twenty times that
    assert best - last < 0.04
    assert best - last < 0.4 * (best - begun)
    assert np.abs(means(streamed, x) - means(whole, x)).mean() < 0.1 * y.std()


def test_the_first_batch_is_fitted() -> None:
    X, y = curve()
    w = np.linspace(0.5, 1.5, len(X))
    same(make().partial_fit(X, y, w), make().fit(X, y, w), 1e-12)


def test_a_stream_continues_a_fit() -> None:
    X, y = curve(300)
    model = make().fit(X[:200], y[:200])
    before = pickle.loads(pickle.dumps(model))
    same(model.partial_fit(X[200:], y[200:]), before, 1e-12)  # the first batch gives its averages alone
    assert model.partial_fit(X[200:], y[200:]).n_iter_ == 2


def test_a_fit_ends_an_earlier_stream() -> None:
    """A fit deletes the stream, so that the next batch does not depend on it."""
    X, y = curve(300)
    model = make().partial_fit(X, y + 50.0)
    model.fit(X, y)
    fitted = pickle.loads(pickle.dumps(model))
    model.partial_fit(X, y)
    same(model, fitted, 1e-6)
    model.fit(X[:, :3], y)
    assert model.partial_fit(X[:, :3], y).n_features_in_ == 3


def test_batches_that_do_not_match_the_stream_are_an_error() -> None:
    X, y = curve()
    model = make().partial_fit(X, y)
    with pytest.raises(DataError, match="y has 1 targets, but the earlier batches had 2"):
        model.partial_fit(X, y[:, 0])
    with pytest.raises(ValueError, match="X has 3 features"):
        model.partial_fit(X[:, :3], y)
    with pytest.raises(DataError, match="1 samples are fewer than 2 components"):
        make().partial_fit(X[:1], y[:1])
    with pytest.raises(
        ConfigurationError, match="covariance_type is 'full', but the earlier samples were fitted with 'diagonal'"
    ):
        make().fit(X, y).set_params(covariance_type="full").partial_fit(X, y)


# files


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_file_predicts_as_before(tmp_path: Path, spec: dict[str, Any], flat: bool) -> None:
    X, y = curve()
    y = y[:, 0] if flat else y
    model = make(**spec).fit(X, y)
    model.save(tmp_path / "m.safetensors")
    again = GLLiMRegressor.load(tmp_path / "m.safetensors")
    assert again.get_params() == model.get_params()
    for name, value in model.parameters_.tensors.items():
        assert torch.equal(again.parameters_.tensors[name], value)
    for a, b in zip(again.predict(X, return_std=True), model.predict(X, return_std=True), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(again.log_density(X), model.log_density(X))
    assert (again.n_features_in_, again.n_components_) == (4, 2)
    assert again.target_names_ is None
    assert not hasattr(again, "feature_names_in_")


def test_names_are_kept_in_files(tmp_path: Path) -> None:
    X, y = curve()
    table, targets = pd.DataFrame(X, columns=list("abcd")), pd.DataFrame(y, columns=["Gier", "Höhe"])
    make().fit(table, targets).save(str(tmp_path / "m"))
    again = GLLiMRegressor.load(str(tmp_path / "m"))
    assert again.target_names_ == ["Gier", "Höhe"]
    assert list(again.feature_names_in_) == list("abcd")
    assert next(iter(again.predict_frame(table))) == "Gier"
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(table[list("dcba")])


@pytest.mark.parametrize("way", ["warm_start", "partial_fit", "start"])
def test_a_loaded_model_can_continue_its_fit(tmp_path: Path, way: str) -> None:
    X, y = curve()
    model = make(max_iter=3, warm_start=way == "warm_start").fit(X, y)
    model.save(tmp_path / "m")
    again = GLLiMRegressor.load(tmp_path / "m")
    value = total(again, X, y)
    if way == "partial_fit":
        again.partial_fit(X, y).partial_fit(X, y)
    else:
        again.fit(X, y, start=again.parameters_ if way == "start" else None)
        assert again.log_likelihoods_[0] >= value
    assert total(again, X, y) >= value


def test_options_that_came_from_a_search_can_be_saved(tmp_path: Path) -> None:
    """The values of a grid may be NumPy scalars."""
    X, y = curve()
    grid = {"n_components": np.arange(1, 3), "dof": [np.float64(5.0)], "tied": np.array([True])}
    best = GridSearchCV(make(), grid, cv=2).fit(X, y).best_estimator_
    best.save(tmp_path / "m")
    assert GLLiMRegressor.load(tmp_path / "m").get_params() == best.get_params()


def test_models_that_cannot_be_saved_are_an_error(tmp_path: Path) -> None:
    X, y = curve()
    with pytest.raises(ConfigurationError, match=r"random_state is a generator.*set it to a number or None"):
        make(random_state=np.random.RandomState(0)).fit(X, y).save(tmp_path / "m")
    with pytest.raises(sklearn.exceptions.NotFittedError):
        make().save(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        make().fit(X, y).save(tmp_path / "file" / "m")


def changed(path: Path, what: str) -> None:
    """Change a saved model."""
    tensors, metadata = read_tensors(path)
    header = json.loads(metadata[files.HEADER])
    if what == "other kind":
        write_tensors(path, tensors, {"other": "{}"})
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif what == "text":
        path.write_text("a model")
    elif what == "newer":
        header["format_version"] = files.FORMAT_VERSION + 1
    elif what == "option":
        header["options"]["colour"] = "red"
    elif what == "no options":
        del header["options"]
    elif what == "singular":
        tensors["Gamma"] = -tensors["Gamma"]
    elif what == "lacking":
        del tensors["A"]
    elif what == "surplus":
        tensors["Z"] = torch.ones(1)
    elif what == "shape":
        tensors["b"] = tensors["b"][:, :2]
    if what in ("newer", "option", "no options", "singular", "lacking", "surplus", "shape"):
        write_tensors(path, tensors, {files.HEADER: json.dumps(header)})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("other kind", "not a deepgllim model.*GLLiMRegressor.save"),
        ("cut", "cut short or not a safetensors file"),
        ("text", "cut short or not a safetensors file"),
        ("newer", "model format 4, this version reads up to 3: upgrade"),
        *[(what, "does not contain a fitted mixture") for what in ("option", "no options", "singular", "lacking")],
        *[(what, "does not contain a fitted mixture") for what in ("surplus", "shape")],
    ],
)
def test_files_of_other_kinds_are_an_error(tmp_path: Path, what: str, message: str) -> None:
    path = tmp_path / "m.safetensors"
    make().fit(*curve()).save(path)
    changed(path, what)
    with pytest.raises(ModelError, match=rf"m\.safetensors: .*{message}"):
        GLLiMRegressor.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: no such file"):
        GLLiMRegressor.load(tmp_path / "nowhere")


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components is 0: use a whole number, 1 or more"),
        ({"n_components": -3}, "n_components is -3: use a whole number, 1 or more"),
        ({"n_components": 151}, "150 samples are fewer than 151 components: use more samples or a smaller K"),
        ({"covariance_type": "round"}, "unknown covariance_type 'round': use one of isotropic, diagonal, full"),
        ({"target_covariance": "round"}, "target_covariance 'round': use one of full, diagonal, isotropic"),
        ({"dof": -1}, "dof is -1: use None for Gaussian noise, 'estimated', or degrees of freedom"),
        ({"dof": 0.0}, "dof is 0.0"),
        ({"dof": "guessed"}, "dof is 'guessed'"),
        ({"dof": np.nan}, "dof is nan"),
        ({"n_latents": -1}, "n_latents is -1: use a whole number, 0 or more"),
        ({"n_latents": 4}, "latents.*4.*features.*use fewer"),
        ({"init": "random"}, "init 'random': use one of targets, kmeans, joint"),
        ({"n_init": 0}, "n_init is 0: use a whole number, 1 or more"),
        ({"max_iter": 0}, "max_iter is 0: use a whole number, 1 or more"),
        ({"covariance_floor": -1e-3}, "covariance_floor is -0.001"),
        ({"prior_count": -1.0}, "prior_count is -1.0"),
        ({"prior_variance": 0.0}, "prior_variance is 0.0"),
        ({"missing": "drop"}, "missing 'drop': use one of error, integrate, impute"),
        ({"dtype": "float16"}, "dtype 'float16': use one of float64, float32"),
        ({"random_state": "seven"}, "'seven' cannot be used to seed"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_invalid_options_are_an_error(options: dict[str, Any], message: str, method: str) -> None:
    """The fit raises a ValueError with the value and its range; the constructor does not."""
    model = make(**options)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(*curve())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"n_components": 1.5}, "component"),
        ({"n_latents": 0.5}, "latents"),
        ({"max_iter": 2.5}, "iter"),
        ({"tol": -1e-3}, "tol"),
        ({"tol": np.nan}, "tol"),
        ({"device": "abacus"}, "device"),
    ],
    ids=str,
)
def test_options_of_wrong_type_are_an_error(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        make(**options).fit(*curve())


def test_messages_name_the_options_of_the_estimator() -> None:
    with pytest.raises(ValueError, match=r"max_iter\b"):
        make(max_iter=0).fit(*curve())
    with pytest.raises(ValueError, match=r"n_init\b"):
        make(n_init=0).fit(*curve())


def test_options_set_after_the_fit_are_checked_too() -> None:
    X, y = curve()
    model = make().fit(X, y).set_params(missing="drop")
    with pytest.raises(ConfigurationError, match="unknown missing 'drop'"):
        model.predict(X)


@pytest.mark.parametrize("missing", ["error", "integrate", "impute"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["X", "y", "sample_weight"])
def test_values_that_are_not_finite_are_an_error(missing: str, value: float, where: str) -> None:
    X, y = curve()
    given: dict[str, Any] = {"X": X, "y": y, "sample_weight": np.ones(len(X))}
    given[where].flat[7] = value
    with pytest.raises(ValueError, match=f"[Ii]nput {where} contains (NaN|infinity)"):
        make(missing=missing).fit(**given)


def test_invalid_weights_are_an_error() -> None:
    X, y = curve()
    for weights, message in (
        (np.zeros(150), "all sample weights are 0|at least one non-zero"),
        (np.full(150, -1.0), "[Nn]egative values in data passed to `sample_weight`"),
        (np.ones(149), r"sample_weight.shape == \(149,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make().fit(X, y, weights)


def test_missing_features_at_prediction() -> None:
    X, y = curve()
    gaps = X.copy()
    gaps[::3, 1] = np.nan
    gaps[1] = np.nan
    model = make().fit(X, y)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(gaps)
    whole = means(model, X)
    for missing in ("integrate", "impute"):
        model.set_params(missing=missing)
        found, std = model.predict(gaps, return_std=True)
        assert np.isfinite(found).all()
        assert np.isfinite(std).all()
        complete = ~np.isnan(gaps).any(1)
        np.testing.assert_allclose(found[complete], whole[complete], rtol=1e-9, atol=1e-12)
        with pytest.raises(ValueError, match="infinity"):
            model.predict(np.full((1, 4), np.inf))
    model.set_params(missing="integrate")
    np.testing.assert_allclose(means(model, gaps)[1], model.parameters_.pi @ model.parameters_.c, rtol=1e-9)
    assert np.isnan(gaps[1]).all()  # not filled in place


def test_too_few_distinct_targets_are_an_error() -> None:
    X, _ = curve()
    y = (X[:, 2] > 0).astype(int)
    with pytest.raises(DataError, match=r"2 distinct values are fewer than 3 components.*init 'joint'"):
        make(n_components=3).fit(X, y)
    found = make(n_components=3, init="joint").fit(X, y)
    assert found.score(X, y) > 0.3


def test_too_few_samples_for_a_full_covariance_are_a_warning() -> None:
    """Thirty samples of forty features: the likelihood measures the floor."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(30, 1))
    x = y @ rng.normal(size=(1, 40)) + rng.normal(size=(30, 40))
    with pytest.warns(SingularCovarianceWarning, match="singular but for covariance_floor.*prior_count"):
        assert GLLiMRegressor(covariance_type="full").fit(x, y).at_floor_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not GLLiMRegressor(covariance_type="full", prior_count=20.0).fit(x, y).at_floor_
        assert not GLLiMRegressor().fit(x, y).at_floor_


# what an earlier fit, too few samples, weights and distance leave


@pytest.mark.parametrize("change", [{"n_components": 4}, {"covariance_type": "full"}, {"n_latents": 1}])
def test_a_changed_mixture_is_initialized_again(change: dict[str, Any]) -> None:
    X, y = curve()
    model = make(warm_start=True).fit(X, y).set_params(**change).fit(X, y)
    same(model, make(**change).fit(X, y), 0.0)
    streamed = make().partial_fit(X, y).set_params(**change)
    with pytest.raises(ConfigurationError, match=r"earlier samples were fitted with .*: set it back, or call fit"):
        streamed.partial_fit(X, y)


def test_one_sample_and_constant_targets_are_a_warning() -> None:
    X, y = curve()
    with pytest.warns(SingularCovarianceWarning, match=r"y0, y1 has the same value in all 1 samples"):
        assert make(n_components=1).fit(X[:1], y[:1]).at_floor_
    with pytest.warns(SingularCovarianceWarning, match=r"y0, y1 has the same value in all 1 samples"):
        make(n_components=1).partial_fit(X[:1], y[:1])
    y[:, 1] = 3.0
    with pytest.warns(SingularCovarianceWarning, match=r"^y1 has the same value in all 150 samples"):
        make(n_components=1).fit(X, y)


def test_weights_that_count_too_few_samples_are_an_error() -> None:
    X, y = curve()
    with pytest.raises(DataError, match=r"sum to 1, below the 8 samples .*: .*divide the weights by their mean"):
        make().fit(X, y, sample_weight=np.full(len(X), 1 / len(X)))
    with pytest.raises(DataError, match="sum of the sample weights overflows"):
        make().fit(X, y, sample_weight=np.full(len(X), 1e307))


def test_rows_too_far_for_their_squares_are_an_error() -> None:
    X, y = curve()
    model = make().fit(X, y)
    far = np.where(np.arange(len(X))[:, None] == 2, 1e300, X)
    for ask in (model.predict, model.predict_interval, model.log_density):
        with pytest.raises(DataError, match="features row 2 is so far from the training data"):
            ask(far)
    targets = np.where(np.arange(len(y))[:, None] == 2, 1e300, y)
    for answer in (model.inverse_predict, lambda t: model.responsibilities(X, t), lambda t: model.score_samples(X, t)):
        with pytest.raises(DataError, match="targets row 2 is so far from the training data"):
            answer(targets)
    assert np.isfinite(model.predict(X * 1e100)).all()


@pytest.mark.parametrize("what", ["deep", "nan", "origin"])
def test_inconsistent_files_are_an_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "m"
    make().fit(*curve()).save(path)
    tensors, metadata = read_tensors(path)
    if what == "deep":
        metadata = {files.HEADER: "[" * 100_000}
    elif what == "nan":
        tensors["b_centred"][0, 0] = torch.nan
    else:
        del tensors["target_origin"]
    write_tensors(path, tensors, metadata)
    with pytest.raises(ModelError, match="header is not a model's" if what == "deep" else "does not contain a fitted"):
        GLLiMRegressor.load(path)


def test_files_of_the_first_format_are_read(tmp_path: Path) -> None:
    X, y = curve()
    model = make().fit(X, y)
    model.save(tmp_path / "m")
    tensors, metadata = read_tensors(tmp_path / "m")
    header = {**json.loads(metadata[files.HEADER]), "format_version": 1}
    old = {name: value for name, value in tensors.items() if name not in files.ORIGINS}
    write_tensors(tmp_path / "m", old, {files.HEADER: json.dumps(header)})
    np.testing.assert_allclose(GLLiMRegressor.load(tmp_path / "m").predict(X), model.predict(X), atol=1e-10)


@pytest.mark.parametrize("version", [1, 2])
def test_option_names_of_earlier_formats_are_translated(tmp_path: Path, version: int) -> None:
    X, y = curve()
    model = make(covariance_type="isotropic", covariance_floor=1e-3).fit(X, y)
    model.save(tmp_path / "m")
    tensors, metadata = read_tensors(tmp_path / "m")
    header = json.loads(metadata[files.HEADER]) | {"format_version": version}
    options = header["options"]
    options["noise"], options["variance_floor"] = options.pop("covariance_type"), options.pop("covariance_floor")
    del options["shrinkage"]  # which they did not have
    if version == 1:
        tensors = {name: value for name, value in tensors.items() if name not in files.ORIGINS}
    write_tensors(tmp_path / "m", tensors, {files.HEADER: json.dumps(header)})
    again = GLLiMRegressor.load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    np.testing.assert_allclose(again.predict(X), model.predict(X), atol=1e-10)


def test_defaults_are_those_of_the_specification_and_the_options() -> None:
    defaults = MixtureSpec()._asdict() | Options()._asdict()
    found = {name: value for name, value in GLLiMRegressor().get_params().items() if name in defaults}
    assert found == {name: defaults[name] for name in found}
    assert len(found) == len(defaults) - 2  # without callback and first_log_likelihood, which are not options of it


@pytest.mark.parametrize("name", ["noise", "variance_floor", "n_starts", "max_iterations", "tolerance", "seed"])
def test_earlier_names_are_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        make(**{name: 1})
