"""Selection of the number of components, the number of latents and the structures, by criteria of several fits."""

import itertools
import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from numpy.typing import ArrayLike

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.arrays import as_array, as_columns, require_table, to_tensor
from deepgllim.gllim.em import Fit, fit_rows, rows_at_once
from deepgllim.gllim.likelihood import join, multiply, normalise, prepare
from deepgllim.gllim.options import Options
from deepgllim.gllim.parameters import Centred, Parameters
from deepgllim.gllim.prediction import invert, predict
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.spec import MixtureSpec

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = {"bic": 1, "aic": 1, "icl": 1, "held_out": -1, "held_out_conditional": -1}
"""The criteria, with 1 if lower is better and −1 if higher is better."""


class Candidate(NamedTuple):
    """One fitted specification.

    Attributes:
        spec: the fitted variant; `fit.parameters.n_components` components are left.
        n_parameters: number of free parameters.
        log_likelihood: Σ_n log p(x_n, y_n) of the training samples.
        bic: −2 log p + parameters · log N (Schwarz 1978).
        aic: −2 log p + 2 parameters (Akaike 1974).
        icl: BIC + twice the entropy of r (Biernacki, Celeux & Govaert 2000): it prefers fewer and distinct components.
        held_out: mean log p(x, y) of held-out samples; NaN if there are none.
        held_out_conditional: mean log p(y | x) of held-out samples, a criterion for regression.
        at_floor: whether a variance of Σ lies on its floor, because there are too few samples for the specification.
            The likelihood then measures the floor, so that such a candidate is the best only if all are at the floor.
        seconds: duration of the fit.
        fit: the fit.
    """

    spec: MixtureSpec
    n_parameters: int
    log_likelihood: float
    bic: float
    aic: float
    icl: float
    held_out: float
    held_out_conditional: float
    at_floor: bool
    seconds: float
    fit: Fit

    @property
    def n_components(self) -> int:
        """The number of components that was asked for."""
        return self.spec.n_components


class Selection(NamedTuple):
    """The candidates of a selection, and the best of them.

    Attributes:
        candidates: in the order of their fits.
        criterion: the criterion by which `best` was chosen.
        best: the best candidate.
    """

    candidates: list[Candidate]
    criterion: str
    best: Candidate

    @property
    def table(self) -> "pd.DataFrame":
        """A table with one row per candidate, the best first."""
        import pandas as pd

        rows = [
            {**c.spec._asdict(), **{name: getattr(c, name) for name in Candidate._fields[1:-1]}}
            for c in self.candidates
        ]
        order = [True, CRITERIA[self.criterion] > 0]
        return pd.DataFrame(rows).sort_values(["at_floor", self.criterion], ascending=order, ignore_index=True)


