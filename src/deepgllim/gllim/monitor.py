"""The trace of EM, and its convergence."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from deepgllim.errors import ConvergenceWarning

ROUNDING = 1e-9  # relative, of the log-likelihood: sums of terms of both signs lose these digits


class Iteration(NamedTuple):
    """One iteration of EM.

    Attributes:
        number: from 1.
        log_likelihood: Σ_n log p(x_n, y_n) after its M-step, in the units of the data.
        objective: the function that EM maximises: the log-likelihood plus the log-density of a prior.
        counts: effective number of samples of each component.
    """

    number: int
    log_likelihood: float
    objective: float
    counts: tuple[float, ...]


class Monitor:
    """Record the trace of EM, test for convergence, and warn if the objective decreases or EM stops early.

    Args:
        tol: EM has converged if a gain is smaller than this share of the total gain; 0 runs all iterations.
        callback: function that is called with each `Iteration`; its result is ignored.
        rounding: share of the log-likelihood up to which a decrease is rounding.
        first: log-likelihood from which the total gain is measured, if this fit continues an earlier one.
        monotone: whether the objective cannot decrease; if it can, a small decrease is convergence, too.

    Example:
        >>> monitor = Monitor(tol=1e-2)
        >>> for number, value in enumerate([-100.0, -50.0, -49.9], 1):
        ...     monitor.record(Iteration(number, value, value, (10.0,)))
        >>> monitor.converged
        True
    """

    def __init__(
        self,
        tol: float,
        callback: Callable[[Iteration], object] | None = None,
        rounding: float = ROUNDING,
        first: float | None = None,
        *,
        monotone: bool = True,
    ) -> None:
        self.tol, self.callback, self.rounding, self.first = tol, callback, rounding, first
        self.monotone = monotone
        self.trace: list[Iteration] = []
        self._since = 0

    def record(self, iteration: Iteration) -> None:
        """Add an iteration, and warn if the objective has decreased by more than rounding."""
        self.trace.append(iteration)
        objectives = self._objectives()
        fallen = len(objectives) > 1 and objectives[-1] - objectives[-2] < -self.rounding * (1.0 + abs(objectives[-2]))
        if fallen and self.monotone:
            warnings.warn(
                f"the log-likelihood decreased from {objectives[-2]:.12g} to {objectives[-1]:.12g} in iteration "
                f"{iteration.number}: the data may be ill-conditioned; use a larger covariance_floor, or float64",
                ConvergenceWarning,
                stacklevel=3,
            )
        if self.callback is not None:
            self.callback(iteration)

    def components_removed(self) -> None:
        """Measure the total gain from the next iteration on, because a smaller model has another likelihood."""
        self._since = len(self.trace)

    def _objectives(self) -> list[float]:
        return [iteration.objective for iteration in self.trace[self._since :]]

    @property
    def converged(self) -> bool:
        """Whether the last gain is smaller than `tol` times the range of the objective."""
        return has_converged(self._objectives(), self.tol, self.rounding, self.first, monotone=self.monotone)

    def stopped_early(self, max_iter: int) -> None:
        """Warn that EM has not converged, unless `tol` is 0 or there is one iteration."""
        if self.tol > 0 and max_iter > 1:
            warnings.warn(
                f"EM stopped after {max_iter} iterations, before its gain was smaller than {self.tol:g} of the "
                "total gain: increase max_iter or tol",
                ConvergenceWarning,
                stacklevel=3,
            )


def has_converged(
    values: list[float],
    tol: float,
    rounding: float = ROUNDING,
    first: float | None = None,
    *,
    monotone: bool = True,
) -> bool:
    """Return whether the last gain is smaller than `tol` times the range of the values.

    A decrease beyond rounding is not convergence, except for an algorithm that is not monotone.
    """
    if len(values) < 2 or tol <= 0:
        return False
    gain = values[-1] - values[-2]
    noise = rounding * abs(values[-1])
    lowest = min(values) if first is None else min(first, *values)
    small = max(noise, tol * (max(values) - lowest))
    return -(noise if monotone else small) <= gain <= small
