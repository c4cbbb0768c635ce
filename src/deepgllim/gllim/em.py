"""Expectation maximisation: rows → statistics → parameters, until convergence. The loop is in `_run`."""

from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.arrays import Array, as_array, as_columns, device_of, to_tensor
from deepgllim.gllim.blocks import block_elements, find_device
from deepgllim.gllim.covariances import noise_structure
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
from deepgllim.gllim.maximisation import Regularisation, at_floor, m_step, regularise, require_regular
from deepgllim.gllim.monitor import Iteration, Monitor
from deepgllim.gllim.options import Options, check_options
from deepgllim.gllim.parameters import Centred, Parameters
from deepgllim.gllim.removal import drop_empty, occupied, without
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.scaling import Scaling
from deepgllim.gllim.spec import MixtureSpec, check_spec
from deepgllim.gllim.statistics import Assign, SufficientStatistics, collect, e_step

ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5}  # relative, of a log-likelihood, by dtype of the products


class Fit(NamedTuple):
    """The result of EM.

    Attributes:
        parameters: in the units of the given features and targets, float64.
        log_likelihoods: Σ_n log p(x_n, y_n) after each M-step, in the same units.
        converged: whether the last gain was smaller than the tolerance.
        trace: all iterations.
        at_floor: whether a variance of Σ lies on its floor, because there are too few samples or redundant features.
        centred: the parameters relative to the mean of the data, which are more precise than `parameters` if the mean
            is large; all functions on parameters accept either.
    """

    parameters: Parameters
    log_likelihoods: list[float]
    converged: bool
    trace: tuple[Iteration, ...] = ()
    at_floor: bool = False
    centred: Centred | None = None


