"""The objective of inverse regression: a family from the paper's network step (β = 0) to the conditional likelihood.

    F_β(w) = − 1/N Σ_n [ Σ_k r_nk (log p(x_n, y_n, k; θ) − log r_nk) − β log p(x_n; θ) ],    x_n = φ(image_n; w)

β = 0 has the gradient of the paper's equations 8 and 9; β = 1 with r = p(k | x, y) is −log p(y | x). The features are
not data: without the term log p(x) the likelihood grows without bound as the features shrink onto A y + b.
"""

import warnings

import torch
from torch import Tensor
from torch.nn import functional

from deepgllim.errors import ConvergenceWarning, DataError, EmptyComponentWarning, NumericalError
from deepgllim.gllim import (
    Centred,
    DensityModel,
    Fit,
    MixtureSpec,
    Options,
    Parameters,
    Rows,
    centre,
    fit,
    fit_rows,
    fit_target_mixture,
    rows_at_once,
)
from deepgllim.gllim.likelihood import target_responsibilities
from deepgllim.gllim.statistics import add_processes
from deepgllim.gllim.stream import Stream, begin_from, grow, maximise, observe
from deepgllim.nn.batches import n_batches
from deepgllim.nn.config import ObjectiveConfig, Recipe
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.step_noise import STEP_NOISE

GROWTHS = 2
"""Maximum number of repetitions of EM at the end of a round; each splits components to replace the empty ones."""


def free_energy(features: Tensor, targets: Tensor, r: Tensor | None, model: DensityModel, beta: float) -> Tensor:
    """Return F_β of a batch divided by (1 − β) D/2 + β L, so that its magnitude depends neither on D nor on β.

    Args:
        features: x with gradients, (N, D).
        targets: y, (N, L).
        r: responsibilities, (N, K), without gradients; p(k | x, y) if None.
        model: θ, without gradients.
        beta: weight of −log p(x), in [0, 1].

    Returns:
        A scalar.

    Source: paper, eqs. 8 and 9 (β = 0); docs/mathematics.md.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 3, 1), torch.zeros(1, 3), torch.full((1,), 4.0),
        ... )
        >>> x, y = torch.ones(2, 3), torch.tensor([[1.0], [2.0]])
        >>> free_energy(x, y, None, DensityModel.of(p), beta=1.0)
        tensor(1.8623)
    """
    D, L = features.shape[1], targets.shape[1]
    if beta > 0 or model.factors is not None:
        log_joint, log_marginal = model.densities(features, targets)
    else:
        log_joint, log_marginal = model.log_joint(features, targets), features.new_zeros(len(features))
    if r is None:
        expected = torch.logsumexp(log_joint, dim=1)
    else:
        expected = (r * (log_joint - r.clamp_min(torch.finfo(r.dtype).tiny).log())).sum(1)
    scale = (1.0 - beta) * D / 2.0 + beta * L
    return -(expected - beta * log_marginal).mean() / scale


def check_components(config: ObjectiveConfig, targets: Tensor) -> None:
    """Check that inverse regression has at most as many components as there are distinct targets (N, L).

    Raises:
        DataError: if there are more; the message contains both numbers.
    """
    if config.name != "inverse_regression":
        return
    distinct = len(torch.unique(targets, dim=0))
    if config.n_components > distinct:
        raise DataError(
            f"objective.n_components is {config.n_components}, but the {len(targets)} training inputs have {distinct} "
            f"different targets: use at most {distinct}"
        )


