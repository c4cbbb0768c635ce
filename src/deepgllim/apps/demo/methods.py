"""Training of the methods of the demonstration, their predictions for the test pictures, and metrics of these."""

import time
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.metrics import area_under_roc, geodesic_error, interval_coverage
from deepgllim.nn.config import Recipe
from deepgllim.nn.evaluation import Predictions, compute_metrics, predict_distribution, summarise_distribution
from deepgllim.nn.inputs import ArrayInputs, Inputs
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.reporting import Reporter
from deepgllim.nn.training import train
from deepgllim.pose.batch.sources import printable
from deepgllim.runs import build_model

Floats = NDArray[np.float64]

LEVEL = 0.9
"""Probability of the intervals."""

CONVENTION = (
    "degrees; +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise in the image"
)

BLOCKS = 4
"""Number of blocks per side in a picture with shuffled blocks."""


class SplitInputs(NamedTuple):
    """The network inputs for training, validation and test, of different people.

    Attributes:
        training: inputs to train on.
        validation: inputs to choose the best round and to calibrate on.
        test: inputs to evaluate on.
        targets: names of the targets.
    """

    training: Inputs
    validation: Inputs
    test: Inputs
    targets: tuple[str, ...]


class Method(NamedTuple):
    """A trained method and its predictions for N test pictures with L targets.

    Attributes:
        name: name in tables.
        recipe: recipe of the training.
        model: the trained model, in evaluation mode.
        history: metrics after each round.
        seconds: duration of the training.
        distribution: p(y | x) of each test picture.
        predictions: summaries of the distributions, with 90 % intervals.
        non_heads: log p(x) of pictures without heads, (N,); NaN if the method does not provide it.
    """

    name: str
    recipe: Recipe
    model: DeepRegression
    history: list[dict[str, float]]
    seconds: float
    distribution: MultivariateGaussianMixture
    predictions: Predictions
    non_heads: Floats

    @property
    def has_input_density(self) -> bool:
        """Whether the method provides log p(x)."""
        return not bool(np.isnan(self.predictions.log_density).any())


def train_method(
    name: str,
    recipe: Recipe,
    splits: SplitInputs,
    reporter: Reporter | None,
    *,
    model: DeepRegression | None = None,
    non_heads: Inputs | None = None,
) -> Method:
    """Train a method and predict the test pictures.

    Args:
        name: name of the method in tables.
        recipe: recipe of the training.
        splits: the inputs; if they are not pictures, `model` and `non_heads` must be given.
        reporter: receives the progress.
        model: an untrained model; by default that of the recipe.
        non_heads: inputs without heads, for log p(x); by default the test pictures with shuffled blocks.
    """
    start, test = time.perf_counter(), splits.test
    model = build_model(recipe, splits.targets) if model is None else model
    model, history, _ = train(model, recipe, splits.training, splits.validation, reporter=reporter)
    seconds = time.perf_counter() - start
    non_heads = shuffle_blocks(test) if non_heads is None else non_heads
    distribution = predict_distribution(model, test)
    log_density = predict_distribution(model, non_heads).input_log_density
    missing = torch.full((len(test),), torch.nan)
    return Method(
        name=name,
        recipe=recipe,
        model=model,
        history=history,
        seconds=seconds,
        distribution=distribution,
        predictions=summarise_distribution(distribution, test.targets.double(), level=LEVEL),
        non_heads=(missing if log_density is None else log_density).double().numpy(),
    )


def shuffle_blocks(inputs: Inputs, seed: int = 0) -> ArrayInputs:
    """Return the pictures with their 4 × 4 blocks in random order: the same colours and textures without a head."""
    pictures = np.stack([inputs[index, None][0].numpy() for index in range(len(inputs))])  # (N, 3, S, S)
    generator = np.random.default_rng(seed)
    side = pictures.shape[-1] // BLOCKS
    mixed = np.empty_like(pictures[:, :, : BLOCKS * side, : BLOCKS * side])
    corners = [(row * side, column * side) for row in range(BLOCKS) for column in range(BLOCKS)]
    for picture, result in zip(pictures, mixed, strict=True):
        for (row, column), place in zip(corners, generator.permutation(len(corners)), strict=True):
            y, x = corners[place]
            result[:, row : row + side, column : column + side] = picture[:, y : y + side, x : x + side]
    return ArrayInputs(torch.from_numpy(mixed), inputs.targets)


