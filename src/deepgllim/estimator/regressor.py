"""`GLLiMRegressor`: the mixture as a scikit-learn estimator."""

from pathlib import Path
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from deepgllim.errors import ConfigurationError
from deepgllim.estimator.files import INVALID, not_a_mixture, read_mixture, write_mixture
from deepgllim.estimator.fitting import MixtureFitting
from deepgllim.gllim import MixtureSpec, Options

SPEC, OPTIONS = MixtureSpec(), Options()  # the defaults


class GLLiMRegressor(MixtureFitting, MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of local linear regressions from targets to features, inverted in closed form (GLLiM).

    The model is x | y, k ~ N(A_k y + b_k, Σ_k) with y | k ~ N(c_k, Γ_k). Its inverse is a predictive distribution
    p(y | x) = Σ_k w_k(x) N(y; A*_k x + b*_k, Σ*_k), with a mean, a joint covariance, several modes, and a density p(x)
    that is low for inputs unlike the training data. A regression from targets to features has few parameters when there
    are many features.

    Parameters:
        n_components: K ≥ 1, the number of local linear regressions.
        covariance_type: structure of the noise covariance Σ of the features: "isotropic", "diagonal" or "full".
        tied: whether all components share one Σ.
        target_covariance: structure of the target covariance Γ: "full", "diagonal" or "isotropic".
        target_tied: whether all components share one Γ.
        equal_weights: whether every component has the weight 1/K.
        n_latents: Lw ≥ 0, the number of latent variables that influence the features but are not among the targets.
        dof: degrees of freedom of Student noise, in [0.05, 10⁶], or "estimated" for each component; None for Gaussian
            noise.
        init: initial responsibilities: "targets" (k-means on y, then a Gaussian mixture of y), "kmeans" (k-means on y)
            or "joint" (k-means on X and y).
        n_init: number of initializations; the result with the highest likelihood is kept.
        max_iter: maximum number of EM iterations.
        tol: EM stops when a gain is smaller than this share of the total gain; 0 runs all iterations.
        covariance_floor: minimum variances, as a share of the variances of the data.
        prior_count: number of pseudo-samples of an inverse Wishart prior on Σ_k and Γ_k; 0 for no prior.
        prior_variance: variance of the pseudo-samples, as a share of the variances of the data.
        shrinkage: share by which every M-step moves Σ_k towards its mean variance, in [0, 1), or "oas".
        min_count: number of samples below which a component is removed; None for L + n_latents + 2.
        random_state: seed of the initialization: an int, a generator or None.
        missing: treatment of NaN in X at prediction: "error", "integrate" (integrate the missing features out, exact)
            or "impute" (replace them by their conditional mean).
        dtype: "float64", or "float32" for faster matrix products with a relative error of about 1e-5.
        device: device of EM: None for the CPU, or for example "cuda".
        warm_start: whether a fit starts from the last parameters; not after a change of n_components, covariance_type
            or n_latents.

    Attributes:
        parameters_: π, c, Γ, A, b, Σ (and ν) in the units of X and y; float64 tensors.
        n_components_: number of components after removals.
        n_iter_: number of EM iterations.
        log_likelihoods_: Σ_n log p(x_n, y_n) after each iteration.
        converged_: whether the last gain was smaller than `tol`.
        at_floor_: whether a variance lies on `covariance_floor`, or a target is constant; a `SingularCovarianceWarning`
            is raised then.
        n_features_in_, feature_names_in_: as in every scikit-learn estimator.
        target_names_: column names of y if it was a table.

    Raises:
        ValueError: if the data or an option is invalid; the message gives the value, the cause and the remedy.

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
        n_components: int = SPEC.n_components,
        *,
        covariance_type: str = SPEC.covariance_type,
        tied: bool = SPEC.tied,
        target_covariance: str = SPEC.target_covariance,
        target_tied: bool = SPEC.target_tied,
        equal_weights: bool = SPEC.equal_weights,
        n_latents: int = SPEC.n_latents,
        dof: float | str | None = SPEC.dof,
        init: str = OPTIONS.init,
        n_init: int = OPTIONS.n_init,
        max_iter: int = OPTIONS.max_iter,
        tol: float = OPTIONS.tol,
        covariance_floor: float = OPTIONS.covariance_floor,
        prior_count: float = OPTIONS.prior_count,
        prior_variance: float = OPTIONS.prior_variance,
        shrinkage: float | str = OPTIONS.shrinkage,
        min_count: float | None = OPTIONS.min_count,
        random_state: int | np.random.RandomState | None = OPTIONS.random_state,
        missing: str = "error",
        dtype: str = "float64",
        device: str | None = None,
        warm_start: bool = False,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tied = tied
        self.target_covariance = target_covariance
        self.target_tied = target_tied
        self.equal_weights = equal_weights
        self.n_latents = n_latents
        self.dof = dof
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.covariance_floor = covariance_floor
        self.prior_count = prior_count
        self.prior_variance = prior_variance
        self.shrinkage = shrinkage
        self.min_count = min_count
        self.random_state = random_state
        self.missing = missing
        self.dtype = dtype
        self.device = device
        self.warm_start = warm_start

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False  # NaN is accepted at prediction only, by `missing`
        return tags

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one safetensors file with a JSON header, atomically and without pickle.

        Raises:
            ConfigurationError: if `random_state` is a generator.
            ModelError: if the file cannot be written.
        """
        check_is_fitted(self)
        if isinstance(self.random_state, np.random.RandomState):
            raise ConfigurationError("random_state is a generator, which cannot be saved: set it to a number or None")
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
        """Load a model that `save` wrote. It predicts as before; `warm_start` or `partial_fit` can continue its fit.

        Raises:
            ModelError: if the file is missing, cut short, of another kind or of a newer version, or is not a mixture.

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
        except INVALID as error:
            raise not_a_mixture(path, error) from None
        model._n_targets, model.n_features_in_ = parameters.n_targets, parameters.n_features
        if feature_names is not None:
            model.feature_names_in_ = np.asarray(feature_names, dtype=object)
        return model
