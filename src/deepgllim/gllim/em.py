"""Expectation maximisation: rows → statistics → parameters, to convergence. The loop is `fit`."""

import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, ConvergenceWarning, EmptyComponentWarning, NumericalError
from deepgllim.gllim.covariances import FULL, Noise, floor_eigenvalues, noise_structure
from deepgllim.gllim.initialisation import check_components, count_components, first_statistics
from deepgllim.gllim.parameters import Parameters, Scaling
from deepgllim.gllim.statistics import BLOCK_ELEMENTS, Array, Rows, Statistics, expect

ROUNDING = 1e-13  # a variance under this share of the data's is what rounding leaves of zero


class Fit(NamedTuple):
    """What EM ends with.

    Attributes:
        parameters: in the units of the features and targets given, float64.
        log_likelihoods: Σ_n log p(x_n, y_n) after each M-step, in the same units.
        converged: whether the relative gain fell under the tolerance.
    """

    parameters: Parameters
    log_likelihoods: list[float]
    converged: bool


def m_step(
    statistics: Statistics,
    noise: str = "diagonal",
    *,
    tied: bool = False,
    feature_floor: Tensor | None = None,
    target_floor: Tensor | None = None,
) -> Parameters:
    """The maximiser of the expected log-likelihood, one formula for every structure.

    [A_k b_k] = C_k M_k⁻¹;  Σ_k = (q_k − [A_k b_k] C_kᵀ) / s0_k, kept to its structure; tied: Σ_k s0_k Σ_k / N;
    c_k, Γ_k from the target block of M_k;  π_k = s0_k / N.

    Args:
        statistics: of all rows, every component with some weight.
        noise: "isotropic", "diagonal" or "full".
        tied: one Σ for all components.
        feature_floor: least noise variances, (D,); None for no floor. A floor keeps EM monotone: it is a constraint.
        target_floor: least variances of the targets, (L,).

    Example:
        >>> import torch
        >>> from deepgllim.gllim.statistics import Rows, collect
        >>> y = torch.randn(50, 2); x = y @ torch.ones(2, 4) + 0.1 * torch.randn(50, 4)
        >>> s = collect(Rows(x, y), torch.ones(50, 1), noise_structure("diagonal"))
        >>> m_step(s).A.shape
        torch.Size([1, 4, 2])
    """
    s0, M, C, q, _ = statistics
    structure = noise_structure(noise)
    L, D = M.shape[-1] - 1, C.shape[1]
    B = C @ torch.linalg.pinv(M, hermitian=True, rtol=1e-13)  # (K, D, P); collinear targets: the least-norm answer
    residual, count = q - structure.explained(B, C), s0
    if tied:
        residual, count = residual.sum(0, keepdim=True), s0.sum(0, keepdim=True)
    Sigma = structure.spread(residual, count, D)
    c = M[:, :L, L] / s0[:, None]
    Gamma = M[:, :L, :L] / s0[:, None, None] - c[:, :, None] * c[:, None, :]
    if feature_floor is not None:
        Sigma = structure.floor(Sigma, feature_floor)
    if target_floor is not None:
        Gamma = floor_eigenvalues(Gamma, target_floor)
    return Parameters(s0 / s0.sum(), c, Gamma, B[:, :, :L], B[:, :, L], Sigma)


def remove_empty(statistics: Statistics, minimum_count: float) -> Statistics:
    """Drop the components that hold fewer than `minimum_count` samples, with a warning."""
    enough = (statistics.s0 >= min(minimum_count, float(statistics.s0.max()))) & (statistics.s0 > 0)
    if bool(enough.all()):
        return statistics
    gone = (~enough).nonzero().flatten().tolist()
    counts = ", ".join(f"{float(statistics.s0[k]):.3g}" for k in gone)
    warnings.warn(
        f"removed {len(gone)} of {len(enough)} components, left with {counts} samples each, under {minimum_count:g}",
        EmptyComponentWarning,
        stacklevel=3,
    )
    return statistics.keep(enough)


def has_converged(log_likelihoods: list[float], tolerance: float) -> bool:
    """Whether the last gain is under `tolerance` times the range so far. A fall beyond rounding is not convergence."""
    if len(log_likelihoods) < 2 or tolerance <= 0:
        return False
    gain = log_likelihoods[-1] - log_likelihoods[-2]
    rounding = 1e-9 * abs(log_likelihoods[-1])
    return -rounding <= gain <= max(rounding, tolerance * (max(log_likelihoods) - min(log_likelihoods)))


