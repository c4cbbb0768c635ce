"""Stepwise EM: the sums of a stream forget the past slowly, and every batch is seen once."""

from typing import NamedTuple

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.em import fit_rows, occupied
from deepgllim.gllim.initialisation import check_start
from deepgllim.gllim.maximisation import m_step, regularise
from deepgllim.gllim.options import Options, check_form
from deepgllim.gllim.parameters import Centred, Form, Parameters, Scaling
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.statistics import Statistics, expect

FORGETTING = 0.7  # the exponent of the step size
LEAST = 1e-3  # samples of a component; without any, its regression has no answer


class Stream(NamedTuple):
    """Where stepwise EM stands.

    Attributes:
        parameters: in the units of EM, those of the first batch.
        statistics: running averages, a sample's worth.
        scaling: from the first batch.
        form: which mixture.
        n_batches: batches so far.
        n_seen: weight of the samples so far.
    """

    parameters: Parameters
    statistics: Statistics
    scaling: Scaling
    form: Form
    n_batches: int
    n_seen: float

    @property
    def fitted(self) -> Parameters:
        """The parameters in the data's units."""
        return self.centred.absolute

    @property
    def centred(self) -> Centred:
        """The parameters in the data's units, about the first batch's mean."""
        return self.scaling.centred(self.parameters)


def begin(
    rows: Rows, n_components: int, form: Form, options: Options, start: Parameters | Centred | None = None
) -> Stream:
    """EM on the first batch, which must hold enough samples for every component; or a start from elsewhere.

    Raises:
        ConfigurationError, DataError: as `fit_rows`.
    """
    check_form(form)
    if start is None:
        fitted = fit_rows(rows, n_components, form, options)
        parameters = rows.scaling.reduce(fitted.centred or fitted.parameters)
    else:
        rows.adapt(form)
        parameters = check_start(start, form, rows.scaling)
    total = float(rows.total)
    statistics = expect(rows, parameters).scaled(1.0 / total)
    return Stream(parameters, statistics, rows.scaling, form, 1, total)


def advance(stream: Stream, rows: Rows, options: Options, forgetting: float = FORGETTING) -> Stream:
    """One E-step on a new batch and one M-step on the running averages, s ← (1 − η) s + η s_batch, η = t^(−forgetting).

    Args:
        stream: so far.
        rows: the new batch, of any number of samples, scaled as the stream is: `Rows(…, scaling=stream.scaling)`.
        options: floors and prior.
        forgetting: in (0.5, 1]: 1 weighs all batches alike, less follows a stream that drifts.

    Source: Cappé & Moulines, Journal of the Royal Statistical Society B 2009.

    Raises:
        ConfigurationError: if forgetting is out of its range, or the batch is scaled otherwise.

    Example:
        >>> import torch
        >>> y = torch.randn(200, 1); x = torch.cat([y, -y], 1) + 0.1 * torch.randn(200, 2)
        >>> stream = begin(Rows(x, y), 1, Form(), Options())
        >>> stream = advance(stream, Rows(x, y, scaling=stream.scaling), Options())
        >>> stream.n_batches, stream.fitted.A.shape
        (2, torch.Size([1, 2, 1]))
    """
    if not 0.5 < forgetting <= 1.0:
        raise ConfigurationError(f"forgetting is {forgetting}: use more than 0.5 and at most 1")
    if rows.scaling is not stream.scaling:
        raise ConfigurationError("the batch is scaled otherwise than the stream: give Rows(…, scaling=stream.scaling)")
    n_batches, n_seen = stream.n_batches + 1, stream.n_seen + float(rows.total)
    step = n_batches**-forgetting
    new = expect(rows, stream.parameters).scaled(step / float(rows.total))
    statistics = stream.statistics.scaled(1.0 - step) + new
    kept = occupied(n_seen * statistics.s0, LEAST)
    if not bool(kept.all()):
        statistics = statistics.keep(kept)
    limits = regularise(stream.scaling, options.variance_floor, options.prior_count, options.prior_variance)
    dof = stream.parameters.dof
    parameters = m_step(statistics.scaled(n_seen), stream.form, limits, None if dof is None else dof[kept])
    return Stream(parameters, statistics, stream.scaling, stream.form, n_batches, n_seen)
