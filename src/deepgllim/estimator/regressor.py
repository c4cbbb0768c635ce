"""GLLiMRegressor: the scikit-learn face of the mixture. Arrays and tables in and out; the mathematics is gllim's."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from deepgllim.errors import ConfigurationError, DataError, SingularCovarianceWarning
from deepgllim.estimator.files import MISFITS, not_a_mixture, read_mixture, write_mixture
from deepgllim.estimator.predictions import MixturePredictions, check_missing
from deepgllim.gllim import Centred, Fit, Iteration, MixtureSpec, Options, Parameters, Rows, fit_rows, invert, stream
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.em import rows_at_once

Float = NDArray[np.float64]

DTYPES = {"float64": torch.float64, "float32": torch.float32}


class GLLiMRegressor(MixturePredictions, MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Regression by a mixture of linear inverse regressions: x | y, k ~ N(A_k y + b_k, Σ_k), inverted in closed form.

    p(y | x) = Σ_k w_k(x) N(y; A*_k x + b*_k, Σ*_k): a mean, a joint covariance, several modes, and log p(x), which
    tells whether an input is like the training data. Learning from targets to features has few parameters when features
    are many, and several targets may belong to one input.

    Parameters:
        n_components: K, the number of local linear regressions, ≥ 1.
        n_latents: Lw ≥ 0, the dimension of what moves the features and is not among the targets.
        noise: structure of the features' covariance Σ: "isotropic", "diagonal" or "full".
        tied: one Σ for all components.
        target_covariance: structure of the targets' Γ: "full", "diagonal" or "isotropic".
        target_tied: one Γ for all components.
        equal_weights: every component has the weight 1/K.
        dof: None for Gaussian noise; for Student noise its degrees of freedom, or "estimated" for each component.
        init: first responsibilities from "targets" (k-means on y, then a Gaussian mixture), "kmeans" (on y) or "joint"
            (k-means on X and y).
        n_init: starts, of which the likeliest is kept.
        max_iter: iterations of EM at most.
        tol: stop when the gain is under this share of the whole gain; 0 runs all iterations.
        variance_floor: least variances, as a share of the data's.
        prior_count: pseudo-samples of an inverse Wishart prior on Σ_k and Γ_k; 0 for none.
        prior_variance: the variance each brings, as a share of the data's.
        min_count: samples under which a component is removed; None for y's columns + n_latents + 2.
        missing: NaN in X at prediction: an "error", "integrate" them out (exact), or "impute" their conditional mean.
        dtype: "float64", or "float32": products of half the size, good to about 1e-5.
        device: where the sums of EM are made: None for the CPU, "cuda".
        warm_start: go on from the last parameters instead of starting anew; after a change of n_components, noise or
            n_latents, which they cannot serve, a fit starts anew all the same.
        random_state: of the initialisation: an int, a generator or None.

    Attributes:
        parameters_: π, c, Γ, A, b, Σ (and ν) in the units of X and y; tensors, float64.
        n_components_: components that are left.
        n_iter_: iterations of EM.
        log_likelihoods_: Σ_n log p(x_n, y_n) after each.
        converged_: whether the gain fell under `tol`.
        at_floor_: whether a variance sits on `variance_floor`, or a target is constant, which is a
            `SingularCovarianceWarning`.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.
        target_names_: columns of y, when it was a table.

    Raises:
        ValueError: for data or options that cannot be used; the message names the value, the cause and the remedy.

    Source: Deleforge, Forbes & Horaud, Statistics and Computing 2015; Perthame, Forbes & Deleforge, Journal of
    Multivariate Analysis 2018.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> y = rng.uniform(-1, 1, 500)
        >>> X = np.column_stack([np.sin(2 * y), np.cos(2 * y), y]) + 0.05 * rng.normal(size=(500, 3))
        >>> model = GLLiMRegressor(n_components=5, random_state=0).fit(X, y)
        >>> mean, std = model.predict(X[:2], return_std=True)
        >>> lower, upper = model.predict_interval(X[:2], level=0.9)
        >>> bool((np.abs(mean - y[:2]) < 0.2).all()), mean.shape, std.shape, lower.shape
        (True, (2,), (2,), (2,))
        >>> bool(model.log_density(X[:1])[0] > model.log_density([[5.0, 5.0, 5.0]])[0])
        True
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        n_latents: int = 0,
        noise: str = "diagonal",
        tied: bool = False,
        target_covariance: str = "full",
        target_tied: bool = False,
        equal_weights: bool = False,
        dof: float | Literal["estimated"] | None = None,
        init: str = "targets",
        n_init: int = 1,
        max_iter: int = 300,
        tol: float = 1e-4,
        variance_floor: float = 1e-6,
        prior_count: float = 0.0,
        prior_variance: float = 1e-2,
        min_count: float | None = None,
        missing: str = "error",
        dtype: str = "float64",
        device: str | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_latents = n_latents
        self.noise = noise
        self.tied = tied
        self.target_covariance = target_covariance
        self.target_tied = target_tied
        self.equal_weights = equal_weights
        self.dof = dof
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.variance_floor = variance_floor
        self.prior_count = prior_count
        self.prior_variance = prior_variance
        self.min_count = min_count
        self.missing = missing
        self.dtype = dtype
        self.device = device
        self.warm_start = warm_start
        self.random_state = random_state

    # Fitting.

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        start: Parameters | Centred | None = None,
        responsibilities: ArrayLike | None = None,
        callback: Callable[[Iteration], object] | None = None,
    ) -> Self:
        """EM on X (n, D) and y (n,) or (n, L).

        Parameters:
            X: features; an array, table, sparse-free, of any real dtype, or a memory map, which is never copied whole.
            y: targets, in any unit.
            sample_weight: (n,), ≥ 0: 2 is the sample twice, 0 without it.
            start: first parameters, such as `parameters_` of another model.
            responsibilities: first r, (n, K), instead.
            callback: called after each iteration, with its number, log-likelihood and counts.
        """
        self._check_options()
        features, targets, weights = self._checked(X, y, sample_weight)
        r = None if responsibilities is None else np.asarray(responsibilities, np.float64)
        return self._run(self._rows(features, targets, weights), start, r, callback)

    def fit_rows(self, rows: Rows, *, callback: Callable[[Iteration], object] | None = None) -> Self:
        """EM on rows of any source: batches passed over once an iteration, or a part of the data in each process.

        Example:
            >>> from deepgllim.gllim import BatchRows
            >>> batches = [(torch.randn(100, 4), torch.randn(100, 2)) for _ in range(3)]
            >>> GLLiMRegressor().fit_rows(BatchRows(batches)).predict(np.zeros((1, 4))).shape
            (1, 2)
        """
        self._check_options()
        self._forget("feature_names_in_")
        self.n_features_in_ = len(rows.scaling.feature_mean)
        self._n_targets, self._flat, self.target_names_ = len(rows.scaling.target_mean), False, None
        return self._run(rows, None, None, callback)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Stepwise EM: one step on a batch of a stream. The first batch starts the components and should hold many."""
        first = not hasattr(self, "stream_")
        self._check_options()
        if hasattr(self, "parameters_"):
            self._require_same_mixture()
        features, targets, weights = self._checked(X, y, sample_weight, reset=first)
        if first:
            rows = self._rows(features, targets, weights)
            self.stream_ = stream.begin(rows, self.n_components, self._spec(), self._options(), self._last())
            self._warn_of_constant_targets(rows)
        else:
            rows = self._rows(features, targets, weights, scaling=self.stream_.scaling)
            self.stream_ = stream.advance(self.stream_, rows, self._options())
        self._set_parameters(self.stream_.fitted, self.stream_.centred)
        self._forget("log_likelihoods_", "trace_", "converged_", "at_floor_")
        self.n_iter_ = self.stream_.n_batches
        return self

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool = True
    ) -> tuple[Float, Float, Float | None]:
        """Features (n, D) in their own float dtype, targets (n, L), weights (n,), as scikit-learn checks them."""
        names = _column_names(y)
        options = {"multi_output": True, "y_numeric": True, "dtype": [np.float64, np.float32], "reset": reset}
        features, targets = validate_data(self, X, y, **options)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, features, ensure_non_negative=True)
        flat, width = targets.ndim == 1, 1 if targets.ndim == 1 else targets.shape[1]
        if reset:
            self._flat, self._n_targets, self.target_names_ = flat, width, names
        elif width != self._n_targets:
            raise DataError(f"y has {width} targets, the batches before had {self._n_targets}: give the same")
        return features, targets.reshape(len(targets), -1), weights

    def _check_options(self) -> None:
        check_missing(self.missing)
        if self.dtype not in DTYPES:
            raise ConfigurationError(f"unknown dtype {self.dtype!r}: use one of {', '.join(DTYPES)}")
        for name, least in (("n_components", 1), ("n_latents", 0), ("n_init", 1), ("max_iter", 1)):
            require_integer(name, getattr(self, name), least)
        if not self.tol >= 0:
            raise ConfigurationError(f"tol is {self.tol}: use 0 or more")

    def _spec(self) -> MixtureSpec:
        return MixtureSpec(
            self.noise,
            self.tied,
            self.target_covariance,
            self.target_tied,
            self.equal_weights,
            self.n_latents,
            self.dof,
        )

    @property
    def _mixture(self) -> tuple[int, str, int]:
        """What the parameters of an earlier fit must agree in to be gone on from."""
        return self.n_components, self.noise, self.n_latents

    def _last(self) -> Centred | None:
        """The last parameters; None where there are none, or another mixture is asked for since."""
        return self._centred if hasattr(self, "parameters_") and self._asked == self._mixture else None

    def _require_same_mixture(self) -> None:
        names = ("n_components", "noise", "n_latents")
        for name, before, now in zip(names, self._asked, self._mixture, strict=True):
            if before != now:
                raise ConfigurationError(
                    f"{name} is {now!r}, the samples before were fitted with {before!r}: set it back, or call fit"
                )

    def _options(
        self, callback: Callable[[Iteration], object] | None = None, first_log_likelihood: float | None = None
    ) -> Options:
        return Options(
            init=self.init,
            n_starts=self.n_init,
            max_iterations=self.max_iter,
            tolerance=self.tol,
            variance_floor=self.variance_floor,
            prior_count=self.prior_count,
            prior_variance=self.prior_variance,
            minimum_count=self.min_count,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            first_log_likelihood=first_log_likelihood,
            callback=callback,
        )

    def _rows(self, X: Float, y: Float, sample_weight: Float | None, **options: Any) -> Rows:
        return Rows(
            X,
            y,
            sample_weight,
            block_rows=rows_at_once(self._spec(), self.n_components, X.shape[1]),
            dtype=DTYPES[self.dtype],
            device=self.device,
            **options,
        )

    def _run(
        self,
        rows: Rows,
        start: Parameters | Centred | None,
        r: Float | None,
        callback: Callable[[Iteration], object] | None,
    ) -> Self:
        since = None
        if start is None and r is None and self.warm_start:
            start = self._last()
            since = self.log_likelihoods_[0] if start is not None and hasattr(self, "log_likelihoods_") else None
        K = None if start is not None or r is not None else self.n_components
        options = self._options(callback, since)
        fitted = fit_rows(rows, K, self._spec(), options, responsibilities=r, start=start)
        self._warn_of_constant_targets(rows)
        return self._keep(fitted, bool(rows.constant_targets))

    def _warn_of_constant_targets(self, rows: Rows) -> None:
        if rows.constant_targets:
            names = ", ".join(self._names()[index] for index in rows.constant_targets)
            warnings.warn(
                f"{names} has the same value in all {rows.n_total} samples, which tell nothing of its spread: its "
                "standard deviations come from variance_floor or the prior alone; give samples that differ",
                SingularCovarianceWarning,
                stacklevel=4,
            )

    def _keep(self, fitted: Fit, constant: bool) -> Self:
        assert fitted.centred is not None
        cpu = torch.device("cpu")
        self._set_parameters(fitted.parameters.to(cpu), fitted.centred.to(cpu))
        self.log_likelihoods_, self.trace_ = fitted.log_likelihoods, fitted.trace
        self.converged_, self.n_iter_ = fitted.converged, len(fitted.log_likelihoods)
        self.at_floor_ = fitted.at_floor or constant
        if fitted.at_floor:
            warnings.warn(
                "a noise covariance is singular but for variance_floor, and intervals will be far too narrow: too few "
                "samples for the form, features that repeat others, or that the targets explain without error; "
                "use a simpler or tied noise, fewer components, or prior_count",
                SingularCovarianceWarning,
                stacklevel=4,
            )
        self._forget("stream_")
        return self

    def _forget(self, *names: str) -> None:
        """Drop what an earlier fit of another kind has left."""
        for name in names:
            self.__dict__.pop(name, None)

    def _set_parameters(self, parameters: Parameters, about: Centred) -> None:
        self.parameters_, self.n_components_, self._asked = parameters, parameters.n_components, self._mixture
        self._centred, self._forward = about, invert(about)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False  # at prediction only, by `missing`
        return tags

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file with a JSON header: no pickle, whole or not at all.

        Raises:
            ModelError: if it cannot be written.
        """
        check_is_fitted(self)
        if isinstance(self.random_state, np.random.RandomState):
            raise ConfigurationError("random_state is a generator, which no file can hold: set it to a number or None")
        names = getattr(self, "feature_names_in_", None)
        header = {
            "options": self.get_params(),
            "flat": self._flat,
            "n_iter": self.n_iter_,
            "converged": getattr(self, "converged_", None),
            "log_likelihoods": getattr(self, "log_likelihoods_", None),
            "target_names": self.target_names_,
            "feature_names": None if names is None else list(names),
        }
        write_mixture(path, self.parameters_, self._centred, header)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The model that `save` wrote; it predicts as it did, and can be fitted on with `warm_start` or `partial_fit`.

        Raises:
            ModelError: if the file is missing, cut short, foreign, of a newer version, or does not hold a mixture.

        Example:
            >>> import tempfile
            >>> model = GLLiMRegressor().fit([[0.0, 1.0], [1.0, 0.5], [2.0, 0.0]], [0.0, 1.1, 2.0])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     model.save(f"{folder}/m.safetensors")
            ...     again = GLLiMRegressor.load(f"{folder}/m.safetensors")
            >>> bool((again.predict([[1.0, 0.4]]) == model.predict([[1.0, 0.4]])).all())
            True
        """
        parameters, about, header = read_mixture(path)
        try:
            model = cls(**header["options"])
            model._flat, model.target_names_ = bool(header["flat"]), header["target_names"]
            model._set_parameters(parameters, about)
            feature_names, model.n_iter_ = header["feature_names"], int(header["n_iter"])
            if header["converged"] is not None:
                model.converged_, model.log_likelihoods_ = bool(header["converged"]), list(header["log_likelihoods"])
        except MISFITS as error:
            raise not_a_mixture(path, error) from None
        model._n_targets, model.n_features_in_ = parameters.n_targets, parameters.n_features
        if feature_names is not None:
            model.feature_names_in_ = np.asarray(feature_names, dtype=object)
        return model


def _column_names(y: object) -> list[str] | None:
    """The names of a table's or series' columns; None for arrays."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return [str(name) for name in columns]
    name = getattr(y, "name", None)
    return [str(name)] if name is not None and hasattr(y, "iloc") else None
