"""Samples against the moments of the model."""

import torch
from hypothesis import given, settings

from deepgllim.gllim import Parameters, fit, sample
from tests.gllim.strategies import generator, joint, make_parameters, moments, parameter_sets, properties

N = 40_000


@given(parameter_sets)
@settings(properties, max_examples=15)
def test_samples_have_the_mean_and_covariance_of_the_model(p: Parameters) -> None:
    points = torch.cat(sample(p, N, generator(0)), 1)
    mean, covariance = moments(joint(p))
    centred = points - mean
    # Six standard errors each, measured on the products themselves: one in 10⁹ by chance.
    assert bool((centred.mean(0).abs() <= 6.0 * centred.std(0) / N**0.5).all())
    products = centred[:, :, None] * centred[:, None, :]
    assert bool(((products.mean(0) - covariance).abs() <= 6.0 * products.std(0) / N**0.5).all())


def test_a_fit_on_samples_recovers_the_model() -> None:
    truth = make_parameters(4, "diagonal", False, K=2, L=2, D=4)
    truth = truth._replace(c=torch.tensor([[-4.0, 0.0], [4.0, 0.0]]).double())
    x, y = sample(truth, N, generator(1))
    found = fit(x, y, start=truth, max_iterations=20, tolerance=0).parameters
    # errors of order sqrt(variance / (N π_k)) ≤ 0.02 for the smaller component, entries of order 1; five of them
    for name in Parameters._fields:
        assert bool(((getattr(found, name) - getattr(truth, name)).abs() < 0.1).all()), name


def test_seeds_reproduce_and_differ() -> None:
    p = make_parameters(0, "full", True, K=3, L=2, D=3)
    first, again, other = (sample(p, 10, generator(seed)) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert sample(p.to(torch.float32), 3)[0].dtype == torch.float32
