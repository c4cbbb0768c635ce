"""Expectation maximisation: rows → statistics → parameters, to convergence. The loop is `fit_rows`."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from deepgllim.errors import ConfigurationError, EmptyComponentWarning, NumericalError
from deepgllim.gllim.arrays import Array, as_array, as_columns, to_tensor
from deepgllim.gllim.covariances import floor_eigenvalues, noise_structure
from deepgllim.gllim.initialisation import (
    INITIALISATIONS,
    check_components,
    check_responsibilities,
    check_start,
    check_weights,
    count_components,
    first_dof,
    given,
)
from deepgllim.gllim.latents import add_latents
from deepgllim.gllim.maximisation import Regularisation, at_floor, m_step, regularise, relative_floor
from deepgllim.gllim.monitor import Iteration, Monitor
from deepgllim.gllim.options import Options, check_options, check_spec
from deepgllim.gllim.parameters import Centred, MixtureSpec, Parameters, Scaling
from deepgllim.gllim.rows import BLOCK_ELEMENTS, Block, Rows
from deepgllim.gllim.statistics import Assign, SufficientStatistics, collect, e_step

ZERO = 1e-13  # a variance under this share of the data's is what rounding leaves of zero
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}  # of a log-likelihood, by the dtype of the products


class Fit(NamedTuple):
    """What EM ends with.

    Attributes:
        parameters: in the units of the features and targets given, float64.
        log_likelihoods: Σ_n log p(x_n, y_n) after each M-step, in the same units.
        converged: whether the relative gain fell under the tolerance.
        form: which mixture was fitted.
        trace: the iterations in full, as the monitor saw them.
        at_floor: whether a variance of Σ sits on the floor: too few samples, or features that repeat each other.
        centred: the parameters about the data's mean, without the rounding that a far-away mean costs `parameters`;
            `invert`, `sample` and the other questions take either.
    """

    parameters: Parameters
    log_likelihoods: list[float]
    converged: bool
    spec: MixtureSpec = MixtureSpec()
    trace: tuple[Iteration, ...] = ()
    at_floor: bool = False
    centred: Centred | None = None


def occupied(counts: Tensor, minimum_count: float) -> Tensor:
    """Which components hold at least `minimum_count` samples, (K,); the largest always does. Others are a warning."""
    enough = (counts >= min(minimum_count, float(counts.max()))) & (counts > 0)
    if not bool(enough.all()):
        gone = (~enough).nonzero().flatten().tolist()
        left = ", ".join(f"{float(counts[k]):.3g}" for k in gone)
        warnings.warn(
            f"removed {len(gone)} of {len(enough)} components, left with {left} samples each, under {minimum_count:g}",
            EmptyComponentWarning,
            stacklevel=4,
        )
    return enough


def _without(assign: Assign, kept: Tensor) -> Assign:
    """Responsibilities of the components that are kept; a sample that only others held is shared by all."""

    def renormalised(block: Block, first: int) -> Tensor:
        r = assign(block, first)[:, kept]
        total = r.sum(1, keepdim=True)
        return torch.where(total > 0, r / total, torch.full_like(r, 1.0 / r.shape[1]))

    return renormalised


def _first_parameters(
    rows: Rows, assign: Assign, n_components: int, spec: MixtureSpec, limits: Regularisation, least: float, seed: int
) -> Parameters:
    """The first M-step, under given responsibilities; components with too few samples are dropped first."""
    noise = noise_structure(spec.noise)
    statistics = collect(rows, assign, n_components, noise, spec.tied)
    kept = occupied(statistics.s0, least)
    if not bool(kept.all()):
        assign = _without(assign, kept)
        statistics = collect(rows, assign, int(kept.sum()), noise, spec.tied)
    parameters = m_step(statistics, spec._replace(n_latents=0, dof=None), limits)
    parameters = parameters._replace(dof=first_dof(spec, parameters))
    if spec.n_latents:
        parameters = add_latents(rows, parameters, assign, spec.n_latents, seed)
    return parameters


def fit_rows(
    rows: Rows,
    n_components: int | None = None,
    spec: MixtureSpec = MixtureSpec(),  # noqa: B008 - an immutable tuple
    options: Options = Options(),  # noqa: B008 - an immutable tuple
    *,
    responsibilities: Array | None = None,
    start: Parameters | Centred | None = None,
) -> Fit:
    """`fit` for rows of any source: arrays, batches, a part of the data for each process.

    Example:
        >>> from deepgllim.gllim.rows import BatchRows
        >>> batches = [(torch.randn(60, 5), torch.randn(60, 2)) for _ in range(3)]
        >>> fit_rows(BatchRows(batches), 1).parameters.n_features
        5
    """
    check_spec(spec)
    check_options(options)
    K = count_components(n_components, responsibilities, start)
    check_components(K, rows.n_total)
    rows.adapt(spec)
    if spec.n_latents >= len(rows.scaling.feature_mean):
        D = len(rows.scaling.feature_mean)
        raise ConfigurationError(f"n_latents = {spec.n_latents} for n_features = {D}: use fewer latents than features")
    if responsibilities is not None or start is not None:
        options = options._replace(n_starts=1)
    runs = (
        _run(rows, K, spec, options._replace(seed=options.seed + i), responsibilities, start)
        for i in range(options.n_starts)
    )
    return max(runs, key=lambda run: run.trace[-1].objective)


def _run(
    rows: Rows,
    K: int,
    spec: MixtureSpec,
    options: Options,
    responsibilities: Array | None,
    start: Parameters | Centred | None,
) -> Fit:
    """EM from one start: the loop."""
    scaling = rows.scaling
    limits = limits_of(scaling, options)
    least = len(scaling.target_scale) + spec.n_latents + 2 if options.minimum_count is None else options.minimum_count
    check_weights(rows, K, least)
    shift = float(rows.total) * float(scaling.target_scale.log().sum())
    monitor = Monitor(
        options.tolerance,
        options.callback,
        ROUNDING[rows.dtype],
        options.first_log_likelihood,
        monotone=options.shrinkage == 0,
    )
    statistics: SufficientStatistics | None = None
    if start is not None:
        parameters = check_start(start, spec, scaling)
        statistics = e_step(rows, parameters)
    else:
        assign = _assignment(rows, K, responsibilities, options)
        parameters = _first_parameters(rows, assign, K, spec, limits, least, options.seed)
        if spec.n_latents:  # their axes come from the residuals, without an M-step
            statistics = e_step(rows, parameters)
    for number in range(1, options.max_iterations + 1):
        if statistics is not None:
            parameters, statistics = _drop_empty(rows, parameters, statistics, least, monitor)
            parameters = m_step(statistics, spec, limits, parameters.dof)
        if options.variance_floor == 0:
            _require_regular(parameters, scaling)
        statistics = e_step(rows, parameters)
        value = float(statistics.log_likelihood) - shift
        objective = value + limits.log_prior(parameters, spec.target_tied)
        monitor.record(Iteration(number, value, objective, tuple(statistics.s0.tolist())))
        if monitor.converged:
            break
    else:
        monitor.stopped_early(options.max_iterations)
    values = [iteration.log_likelihood for iteration in monitor.trace]
    floored = at_floor(parameters, scaling, options.variance_floor)
    about = scaling.centred(parameters)
    return Fit(about.absolute, values, monitor.converged, spec, tuple(monitor.trace), floored, about)


def limits_of(scaling: Scaling, options: Options) -> Regularisation:
    """What the options say of floors, prior and shrinkage, in the units that EM runs in."""
    variance = options.prior_variance
    return regularise(scaling, options.variance_floor, options.prior_count, variance, options.shrinkage)


def _assignment(rows: Rows, K: int, r: Array | None, options: Options) -> Assign:
    if r is not None:
        return given(check_responsibilities(to_tensor(r).double(), rows.n_rows))
    if K == 1:
        return lambda block, first: torch.ones_like(block.targets[:, :1])
    return INITIALISATIONS[options.init](rows, K, options.seed)


def _drop_empty(
    rows: Rows, parameters: Parameters, statistics: SufficientStatistics, least: float, monitor: Monitor
) -> tuple[Parameters, SufficientStatistics]:
    """Remove components that lost their samples; the others take these over in an E-step of their own."""
    kept = occupied(statistics.s0, least)
    while not bool(kept.all()):
        monitor.components_removed()
        parameters = parameters.keep(kept)
        statistics = e_step(rows, parameters)
        kept = occupied(statistics.s0, least)
    return parameters, statistics


def _require_regular(parameters: Parameters, scaling: Scaling) -> None:
    """Refuse variances that are zero up to rounding: without a floor the likelihood has no maximum there."""
    Sigma_floor = relative_floor(scaling.feature_variance, ZERO)
    Gamma_floor = torch.full_like(scaling.target_scale, ZERO)
    for name, covariance, raised in (
        ("noise", parameters.Sigma, noise_structure(parameters.noise).floor(parameters.Sigma, Sigma_floor)),
        ("target", parameters.Gamma, floor_eigenvalues(parameters.Gamma, Gamma_floor)),
    ):
        if bool((raised != covariance).any()):
            k = int((raised != covariance).nonzero()[0, 0])
            raise NumericalError(
                f"the {name} covariance of component {k} is singular: constant or collinear columns, too few samples, "
                "or features that the targets explain without error; use a variance_floor above 0 or fewer components"
            )


def fit(
    features: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    n_components: int | None = None,
    *,
    noise: str = "diagonal",
    tied: bool = False,
    target_covariance: str = "full",
    target_tied: bool = False,
    equal_weights: bool = False,
    n_latents: int = 0,
    dof: float | str | None = None,
    sample_weight: ArrayLike | Tensor | None = None,
    responsibilities: Array | None = None,
    start: Parameters | Centred | None = None,
    init: str = "targets",
    n_starts: int = 1,
    max_iterations: int = 100,
    tolerance: float = 1e-3,
    variance_floor: float = 1e-6,
    prior_count: float = 0.0,
    prior_variance: float = 1e-2,
    shrinkage: float | str = 0.0,
    minimum_count: float | None = None,
    seed: int = 0,
    block_rows: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
    callback: Callable[[Iteration], object] | None = None,
) -> Fit:
    """Fit p(x, y) = Σ_k π_k N(y; c_k, Γ_k) N(x; A_k y + b_k, Σ_k) by EM.

    Args:
        features: x, (N, D), tensor, array, table, list or memory map; arrays are never copied whole.
        targets: y, (N, L), or (N,) for one target, any unit.
        n_components: K; 1 when None and nothing else tells it.
        noise: structure of Σ: "isotropic", "diagonal" or "full".
        tied: one Σ for all components.
        target_covariance: structure of Γ: "full", "diagonal" or "isotropic".
        target_tied: one Γ for all components.
        equal_weights: π_k = 1/K.
        n_latents: Lw, the dimension of what moves the features and is not among the targets.
        dof: None for Gaussian noise; Student noise with these degrees of freedom, or "estimated".
        sample_weight: (N,), ≥ 0.
        responsibilities: first r, (N, K), rows summing to 1.
        start: first parameters, instead of responsibilities.
        init: where the first r come from otherwise: "targets" (k-means on them, then a Gaussian mixture),
            "kmeans" (their k-means clusters), "joint" (k-means on features and targets together).
        n_starts: runs from seeds seed, seed + 1, …; the one of the highest likelihood is kept.
        max_iterations: M-steps at most, ≥ 1. With 1 the given responsibilities stay as they are: "frozen".
        tolerance: stop when a gain is under this share of the whole gain; 0 runs all iterations.
        variance_floor: least noise variance as a share of each feature's variance (targets alike); 0 for none.
        prior_count: pseudo-samples of an inverse Wishart prior on every Σ_k and Γ_k; 0 for none.
        prior_variance: the variance each brings, as a share of the data's.
        shrinkage: share by which every M-step moves Σ_k towards its mean variance, in [0, 1), or "oas" for the
            closed-form intensity (Chen et al. 2010). EM then maximises no likelihood, and stops when it settles.
        minimum_count: samples under which a component is removed; L + Lw + 2, what a regression needs, when None.
        seed: of the initialisation.
        block_rows: rows at once; memory beyond the features is a few blocks.
        dtype: of the matrix products; float32 is 1.2 to 1.5 × as fast and good to about 1e-5, its sums are float64.
        device: where the sums are made, such as "cuda".
        callback: called after each iteration.

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
    spec = MixtureSpec(noise, tied, target_covariance, target_tied, equal_weights, n_latents, dof)
    options = Options(
        init=init,
        n_starts=n_starts,
        max_iterations=max_iterations,
        tolerance=tolerance,
        variance_floor=variance_floor,
        prior_count=prior_count,
        prior_variance=prior_variance,
        shrinkage=shrinkage,
        minimum_count=minimum_count,
        seed=seed,
        callback=callback,
    )
    check_spec(spec)
    check_options(options)
    K = count_components(n_components, responsibilities, start)
    features, targets = as_array(features), as_columns(targets)
    check_components(K, len(features))
    block_rows = block_rows or rows_at_once(spec, K, features.shape[-1])
    rows = Rows(features, targets, sample_weight, block_rows=block_rows, dtype=dtype, device=device)
    return fit_rows(rows, K, spec, options, responsibilities=responsibilities, start=start)


def rows_at_once(spec: MixtureSpec, n_components: int, n_features: int) -> int | None:
    """A full Σ makes K copies of a block: fewer rows at once. None for what `Rows` takes by itself."""
    if spec.noise != "full":
        return None
    return max(64, BLOCK_ELEMENTS // max(1, n_features * (1 if spec.tied else n_components)))