def select(
    features: ArrayLike | torch.Tensor,
    targets: ArrayLike | torch.Tensor,
    *,
    n_components: Sequence[int] = (1, 2, 3, 5, 8),
    n_latents: Sequence[int] = (0,),
    covariance_type: Sequence[str] = ("diagonal",),
    tied: Sequence[bool] = (False,),
    target_covariance: Sequence[str] = ("full",),
    dof: Sequence[float | str | None] = (None,),
    criterion: str = "bic",
    held_out: float = 0.0,
    options: Options = Options(),  # noqa: B008 - an immutable tuple
) -> Selection:
    """Fit every combination of specifications and return the best one.

    Args:
        features: x, (N, D): a tensor, array, table or list.
        targets: y, (N, L), or (N,) for one target.
        n_components, n_latents, covariance_type, tied, target_covariance, dof: values of these fields of `MixtureSpec`
            to combine.
        criterion: "bic", "aic", "icl", "held_out" or "held_out_conditional".
        held_out: share of randomly drawn samples that are excluded from the fits; where it is 0 and the criterion needs
            them, 0.2.
        options: options of every fit; `options.random_state` is also the seed of the held-out samples.

    Raises:
        ConfigurationError: for an unknown criterion or a share outside [0, 1).
        DataError: if there is no candidate, and as in `fit`.

    Example:
        >>> y = torch.linspace(-1, 1, 300)[:, None].double()
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.cat([y.abs(), y], 1) + 0.02 * torch.randn(300, 2, generator=g).double()
        >>> select(x, y, n_components=[1, 2]).best.n_components
        2
    """
    if criterion not in CRITERIA:
        raise ConfigurationError(f"unknown criterion {criterion!r}: use one of {', '.join(CRITERIA)}")
    if not 0.0 <= held_out < 1.0:
        raise ConfigurationError(f"held_out is {held_out}: use a share of the samples, from 0 to below 1")
    features, targets = as_array(features), as_columns(targets)
    require_table(features, targets)
    share = held_out or (0.2 if criterion.startswith("held_out") else 0.0)
    train, test = _split(len(features), share, options.random_state)
    tensors = to_tensor(features), to_tensor(targets)
    data = [values[index.to(values.device)] for index in (train, test) for values in tensors]
    specs: Iterable[tuple[str, bool, str, int, float | str | None]] = itertools.product(
        covariance_type, tied, target_covariance, n_latents, dof
    )
    candidates = [
        _candidate(data, MixtureSpec(K, s, t, g, False, False, Lw, nu), options)
        for (s, t, g, Lw, nu), K in itertools.product(specs, n_components)
    ]
    if not candidates:
        raise DataError("there is no candidate: give at least one value of every option")
    best = min(candidates, key=lambda one: (one.at_floor, CRITERIA[criterion] * float(getattr(one, criterion))))
    return Selection(candidates, criterion, best)


def _split(n: int, share: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    n_test = math.ceil(share * n)
    return order[n_test:].sort().values, order[:n_test].sort().values


def _candidate(data: list[torch.Tensor], spec: MixtureSpec, options: Options) -> Candidate:
    x, y, x_test, y_test = data
    start = time.perf_counter()
    rows = Rows(x, y, block_rows=rows_at_once(spec, x.shape[1], x.device))
    result = fit_rows(rows, spec, options)
    seconds = time.perf_counter() - start
    left = spec._replace(n_components=result.parameters.n_components)
    size = left.n_parameters(x.shape[1], y.shape[1])
    value, fitted = result.log_likelihoods[-1], result.centred or result.parameters
    bic = size * math.log(len(x)) - 2 * value
    joint, conditional = (math.nan, math.nan) if len(x_test) == 0 else held_out_density(x_test, y_test, fitted)
    icl = bic + 2 * assignment_entropy(rows, fitted)
    aic = 2 * size - 2 * value
    return Candidate(spec, size, value, bic, aic, icl, joint, conditional, result.at_floor, seconds, result)


def assignment_entropy(rows: Rows, parameters: Parameters | Centred) -> float:
    """Return −Σ_nk r_nk log r_nk, in nats, the uncertainty of the assignment to components."""
    model = prepare(rows.scaling.reduce(parameters))
    total = 0.0
    for block in rows:
        r, _ = normalise(join(multiply(block.features.double(), model.expansion), block.targets, model).log_joint)
        total += float(torch.special.entr(r).sum())
    return total


def held_out_density(
    features: torch.Tensor, targets: torch.Tensor, parameters: Parameters | Centred
) -> tuple[float, float]:
    """Return mean log p(x, y) and mean log p(y | x) of held-out samples, in nats per sample."""
    rows = Rows(features, targets)
    model = prepare(rows.scaling.reduce(parameters))
    shift = float(rows.scaling.target_scale.log().sum())
    joint = marginal = 0.0
    forward = invert(parameters)
    for block, raw in zip(rows, rows.raw(), strict=True):
        products = multiply(block.features, model.expansion)
        joint += float(normalise(join(products, block.targets, model).log_joint)[1].sum())
        marginal += float(predict(raw.features.double(), forward).log_density.sum())
    n = rows.n_rows
    return joint / n - shift, (joint - marginal) / n - shift
