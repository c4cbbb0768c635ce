"""Predictions for a set of inputs, the figures that judge them, and the scale that makes their covariance honest."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from deepgllim import metrics
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.nn.inputs import Inputs, batches
from deepgllim.nn.model import DeepRegression


class Predictions(NamedTuple):
    """Arrays of one row an input.

    Attributes:
        mean: (N, L).
        lower, upper: the 90 % interval of each target, (N, L).
        covariance: (N, L, L).
        log_probability: log p(y_n | x_n) of the true targets, (N,).
        log_density: log p(x_n), (N,); NaN where the head does not know it.
        targets: (N, L).
    """

    mean: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_probability: NDArray[np.float64]
    log_density: NDArray[np.float64]
    targets: NDArray[np.float64]


@torch.no_grad()
def collect_normalised(model: DeepRegression, inputs: Inputs, batch_size: int = 64) -> Tensor:
    """x of all inputs, (N, D), in evaluation mode."""
    model.eval()
    return torch.cat([model.features(x) for x, _ in batches(inputs, batch_size)])


@torch.no_grad()
def predict_inputs(model: DeepRegression, inputs: Inputs, level: float = 0.9) -> Predictions:
    """The model's predictions for all inputs beside their targets."""
    distribution = model.head(collect_normalised(model, inputs))
    return summarise_distribution(distribution, inputs.targets.double(), level)


def summarise_distribution(distribution: MultivariateGaussianMixture, targets: Tensor, level: float) -> Predictions:
    """What is reported of predicted distributions, as arrays."""
    lower, upper = distribution.interval(level)
    log_density = distribution.input_log_density
    if log_density is None:
        log_density = torch.full((len(targets),), torch.nan)
    tensors = (
        distribution.mean,
        lower,
        upper,
        distribution.covariance_matrix,
        distribution.log_prob(targets),
        log_density,
        targets,
    )
    return Predictions(*(tensor.double().numpy() for tensor in tensors))


def evaluate(model: DeepRegression, inputs: Inputs) -> dict[str, float]:
    """Error, likelihood and coverage on some inputs, by name."""
    return compute_metrics(predict_inputs(model, inputs), model.spec.targets)


def compute_metrics(predictions: Predictions, names: tuple[str, ...]) -> dict[str, float]:
    """Error, likelihood and coverage of predictions, by name."""
    summary = metrics.summarise(
        predictions.targets,
        predictions.mean,
        names,
        lower=predictions.lower,
        upper=predictions.upper,
        log_probabilities=predictions.log_probability,
    )
    return summary | {"log_density": float(predictions.log_density.mean())}


@torch.no_grad()
def calibrate(model: DeepRegression, inputs: Inputs) -> float:
    """Scale the predicted covariances to the greatest likelihood of held-out inputs; returns the factor.

    Features of training inputs fit their targets better than those of others, so EM's covariances are too small. One
    factor on all of them, from other people, mends it: for K = 1 it is the mean squared Mahalanobis distance / L.
    """
    scale = model.head.covariance_scale.fill_(1.0)
    distribution: MultivariateGaussianMixture = model.head(collect_normalised(model, inputs))
    return float(scale.fill_(best_scale(distribution, inputs.targets.double())))


def best_scale(distribution: MultivariateGaussianMixture, targets: Tensor) -> float:
    """The factor on all covariances of predicted distributions with which the targets, (N, L), are likeliest.

    It is sought between 1e-3 and 1e7: a mixture on thousands of features counts them all as independent evidence.
    """

    def loss(log_scale: float) -> float:
        return -float(scaled(distribution, float(np.exp(log_scale))).log_prob(targets).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-7.0, 16.0), method="bounded").x))


def scaled(distribution: MultivariateGaussianMixture, factor: float) -> MultivariateGaussianMixture:
    """The same distributions with all covariances multiplied by a factor."""
    logits, density = distribution.mixture_distribution.logits, distribution.input_log_density
    return MultivariateGaussianMixture(logits, distribution.means, distribution.covariances * factor, density)
