"""What the tests of nn/ share: networks of a few hundred weights, inputs with a relation to learn, short recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepgllim.errors import ModelError
from deepgllim.nn.backbones import Backbone, Preprocessing
from deepgllim.nn.config import AugmentationConfig, Recipe
from deepgllim.nn.inputs import ArrayInputs, FaceInputs
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.storage import write_atomically

N_INPUTS = 6
Head = Literal["inverse_regression", "least_squares", "mixture_density"]
TARGETS = ("pitch", "yaw")
FIGURES_OF_TIME = ("seconds_features", "seconds_em", "seconds_network")
LIGHT = AugmentationConfig(noise=0, jpeg=0)


def vectors(n: int = 64, seed: int = 0) -> ArrayInputs:
    """Inputs (n, 6), a bent and noisy function of targets (n, 2) of some twenty degrees."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(n, 2, generator=generator)
    mixing = torch.randn(4, N_INPUTS, generator=torch.Generator().manual_seed(99))
    x = torch.cat([y, torch.sin(2 * y)], 1) @ mixing + 0.1 * torch.randn(n, N_INPUTS, generator=generator)
    return ArrayInputs(x, 20.0 * y + 3.0)


def faces(
    n: int = 24, size: int = 16, config: AugmentationConfig = LIGHT, seed: int = 0, names: Sequence[str] = TARGETS
) -> FaceInputs:
    """Pictures of a bright disc whose position is the target, with a margin for the augmentation."""
    from deepgllim.nn.augmentation import context_size

    generator = np.random.default_rng(seed)
    y = generator.uniform(-1, 1, (n, 2))
    y[:, 0] += 0.6 * np.sign(y[:, 0])  # two groups, for two components
    side = context_size(size, config)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    distance = (columns + 4 * y[:, 1, None, None]) ** 2 + (rows + 4 * y[:, 0, None, None]) ** 2  # (N, C, C)
    pixels = 60 + 150 * np.exp(-distance / 15)[:, None] * np.array([1.0, 0.8, 0.6])[:, None, None]
    targets = torch.zeros(n, len(names))
    targets[:, :2] = torch.from_numpy(30 * y)
    return FaceInputs(pixels.astype(np.uint8), targets, names, size, config, seed)


def perceptron(seed: int = 0, feature_size: int = 8) -> Backbone:
    """Three stages on vectors of six numbers."""
    torch.manual_seed(seed)
    stages = [
        nn.Sequential(nn.Linear(N_INPUTS, 12), nn.Tanh()),
        nn.Sequential(nn.Linear(12, 12), nn.Tanh()),
        nn.Linear(12, feature_size),
    ]
    return Backbone(nn.Sequential(*stages), feature_size)


def convolutions(seed: int = 0) -> Backbone:
    """Three stages on pictures, to five features; the second has a batch normalisation."""
    torch.manual_seed(seed)
    stages = [
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)),
    ]
    return Backbone(nn.Sequential(*stages), 5, preprocessing=Preprocessing((100.0,) * 3, (50.0,) * 3))


def model(
    head: Head = "inverse_regression",
    backbone: Backbone | None = None,
    projection: int | None = 4,
    **options: Any,
) -> DeepRegression:
    """A fresh model on the perceptron, or on another backbone."""
    spec = ModelSpec(backbone="custom", projection=projection, head=head, targets=TARGETS, **options)
    return DeepRegression(spec, backbone or perceptron())


def recipe(head: Head = "inverse_regression", **options: Any) -> Recipe:
    """Three rounds of one epoch, in batches of 16; options as objective__n_components=2."""
    small = {
        "objective.name": head,
        "objective.frozen_rounds": 1,
        "objective.refit": False,
        "network.projection": 4,
        "schedule.rounds": 3,
        "schedule.epochs_per_round": 1,
        "schedule.batch_size": 16,
        "schedule.learning_rate": 5e-3,
    }
    return Recipe().override(small | {name.replace("__", "."): value for name, value in options.items()})


def trained_with_maps(depth: int | None, head: Head = "inverse_regression") -> tuple[DeepRegression, FaceInputs]:
    """A trained model with a density of the maps of `depth` stages, and its inputs."""
    from deepgllim.nn.training import train

    inputs = faces()
    options = recipe(head, objective__density_depth=depth)
    return train(model(head, convolutions()), options, inputs, faces()).model, inputs


def quick_export(model: DeepRegression, path: Path) -> Path:
    """A replacement of `export_verified`, which takes many seconds: a file with the targets."""
    write_atomically(path, lambda place: place.write_text(",".join(model.spec.targets)), ModelError)
    return path


def timeless(rows: list[dict[str, float]]) -> list[dict[str, float | str]]:
    """Figures of the rounds without the seconds they took; NaN as text, so that it equals itself."""
    return [
        {name: "nan" if value != value else value for name, value in row.items() if name not in FIGURES_OF_TIME}
        for row in rows
    ]


def assert_same_weights(one: DeepRegression, other: DeepRegression) -> None:
    """Every tensor of two models, bit by bit."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's parameters."""
    return {name: value.detach().clone() for name, value in network.named_parameters()}
