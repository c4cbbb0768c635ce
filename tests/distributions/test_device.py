"""Predictive mixtures on another device; see `tests/second_device.py`."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deepgllim.distributions import MultivariateGaussianMixture, MultivariateStudentMixture
from tests.gllim.strategies import generator, normal
from tests.second_device import PLACE, Distant, SecondDevice

Mixture = MultivariateGaussianMixture | MultivariateStudentMixture

SUMMARIES: dict[str, Callable[[Mixture, Tensor], Tensor]] = {
    "covariance": lambda p, y: p.covariance_matrix,
    "log density": lambda p, y: p.log_prob(y),
    "interval": lambda p, y: p.interval(0.8)[1],
    "modes": lambda p, y: torch.cat(p.modes()),
    "sample": lambda p, y: p.sample(torch.Size([3])).isfinite(),  # type: ignore[no-untyped-call]
}


def mixture(student: bool, place: torch.device) -> Mixture:
    """Four mixtures of three components over two targets."""
    log_weights, means = normal(generator(0), 4, 3).to(place), 3 * normal(generator(1), 4, 3, 2).to(place)
    scales = (torch.eye(2, dtype=torch.float64) + 0.3).to(place).expand(3, 2, 2)
    if not student:
        return MultivariateGaussianMixture(log_weights, means, scales)
    dof = torch.tensor([3.0, 5.0, 9.0], dtype=torch.float64).to(place)
    return MultivariateStudentMixture(log_weights, means, scales, dof)


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("student", [False, True])
def test_summaries_are_on_the_device_of_the_mixture(name: str, student: bool) -> None:
    y = normal(generator(2), 4, 2)
    with SecondDevice():
        answer = SUMMARIES[name](mixture(student, PLACE), y.to(PLACE))
    assert isinstance(answer, Distant)
    assert torch.equal(answer.value, SUMMARIES[name](mixture(student, torch.device("cpu")), y))
