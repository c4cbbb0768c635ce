"""The options of EM: their names, their defaults and their ranges."""

from collections.abc import Callable
from typing import NamedTuple

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.checks import require_integer, require_number
from deepgllim.gllim.initialisation import INITIALISATIONS
from deepgllim.gllim.monitor import Iteration


class Options(NamedTuple):
    """The options of EM, for every mixture. `fit`, streams, `select` and `GLLiMRegressor` use these names and defaults.

    Attributes:
        init: initial responsibilities: "targets" (k-means on the targets, then a Gaussian mixture of them),
            "kmeans" (k-means on the targets) or "joint" (k-means on features and targets together).
        n_init: number of initializations, ≥ 1; the result with the highest objective is kept.
        max_iter: maximum number of M-steps, ≥ 1. With 1, given responsibilities are used as they are.
        tol: EM stops when a gain is smaller than this share of the total gain; 0 runs all iterations.
        covariance_floor: minimum variances of Σ and Γ, as a share of the variances of the data; 0 for none.
        prior_count: number of pseudo-samples κ of an inverse Wishart prior on every Σ_k and Γ_k; 0 for no prior.
        prior_variance: variance of the pseudo-samples, as a share of the variances of the data.
        shrinkage: share by which every M-step moves Σ_k towards its mean variance, in [0, 1), or "oas" for the
            closed-form intensity. With shrinkage EM does not maximise a likelihood; it stops when the change is small.
        min_count: number of samples below which a component is removed; None for L + Lw + 2, the number that a
            regression needs.
        random_state: seed of the initialization; further initializations use the seeds that follow.
        first_log_likelihood: log-likelihood from which the total gain is measured, when a fit continues an earlier one.
        callback: function that is called after each iteration.

    Source: Chen, Wiesel, Eldar & Hero, IEEE Transactions on Signal Processing 2010 (shrinkage "oas").

    Example:
        >>> Options(max_iter=20).init
        'targets'
    """

    init: str = "targets"
    n_init: int = 1
    max_iter: int = 300
    tol: float = 1e-4
    covariance_floor: float = 1e-6
    prior_count: float = 0.0
    prior_variance: float = 1e-2
    shrinkage: float | str = 0.0
    min_count: float | None = None
    random_state: int = 0
    first_log_likelihood: float | None = None
    callback: Callable[[Iteration], object] | None = None


def check_options(options: Options) -> None:
    """Raise an error if an option is out of its range.

    Raises:
        ConfigurationError: if an option is invalid; the message gives the option, its value and its range.
    """
    require_integer("max_iter", options.max_iter, 1)
    require_integer("n_init", options.n_init, 1)
    require_number("tol", options.tol)
    require_number("covariance_floor", options.covariance_floor)
    require_number("prior_count", options.prior_count)
    require_number("prior_variance", options.prior_variance, above=True)
    check_shrinkage(options.shrinkage)
    if options.min_count is not None:
        require_number("min_count", options.min_count)
    if options.init not in INITIALISATIONS:
        raise ConfigurationError(f"unknown init {options.init!r}: use one of {', '.join(INITIALISATIONS)}")


def check_shrinkage(shrinkage: float | str) -> None:
    """Raise an error unless the shrinkage is a share or the name of a rule.

    Raises:
        ConfigurationError: if it is neither; the message gives the value and the range.
    """
    if shrinkage == "oas" or (not isinstance(shrinkage, str) and 0 <= shrinkage < 1):
        return
    raise ConfigurationError(f"shrinkage is {shrinkage!r}: use a share from 0 to below 1, or 'oas'")
