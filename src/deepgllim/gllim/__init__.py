"""The Gaussian mixture of linear inverse regressions: EM from sums, closed-form inversion. Nothing about images."""

from deepgllim.gllim.em import Fit, fit, m_step
from deepgllim.gllim.initialisation import fit_target_mixture, initial_responsibilities
from deepgllim.gllim.likelihood import joint_log_density, responsibilities, target_responsibilities
from deepgllim.gllim.parameters import Parameters, Scaling, TargetMixture
from deepgllim.gllim.prediction import Forward, Predictive, invert, predict
from deepgllim.gllim.sampling import sample
from deepgllim.gllim.statistics import Rows, Statistics, collect, expect

__all__ = [
    "Fit",
    "Forward",
    "Parameters",
    "Predictive",
    "Rows",
    "Scaling",
    "Statistics",
    "TargetMixture",
    "collect",
    "expect",
    "fit",
    "fit_target_mixture",
    "initial_responsibilities",
    "invert",
    "joint_log_density",
    "m_step",
    "predict",
    "responsibilities",
    "sample",
    "target_responsibilities",
]
