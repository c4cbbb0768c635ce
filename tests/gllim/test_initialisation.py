"""What EM starts from."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim import Rows, fit, initial_responsibilities, target_responsibilities
from deepgllim.gllim.initialisation import count_components, first_statistics, fit_target_mixture
from tests.gllim.strategies import close, generator, make_parameters, make_problem, normal, properties, seeds


@given(seeds, st.integers(1, 4), st.integers(1, 3))
@settings(properties, max_examples=10)
def test_rows_sum_to_one_and_units_do_not_matter(seed: int, K: int, L: int) -> None:
    y = normal(generator(seed), 60, L)
    r = initial_responsibilities(y, K)
    assert r.shape == (60, K)
    assert bool((r >= 0).all())
    assert close(r.sum(1), torch.ones(60).double(), 1e-12)  # a softmax
    # powers of two scale without rounding, so that k-means takes the same steps
    assert close(initial_responsibilities(4.0 * y, K), r, 1e-9)


def test_separate_clusters_are_found() -> None:
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 9.0]])
    label = torch.arange(90) % 3
    r = initial_responsibilities(centres[label] + 0.1 * normal(generator(0), 90, 2), 3)
    found = r.argmax(1)
    assert len({(int(a), int(b)) for a, b in zip(label, found, strict=True)}) == 3  # a bijection of three names
    assert bool((r.max(1).values > 0.99).all())


@pytest.mark.parametrize("value", [0.1, -3.7, 1e6 / 3])
def test_a_constant_target_tells_nothing(value: float) -> None:
    y = normal(generator(3), 333, 1)
    both = torch.cat([y, torch.full((333, 1), value, dtype=torch.float64)], 1)
    assert close(
        initial_responsibilities(both, 3), initial_responsibilities(y, 3), 1e-6
    )  # its density is the same in all


def test_the_target_mixture_is_defined_for_other_targets() -> None:
    y = torch.tensor([20.0, 3.0]).double() * normal(generator(0), 80, 2) + 5.0
    mixture = fit_target_mixture(y, 3, seed=1)
    assert abs(float(mixture.pi.sum()) - 1.0) < 1e-12
    assert close(target_responsibilities(y, mixture), initial_responsibilities(y, 3, seed=1), 1e-12)
    # EM's fixed point: the mixture's mean is that of the targets, as near as scikit-learn's 1e-3 tolerance stops
    assert close(mixture.pi @ mixture.c, y.mean(0), 0.05)
    assert target_responsibilities(-y[:7], mixture).shape == (7, 3)


def test_seeds_reproduce() -> None:
    y = normal(generator(0), 80, 2)
    assert torch.equal(initial_responsibilities(y, 4, seed=3), initial_responsibilities(y, 4, seed=3))


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 components"):
        initial_responsibilities(torch.zeros(5, 1), 0)
    with pytest.raises(DataError, match="3 samples are fewer than 4 components"):
        initial_responsibilities(normal(generator(0), 3, 1), 4)
    with pytest.raises(DataError, match="take 2 distinct values, fewer than 3 components: use K ≤ 2"):
        initial_responsibilities(torch.arange(10)[:, None] % 2, 3)


@pytest.mark.parametrize("K", [0, -1])
@pytest.mark.parametrize("noise", ["diagonal", "full"])
def test_fit_refuses_no_components(K: int, noise: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{K} components: use 1 or more"):
        fit(torch.zeros(5, 2), torch.zeros(5, 1), K, noise=noise)


def test_more_components_than_samples_are_refused() -> None:
    with pytest.raises(DataError, match="3 samples are fewer than 4"):
        fit(normal(generator(0), 3, 2), normal(generator(1), 3, 1), 4)


def test_components_are_counted_from_what_is_given() -> None:
    r, start = torch.ones(6, 2) / 2, make_parameters(0, "full", False, K=3, L=1, D=2)
    assert [count_components(*given) for given in ((None, None, None), (4, None, None), (None, r, None))] == [1, 4, 2]
    assert count_components(3, None, start) == 3
    with pytest.raises(ConfigurationError, match="n_components is 5 but the start has 2"):
        count_components(5, r, None)
    with pytest.raises(ConfigurationError, match="both"):
        count_components(None, r, start)


def test_a_start_must_be_of_the_same_structure_and_shape() -> None:
    x, y = normal(generator(0), 30, 4), normal(generator(1), 30, 2)
    with pytest.raises(ConfigurationError, match="start has full noise but noise is 'diagonal'"):
        fit(x, y, start=make_parameters(0, "full", False, K=2, L=2, D=4))
    with pytest.raises(DataError, match="start has 5 features and 2 targets, the data 4 and 2"):
        fit(x, y, start=make_parameters(0, "diagonal", False, K=2, L=2, D=5))


@pytest.mark.parametrize("bad", [-0.2, float("nan"), 3.0])
def test_responsibilities_must_be_probabilities(bad: float) -> None:
    r = torch.full((30, 2), 0.5)
    r[7, 1] = bad
    with pytest.raises(DataError, match=r"responsibilities row 7 is \[0.5, "):
        fit(normal(generator(0), 30, 4), normal(generator(1), 30, 2), responsibilities=r)


@pytest.mark.parametrize("shape", [(29, 2), (30,), (30, 2, 1)])
def test_responsibilities_of_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"responsibilities .* do not fit 30 samples"):
        fit(normal(generator(0), 30, 4), normal(generator(1), 30, 2), responsibilities=torch.ones(shape))


def test_the_first_statistics_are_those_of_the_given_responsibilities() -> None:
    problem = make_problem(0, "diagonal", False, K=2, L=2, D=3)
    rows = Rows(problem.features, problem.targets)
    given = first_statistics(rows, 2, problem.r.numpy().astype(np.float32), None, "diagonal", 0)
    assert close(given.s0, problem.r.sum(0), 1e-6)  # float32 responsibilities
    drawn = first_statistics(rows, 2, None, None, "diagonal", 0)
    assert close(drawn.s0, initial_responsibilities(problem.targets, 2).sum(0), 1e-12)


def test_read_only_targets_raise_no_warning() -> None:
    targets = normal(generator(1), 30, 2).numpy()
    targets.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(normal(generator(0), 30, 4), targets, 2, max_iterations=1).parameters.n_targets == 2