def table_row(method: Method) -> dict[str, float | str]:
    """Return the row of a method in the table: degrees, nats, shares; NaN for what it does not provide."""
    predictions, names = method.predictions, method.model.spec.targets
    metrics = compute_metrics(predictions, names)
    has_density = method.has_input_density
    return {
        "method": method.name,
        **{name: metrics[f"mae_{name}"] for name in names},
        "mean": metrics["mae"],
        "geodesic": metrics["geodesic"],
        "NLL": metrics["nll"],
        "90 % coverage": float(np.mean([metrics[f"coverage_90_{name}"] for name in names])),
        "AUROC of log p(x)": area_under_roc(predictions.log_density, method.non_heads) if has_density else np.nan,
    }


def target_rows(method: Method, index: int) -> list[dict[str, Any]]:
    """Return the true value, the predicted mean and the interval of each target of one test picture."""
    predictions, names = method.predictions, ("true", "mean", "lower", "upper")
    arrays = (predictions.targets, predictions.mean, predictions.lower, predictions.upper)
    columns = zip(*(array[index].tolist() for array in arrays), strict=True)
    return [
        {"name": target} | dict(zip(names, values, strict=True))
        for target, values in zip(method.model.spec.targets, columns, strict=True)
    ]


def face_record(method: Method, test: Manifest, index: int) -> dict[str, Any]:
    """Return the prediction for one test picture and its true angles, as plain data for JSON."""
    rows, names = target_rows(method, index), method.model.spec.targets
    modes = method.distribution.select(torch.tensor([index])).modes()[0].tolist()
    return {
        "image": printable(str(test.paths[index])),
        "box": list(map(float, test.boxes[index])),
        "targets": {row["name"]: {key: row[key] for key in ("mean", "lower", "upper")} for row in rows},
        "level": LEVEL,
        "covariance": method.predictions.covariance[index].tolist(),
        "modes": [dict(zip(names, mode, strict=True)) for mode in modes],
        "log_density": float(method.predictions.log_density[index]),
        "convention": CONVENTION,
        "true": dict(zip(test.targets, test.target_values[index].tolist(), strict=True)),
    }


def mean_coverage(method: Method, levels: Floats) -> Floats:
    """Return the share of true values in the intervals of each level, mean over the targets, (number of levels,)."""
    truth = method.predictions.targets
    bounds = [method.distribution.interval(float(level)) for level in levels]
    return np.array([interval_coverage(truth, low.numpy(), high.numpy()).mean() for low, high in bounds])


def geometric_std(method: Method) -> Floats:
    """Return |Cov[y | x]|^(1/2L), the geometric mean of the standard deviations along the principal axes, (N,)."""
    _, log_volume = np.linalg.slogdet(method.predictions.covariance)
    std: Floats = np.exp(log_volume / (2 * method.predictions.covariance.shape[-1]))
    return std


def uncertainty_scores(method: Method) -> tuple[Floats, str]:
    """Return scores to order the test pictures by, the least certain highest, (N,), and the name of the score.

    The score is the predicted uncertainty. If that is the same for all pictures, as with one component, it is
    −log p(x).
    """
    std = geometric_std(method)
    if float(np.ptp(std)) > 0.01 * float(std.mean()):
        return std, "uncertainty"
    return -method.predictions.log_density, "log p(x)"


def geodesic_errors(method: Method) -> Floats:
    """Return the angles between the true and the predicted rotations, degrees, (N,)."""
    return geodesic_error(method.predictions.targets, method.predictions.mean, method.model.spec.targets)
