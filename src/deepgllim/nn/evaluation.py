"""Evaluation of models: predictions for a set of inputs, their metrics, and calibration of their covariances."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from deepgllim import metrics
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.nn.batches import map_batches
from deepgllim.nn.distributed import ALONE, Processes
from deepgllim.nn.inputs import Inputs
from deepgllim.nn.model import DeepRegression, Encoding


class Predictions(NamedTuple):
    """Predictions for N inputs, as arrays.

    Attributes:
        mean: predicted means, (N, L).
        lower, upper: bounds of the interval of each target, (N, L).
        covariance: predicted covariances, (N, L, L).
        log_probability: log p(y_n | x_n) of the true targets, (N,).
        log_density: log p(x_n), or log p(x_n, m_n) with a density of maps, (N,); NaN if the head does not provide it.
        targets: true targets, (N, L).
    """

    mean: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    covariance: NDArray[np.float64]
    log_probability: NDArray[np.float64]
    log_density: NDArray[np.float64]
    targets: NDArray[np.float64]


def collect_normalised(
    model: DeepRegression,
    inputs: Inputs,
    batch_size: int = 64,
    depth: int | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Return the normalised features x of all inputs, (N, D), in evaluation mode.

    Args:
        model: it is set to evaluation mode.
        inputs: N inputs.
        batch_size: number of inputs in a batch.
        depth: number of backbone stages whose output the inputs are; None for pixels.
        processes: each computes the features of its share of the inputs; all of them get all features.
    """
    model.eval()
    (features,) = map_batches(lambda x, _: (model.features(x, depth),), inputs, batch_size, processes=processes)
    return features


@torch.no_grad()
def predict_distribution(
    model: DeepRegression, inputs: Inputs, batch_size: int = 64, processes: Processes = ALONE
) -> MultivariateGaussianMixture:
    """Return p(y | x) of all inputs, with log p(x) where the head provides it; the model is set to evaluation mode.

    Args:
        model: a trained model.
        inputs: N inputs.
        batch_size: number of inputs in a batch.
        processes: each encodes its share of the inputs; all of them get all predictions.
    """
    model.eval()

    def encode(inputs: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        features, statistics = model.encode(inputs)
        return (features,) if statistics is None else (features, statistics)

    features, *statistics = map_batches(encode, inputs, batch_size, processes=processes)
    return model.predict(Encoding(features, statistics[0] if statistics else None))


def predict_inputs(
    model: DeepRegression, inputs: Inputs, level: float = 0.9, processes: Processes = ALONE
) -> Predictions:
    """Return the predictions of a model for all inputs, with intervals of probability `level`."""
    distribution = predict_distribution(model, inputs, processes=processes)
    return summarise_distribution(distribution, inputs.targets.double(), level)


def summarise_distribution(distribution: MultivariateGaussianMixture, targets: Tensor, level: float) -> Predictions:
    """Return summaries of predicted distributions for N inputs with targets (N, L)."""
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


def evaluate(model: DeepRegression, inputs: Inputs, processes: Processes = ALONE) -> dict[str, float]:
    """Return the metrics of a model on inputs, by name: errors, likelihood, coverage of the intervals."""
    return compute_metrics(predict_inputs(model, inputs, processes=processes), model.spec.targets)


def compute_metrics(predictions: Predictions, names: tuple[str, ...]) -> dict[str, float]:
    """Return metrics of predictions by name: errors, likelihood, coverage of the intervals.

    Args:
        predictions: for N inputs.
        names: of the targets.
    """
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
def calibrate(model: DeepRegression, inputs: Inputs, processes: Processes = ALONE) -> float:
    """Scale the predicted covariances to maximise the likelihood of held-out inputs, and return the factor.

    The features of training inputs fit their targets better than those of other inputs, so that the covariances of EM
    are too small. One factor on all of them, estimated from other people, corrects this. For K = 1 it is the mean
    squared Mahalanobis distance divided by L.
    """
    scale = model.head.covariance_scale.fill_(1.0)
    distribution: MultivariateGaussianMixture = model.head(collect_normalised(model, inputs, processes=processes))
    return float(scale.fill_(best_scale(distribution, inputs.targets.double())))


def best_scale(distribution: MultivariateGaussianMixture, targets: Tensor) -> float:
    """Return the factor on the covariances of predicted distributions that maximises the likelihood of targets (N, L).

    It is searched for between 1e-3 and 1e7: with thousands of features the predicted covariances can be far too small,
    since the mixture treats all features as independent evidence.
    """

    def loss(log_scale: float) -> float:
        return -float(scaled(distribution, float(np.exp(log_scale))).log_prob(targets).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-7.0, 16.0), method="bounded").x))


def scaled(distribution: MultivariateGaussianMixture, factor: float) -> MultivariateGaussianMixture:
    """Return the same distributions with all covariances multiplied by a factor."""
    logits, density = distribution.mixture_distribution.logits, distribution.input_log_density
    return MultivariateGaussianMixture(logits, distribution.means, distribution.covariances * factor, density)
