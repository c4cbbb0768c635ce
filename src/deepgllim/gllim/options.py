"""How to fit: the options of EM, and the refusal of those that make no sense."""

from collections.abc import Callable
from typing import NamedTuple

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.checks import require_integer, require_number
from deepgllim.gllim.covariances import noise_structure, target_structure
from deepgllim.gllim.densities import LEAST_DOF, MOST_DOF
from deepgllim.gllim.initialisation import INITIALISATIONS
from deepgllim.gllim.monitor import Iteration
from deepgllim.gllim.parameters import MixtureSpec


class Options(NamedTuple):
    """How to fit, whatever is fitted; `fit` explains each.

    Here only: `first_log_likelihood`, where the whole gain counts from when a fit goes on with an earlier one.

    Example:
        >>> Options(max_iterations=20).init
        'targets'
    """

    init: str = "targets"
    n_starts: int = 1
    max_iterations: int = 100
    tolerance: float = 1e-3
    variance_floor: float = 1e-6
    prior_count: float = 0.0
    prior_variance: float = 1e-2
    shrinkage: float | str = 0.0
    minimum_count: float | None = None
    seed: int = 0
    first_log_likelihood: float | None = None
    callback: Callable[[Iteration], object] | None = None


def check_spec(spec: MixtureSpec) -> None:
    """Refuse a form that does not exist.

    Raises:
        ConfigurationError: naming the option, its value and what may be given.
    """
    noise_structure(spec.noise)
    target_structure(spec.target_covariance)
    require_integer("n_latents", spec.n_latents, 0)
    dof = spec.dof
    if dof is None or dof == "estimated":
        return
    if isinstance(dof, str) or not LEAST_DOF <= dof <= MOST_DOF:
        raise ConfigurationError(
            f"dof is {dof!r}: use None for Gaussian noise, 'estimated', or degrees of freedom "
            f"between {LEAST_DOF:g} and {MOST_DOF:g}"
        )


def check_options(options: Options) -> None:
    """Refuse options out of range.

    Raises:
        ConfigurationError: naming the option, its value and what may be given.
    """
    require_integer("max_iterations", options.max_iterations, 1)
    require_integer("n_starts", options.n_starts, 1)
    require_number("tolerance", options.tolerance)
    require_number("variance_floor", options.variance_floor)
    require_number("prior_count", options.prior_count)
    require_number("prior_variance", options.prior_variance, above=True)
    check_shrinkage(options.shrinkage)
    if options.minimum_count is not None:
        require_number("minimum_count", options.minimum_count)
    if options.init not in INITIALISATIONS:
        raise ConfigurationError(f"unknown init {options.init!r}: use one of {', '.join(INITIALISATIONS)}")


def check_shrinkage(shrinkage: float | str) -> None:
    """Refuse a shrinkage that is neither a share nor the name of a rule.

    Raises:
        ConfigurationError: naming the value and what may be given.
    """
    if shrinkage == "oas" or (not isinstance(shrinkage, str) and 0 <= shrinkage < 1):
        return
    raise ConfigurationError(f"shrinkage is {shrinkage!r}: use a share from 0 to below 1, or 'oas'")
