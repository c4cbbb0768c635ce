"""The mixture on another device: a GPU where there is one, else a second device that is computed on the CPU.

The second device of `tests/second_device.py` gives the same numbers and refuses an operation on tensors of both
devices, so that the functions are tested on any machine.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from deepgllim.gllim import (
    Centred,
    MixtureSpec,
    Options,
    Parameters,
    fit_target_mixture,
    impute,
    initial_responsibilities,
    invert,
    predict,
    predict_features,
    predict_incomplete,
    sample,
    select,
)
from deepgllim.gllim.blocks import DEVICE_BLOCK_ELEMENTS
from deepgllim.gllim.rows import BatchRows, Rows
from deepgllim.gllim.stream import begin, begin_from, maximise, observe
from tests.gllim.strategies import close, fit, generator, normal
from tests.second_device import PLACE, Distant, MixedDevicesError, SecondDevice

VARIANTS: list[dict[str, object]] = [
    {},
    {"covariance_type": "isotropic", "target_covariance": "isotropic", "init": "kmeans"},
    {"covariance_type": "full", "tied": True, "init": "joint"},
    {"covariance_type": "full", "shrinkage": "oas", "covariance_floor": 0.0},
    {"n_latents": 1, "dof": "estimated", "target_covariance": "diagonal", "prior_count": 1.0},
]


@pytest.fixture
def place() -> Iterator[torch.device]:
    """The second device, and a context in which tensors can be moved to it."""
    with SecondDevice():
        yield PLACE


def problem() -> tuple[Tensor, Tensor]:
    """Features (300, 6) of targets (300, 2)."""
    y = normal(generator(0), 300, 2)
    return torch.sin(y @ normal(generator(1), 2, 6)) + 0.2 * normal(generator(2), 300, 6), y


def here(value: Tensor) -> Tensor:
    """The values of a tensor that is on the second device."""
    assert isinstance(value, Distant)
    return value.value


def test_the_second_device_refuses_a_tensor_of_the_cpu(place: torch.device) -> None:
    x, y = problem()
    with pytest.raises(MixedDevicesError):
        x.to(place)[:, :2] + y
    with pytest.raises(RuntimeError, match="numpy"):
        x.to(place).numpy()
    assert torch.equal(x.to(place).cpu(), x)


@pytest.mark.parametrize("options", VARIANTS)
def test_a_fit_stays_on_the_device_of_its_features(place: torch.device, options: dict[str, object]) -> None:
    x, y = problem()
    settings = {"max_iter": 4, "tol": 0.0, **options}
    near, far = (fit(*data, 2, **settings) for data in ((x, y), (x.to(place), y.to(place))))
    assert far.log_likelihoods == near.log_likelihoods
    for name, value in near.parameters.tensors.items():
        assert torch.equal(here(far.parameters.tensors[name]), value), name
    answer, wanted = predict(x.to(place), invert(far.parameters)), predict(x, invert(near.parameters))
    assert torch.equal(here(answer.mean), wanted.mean)
    assert torch.equal(here(answer.log_density), wanted.log_density)


def test_data_of_the_cpu_are_fitted_on_a_given_device(place: torch.device) -> None:
    x, y = problem()
    r, weights = initial_responsibilities(y, 2), torch.linspace(0.5, 1.5, 300, dtype=torch.float64)
    options: dict[str, Any] = {"max_iter": 3, "tol": 0.0, "responsibilities": r, "sample_weight": weights}
    near, far = fit(x.numpy(), y.numpy(), **options), fit(x.numpy(), y.numpy(), device=place, **options)
    assert torch.equal(here(far.parameters.A), near.parameters.A)
    again = fit(x, y, start=near.centred, max_iter=1, tol=0.0, device=place)
    assert isinstance(again.parameters.A, Distant)


def test_batches_are_fitted_where_they_are(place: torch.device) -> None:
    x, y = problem()
    rows = BatchRows([(x[:100].to(place), y[:100].to(place)), (x[100:].to(place), y[100:].to(place))])
    assert rows.device == place
    stream = begin(rows, MixtureSpec(2), Options(max_iter=2, tol=0.0))
    assert isinstance(stream.fitted.A, Distant)


def test_blocks_are_larger_on_another_device(place: torch.device) -> None:
    x, y = problem()
    assert Rows(x.to(place), y.to(place)).block_rows == DEVICE_BLOCK_ELEMENTS // 6
    assert Rows(x, y).block_rows < DEVICE_BLOCK_ELEMENTS // 6


def test_stepwise_em_stays_on_the_device(place: torch.device) -> None:
    x, y = problem()
    near = fit(x, y, 2, max_iter=3, tol=0.0).parameters
    r = initial_responsibilities(y, 2)
    streams = []
    for parameters, data in ((near, (x, y, r)), (near.to(place), (x.to(place), y.to(place), r.to(place)))):
        stream = observe(begin_from(parameters, MixtureSpec(2), 300), *data, 0.3)
        streams.append(maximise(stream, Options()))
        streams.append(maximise(stream, Options(min_count=290.0)))  # which replaces the smaller component
    for one, other in zip(streams[:2], streams[2:], strict=True):
        assert torch.equal(here(other.fitted.A), one.fitted.A)
        assert torch.equal(here(other.fitted.pi), one.fitted.pi)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Parameters | Centred], Tensor]] = {
    "features": lambda x, y, p: predict_features(y, p, covariance=True).variance,
    "incomplete": lambda x, y, p: predict_incomplete(torch.where(x > 1.0, torch.nan, x), p).mean,
    "imputed": lambda x, y, p: impute(torch.where(x > 1.0, torch.nan, x), p),
    "sample": lambda x, y, p: sample(p, 9)[0].isfinite(),
    "responsibilities": lambda x, y, p: initial_responsibilities(y, 2),
    "target mixture": lambda x, y, p: fit_target_mixture(y, 2).Gamma,
    "selection": lambda x, y, p: select(x, y, n_components=[2], held_out=0.3).best.fit.parameters.b,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("structure", ["diagonal", "full"])
def test_a_function_of_tensors_stays_on_their_device(place: torch.device, name: str, structure: str) -> None:
    x, y = problem()
    fitted = fit(x, y, 2, max_iter=3, tol=0.0, covariance_type=structure).centred
    assert fitted is not None
    answer = FUNCTIONS[name](x.to(place), y.to(place), fitted.to(place))
    assert torch.equal(here(answer), FUNCTIONS[name](x, y, fitted))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("options", VARIANTS)
def test_a_gpu_gives_the_same_fit(options: dict[str, object]) -> None:
    x, y = problem()
    settings = {"max_iter": 8, "tol": 0.0, **options}
    near, far = fit(x, y, 2, **settings), fit(x.cuda(), y.cuda(), 2, **settings)
    # eight iterations of EM on other orders of summation
    for name, value in near.parameters.tensors.items():
        assert far.parameters.tensors[name].is_cuda
        assert close(far.parameters.tensors[name].cpu(), value, 1e-8), name
    mean = predict(x.cuda(), invert(far.parameters)).mean
    assert close(mean.cpu(), predict(x, invert(near.parameters)).mean, 1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_fits_data_of_the_cpu() -> None:
    x, y = problem()
    far = fit(x, y, 2, max_iter=8, tol=0.0, device="cuda").parameters
    assert far.A.is_cuda
    assert close(far.A.cpu(), fit(x, y, 2, max_iter=8, tol=0.0).parameters.A, 1e-8)
