"""The fitting methods of `GLLiMRegressor`: batch EM, EM on rows from any source, and stepwise EM."""

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from deepgllim.errors import ConfigurationError, DataError, SingularCovarianceWarning
from deepgllim.estimator.missing import check_missing
from deepgllim.estimator.predictions import MixturePredictions
from deepgllim.gllim import (
    Centred,
    Fit,
    Iteration,
    MixtureSpec,
    Options,
    Parameters,
    Rows,
    check_spec,
    fit_rows,
    invert,
    rows_at_once,
    stream,
)
from deepgllim.gllim.blocks import find_device

Float = NDArray[np.float64]
Callback = Callable[[Iteration], object]

DTYPES = {"float64": torch.float64, "float32": torch.float32}


class MixtureFitting(MixturePredictions):
    """The fitting half of `GLLiMRegressor`; its options are fields of `MixtureSpec` and `Options`."""

    n_components: int
    n_latents: int
    covariance_type: str
    random_state: int | np.random.RandomState | None
    dtype: str
    device: str | None
    warm_start: bool
    log_likelihoods_: list[float]
    _fitted_as: tuple[object, ...]

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        start: Parameters | Centred | None = None,
        responsibilities: ArrayLike | None = None,
        callback: Callback | None = None,
    ) -> Self:
        """Fit the mixture by EM.

        Parameters:
            X: features, (n, D): an array or a dense table of any real dtype, or a memory map, which is never copied as
                a whole.
            y: targets, (n,) or (n, L), in any unit.
            sample_weight: weights, (n,), ≥ 0; a weight of 2 counts as two samples.
            start: initial parameters, such as `parameters_` of another model; they determine the number of components.
            responsibilities: initial responsibilities, (n, K), instead of `start`.
            callback: function that is called after each iteration with an `Iteration`.
        """
        self._check_options()
        features, targets, weights = self._checked(X, y, sample_weight)
        r = None if responsibilities is None else np.asarray(responsibilities, np.float64)
        return self._run(self._rows(features, targets, weights), start, r, callback)

    def fit_rows(self, rows: Rows, *, callback: Callback | None = None) -> Self:
        """Fit the mixture to rows from any source: batches that are read once per iteration, or data across processes.

        Example:
            >>> from deepgllim import GLLiMRegressor
            >>> from deepgllim.gllim import BatchRows
            >>> batches = [(torch.randn(100, 4), torch.randn(100, 2)) for _ in range(3)]
            >>> GLLiMRegressor().fit_rows(BatchRows(batches)).predict(np.zeros((1, 4))).shape
            (1, 2)
        """
        self._check_options()
        self._delete("feature_names_in_")
        self.n_features_in_ = len(rows.scaling.feature_mean)
        self._n_targets, self._flat, self.target_names_ = len(rows.scaling.target_mean), False, None
        return self._run(rows, None, None, callback)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Run one step of stepwise EM on a batch of a stream; the first batch initializes the components."""
        first = not hasattr(self, "stream_")
        self._check_options()
        if hasattr(self, "parameters_"):
            self._require_same_mixture()
        features, targets, weights = self._checked(X, y, sample_weight, reset=first)
        if first:
            rows = self._rows(features, targets, weights)
            self.stream_ = stream.begin(rows, self._spec(), self._options(), self._last_parameters())
            self._warn_about_constant_targets(rows)
        else:
            rows = self._rows(features, targets, weights, scaling=self.stream_.scaling)
            self.stream_ = stream.advance(self.stream_, rows, self._options())
        self._set_parameters(self.stream_.fitted, self.stream_.centred)
        self._delete("log_likelihoods_", "trace_", "converged_", "at_floor_")
        self.n_iter_ = self.stream_.n_batches
        return self

    # Options and data.

    def _check_options(self) -> None:
        check_missing(self.missing)
        if self.dtype not in DTYPES:
            raise ConfigurationError(f"unknown dtype {self.dtype!r}: use one of {', '.join(DTYPES)}")
        check_spec(self._spec())

    def _spec(self) -> MixtureSpec:
        return MixtureSpec(**{name: getattr(self, name) for name in MixtureSpec._fields})

    def _options(self, callback: Callback | None = None, first_log_likelihood: float | None = None) -> Options:
        values = {name: getattr(self, name) for name in Options._fields if hasattr(self, name)}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        given = {"random_state": seed, "first_log_likelihood": first_log_likelihood, "callback": callback}
        return Options(**values | given)

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, reset: bool = True
    ) -> tuple[Float, Float, Float | None]:
        """Return features (n, D) in their own float dtype, targets (n, L) and weights (n,), validated."""
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
            raise DataError(
                f"y has {width} targets, but the earlier batches had {self._n_targets}: use the same number"
            )
        return features, targets.reshape(len(targets), -1), weights

    def _rows(self, X: Float, y: Float, sample_weight: Float | None, **options: Any) -> Rows:
        return Rows(
            X,
            y,
            sample_weight,
            block_rows=rows_at_once(self._spec(), X.shape[1], find_device(self.device or "cpu")),
            dtype=DTYPES[self.dtype],
            device=self.device,
            **options,
        )

    # Continuing an earlier fit.

    @property
    def _mixture(self) -> tuple[object, ...]:
        """The options that must be unchanged for a fit to continue from earlier parameters."""
        return self.n_components, self.covariance_type, self.n_latents

    def _last_parameters(self) -> Centred | None:
        """Return the last parameters; None if there are none or the mixture has changed."""
        return self._centred if hasattr(self, "parameters_") and self._fitted_as == self._mixture else None

    def _require_same_mixture(self) -> None:
        names = ("n_components", "covariance_type", "n_latents")
        for name, before, now in zip(names, self._fitted_as, self._mixture, strict=True):
            if before != now:
                raise ConfigurationError(
                    f"{name} is {now!r}, but the earlier samples were fitted with {before!r}: set it back, or call fit"
                )

    # Running EM and storing its result.

    def _run(self, rows: Rows, start: Parameters | Centred | None, r: Float | None, callback: Callback | None) -> Self:
        spec, first_log_likelihood = self._spec(), None
        if start is None and r is None and self.warm_start:
            start = self._last_parameters()
            if start is not None and hasattr(self, "log_likelihoods_"):
                first_log_likelihood = self.log_likelihoods_[0]
        if start is not None or r is not None:
            spec = spec._replace(n_components=1)  # they determine K
        options = self._options(callback, first_log_likelihood)
        fitted = fit_rows(rows, spec, options, responsibilities=r, start=start)
        self._warn_about_constant_targets(rows)
        return self._set_fit(fitted, bool(rows.constant_targets))

    def _warn_about_constant_targets(self, rows: Rows) -> None:
        if rows.constant_targets:
            names = ", ".join(self._names()[index] for index in rows.constant_targets)
            warnings.warn(
                f"{names} has the same value in all {rows.n_total} samples, so its standard deviations are determined "
                "by covariance_floor or the prior alone; use samples that differ",
                SingularCovarianceWarning,
                stacklevel=4,
            )

    def _set_fit(self, fitted: Fit, constant: bool) -> Self:
        assert fitted.centred is not None
        self._set_parameters(fitted.parameters, fitted.centred)
        self.log_likelihoods_, self.trace_ = fitted.log_likelihoods, fitted.trace
        self.converged_, self.n_iter_ = fitted.converged, len(fitted.log_likelihoods)
        self.at_floor_ = fitted.at_floor or constant
        if fitted.at_floor:
            warnings.warn(
                "a noise covariance is singular but for covariance_floor, and intervals will be much too narrow: there "
                "are too few samples for the covariance_type, redundant features, or features that the targets "
                "determine without error; use a simpler or tied covariance, fewer components, or prior_count",
                SingularCovarianceWarning,
                stacklevel=4,
            )
        self._delete("stream_")
        return self

    def _set_parameters(self, parameters: Parameters, about: Centred) -> None:
        """Adopt parameters; predictions are made on the CPU, where the arrays are."""
        parameters, about = parameters.to(torch.device("cpu")), about.to(torch.device("cpu"))
        self.parameters_, self.n_components_, self._fitted_as = parameters, parameters.n_components, self._mixture
        self._centred, self._forward = about, invert(about)

    def _delete(self, *names: str) -> None:
        """Delete attributes of an earlier fit."""
        for name in names:
            self.__dict__.pop(name, None)


def _column_names(y: object) -> list[str] | None:
    """Return the column names of a table or series; None for arrays."""
    columns = getattr(y, "columns", None)
    if columns is not None:
        return [str(name) for name in columns]
    name = getattr(y, "name", None)
    return [str(name)] if name is not None and hasattr(y, "iloc") else None
