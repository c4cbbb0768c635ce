"""The prediction methods of `GLLiMRegressor`, with arrays and tables as input and output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from deepgllim.distributions import MultivariateGaussianMixture, MultivariateStudentMixture
from deepgllim.errors import ConfigurationError, DataError
from deepgllim.estimator.missing import check_missing, predict_blocks
from deepgllim.gllim import Centred, Forward, Parameters, Predictive, predict_features, sample
from deepgllim.gllim.checks import require_integer

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Mixture = MultivariateGaussianMixture | MultivariateStudentMixture


class MixturePredictions:
    """The prediction half of `GLLiMRegressor`: p(y | x), p(x), p(x | y) and p(z | x, y).

    Targets are returned with the shape of the targets in the fit: (n,) or (n, L).
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
        """Return E[y | x], (n,) or (n, L).

        Parameters:
            X: features, (n, D).
            return_std: also return the marginal standard deviations, of the same shape.
            return_cov: also return the covariances, (n, L, L).

        Raises:
            ConfigurationError: if both `return_std` and `return_cov` are set.
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
        """Return p(y | x) as a torch distribution with batch size n.

        It has `mean`, `log_prob`, `quantile`, `interval`, `modes` and `sample`.
        """
        answer = self._predictive(X)
        if answer.dof is None:
            return MultivariateGaussianMixture(answer.log_weights, answer.means, answer.covariances, answer.log_density)
        return MultivariateStudentMixture(
            answer.log_weights, answer.means, answer.covariances, answer.dof, answer.log_density
        )

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> tuple[Float, Float]:
        """Return the bounds of the central interval of each target with probability `level`."""
        lower, upper = self.predict_distribution(X).interval(level)
        return self._shaped(lower), self._shaped(upper)

    def predict_quantiles(self, X: ArrayLike, probabilities: Sequence[float] = (0.05, 0.5, 0.95)) -> Float:
        """Return the marginal quantiles, (number of probabilities, n) or (number of probabilities, n, L)."""
        return self._shaped(self.predict_distribution(X).marginal_quantiles(probabilities))

    @overload
    def predict_modes(self, X: ArrayLike, return_probabilities: Literal[False] = False) -> list[Float]: ...
    @overload
    def predict_modes(self, X: ArrayLike, return_probabilities: Literal[True]) -> tuple[list[Float], list[Float]]: ...
    def predict_modes(
        self, X: ArrayLike, return_probabilities: bool = False
    ) -> list[Float] | tuple[list[Float], list[Float]]:
        """Return the local maxima of each p(y | x), highest first: a list of (modes,) or (modes, L).

        With `return_probabilities`, also return the probability of the components that belong to each mode: a list of
        (modes,), each with sum 1.
        """
        found = self.predict_distribution(X).modes_with_probabilities()
        modes = [self._shaped(points) for points, _ in found]
        return (modes, [probability.numpy() for _, probability in found]) if return_probabilities else modes

    def predict_frame(self, X: ArrayLike, level: float = 0.9) -> "pd.DataFrame":
        """Return a table of mean, standard deviation and interval of every target, and log p(x), with the index of X.

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
        """Return log p(x), (n,), in nats; it is low for inputs unlike the training data."""
        answer: Float = self._predictive(X).log_density.numpy()
        return answer

    def score_samples(self, X: ArrayLike, y: ArrayLike | None = None) -> Float:
        """Return log p(y | x) of each sample, (n,), in nats; without y, log p(x)."""
        if y is None:
            return self.log_density(X)
        distribution = self.predict_distribution(X)
        log_density = distribution.log_prob(self._targets(y, len(distribution.means)))
        _require_near("targets", log_density)
        answer: Float = log_density.numpy()
        return answer

    def responsibilities(self, X: ArrayLike, y: ArrayLike | None = None) -> Float:
        """Return p(z = k | x, y), (n, K); without y, p(z = k | x), the weights of the predictive mixture."""
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
        """Return E[x | y], (n, D), the expected features of given targets.

        Parameters:
            y: targets, (n,) or (n, L).
            return_std: also return the marginal standard deviations, (n, D).
            return_cov: also return the covariances, (n, D, D).
        """
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
        """Draw X (n_samples, D) and y from the joint model p(x, y)."""
        check_is_fitted(self)
        require_integer("n_samples", n_samples, 1)
        x, y = sample(self._centred, n_samples, _generator(random_state))
        return x.numpy(), self._shaped(y)

    def sample_y(self, X: ArrayLike, n_samples: int = 1, random_state: int | None = None) -> Float:
        """Draw targets from p(y | x), (n_samples, n) or (n_samples, n, L)."""
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
        answer = predict_blocks(self._features(X), self._centred, self._forward, self.missing)
        _require_near("features", answer.log_density + answer.means.sum((1, 2)))
        return answer

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
            raise DataError(f"targets have shape {values.shape}: use ({rows}, {self._n_targets}), as in the fit")
        return torch.from_numpy(np.require(table, np.float64, ["C", "W"]))

    def _shaped(self, values: Tensor) -> Float:
        answer: Float = (values[..., 0] if self._flat else values).numpy()
        return answer

    def _names(self) -> list[str]:
        if self.target_names_ is not None:
            return self.target_names_
        return ["y"] if self._n_targets == 1 else [f"y{index}" for index in range(self._n_targets)]


def _one_of(return_std: bool, return_cov: bool) -> None:
    if return_std and return_cov:
        raise ConfigurationError(
            "both return_std and return_cov are set: use return_cov, whose diagonal contains the variances"
        )


def _require_near(name: str, value: Tensor) -> None:
    """Raise an error if rows are so far from the training data that their squared distance overflows.

    Raises:
        DataError: if there are such rows; the message gives the first.
    """
    if not bool(value.isfinite().all()):
        row = int((~value.isfinite()).nonzero()[0])
        raise DataError(
            f"{name} row {row} is so far from the training data that its squared distance overflows: "
            "remove or correct the sample"
        )


def _generator(random_state: int | None) -> torch.Generator:
    generator = torch.Generator()
    if random_state is None:
        generator.seed()
    else:
        generator.manual_seed(int(random_state))
    return generator
