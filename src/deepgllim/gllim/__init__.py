"""The Gaussian mixture of linear inverse regressions: EM on sufficient statistics, and closed-form inversion."""

from deepgllim.forking import limit_pools_in_children
from deepgllim.gllim.conditional import Densities, DensityModel
from deepgllim.gllim.covariances import shrink
from deepgllim.gllim.em import Fit, fit, fit_rows, rows_at_once
from deepgllim.gllim.initialisation import fit_target_mixture, initial_responsibilities
from deepgllim.gllim.inverse import FeaturePredictive, predict_features
from deepgllim.gllim.likelihood import (
    joint_log_density,
    responsibilities,
    target_log_density,
    target_responsibilities,
)
from deepgllim.gllim.maximisation import m_step
from deepgllim.gllim.missing import impute, predict_incomplete
from deepgllim.gllim.monitor import Iteration, Monitor
from deepgllim.gllim.options import Options
from deepgllim.gllim.parameters import Centred, Parameters, TargetMixture, centre
from deepgllim.gllim.prediction import Forward, Predictive, invert, predict
from deepgllim.gllim.rows import BatchRows, Rows
from deepgllim.gllim.sampling import sample
from deepgllim.gllim.scaling import Scaling
from deepgllim.gllim.selection import Selection, select
from deepgllim.gllim.spec import MixtureSpec, check_spec
from deepgllim.gllim.statistics import SufficientStatistics, collect, e_step

__all__ = [
    "BatchRows",
    "Centred",
    "Densities",
    "DensityModel",
    "FeaturePredictive",
    "Fit",
    "Forward",
    "Iteration",
    "MixtureSpec",
    "Monitor",
    "Options",
    "Parameters",
    "Predictive",
    "Rows",
    "Scaling",
    "Selection",
    "SufficientStatistics",
    "TargetMixture",
    "centre",
    "check_spec",
    "collect",
    "e_step",
    "fit",
    "fit_rows",
    "fit_target_mixture",
    "impute",
    "initial_responsibilities",
    "invert",
    "joint_log_density",
    "m_step",
    "predict",
    "predict_features",
    "predict_incomplete",
    "responsibilities",
    "rows_at_once",
    "sample",
    "select",
    "shrink",
    "target_log_density",
    "target_responsibilities",
]

limit_pools_in_children()