def fit(
    features: ArrayLike | Tensor,
    targets: ArrayLike | Tensor,
    spec: MixtureSpec = MixtureSpec(),  # noqa: B008 - an immutable tuple
    options: Options = Options(),  # noqa: B008 - an immutable tuple
    *,
    sample_weight: ArrayLike | Tensor | None = None,
    responsibilities: Array | None = None,
    start: Parameters | Centred | None = None,
    block_rows: int | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Fit:
    """Fit p(x, y) = Σ_k π_k N(y; c_k, Γ_k) N(x; A_k y + b_k, Σ_k) by EM.

    Args:
        features: x, (N, D): a tensor, array, table, list or memory map; arrays are never copied as a whole.
        targets: y, (N, L), or (N,) for one target, in any unit.
        spec: the variant of the mixture, with its number of components.
        options: the options of EM.
        sample_weight: weights of the samples, (N,), ≥ 0.
        responsibilities: initial responsibilities r, (N, K), with rows that sum to 1; they determine K.
        start: initial parameters, instead of responsibilities; they determine K.
        block_rows: number of rows per block; only a few blocks are in memory beside the features.
        dtype: dtype of the matrix products; float32 is 1.2 to 1.5 times as fast, with a relative error of about 1e-5.
            Sums are float64.
        device: device of the computation, such as "cuda"; by default that of the features, the CPU if they are not a
            tensor. The parameters are on the same device.

    Raises:
        DataError: if features, targets, responsibilities or start are not finite or do not fit each other, or N < K.
        ConfigurationError: if a field of the specification or an option is out of its range, or two contradict.
        NumericalError: if a covariance is singular and `covariance_floor` is 0.

    Source: Lathuilière et al., CVPR 2017, section 4; Deleforge, Forbes & Horaud, Statistics and Computing 2015.

    Example:
        >>> import torch
        >>> y = torch.linspace(-1, 1, 200)[:, None]
        >>> x = torch.cat([y, y.abs(), 1 - y], dim=1) + 0.01 * torch.sin(1e3 * y)
        >>> result = fit(x, y, MixtureSpec(2))
        >>> result.parameters.n_components, result.converged
        (2, True)
    """
    check_spec(spec)
    check_options(options)
    spec = spec._replace(n_components=count_components(spec.n_components, responsibilities, start))
    features, targets = as_array(features), as_columns(targets)
    check_components(spec.n_components, len(features))
    place = device_of(features) if device is None else find_device(device)
    block_rows = block_rows or rows_at_once(spec, features.shape[-1], place)
    rows = Rows(features, targets, sample_weight, block_rows=block_rows, dtype=dtype, device=place)
    return fit_rows(rows, spec, options, responsibilities=responsibilities, start=start)


def fit_rows(
    rows: Rows,
    spec: MixtureSpec = MixtureSpec(),  # noqa: B008 - an immutable tuple
    options: Options = Options(),  # noqa: B008 - an immutable tuple
    *,
    responsibilities: Array | None = None,
    start: Parameters | Centred | None = None,
) -> Fit:
    """Fit the mixture like `fit`, to rows from any source: arrays, batches, or a part of the data in each process.

    Example:
        >>> from deepgllim.gllim import BatchRows
        >>> batches = [(torch.randn(60, 5), torch.randn(60, 2)) for _ in range(3)]
        >>> fit_rows(BatchRows(batches)).parameters.n_features
        5
    """
    check_spec(spec)
    check_options(options)
    spec = spec._replace(n_components=count_components(spec.n_components, responsibilities, start))
    check_components(spec.n_components, rows.n_total)
    rows.adapt(spec)
    D = len(rows.scaling.feature_mean)
    if spec.n_latents >= D:
        raise ConfigurationError(f"n_latents = {spec.n_latents} for n_features = {D}: use fewer latents than features")
    n_init = options.n_init if responsibilities is None and start is None else 1
    runs = (
        _run(rows, spec, options._replace(random_state=options.random_state + i), responsibilities, start)
        for i in range(n_init)
    )
    return max(runs, key=lambda run: run.trace[-1].objective)


def _run(
    rows: Rows, spec: MixtureSpec, options: Options, responsibilities: Array | None, start: Parameters | Centred | None
) -> Fit:
    """Run EM from one initialization."""
    limits, min_count = limits_of(rows.scaling, options), _min_count(rows, spec, options)
    check_weights(rows, spec.n_components, min_count)
    monitor = Monitor(
        options.tol,
        options.callback,
        ROUNDING[rows.dtype],
        options.first_log_likelihood,
        monotone=options.shrinkage == 0,
    )
    parameters, statistics = _initial(rows, spec, options, responsibilities, start)
    for number in range(1, options.max_iter + 1):
        if statistics is not None:
            parameters, statistics = drop_empty(rows, parameters, statistics, min_count, monitor)
            parameters = m_step(statistics, spec, limits, parameters.dof)
        if options.covariance_floor == 0:
            require_regular(parameters, rows.scaling)
        statistics = e_step(rows, parameters)
        log_likelihood = float(statistics.log_likelihood) - _log_volume(rows)
        objective = log_likelihood + limits.log_prior(parameters, spec.target_tied)
        monitor.record(Iteration(number, log_likelihood, objective, tuple(statistics.s0.tolist())))
        if monitor.converged:
            break
    else:
        monitor.stopped_early(options.max_iter)
    return _result(parameters, rows.scaling, options, monitor)


def _initial(
    rows: Rows, spec: MixtureSpec, options: Options, responsibilities: Array | None, start: Parameters | Centred | None
) -> tuple[Parameters, SufficientStatistics | None]:
    """Return the initial parameters, and the statistics for the first M-step, or None if EM begins with an E-step."""
    if start is not None:
        parameters = check_start(start, spec, rows.scaling)
        return parameters, e_step(rows, parameters)
    assign = _assignment(rows, spec.n_components, responsibilities, options)
    parameters = _first_parameters(rows, assign, spec, options)
    # the axes of the latents are computed from the residuals, so an M-step must follow
    return parameters, e_step(rows, parameters) if spec.n_latents else None


def _assignment(rows: Rows, n_components: int, responsibilities: Array | None, options: Options) -> Assign:
    if responsibilities is not None:
        return given(check_responsibilities(to_tensor(responsibilities).double(), rows.n_rows))
    if n_components == 1:
        return lambda block, first: torch.ones_like(block.targets[:, :1])
    return INITIALISATIONS[options.init](rows, n_components, options.random_state)


def _first_parameters(rows: Rows, assign: Assign, spec: MixtureSpec, options: Options) -> Parameters:
    """Run the first M-step from given responsibilities, after removing components with too few samples."""
    noise = noise_structure(spec.covariance_type)
    statistics = collect(rows, assign, spec.n_components, noise, spec.tied)
    kept = occupied(statistics.s0, _min_count(rows, spec, options))
    if not bool(kept.all()):
        assign = without(assign, kept)
        statistics = collect(rows, assign, int(kept.sum()), noise, spec.tied)
    parameters = m_step(statistics, spec._replace(n_latents=0, dof=None), limits_of(rows.scaling, options))
    parameters = parameters._replace(dof=first_dof(spec, parameters))
    if spec.n_latents:
        parameters = add_latents(rows, parameters, assign, spec.n_latents, options.random_state)
    return parameters


def _min_count(rows: Rows, spec: MixtureSpec, options: Options) -> float:
    """Return the number of samples below which a component is removed."""
    if options.min_count is not None:
        return options.min_count
    return len(rows.scaling.target_scale) + spec.n_latents + 2


def _log_volume(rows: Rows) -> float:
    """Return Σ_n log |dy/dy'|, the log-likelihood of the standardised targets y' minus that of the targets y."""
    return float(rows.total) * float(rows.scaling.target_scale.log().sum())


def limits_of(scaling: Scaling, options: Options) -> Regularisation:
    """Return the floors, the prior and the shrinkage of the options, in the units of EM."""
    return regularise(scaling, options.covariance_floor, options.prior_count, options.prior_variance, options.shrinkage)


def _result(parameters: Parameters, scaling: Scaling, options: Options, monitor: Monitor) -> Fit:
    centred = scaling.centred(parameters)
    return Fit(
        parameters=centred.absolute,
        log_likelihoods=[iteration.log_likelihood for iteration in monitor.trace],
        converged=monitor.converged,
        trace=tuple(monitor.trace),
        at_floor=at_floor(parameters, scaling, options.covariance_floor),
        centred=centred,
    )


CPU = torch.device("cpu")


def rows_at_once(spec: MixtureSpec, n_features: int, device: torch.device = CPU) -> int | None:
    """Return the number of rows per block: fewer for a full Σ, which needs K copies of a block; None is the default."""
    if spec.covariance_type != "full":
        return None
    copies = 1 if spec.tied else spec.n_components
    return max(64, block_elements(device) // max(1, n_features * copies))
