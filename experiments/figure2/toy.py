"""The paper's figure 2 on a toy: L = 1, D = 2, K = 2 and a small network, in seconds.

The inputs show how far the target is from zero and only hint at its sign: an inverse problem with two answers. Least
squares answers between them; a mixture of two gives both, with their weights.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepgllim.gllim import Parameters, responsibilities
from deepgllim.nn.backbones.registry import wrap_module
from deepgllim.nn.config import NetworkConfig, ObjectiveConfig, Recipe, ScheduleConfig
from deepgllim.nn.evaluation import collect_normalised, evaluate
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inputs import ArrayInputs
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.nn.training import start_training, train

N_INPUTS = 8

METHODS = {
    "least squares": ObjectiveConfig(name="least_squares"),
    "inverse regression, K = 1": ObjectiveConfig(n_components=1),
    "inverse regression, K = 2": ObjectiveConfig(n_components=2),
}


class Size(NamedTuple):
    """How much is done.

    Attributes:
        training, validation, test: numbers of samples.
        rounds, epochs: of the training, and network epochs a round.
    """

    training: int = 600
    validation: int = 200
    test: int = 1000
    rounds: int = 6
    epochs: int = 3


QUICK = Size(300, 100, 500, rounds=3, epochs=2)


def toy(n: int, seed: int) -> ArrayInputs:
    """Inputs (n, 8) of targets (n, 1) from two groups, y ~ ½ N(−2, 0.7²) + ½ N(2, 0.7²).

    The inputs are a fixed random mixture of |y|, a weak trace of the group, two nuisances and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(2017)
    group = torch.randint(0, 2, (n, 1), generator=generator).float()
    y = (4.0 * group - 2.0) + 0.7 * torch.randn(n, 1, generator=generator)
    nuisance = 0.3 * torch.randn(n, 2, generator=generator)
    causes = torch.cat([y.abs(), 0.5 * (group - 0.5), nuisance], dim=1)
    mixing = torch.randn(4, N_INPUTS, generator=fixed)
    return ArrayInputs(causes @ mixing + 0.4 * torch.randn(n, N_INPUTS, generator=generator), y)


def recipe(method: ObjectiveConfig, size: Size, seed: int) -> Recipe:
    """The schedule for one objective."""
    schedule = ScheduleConfig(
        rounds=size.rounds, epochs_per_round=size.epochs, batch_size=32, learning_rate=5e-3, seed=seed
    )
    return Recipe(objective=method, schedule=schedule, network=NetworkConfig(projection=None))


def network(method: ObjectiveConfig, seed: int) -> DeepRegression:
    """A small perceptron with two features under the head that the objective needs."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(N_INPUTS, 32), nn.Tanh(), nn.Linear(32, 2))
    spec = ModelSpec(backbone="custom", projection=None, head=method.name, targets=("y",))
    return DeepRegression(spec, wrap_module(layers, feature_size=2))


def compare(figure: Path, size: Size, seed: int = 0) -> list[dict[str, float | str]]:
    """Train by the three methods, judge them on unseen samples, draw the four panels of the last; a row a method."""
    training, validation, test = (
        toy(size.training, seed),
        toy(size.validation, seed + 1000),
        toy(size.test, seed + 2000),
    )
    rows: list[dict[str, float | str]] = []
    for name, method in METHODS.items():
        trained = train(network(method, seed), recipe(method, size, seed), training, validation).model
        measured = evaluate(trained, test)
        rows.append(
            {
                "method": name,
                "mean absolute error": measured["mae"],
                "negative log-likelihood": measured["nll"],
                "coverage of 90 % intervals": measured["coverage_90_y"],
                "mean log p(x)": measured["log_density"],
            }
        )
    before = network(method, seed)
    start_training(before, recipe(method, size, seed), training)
    draw(before, trained, training, figure)
    return rows


def draw(before: DeepRegression, after: DeepRegression, training: ArrayInputs, path: Path) -> None:
    """The four panels of the paper's figure 2."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from deepgllim.evaluation import plot_mapping, plot_responsibilities, plot_target_mixture

    figure, panels = pyplot.subplots(2, 2, figsize=(10, 8), layout="constrained")
    y = training.targets.double()
    x_before, r_before = _state(before, training)
    x_after, r_after = _state(after, training)
    plot_responsibilities(panels[0, 0], y, r_before, _mixture(before)).set_title("E-step: responsibilities")
    plot_target_mixture(panels[0, 1], y, _mixture(before)).set_title("M-GMM-step: the targets' mixture")
    plot_mapping(panels[1, 0], x_before, y, r_before, _mixture(before)).set_title(
        "M-mapping-step: lines in feature space"
    )
    plot_mapping(panels[1, 1], x_after, y, r_after, _mixture(after)).set_title(
        "M-network-step: features moved to the lines"
    )
    for panel in panels.flat:
        panel.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _mixture(model: DeepRegression) -> Parameters:
    assert isinstance(model.head, InverseRegressionHead)
    return model.head.mixture


def _state(model: DeepRegression, training: ArrayInputs) -> tuple[Tensor, Tensor]:
    """Features and responsibilities of the training samples."""
    features = collect_normalised(model, training)
    return features, responsibilities(features.double(), training.targets.double(), _mixture(model))
