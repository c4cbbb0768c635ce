"""Figure 2 of the paper on a toy problem: L = 1, D = 2, K = 2 and a small network, in seconds.

The inputs determine the absolute value of the target and depend weakly on its sign, so the inverse problem has two
solutions. Least squares predicts their mean; a mixture of two components predicts both, with their weights.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deepgllim.gllim import Parameters, responsibilities
from deepgllim.nn import (
    ArrayInputs,
    DeepRegression,
    InverseRegressionHead,
    ModelSpec,
    NetworkConfig,
    ObjectiveConfig,
    Recipe,
    ScheduleConfig,
    collect_normalised,
    evaluate,
    start_training,
    train,
    wrap_module,
)

N_INPUTS = 8

METHODS = {
    "least squares": ObjectiveConfig(name="least_squares"),
    "inverse regression, K = 1": ObjectiveConfig(n_components=1),
    "inverse regression, K = 2": ObjectiveConfig(n_components=2),
}


class Size(NamedTuple):
    """The size of the experiment.

    Attributes:
        training, validation, test: numbers of samples.
        rounds: number of rounds of the training.
        epochs: number of epochs per round.
    """

    training: int = 600
    validation: int = 200
    test: int = 1000
    rounds: int = 6
    epochs: int = 3


QUICK = Size(300, 100, 500, rounds=3, epochs=2)


def toy(n: int, seed: int) -> ArrayInputs:
    """Return inputs (n, 8) and targets (n, 1) of two groups, y ~ ½ N(−2, 0.7²) + ½ N(2, 0.7²).

    The inputs are a fixed random linear map of |y|, a small multiple of the group and two nuisances, plus noise.
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
    """Return the recipe for one objective."""
    schedule = ScheduleConfig(
        rounds=size.rounds, epochs_per_round=size.epochs, batch_size=32, learning_rate=5e-3, seed=seed
    )
    return Recipe(objective=method, schedule=schedule, network=NetworkConfig(projection=None))


def network(method: ObjectiveConfig, seed: int) -> DeepRegression:
    """Return a small perceptron with two features and the head of an objective."""
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(N_INPUTS, 32), nn.Tanh(), nn.Linear(32, 2))
    spec = ModelSpec(backbone="custom", projection=None, head=method.name, targets=("y",))
    return DeepRegression(spec, wrap_module(layers, feature_size=2))


def compare(figure: Path, size: Size, seed: int = 0) -> list[dict[str, float | str]]:
    """Train the three methods, draw the panels of the last one, and return a row of test metrics per method."""
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
    """Draw the four panels of figure 2 of the paper."""
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
    """Return features and responsibilities of the training samples."""
    features = collect_normalised(model, training)
    return features, responsibilities(features.double(), training.targets.double(), _mixture(model))
