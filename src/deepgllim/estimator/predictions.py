"""All that can be asked of a fitted mixture, arrays and tables in, arrays and tables out."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from deepgllim.distributions import MultivariateGaussianMixture, MultivariateStudentMixture
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim import (
    Centred,
    Forward,
    Parameters,
    Predictive,
    impute,
    predict,
    predict_features,
    predict_incomplete,
    sample,
)
from deepgllim.gllim.checks import require_integer

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Mixture = MultivariateGaussianMixture | MultivariateStudentMixture

MISSING = ("error", "integrate", "impute")
BLOCK_ELEMENTS = 2**22  # of features that are predicted at once


class MixturePredictions:
    """p(y | x), p(x), p(x | y) and p(z | x, y) of a fitted mixture: the predicting half of `GLLiMRegressor`.

    A target that was given as (n,) comes back as (n,), one given as (n, L) as (n, L).
    """

    parameters_: Parameters
    target_names_: list[str] | None
    missing: str
    _centred: Centred
    _forward: Forward
    _flat: bool
    _n_targets: int

    @overload
    def predict(
        self, X: ArrayLike, return_std: Literal[False] = False, return_cov: Literal[False] = False
    ) -> Float: ...
    @overload
    def predict(
        self, X: ArrayLike, return_std: Literal[True], return_cov: Literal[False] = False
    ) -> tuple[Float, Float]: ...
    @overload
    def predict(
        self, X: ArrayLike, return_std: Literal[False] = False, *, return_cov: Literal[True]
    ) -> tuple[Float, Float]: ...
    @overload
    def predict(
        self, X: ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> Float | tuple[Float, Float]: ...
    def predict(self, X: ArrayLike, return_std: bool = False, return_cov: bool = False) -> Float | tuple[Float, Float]:
        """E[y | x], (n,) or (n, L); with marginal standard deviations of the same shape, or covariances (n, L, L).

        Raises:
            ConfigurationError: if both are asked for.
        """
        _one_of(return_std, return_cov)
        if not (return_std or return_cov):
            return self._shaped(self._predictive(X).mean)
        distribution = self.predict_distribution(X)
        mean = self._shaped(distribution.mean)
        if return_cov:
            covariance: Float = distribution.covariance_matrix.numpy()
            return mean, covariance
        return mean, self._shaped(distribution.variance.sqrt())

    def predict_distribution(self, X: ArrayLike) -> Mixture:
        """p(y | x), a torch distribution of batch n: `mean`, `log_prob`, `quantile`, `interval`, `modes`, `sample`."""
        answer = self._predictive(X)
        if answer.dof is None:
            return MultivariateGaussianMixture(answer.log_weights, answer.means, answer.covariances, answer.log_density)
        return MultivariateStudentMixture(
            answer.log_weights, answer.means, answer.covariances, answer.dof, answer.log_density
        )

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> tuple[Float, Float]:
        """(lower, upper): the central interval of each target that holds `level` of its probability."""
        lower, upper = self.predict_distribution(X).interval(level)
        return self._shaped(lower), self._shaped(upper)

    def predict_quantiles(self, X: ArrayLike, probabilities: Sequence[float] = (0.05, 0.5, 0.95)) -> Float:
        """Marginal quantiles, (number of probabilities, n) or (…, n, L)."""
        return self._shaped(self.predict_distribution(X).marginal_quantiles(probabilities))

    @overload
    def predict_modes(self, X: ArrayLike, return_probabilities: Literal[False] = False) -> list[Float]: ...
    @overload
    def predict_modes(self, X: ArrayLike, return_probabilities: Literal[True]) -> tuple[list[Float], list[Float]]: ...
    def predict_modes(
        self, X: ArrayLike, return_probabilities: bool = False
    ) -> list[Float] | tuple[list[Float], list[Float]]:
        """The local maxima of each p(y | x), highest first: a list of (modes,) or (modes, L).

        With probabilities: those of the components that belong to each mode, a list of (modes,) that sum to 1.
        """
        found = self.predict_distribution(X).modes_with_probabilities()
        modes = [self._shaped(points) for points, _ in found]
        return (modes, [probability.numpy() for _, probability in found]) if return_probabilities else modes

    def predict_frame(self, X: ArrayLike, level: float = 0.9) -> "pd.DataFrame":
        """A table with the index of X: mean, standard deviation and interval of every target by name, and log p(x).

        Example:
            >>> from deepgllim import GLLiMRegressor
            >>> model = GLLiMRegressor().fit([[0.0, 1.0], [1.0, 0.5], [2.0, 0.0]], [0.0, 1.1, 2.0])
            >>> list(model.predict_frame([[1.0, 0.4]]))
            ['y', 'y_std', 'y_lower', 'y_upper', 'log_density']
        """
        import pandas as pd

        distribution = self.predict_distribution(X)
        lower, upper = distribution.interval(level)
        columns: dict[str, Float] = {}
        for index, name in enumerate(self._names()):
            for suffix, values in (
                ("", distribution.mean),
                ("_std", distribution.variance.sqrt()),
                ("_lower", lower),
                ("_upper", upper),
            ):
                columns[name + suffix] = values[:, index].numpy()
        assert distribution.input_log_density is not None
        columns["log_density"] = distribution.input_log_density.numpy()
        return pd.DataFrame(columns, index=getattr(X, "index", None) if hasattr(X, "iloc") else None)

    def log_density(self, X: ArrayLike) -> Float:
        """log p(x), (n,), in nats: low where an input is unlike the training data."""
        answer: Float = self._predictive(X).log_density.numpy()
        return answer

    def score_samples(self, X: ArrayLike, y: ArrayLike | None = None) -> Float:
        """log p(y | x) of each sample, (n,), in nats; log p(x) without y, as scikit-learn's densities do."""
        if y is None:
            return self.log_density(X)
        distribution = self.predict_distribution(X)
        log_density = distribution.log_prob(self._targets(y, len(distribution.means)))
        _require_near("targets", log_density)
        answer: Float = log_density.numpy()
        return answer

    def responsibilities(self, X: ArrayLike, y: ArrayLike | None = None) -> Float:
        """p(z = k | x, y), (n, K); p(z = k | x), the weights of the prediction, without y."""
        distribution = self.predict_distribution(X)
        log_joint = distribution.mixture_distribution.logits
        if y is not None:
            targets = self._targets(y, len(log_joint))
            log_joint = log_joint + distribution.component_distribution.log_prob(targets[:, None])
            _require_near("targets", log_joint.amax(1))
        answer: Float = torch.softmax(log_joint, dim=1).numpy()
        return answer

    @overload
    def inverse_predict(
        self, y: ArrayLike, return_std: Literal[False] = False, return_cov: Literal[False] = False
    ) -> Float: ...
    @overload
    def inverse_predict(
        self, y: ArrayLike, return_std: Literal[True], return_cov: Literal[False] = False
    ) -> tuple[Float, Float]: ...
    @overload
    def inverse_predict(
        self, y: ArrayLike, return_std: Literal[False] = False, *, return_cov: Literal[True]
    ) -> tuple[Float, Float]: ...
    @overload
    def inverse_predict(
        self, y: ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> Float | tuple[Float, Float]: ...
    def inverse_predict(
        self, y: ArrayLike, return_std: bool = False, return_cov: bool = False
    ) -> Float | tuple[Float, Float]:
        """E[x | y], (n, D): what features a target gives; with standard deviations (n, D) or covariances (n, D, D)."""
        check_is_fitted(self)
        _one_of(return_std, return_cov)
        answer = predict_features(self._targets(y), self._centred, covariance=return_cov)
        _require_near("targets", answer.mean.sum(1) + answer.variance.sum(1).nan_to_num(posinf=0.0))
        mean: Float = answer.mean.numpy()
        if return_cov:
            assert answer.covariance is not None
            return mean, answer.covariance.numpy()
        return (mean, answer.variance.sqrt().numpy()) if return_std else mean

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> tuple[Float, Float]:
        """(X, y) drawn from the joint model p(x, y)."""
        check_is_fitted(self)
        require_integer("n_samples", n_samples, 1)
        x, y = sample(self._centred, n_samples, _generator(random_state))
        return x.numpy(), self._shaped(y)

    def sample_y(self, X: ArrayLike, n_samples: int = 1, random_state: int | None = None) -> Float:
        """Targets drawn from p(y | x), (n_samples, n) or (n_samples, n, L)."""
        require_integer("n_samples", n_samples, 1)
        distribution = self.predict_distribution(X)
        with torch.random.fork_rng():
            torch.manual_seed(_generator(random_state).initial_seed())
            drawn: Tensor = distribution.sample(torch.Size([n_samples]))  # type: ignore[no-untyped-call]
        answer: Float = (drawn[..., 0] if self._flat else drawn).numpy()
        return answer

    # Arrays to tensors and back.

    def _predictive(self, X: ArrayLike) -> Predictive:
        check_missing(self.missing)
        x = self._features(X)
        ways: dict[str, Callable[[Tensor], Predictive]] = {
            "error": lambda block: predict(block, self._forward),
            "integrate": self._integrate,
            "impute": lambda block: predict(impute(block, self._centred), self._forward),
        }
        solve = ways[self.missing]
        rows = max(1, BLOCK_ELEMENTS // x.shape[1])
        blocks = (x[start : start + rows] for start in range(0, len(x), rows))
        parts = [solve(torch.from_numpy(np.require(block, np.float64, ["C", "W"]))) for block in blocks]
        answer = parts[0] if len(parts) == 1 else _joined(parts)
        _require_near("features", answer.log_density + answer.means.sum((1, 2)))
        return answer

    def _integrate(self, block: Tensor) -> Predictive:
        complete = not bool(block.isnan().any())
        return predict(block, self._forward) if complete else predict_incomplete(block, self._centred)

    def _features(self, X: ArrayLike) -> NDArray[np.floating]:
        check_is_fitted(self)
        finite: bool | str = True if self.missing == "error" else "allow-nan"
        types = [np.float64, np.float32]
        values: NDArray[np.floating] = validate_data(self, X, reset=False, dtype=types, ensure_all_finite=finite)
        return values

    def _targets(self, y: ArrayLike, n_samples: int | None = None) -> Tensor:
        values = check_array(y, ensure_2d=False, dtype=np.float64, allow_nd=False)
        table = values.reshape(-1, 1) if values.ndim == 1 else values
        if table.shape[1] != self._n_targets or n_samples not in (None, len(table)):
            rows = "n" if n_samples is None else n_samples
            raise DataError(f"targets {values.shape} do not fit: give ({rows}, {self._n_targets}), as y of fit had")
        return torch.from_numpy(np.require(table, np.float64, ["C", "W"]))

    def _shaped(self, values: Tensor) -> Float:
        answer: Float = (values[..., 0] if self._flat else values).numpy()
        return answer

    def _names(self) -> list[str]:
        if self.target_names_ is not None:
            return self.target_names_
        return ["y"] if self._n_targets == 1 else [f"y{index}" for index in range(self._n_targets)]


def check_missing(missing: str) -> None:
    """Refuse an unknown way with missing features.

    Raises:
        ConfigurationError: naming those that are known.
    """
    if missing not in MISSING:
        raise ConfigurationError(f"unknown missing {missing!r}: use one of {', '.join(MISSING)}")


def _one_of(return_std: bool, return_cov: bool) -> None:
    if return_std and return_cov:
        raise ConfigurationError("both return_std and return_cov are asked for: the covariance holds the variances")


def _require_near(name: str, value: Tensor) -> None:
    """Refuse rows so far from the data that squared distances overflow, and with them every answer.

    Raises:
        DataError: naming the first such row.
    """
    if not bool(value.isfinite().all()):
        row = int((~value.isfinite()).nonzero()[0])
        raise DataError(
            f"{name} row {row} is so far from the training data that its squared distance overflows: "
            "drop or mend the sample"
        )


def _joined(parts: list[Predictive]) -> Predictive:
    def cat(values: list[Any]) -> Any:
        return None if values[0] is None else torch.cat(values)

    log_weights, means, log_density, dof = (cat([part[i] for part in parts]) for i in (0, 1, 3, 4))
    covariances = [part.covariances.expand(*part.means.shape, part.means.shape[-1]) for part in parts]
    return Predictive(log_weights, means, torch.cat(covariances), log_density, dof)


def _generator(random_state: int | None) -> torch.Generator:
    generator = torch.Generator()
    if random_state is None:
        generator.seed()
    else:
        generator.manual_seed(int(random_state))
    return generator
