"""Predictive distributions: mixtures over a few targets, with moments, quantiles, intervals and modes."""

from deepgllim.distributions.mixture import MultivariateMixture
from deepgllim.distributions.predictive import (
    MultivariateGaussianMixture,
    MultivariateStudentMixture,
    gaussian_entropy,
)
from deepgllim.distributions.student import MultivariateStudentT
from deepgllim.forking import limit_pools_in_children

__all__ = [
    "MultivariateGaussianMixture",
    "MultivariateMixture",
    "MultivariateStudentMixture",
    "MultivariateStudentT",
    "gaussian_entropy",
]

limit_pools_in_children()
