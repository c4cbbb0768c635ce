"""Stepwise EM for streams: every batch is read once and updates running averages of the statistics."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.covariances import noise_structure
from deepgllim.gllim.em import fit_rows, limits_of
from deepgllim.gllim.initialisation import check_start, given
from deepgllim.gllim.maximisation import expected_statistics, m_step
from deepgllim.gllim.options import Options
from deepgllim.gllim.parameters import Centred, Parameters, centre
from deepgllim.gllim.removal import occupied
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.scaling import Scaling, model_scaling
from deepgllim.gllim.spec import MixtureSpec, check_spec
from deepgllim.gllim.statistics import SufficientStatistics, collect, e_step

FORGETTING = 0.7  # the exponent of the step size
MIN_COUNT = 1e-3  # samples below which a component is removed, because its regression is not determined


class Stream(NamedTuple):
    """The state of stepwise EM.

    Attributes:
        parameters: in the units of EM, from the scaling of the first batch.
        statistics: running averages per sample.
        scaling: of the first batch.
        spec: the variant of the mixture.
        n_batches: number of batches so far.
        n_seen: sum of the weights of the samples so far.
    """

    parameters: Parameters
    statistics: SufficientStatistics
    scaling: Scaling
    spec: MixtureSpec
    n_batches: int
    n_seen: float

    @property
    def fitted(self) -> Parameters:
        """The parameters in the units of the data."""
        return self.centred.absolute

    @property
    def centred(self) -> Centred:
        """The parameters in the units of the data, about the mean of the first batch."""
        return self.scaling.centred(self.parameters)


def begin(rows: Rows, spec: MixtureSpec, options: Options, start: Parameters | Centred | None = None) -> Stream:
    """Begin a stream by EM on the first batch, which needs samples for every component, or from given parameters.

    Raises:
        ConfigurationError, DataError: as in `fit_rows`.
    """
    check_spec(spec)
    if start is None:
        fitted = fit_rows(rows, spec, options)
        parameters = rows.scaling.reduce(fitted.centred or fitted.parameters)
    else:
        rows.adapt(spec)
        parameters = check_start(start, spec, rows.scaling)
    total = float(rows.total)
    statistics = e_step(rows, parameters).scaled(1.0 / total)
    return Stream(parameters, statistics, rows.scaling, spec, 1, total)


def advance(stream: Stream, rows: Rows, options: Options, forgetting: float = FORGETTING) -> Stream:
    """Run one E-step on a new batch and one M-step on the averages s ← (1 − η) s + η s_batch, η = t^(−forgetting).

    Args:
        stream: the state after the last batch.
        rows: the new batch, of any size, with the scaling of the stream: `Rows(…, scaling=stream.scaling)`.
        options: floors and prior.
        forgetting: in (0.5, 1]: 1 gives all batches the same weight; smaller values follow a stream that drifts.

    Source: Cappé & Moulines, Journal of the Royal Statistical Society B 2009.

    Raises:
        ConfigurationError: if forgetting is out of its range, or the batch has another scaling.

    Example:
        >>> import torch
        >>> y = torch.randn(200, 1); x = torch.cat([y, -y], 1) + 0.1 * torch.randn(200, 2)
        >>> stream = begin(Rows(x, y), MixtureSpec(), Options())
        >>> stream = advance(stream, Rows(x, y, scaling=stream.scaling), Options())
        >>> stream.n_batches, stream.fitted.A.shape
        (2, torch.Size([1, 2, 1]))
    """
    if not 0.5 < forgetting <= 1.0:
        raise ConfigurationError(f"forgetting is {forgetting}: use more than 0.5 and at most 1")
    if rows.scaling is not stream.scaling:
        raise ConfigurationError("the batch has another scaling than the stream: use Rows(…, scaling=stream.scaling)")
    n_batches, n_seen = stream.n_batches + 1, stream.n_seen + float(rows.total)
    step = n_batches**-forgetting
    new = e_step(rows, stream.parameters).scaled(step / float(rows.total))
    statistics = stream.statistics.scaled(1.0 - step) + new
    kept = occupied(n_seen * statistics.s0, MIN_COUNT)
    if not bool(kept.all()):
        statistics = statistics.keep(kept)
    limits = limits_of(stream.scaling, options)
    dof = stream.parameters.dof
    parameters = m_step(statistics.scaled(n_seen), stream.spec, limits, None if dof is None else dof[kept])
    return Stream(parameters, statistics, stream.scaling, stream.spec, n_batches, n_seen)


def begin_from(parameters: Parameters | Centred, spec: MixtureSpec, n_samples: float) -> Stream:
    """Begin a stream at given parameters, with the statistics that are expected under them; no data are needed.

    Args:
        parameters: θ of Gaussian noise and without latents, in the units of the data.
        spec: the variant of the mixture.
        n_samples: number of samples that the running averages represent.
    """
    about = centre(parameters.to(torch.float64))
    scaling = model_scaling(about)
    reduced = scaling.reduce(about)
    return Stream(reduced, expected_statistics(reduced), scaling, spec, 1, float(n_samples))


def observe(
    stream: Stream, features: Tensor, targets: Tensor, r: Tensor, step: float, *, total: int | None = None
) -> Stream:
    """Update the running averages by a batch with given responsibilities, s ← (1 − η) s + η s_batch.

    Args:
        stream: the state after the last batch; its parameters do not change until `maximise`.
        features: x, (n, D).
        targets: y, (n, L).
        r: responsibilities, (n, K), with rows that sum to 1.
        step: η in (0, 1].
        total: number of samples in the batch, if these are only a part of it: the averages of processes that have the
            other parts are added by `add_processes`.

    Raises:
        DataError: if a value is not finite.
    """
    rows = Rows(features, targets, scaling=stream.scaling)
    spec = stream.spec
    batch = collect(rows, given(r), r.shape[1], noise_structure(spec.covariance_type), spec.tied)
    statistics = stream.statistics.scaled(1.0 - step) + batch.scaled(step / (total or len(features)))
    return stream._replace(statistics=statistics, n_batches=stream.n_batches + 1)


def maximise(stream: Stream, options: Options) -> Stream:
    """Run the M-step of the running averages; a component with too few samples is replaced by `reseed`.

    The largest component is never replaced.
    """
    limits, least = limits_of(stream.scaling, options), options.min_count or MIN_COUNT
    counts = stream.n_seen * stream.statistics.s0
    empty = counts < min(least, float(counts.max()))
    if bool(empty.any()):
        parameters = reseed(stream.parameters, empty)
        return stream._replace(parameters=parameters, statistics=expected_statistics(parameters))
    return stream._replace(parameters=m_step(stream.statistics.scaled(stream.n_seen), stream.spec, limits))


def reseed(parameters: Parameters, empty: Tensor) -> Parameters:
    """Replace each empty component by one half of the largest one, which is split along the main axis of its targets.

    With the leading eigenvalue λ and eigenvector v of Γ, the halves have c ± (λ/2)^½ v, Γ − (λ/2) v vᵀ and half the
    weight, and share A, b and Σ. The mean and covariance of the targets, and E[x | y] of the split component, do not
    change.

    Args:
        parameters: of K components.
        empty: mask, (K,), with at least one component that is not empty.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     torch.tensor([1.0, 0.0]), torch.zeros(2, 1), torch.ones(2, 1, 1),
        ...     torch.ones(2, 3, 1), torch.zeros(2, 3), torch.ones(2, 3),
        ... )
        >>> reseed(p, torch.tensor([False, True])).pi
        tensor([0.5000, 0.5000])
    """
    kept = torch.where(empty, torch.zeros_like(parameters.pi), parameters.pi)
    values = parameters._replace(pi=kept / kept.sum()).tensors
    values = {name: value.clone() for name, value in values.items()}
    for k in empty.nonzero().flatten().tolist():
        largest = int(values["pi"].argmax())
        for value in values.values():
            if len(value) == len(kept):  # not a tied Σ
                value[k] = value[largest]
        eigenvalues, vectors = torch.linalg.eigh(values["Gamma"][largest])
        half = 0.5 * eigenvalues[-1]
        axis = vectors[:, -1]
        for index, sign in ((largest, 1.0), (k, -1.0)):
            values["pi"][index] *= 0.5
            values["c"][index] += sign * half.sqrt() * axis
            values["Gamma"][index] -= half * torch.outer(axis, axis)
    return parameters._replace(**values)


def grow(parameters: Parameters, n_components: int) -> Parameters:
    """Return the mixture with `n_components` components; the missing ones are added by `reseed`."""
    missing = n_components - parameters.n_components
    if missing <= 0:
        return parameters

    def extended(value: Tensor) -> Tensor:
        tied = len(value) < parameters.n_components
        return value if tied else torch.cat([value, value[:1].expand(missing, *value.shape[1:])])

    padded = parameters._replace(**{name: extended(value) for name, value in parameters.tensors.items()})
    empty = torch.arange(n_components, device=parameters.pi.device) >= parameters.n_components
    return reseed(padded, empty)