class InverseRegression:
    """Mixture and network trained together: EM for θ, gradients of F_β for the network.

    Args:
        head: the head whose mixture is θ.
        recipe: K, β, the structure of Σ, the limits of EM, and whether θ is updated after batches (stepwise EM).
        targets: y of all training inputs, (N, L), for the initial responsibilities.
        processes: they have the same θ; each has its rows of a batch in `loss` and `update`, and EM splits all rows.
    """

    def __init__(
        self, head: InverseRegressionHead, recipe: Recipe, targets: Tensor, processes: Processes = ALONE
    ) -> None:
        self.head, self.processes = head, processes
        schedule = recipe.schedule
        self.config: ObjectiveConfig = recipe.objective
        self.spec = MixtureSpec(covariance_type=self.config.covariance_type, tied=self.config.tied)
        self.first_mixture = fit_target_mixture(targets, self.config.n_components, schedule.seed)
        self.follows = schedule.em == "stepwise"
        self.every = schedule.em_every
        batches = n_batches(len(targets), schedule.batch_size, max(2, processes.size))
        self.window = max(1.0, schedule.em_window * batches)  # in batches
        self.n_window = min(self.window, batches) * schedule.batch_size
        self._mixture: DensityModel | None = None
        self._step: DensityModel | None = None
        self._stream: Stream | None = None
        self._from_targets = True
        self._pending = 0

    @property
    def n_components(self) -> int:
        """Number of components of the mixture, K."""
        return self.head.n_components

    def start(self, features: Tensor, targets: Tensor) -> None:
        """Set the mixture by one M-step with the initial responsibilities."""
        self._solve_frozen(features, targets)

    def solve(self, features: Tensor, targets: Tensor, round_: int) -> dict[str, float]:
        """Run EM to convergence, or one M-step with the initial responsibilities while these are frozen."""
        if self._frozen(round_ + 1):
            return self._solve_frozen(features, targets)
        from_targets = self.config.em_start == "targets"
        r = target_responsibilities(targets.double(), self.head.mixture) if from_targets else None
        start = None if from_targets else self.head.mixture
        result = self._fit(features, targets, r, start, self.config.max_iter)
        K = self.first_mixture.pi.shape[0]
        for _ in range(GROWTHS):
            if result.parameters.n_components >= K:
                break
            about = result.centred or centre(result.parameters)
            grown = about._replace(parameters=grow(about.parameters, K))
            result = self._fit(features, targets, None, grown, self.config.max_iter)
        return self._adopt_fit(result, len(features))

    def _solve_frozen(self, features: Tensor, targets: Tensor) -> dict[str, float]:
        r = target_responsibilities(targets.double(), self.first_mixture.to(targets.device))
        return self._adopt_fit(self._fit(features, targets, r, None, 1), len(features))

    def _adopt_fit(self, result: Fit, n: int) -> dict[str, float]:
        """Set the mixture to the result of EM on n samples, and return the metrics of EM."""
        self.head.mixture = result.parameters
        return {
            "log_likelihood": result.log_likelihoods[-1] / n,
            "em_iterations": len(result.log_likelihoods),
            "components": result.parameters.n_components,
        }

    def _fit(self, x: Tensor, y: Tensor, r: Tensor | None, start: Parameters | Centred | None, iterations: int) -> Fit:
        config = self.config
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the next round continues
            warnings.simplefilter("ignore", EmptyComponentWarning)  # components are split again, or the round is undone
            options = Options(
                max_iter=iterations,
                tol=config.tol,
                covariance_floor=config.covariance_floor,
                shrinkage=config.shrinkage,
            )
            if self.processes.size == 1:
                return fit(x, y, self.spec, options, responsibilities=r, start=start)
            share = self.processes.rows(len(x))
            own = slice(share.start, share.stop)
            spec = self.spec._replace(n_components=len(self.first_mixture.pi))
            block_rows = rows_at_once(spec, x.shape[1])
            rows = Rows(x[own], y[own], block_rows=block_rows, group=self.processes.group)
            return fit_rows(rows, self.spec, options, responsibilities=None if r is None else r[own], start=start)

    def prepare(self, round_: int) -> None:
        """Set θ of the network epochs to the mixture; for stepwise EM, also initialise the running averages from it."""
        self._from_targets = self._frozen(round_) or self.config.responsibilities == "targets"
        self._adopt(self.head.mixture)
        self._pending = 0
        self._stream = self._shared(begin_from(self.head.mixture, self.spec, self.n_window)) if self.follows else None

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return F_β of a batch under the current θ, with responsibilities from θ and these features."""
        assert self._step is not None
        x, y = features.double(), targets.double()
        r = None if self._exact else self._assign(x.detach(), y)
        return free_energy(x, y, r, self._step, self.config.beta).to(features.dtype)

    def update(self, features: Tensor, targets: Tensor, total: int | None = None) -> None:
        """Add the statistics of a batch to the running averages; run an M-step every `em_every` batches.

        Several processes keep one share of the averages each; an M-step adds these by one all_reduce.
        """
        if self._stream is None:
            return
        x, y = features.detach().double(), targets.double()
        self._stream = observe(self._stream, x, y, self._assign(x, y), 1.0 / self.window, total=total)
        self._pending += 1
        if self._pending >= self.every:
            self._pending = 0
            whole = self._stream
            if self.processes.size > 1:
                whole = whole._replace(statistics=add_processes(whole.statistics, self.processes.sum))
            whole = maximise(whole, self._options())
            self.head.mixture = whole.fitted
            self._adopt(whole.centred)
            self._stream = self._shared(whole)

    def _shared(self, stream: Stream) -> Stream:
        """Return the stream with this process's share of the running averages."""
        size = self.processes.size
        return stream if size == 1 else stream._replace(statistics=stream.statistics.scaled(1.0 / size))

    def refit(self, features: Tensor, targets: Tensor) -> None:
        """Run EM from the θ of the best round on all inputs, or keep θ if the result is singular or lost components."""
        if not self.config.refit:
            return
        try:
            parameters = self._fit(features, targets, None, self.head.mixture, self.config.max_iter).parameters
            DensityModel.of(parameters)
        except NumericalError:
            return
        if parameters.n_components == self.head.n_components:
            self.head.mixture = parameters

    def _options(self) -> Options:
        D, L = self.head.A.shape[1:]
        own_full = self.config.covariance_type == "full" and not self.config.tied
        return Options(
            covariance_floor=self.config.covariance_floor,
            shrinkage=self.config.shrinkage,
            min_count=float(L + 2 + (D if own_full else 0)),
        )

    def _adopt(self, mixture: Parameters | Centred) -> None:
        about = centre(mixture)
        self._mixture = DensityModel.of(about)
        name = self.config.network_noise
        noise = self.config.target_noise
        plain = name == "mixture" and noise == 0
        step = about._replace(parameters=STEP_NOISE[name](about.parameters))
        self._step = self._mixture if plain else DensityModel.of(step, noise)

    @property
    def _exact(self) -> bool:
        """Whether the responsibilities are p(k | x, y) under the θ of the loss."""
        config = self.config
        plain = config.network_noise == "mixture" and config.assignment == "weighted"
        return plain and not self._from_targets

    def _frozen(self, round_: int) -> bool:
        return round_ < self.config.frozen_rounds

    @torch.no_grad()
    def _assign(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the responsibilities of the network step, (N, K)."""
        assert self._mixture is not None
        if self._mixture.n_components == 1:
            return torch.ones_like(targets[:, :1])
        if self._from_targets:
            r = self._mixture.target_responsibilities(targets)
        else:
            r = torch.softmax(self._mixture.log_joint(features, targets), dim=1)
        if self.config.assignment == "sampled":
            r = functional.one_hot(torch.multinomial(r, 1).squeeze(1), r.shape[1]).to(r)
        return r
