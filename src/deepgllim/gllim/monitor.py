"""What EM records on its way, and when it stops."""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from deepgllim.errors import ConvergenceWarning

ROUNDING = 1e-9  # of the log-likelihood: sums of terms of either sign lose these digits


class Iteration(NamedTuple):
    """One iteration of EM, as a monitor's callback sees it.

    Attributes:
        number: from 1.
        log_likelihood: Σ_n log p(x_n, y_n) after its M-step, in the data's units.
        objective: what EM raises: the log-likelihood, plus the log-density of the prior where there is one.
        counts: effective number of samples of each component.
    """

    number: int
    log_likelihood: float
    objective: float
    counts: tuple[float, ...]


class Monitor:
    """Records the trace, tells when the relative gain is small, and warns when EM falls or is stopped early.

    Args:
        tolerance: stop when a gain is under this share of the whole gain so far; 0 runs all iterations.
        callback: called with each `Iteration`; its result is ignored.
        rounding: share of the log-likelihood that a fall must exceed to be one.
        first: the log-likelihood that the whole gain counts from, of an earlier fit that this one goes on with.
        monotone: whether EM cannot fall; where it can, a small fall is convergence too.

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
        """Add an iteration; a fall beyond rounding is a warning."""
        self.trace.append(iteration)
        objectives = self._objectives()
        fallen = len(objectives) > 1 and objectives[-1] - objectives[-2] < -self.rounding * (1.0 + abs(objectives[-2]))
        if fallen and self.monotone:
            warnings.warn(
                f"the log-likelihood fell from {objectives[-2]:.12g} to {objectives[-1]:.12g} in iteration "
                f"{iteration.number}: the data may be ill-conditioned; use a larger covariance_floor, or float64",
                ConvergenceWarning,
                stacklevel=3,
            )
        if self.callback is not None:
            self.callback(iteration)

    def components_removed(self) -> None:
        """A smaller model starts at another likelihood: what came before is no measure of its gain."""
        self._since = len(self.trace)

    def _objectives(self) -> list[float]:
        return [iteration.objective for iteration in self.trace[self._since :]]

    @property
    def converged(self) -> bool:
        """Whether the last gain is under the tolerance times the range so far. A fall is not convergence."""
        return has_converged(self._objectives(), self.tol, self.rounding, self.first, monotone=self.monotone)

    def stopped_early(self, max_iter: int) -> None:
        """Warn that EM had not converged, unless it was told not to."""
        if self.tol > 0 and max_iter > 1:
            warnings.warn(
                f"EM stopped after {max_iter} iterations before its gain fell under {self.tol:g} of the "
                "whole: increase max_iter or tol",
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
    """Whether the last gain is under `tolerance` times the range so far.

    A fall beyond rounding is not convergence, except of an algorithm that is not monotone.
    """
    if len(values) < 2 or tol <= 0:
        return False
    gain = values[-1] - values[-2]
    noise = rounding * abs(values[-1])
    lowest = min(values) if first is None else min(first, *values)
    small = max(noise, tol * (max(values) - lowest))
    return -(noise if monotone else small) <= gain <= small
