"""The trace of EM, its convergence, and its warnings."""

import warnings

import pytest
import torch

from deepgllim.errors import ConvergenceWarning
from deepgllim.gllim import Iteration, MixtureSpec, Monitor, joint_log_density
from deepgllim.gllim.monitor import has_converged
from tests.gllim.strategies import fit, problem_of


def watch(values: list[float], tol: float = 1e-2, rounding: float = 1e-9) -> Monitor:
    monitor = Monitor(tol, rounding=rounding)
    for number, value in enumerate(values, 1):
        monitor.record(Iteration(number, value - 1.0, value, (5.0,)))  # the objective is what counts
    return monitor


def test_convergence_is_a_small_gain_and_not_a_decrease() -> None:
    assert not has_converged([-5.0], 0.1)
    assert not has_converged([-100.0, -50.0], 0.1)
    assert has_converged([-100.0, -50.0, -49.0], 0.1)
    assert not has_converged([-100.0, -50.0, -49.0], 0.01)
    assert not has_converged([-100.0, -50.0, -50.1], 0.1)
    assert has_converged([-100.0, -50.0, -50.0 - 1e-12], 0.1)
    assert not has_converged([-100.0, -50.0, -50.0], 0.0)
    assert not has_converged([-100.0, -50.0, float("nan")], 0.1)


def test_the_monitor_converges_as_the_objective_does() -> None:
    assert not watch([-100.0]).converged
    assert not watch([-100.0, -50.0, -49.0]).converged
    monitor = watch([-100.0, -50.0, -49.9])
    assert monitor.converged
    assert [iteration.number for iteration in monitor.trace] == [1, 2, 3]


def test_a_decrease_beyond_rounding_is_a_warning() -> None:
    with pytest.warns(
        ConvergenceWarning, match="decreased from -50 to -50.1 in iteration 3.*covariance_floor, or float64"
    ):
        assert not watch([-100.0, -50.0, -50.1]).converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert watch([-100.0, -50.0, -50.0 - 1e-9]).converged  # under 1e-9 of 1 + 50
        assert watch([-100.0, -50.0, -50.0001], rounding=1e-5).converged  # as in float32
        watch([0.0, 1e-10, 0.0])  # values near 0 are not asked for more digits


def test_the_gain_is_measured_from_a_removal() -> None:
    monitor = watch([-100.0, -50.0])
    monitor.components_removed()
    # a fall, and no warning; then 0.5 is a small share of 50, not of 10.5
    later = [(-70.0, False), (-60.0, False), (-59.5, False), (-59.49, True)]
    for number, (value, converged) in enumerate(later, 3):
        monitor.record(Iteration(number, value, value, (5.0,)))
        assert monitor.converged == converged
    assert len(monitor.trace) == 6


def test_the_iteration_limit_is_a_warning() -> None:
    problem = problem_of(MixtureSpec(), K=3)
    with pytest.warns(ConvergenceWarning, match="after 2 iterations"):
        result = fit(*problem[:2], responsibilities=problem.r, max_iter=2)
    assert not result.converged
    assert len(result.log_likelihoods) == 2


def test_requested_iterations_are_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch([-100.0, -50.0], tol=0.0).stopped_early(2)
        watch([-100.0]).stopped_early(1)


def test_a_fit_stops_when_the_gain_is_below_tol() -> None:
    problem = problem_of(MixtureSpec())
    result = fit(*problem[:2], responsibilities=problem.r, tol=1e-2)
    trace = result.log_likelihoods
    assert result.converged
    assert trace[-1] - trace[-2] <= 1e-2 * (trace[-1] - trace[0])
    assert trace[-2] - trace[-3] > 1e-2 * (trace[-2] - trace[0])


@pytest.mark.parametrize("prior_count", [0.0, 5.0])
def test_the_callback_receives_every_iteration(prior_count: float) -> None:
    x, y, r, _ = problem_of(MixtureSpec())
    seen: list[Iteration] = []
    result = fit(x, 30.0 * y, responsibilities=r, tol=0, max_iter=4, prior_count=prior_count, callback=seen.append)
    assert tuple(seen) == result.trace
    assert [iteration.number for iteration in seen] == [1, 2, 3, 4]
    assert [iteration.log_likelihood for iteration in seen] == result.log_likelihoods
    assert all(sum(iteration.counts) == pytest.approx(90.0) for iteration in seen)
    assert all((i.objective == i.log_likelihood) == (prior_count == 0) for i in seen)
    value = torch.logsumexp(joint_log_density(x, 30.0 * y, result.parameters), 1).sum()
    assert seen[-1].log_likelihood == pytest.approx(float(value), rel=1e-9)  # quadratics about another origin