def _require_regular(parameters: Parameters, structure: Noise, scaling: Scaling) -> None:
    """Refuse variances that are zero up to rounding: without a floor the likelihood has no maximum there."""
    Sigma_floor = _relative_floor(scaling.feature_variance, ROUNDING)
    Gamma_floor = torch.full_like(scaling.target_scale, ROUNDING)
    for name, covariance, raised in (
        ("noise", parameters.Sigma, structure.floor(parameters.Sigma, Sigma_floor)),
        ("target", parameters.Gamma, floor_eigenvalues(parameters.Gamma, Gamma_floor)),
    ):
        if bool((raised != covariance).any()):
            k = int((raised != covariance).nonzero()[0, 0])
            raise NumericalError(
                f"the {name} covariance of component {k} is singular: constant or collinear columns, too few samples, "
                "or features that the targets explain without error; use a variance_floor above 0 or fewer components"
            )


def fit(
    features: Array,
    targets: Array,
    n_components: int | None = None,
    *,
    noise: str = "diagonal",
    tied: bool = False,
    responsibilities: Array | None = None,
    start: Parameters | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-3,
    variance_floor: float = 1e-6,
    minimum_count: float | None = None,
    seed: int = 0,
    block_rows: int | None = None,
) -> Fit:
    """Fit p(x, y) = Σ_k π_k N(y; c_k, Γ_k) N(x; A_k y + b_k, Σ_k) by EM.

    Args:
        features: x, (N, D), tensor, array or memory map; never copied whole.
        targets: y, (N, L), any unit.
        n_components: K; 1 when None and nothing else tells it.
        noise: structure of Σ: "isotropic", "diagonal" or "full".
        tied: one Σ for all components.
        responsibilities: first r, (N, K), rows summing to 1; from the targets when None (k-means, then a GMM).
        start: first parameters, instead of responsibilities.
        max_iterations: M-steps at most, ≥ 1. With 1 the given responsibilities stay as they are: "frozen".
        tolerance: stop when a gain is under this share of the whole gain; 0 runs all iterations.
        variance_floor: least noise variance as a share of each feature's variance (targets alike); 0 for none.
        minimum_count: samples under which a component is removed; L + 2, what a regression needs, when None.
        seed: of the initialisation.
        block_rows: rows at once; memory beyond the features is a few blocks.

    Raises:
        DataError: for features, targets, responsibilities or start that are not finite, do not fit, or N < K.
        ConfigurationError: for an unknown structure, K < 1, or options that contradict each other.
        NumericalError: if a covariance is singular and `variance_floor` is 0.

    Source: Lathuilière et al., CVPR 2017, section 4; Deleforge, Forbes & Horaud, Statistics and Computing 2015.

    Example:
        >>> import torch
        >>> y = torch.linspace(-1, 1, 200)[:, None]
        >>> x = torch.cat([y, y.abs(), 1 - y], dim=1) + 0.01 * torch.sin(1e3 * y)
        >>> result = fit(x, y, 2)
        >>> result.parameters.n_components, result.converged
        (2, True)
    """
    if max_iterations < 1 or not variance_floor >= 0:
        raise ConfigurationError(
            f"max_iterations is {max_iterations} and variance_floor {variance_floor}: use 1 or more, 0 or more"
        )
    structure = noise_structure(noise)
    K = count_components(n_components, responsibilities, start)
    check_components(K, len(features))
    if structure is FULL:
        block_rows = block_rows or max(64, BLOCK_ELEMENTS // max(1, features.shape[-1] * K))
    rows = Rows(features, targets, block_rows=block_rows)
    scaling = rows.scaling
    L = len(scaling.target_scale)
    feature_floor = _relative_floor(scaling.feature_variance, variance_floor)
    target_floor = torch.full_like(scaling.target_scale, variance_floor)
    statistics = first_statistics(rows, K, responsibilities, start, noise, seed)
    least = L + 2 if minimum_count is None else minimum_count
    trace: list[float] = []
    shift = len(rows) * float(scaling.target_scale.log().sum())
    for _ in range(max_iterations):
        statistics = remove_empty(statistics, least)
        parameters = m_step(statistics, noise, tied=tied, feature_floor=feature_floor, target_floor=target_floor)
        if variance_floor == 0:
            _require_regular(parameters, structure, scaling)
        statistics = expect(rows, parameters)
        trace.append(float(statistics.log_likelihood) - shift)
        if has_converged(trace, tolerance):
            return Fit(scaling.restore(parameters), trace, True)
    if tolerance > 0 and max_iterations > 1:
        warnings.warn(
            f"EM stopped after {max_iterations} iterations before its gain fell under {tolerance:g} of the whole: "
            "raise max_iterations or tolerance",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Fit(scaling.restore(parameters), trace, False)


def _relative_floor(variance: Tensor, share: float) -> Tensor:
    """A share of each feature's variance; a constant feature takes the mean variance, or 1, for its own."""
    mean = variance.mean() if bool(variance.mean() > 0) else torch.ones_like(variance.mean())
    return share * torch.where(variance > 0, variance, mean)
