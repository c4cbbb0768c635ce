"""Heads, objectives and the network step on another device; see `tests/second_device.py`."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from deepgllim.nn.config import Recipe
from deepgllim.nn.head import InverseRegressionHead, MixtureDensityHead
from deepgllim.nn.model import DeepRegression
from deepgllim.nn.objectives import make_objective
from deepgllim.nn.optimization import make_optimizer
from tests.nn import tiny
from tests.second_device import PLACE, Distant, SecondDevice

OBJECTIVES: list[tuple[tiny.Head, dict[str, Any]]] = [
    ("inverse_regression", {}),
    ("inverse_regression", {"objective__n_components": 3, "objective__network_noise": "tied_isotropic"}),
    (
        "inverse_regression",
        {"objective__beta": 0.0, "objective__covariance_type": "full", "objective__network_noise": "signal"},
    ),
    (
        "inverse_regression",
        {
            "objective__n_components": 2,
            "objective__target_noise": 0.1,
            "objective__em_start": "targets",
            "objective__assignment": "sampled",
            "schedule__em_every": 1,
        },
    ),
    ("least_squares", {}),
    ("mixture_density", {"objective__n_components": 2}),
]


@pytest.fixture
def place() -> Iterator[torch.device]:
    """The second device, and a context in which modules can be moved to it."""
    with SecondDevice():
        yield PLACE


def here(value: Tensor) -> Tensor:
    """The values of a tensor, wherever it is."""
    return value.value if isinstance(value, Distant) else value


def two_steps(recipe: Recipe, place: torch.device) -> tuple[DeepRegression, list[float], Tensor, Tensor]:
    """Start a model, train it for two batches, solve its head; return losses and predictions for these inputs."""
    data = tiny.vectors(48)
    assert isinstance(data.values, Tensor)
    x, y = data.values.to(place), data.targets.to(place)
    model = tiny.model(recipe.objective.name).to(place)
    torch.manual_seed(0)
    objective = make_objective(model.head, recipe, y)
    with torch.no_grad():
        objective.start(model.eval().features(x), y)
    optimizer, losses = make_optimizer(model, recipe.schedule), []
    for group in optimizer.param_groups:
        group["fused"] = None  # it is on the CPU alone, and rounds in another way
    objective.prepare(1)
    for rows in (slice(0, 24), slice(24, 48)):
        features = model.train().features(x[rows])
        loss = objective.loss(features, y[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        objective.update(features.detach(), y[rows])
        losses.append(float(loss.detach()))
    with torch.no_grad():
        features = model.eval().features(x)
        objective.solve(features, y, 1)
        objective.refit(features, y)
        answer = model(x)
        upper, log_probability = answer.interval(0.9)[1], answer.log_prob(y)
    return model, losses, upper, log_probability


@pytest.mark.parametrize(("name", "options"), OBJECTIVES)
def test_a_training_step_stays_on_the_device(place: torch.device, name: tiny.Head, options: dict[str, Any]) -> None:
    recipe = tiny.recipe(name, objective__refit=True, **{k: v for k, v in options.items() if k != "objective__refit"})
    near, far = two_steps(recipe, torch.device("cpu")), two_steps(recipe, place)
    assert far[1] == near[1]
    for one, other in zip(near[2:], far[2:], strict=True):
        assert isinstance(other, Distant)
        assert torch.equal(other.value, one)
    others = far[0].state_dict()
    for key, value in near[0].state_dict().items():
        assert isinstance(others[key], Distant), key
        assert torch.equal(others[key].value, value), key


@pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter")  # torch takes the label literally
@pytest.mark.parametrize("name", ["inverse_regression", "least_squares", "mixture_density"])
def test_new_parts_and_loaded_tensors_are_on_the_device(place: torch.device, name: tiny.Head) -> None:
    """A resized model, and a mixture with another number of components and structure of Σ."""
    model = tiny.model(name).to(place)
    model.resize(3)
    assert all(isinstance(value, Distant) for value in model.state_dict().values())
    source = tiny.model(name, projection=3)
    if isinstance(source.head, InverseRegressionHead):
        source.head.load_state_dict(InverseRegressionHead(3, 2, n_components=4).state_dict())
    elif isinstance(source.head, MixtureDensityHead):
        source.head.resize(4)
    model.load_state_dict(source.state_dict())
    for key, value in source.state_dict().items():
        assert torch.equal(here(model.state_dict()[key]), value), key
        assert isinstance(model.state_dict()[key], Distant), key


def test_the_head_may_stay_on_the_cpu(place: torch.device) -> None:
    model = tiny.model()
    for part in (model.backbone, model.projection, model.normalisation):
        part.to(place)
    model.resize(3)
    assert isinstance(model.normalisation.running_mean, Distant)
    assert not isinstance(model.head.covariance_scale, Distant)


def test_pictures_are_prepared_on_the_device(place: torch.device) -> None:
    near, far = (tiny.model(backbone=tiny.convolutions(), projection=None).to(where) for where in ("cpu", place))
    pictures = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(here(far.features(pictures.to(place))), near.features(pictures))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize(("name", "options"), OBJECTIVES)
def test_a_gpu_gives_the_same_training_step(name: tiny.Head, options: dict[str, Any]) -> None:
    if options.get("objective__assignment") == "sampled":
        pytest.skip("a GPU draws other random numbers")
    recipe = tiny.recipe(name, **options)
    near, far = two_steps(recipe, torch.device("cpu")), two_steps(recipe, torch.device("cuda"))
    assert far[1] == pytest.approx(near[1], rel=1e-3)  # float32, in another order of summation
    assert far[2].is_cuda
    torch.testing.assert_close(far[2].cpu(), near[2], rtol=1e-2, atol=0.1)  # of angles of some twenty degrees
