"""The families of noise: Gaussian, and Student with ν degrees of freedom, each a set of functions.

Both are functions of a squared Mahalanobis distance δ in some number of dimensions. A Student variable is a Gaussian
one whose covariance is divided by u ~ Gamma(ν/2, ν/2); given the variable, u ~ Gamma((ν + dimensions)/2, (ν + δ)/2).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LOG_2PI = math.log(2.0 * math.pi)
MIN_DOF, MAX_DOF = 0.05, 1e6  # range of ν; at its end, Student and Gaussian agree to 1e-6


class Family(NamedTuple):
    """The functions of one family of noise.

    Attributes:
        log_density: (δ (N, K), log |S| (K,), dimensions, ν) to the log-density, (N, K).
        expected_scale: (δ, dimensions, ν) to E[u], (N, K); None if u is 1.
        expected_log_scale: (δ, dimensions, ν) to E[log u], (N, K).
    """

    log_density: Callable[[Tensor, Tensor, Tensor | int, Tensor | None], Tensor]
    expected_scale: Callable[[Tensor, Tensor | int, Tensor | None], Tensor | None]
    expected_log_scale: Callable[[Tensor, Tensor | int, Tensor | None], Tensor]


def _gaussian(distance: Tensor, log_determinant: Tensor, dimensions: Tensor | int, dof: Tensor | None) -> Tensor:
    return -0.5 * (distance + (log_determinant + dimensions * LOG_2PI))


def _student(distance: Tensor, log_determinant: Tensor, dimensions: Tensor | int, dof: Tensor | None) -> Tensor:
    assert dof is not None
    half = 0.5 * (dof + dimensions)
    constant = (
        torch.lgamma(half) - torch.lgamma(0.5 * dof) - 0.5 * (log_determinant + dimensions * (dof * math.pi).log())
    )
    return constant - half * torch.log1p(distance / dof)


def _student_scale(distance: Tensor, dimensions: Tensor | int, dof: Tensor | None) -> Tensor:
    assert dof is not None
    return (dof + dimensions) / (dof + distance)


def _student_log_scale(distance: Tensor, dimensions: Tensor | int, dof: Tensor | None) -> Tensor:
    assert dof is not None
    return torch.digamma(0.5 * (dof + dimensions)) - (0.5 * (dof + distance)).log()


GAUSSIAN = Family(_gaussian, lambda *_: None, lambda distance, *_: torch.zeros_like(distance))
STUDENT = Family(_student, _student_scale, _student_log_scale)


def family(dof: Tensor | None) -> Family:
    """Return the family for the degrees of freedom of the parameters.

    Example:
        >>> family(None) is GAUSSIAN, family(torch.ones(2)) is STUDENT
        (True, True)
    """
    return GAUSSIAN if dof is None else STUDENT


def solve_dof(mean_excess: Tensor) -> Tensor:
    """Return the ν that maximises the expected log-likelihood: log(ν/2) − ψ(ν/2) + 1 + E[log u − u] = 0.

    The left side decreases with ν, so bisection on log ν finds the root to the last digit, within [0.05, 10⁶].

    Args:
        mean_excess: Σ_n r_nk E[log u − u] / Σ_n r_nk, (K,), at most −1.

    Source: Liu & Rubin, Statistica Sinica 1995.

    Example:
        >>> nu = torch.tensor([4.0]).double()
        >>> excess = torch.digamma(nu / 2) - (nu / 2).log() - 1  # E[log u − u] of Gamma(ν/2, ν/2)
        >>> solve_dof(excess)
        tensor([4.0000], dtype=torch.float64)
    """
    low = torch.full_like(mean_excess, math.log(MIN_DOF))
    high = torch.full_like(mean_excess, math.log(MAX_DOF))
    for _ in range(60):
        middle = 0.5 * (low + high)
        half = 0.5 * middle.exp()
        rising = half.log() - torch.digamma(half) + 1.0 + mean_excess > 0
        low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
    return (0.5 * (low + high)).exp()
