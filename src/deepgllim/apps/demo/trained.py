"""What the demonstration knows of a method once it is trained: its answers on held-out people, and what judges them."""

import time
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.metrics import area_under_roc, geodesic_error, interval_coverage
from deepgllim.nn.config import Recipe
from deepgllim.nn.evaluation import Predictions, collect_normalised, compute_metrics, summarise_distribution
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
"""A picture is cut into so many squares a side to make one that shows no head."""


class SplitInputs(NamedTuple):
    """The pictures to learn from, to choose and calibrate by, and to judge on; of different people each.

    Attributes:
        training, validation, test: the network's inputs.
        targets: names of what is predicted.
    """

    training: Inputs
    validation: Inputs
    test: Inputs
    targets: tuple[str, ...]


class Method(NamedTuple):
    """A trained method and what it says of the held-out pictures, N of them, with L targets.

    Attributes:
        name: in tables.
        recipe: of its training.
        model: in evaluation mode.
        history: a row of figures a round.
        seconds: that the training took.
        distribution: p(y | x) of each picture.
        predictions: the same as arrays, with 90 % intervals.
        non_heads: log p(x) of pictures without heads, (N,); NaN where the method does not know it.
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
    def knows_inputs(self) -> bool:
        """Whether it has a log p(x)."""
        return not bool(np.isnan(self.predictions.log_density).any())


def train_method(
    name: str,
    recipe: Recipe,
    parts: SplitInputs,
    reporter: Reporter | None,
    model: DeepRegression | None = None,
    non_heads: Inputs | None = None,
) -> Method:
    """Train by a recipe and look at the test pictures, once.

    Args:
        name: of the method, in tables.
        recipe: of the training.
        parts: the inputs; where they are not pictures, `model` and `non_heads` must be given.
        reporter: told of the progress.
        model: fresh; by default the recipe's.
        non_heads: inputs without heads, for log p(x); by default the test pictures, shuffled in squares.
    """
    began, test = time.perf_counter(), parts.test
    model = build_model(recipe, parts.targets) if model is None else model
    model, history, _ = train(model, recipe, parts.training, parts.validation, reporter=reporter)
    seconds = time.perf_counter() - began
    others = shuffled(test) if non_heads is None else non_heads
    with torch.no_grad():
        distribution: MultivariateGaussianMixture = model.head(collect_normalised(model, test))
        elsewhere: MultivariateGaussianMixture = model.head(collect_normalised(model, others))
    unknown = torch.full((len(test),), torch.nan)
    log_density = elsewhere.input_log_density
    return Method(
        name=name,
        recipe=recipe,
        model=model,
        history=history,
        seconds=seconds,
        distribution=distribution,
        predictions=summarise_distribution(distribution, test.targets.double(), level=LEVEL),
        non_heads=(unknown if log_density is None else log_density).double().numpy(),
    )


def shuffled(test: Inputs, seed: int = 0) -> ArrayInputs:
    """Pictures of the same colours and textures without a head: each cut into 4 × 4 squares that change places."""
    pictures = np.stack([test[index, None][0].numpy() for index in range(len(test))])  # (N, 3, S, S)
    generator = np.random.default_rng(seed)
    side = pictures.shape[-1] // BLOCKS
    mixed = np.empty_like(pictures[:, :, : BLOCKS * side, : BLOCKS * side])
    squares = [(row * side, column * side) for row in range(BLOCKS) for column in range(BLOCKS)]
    for picture, result in zip(pictures, mixed, strict=True):
        for (row, column), place in zip(squares, generator.permutation(len(squares)), strict=True):
            y, x = squares[place]
            result[:, row : row + side, column : column + side] = picture[:, y : y + side, x : x + side]
    return ArrayInputs(torch.from_numpy(mixed), test.targets)


def table_row(method: Method) -> dict[str, float | str]:
    """The method's line of the table: degrees, nats, shares; NaN for what it does not know."""
    measured = compute_metrics(method.predictions, method.model.spec.targets)
    coverage = [measured[f"coverage_90_{name}"] for name in method.model.spec.targets]
    known = method.knows_inputs
    return {
        "method": method.name,
        **{name: measured[f"mae_{name}"] for name in method.model.spec.targets},
        "mean": measured["mae"],
        "geodesic": measured["geodesic"],
        "NLL": measured["nll"],
        "90 % coverage": float(np.mean(coverage)),
        "AUROC of log p(x)": area_under_roc(method.predictions.log_density, method.non_heads) if known else np.nan,
    }


def target_rows(method: Method, index: int) -> list[dict[str, Any]]:
    """Return the true value, the predicted mean and the interval of each target of one test picture."""
    known = method.predictions
    columns = (known.targets[index], known.mean[index], known.lower[index], known.upper[index])
    return [
        {"name": name, "true": true, "mean": mean, "lower": lower, "upper": upper}
        for name, true, mean, lower, upper in zip(
            method.model.spec.targets, *(column.tolist() for column in columns), strict=True
        )
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


def coverages(method: Method, levels: Floats) -> Floats:
    """The share of true values inside the intervals of each level, mean over the targets, (number of levels,)."""
    truth = method.predictions.targets
    ends = [method.distribution.interval(float(level)) for level in levels]
    return np.array([interval_coverage(truth, low.numpy(), high.numpy()).mean() for low, high in ends])


def spread(method: Method) -> Floats:
    """How uncertain each answer is, degrees, (N,): |Cov[y | x]|^(1/2L), the geometric mean of its three axes."""
    _, log_volume = np.linalg.slogdet(method.predictions.covariance)
    answer: Floats = np.exp(log_volume / (2 * method.predictions.covariance.shape[-1]))
    return answer


def unsure(method: Method) -> tuple[Floats, str]:
    """By what the faces of a method are ordered, the least certain highest, (N,); and its name.

    The predicted uncertainty, where it depends on the picture; with one component it does not, and −log p(x) is taken.
    """
    uncertainty = spread(method)
    if float(np.ptp(uncertainty)) > 0.01 * float(uncertainty.mean()):
        return uncertainty, "uncertainty"
    return -method.predictions.log_density, "log p(x)"


def geodesic(method: Method) -> Floats:
    """The angle between the true and the predicted head, degrees, (N,)."""
    return geodesic_error(method.predictions.targets, method.predictions.mean, method.model.spec.targets)
