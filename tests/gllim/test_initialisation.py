"""Initialization of EM."""

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim import (
    MixtureSpec,
    Options,
    Parameters,
    Rows,
    fit_target_mixture,
    initial_responsibilities,
    initialisation,
    target_responsibilities,
)
from deepgllim.gllim.initialisation import INITIALISATIONS, count_components
from deepgllim.gllim.statistics import Assign
from tests.gllim.strategies import (
    all_close,
    close,
    fit,
    generator,
    make_parameters,
    normal,
    parameters_of,
    problem_of,
    properties,
    seeds,
)


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
def test_a_constant_target_does_not_change_responsibilities(value: float) -> None:
    y = normal(generator(3), 333, 1)
    both = torch.cat([y, torch.full((333, 1), value, dtype=torch.float64)], 1)
    assert close(
        initial_responsibilities(both, 3), initial_responsibilities(y, 3), 1e-6
    )  # its density is the same in all


def test_the_target_mixture_is_defined_for_other_targets() -> None:
    y = torch.tensor([20.0, 3.0]).double() * normal(generator(0), 80, 2) + 5.0
    mixture = fit_target_mixture(y, 3, random_state=1)
    assert abs(float(mixture.pi.sum()) - 1.0) < 1e-12
    assert close(target_responsibilities(y, mixture), initial_responsibilities(y, 3, random_state=1), 1e-12)
    # EM's fixed point: the mixture's mean is that of the targets, as near as a tolerance of 1e-3 stops
    assert close(mixture.pi @ mixture.c, y.mean(0), 0.05)
    assert target_responsibilities(-y[:7], mixture).shape == (7, 3)


def test_seeds_reproduce() -> None:
    y = normal(generator(0), 80, 2)
    assert torch.equal(initial_responsibilities(y, 4, random_state=3), initial_responsibilities(y, 4, random_state=3))


def test_invalid_numbers_of_components_are_an_error() -> None:
    with pytest.raises(ConfigurationError, match="n_components is 0: use a whole number, 1 or more"):
        initial_responsibilities(torch.zeros(5, 1), 0)
    with pytest.raises(DataError, match="3 samples are fewer than 4 components"):
        initial_responsibilities(normal(generator(0), 3, 1), 4)
    with pytest.raises(DataError, match="2 distinct values are fewer than 3 components: use K ≤ 2"):
        initial_responsibilities(torch.arange(10)[:, None] % 2, 3)


def test_more_components_than_samples_are_an_error() -> None:
    with pytest.raises(DataError, match="3 samples are fewer than 4"):
        fit(normal(generator(0), 3, 2), normal(generator(1), 3, 1), 4)


def test_the_number_of_components_follows_from_the_start() -> None:
    r, start = torch.ones(6, 2) / 2, make_parameters(0, "full", False, K=3, L=1, D=2)
    assert [count_components(*given) for given in ((1, None, None), (4, None, None), (1, r, None))] == [1, 4, 2]
    assert count_components(3, None, start) == 3
    with pytest.raises(ConfigurationError, match="n_components is 5 but the start has 2"):
        count_components(5, r, None)
    with pytest.raises(ConfigurationError, match="both"):
        count_components(1, r, start)


def test_a_start_must_be_of_the_same_structure_and_shape() -> None:
    x, y = normal(generator(0), 30, 4), normal(generator(1), 30, 2)
    with pytest.raises(ConfigurationError, match="start has covariance_type 'full' but covariance_type is 'diagonal'"):
        fit(x, y, start=make_parameters(0, "full", False, K=2, L=2, D=4))
    with pytest.raises(DataError, match="start has 5 features and 2 targets, the data 4 and 2"):
        fit(x, y, start=make_parameters(0, "diagonal", False, K=2, L=2, D=5))
    with pytest.raises(ConfigurationError, match="start has 1 latents but n_latents is 0"):
        fit(x, y, start=parameters_of(MixtureSpec(n_latents=1)))


@pytest.mark.parametrize("bad", [-0.2, float("nan"), 3.0])
def test_responsibilities_must_be_probabilities(bad: float) -> None:
    r = torch.full((30, 2), 0.5)
    r[7, 1] = bad
    with pytest.raises(DataError, match=r"responsibilities row 7 is \[0.5, "):
        fit(normal(generator(0), 30, 4), normal(generator(1), 30, 2), responsibilities=r)


@pytest.mark.parametrize("shape", [(29, 2), (30,), (30, 2, 1)])
def test_responsibilities_of_wrong_shape_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"responsibilities .* do not fit 30 samples"):
        fit(normal(generator(0), 30, 4), normal(generator(1), 30, 2), responsibilities=torch.ones(shape))


def test_the_first_parameters_are_those_of_the_given_responsibilities() -> None:
    x, y, r, _ = problem_of(MixtureSpec())
    for same in (r, r.float().numpy()):
        p = fit(x, y, responsibilities=same, max_iter=1).parameters
        assert close(p.pi, r.mean(0), 1e-6)  # float32 responsibilities
    whole = torch.nn.functional.one_hot(r.argmax(1))
    for one_hot in (whole, whole.bool().numpy(), whole.int().numpy()):
        p = fit(x, y, responsibilities=one_hot, max_iter=1).parameters
        assert close(p.pi, whole.double().mean(0), 1e-12)


def in_blocks(rows: Rows, assign: Assign) -> Tensor:
    """The responsibilities of all rows."""
    parts, first = [], 0
    for block in rows:
        parts.append(assign(block, first))
        first += len(parts[-1])
    return torch.cat(parts)


def test_targets_are_the_default_initialization() -> None:
    x, y, _, _ = problem_of(MixtureSpec())
    rows = Rows(x, 30.0 * y + 5.0, block_rows=20)
    assert Options().init == "targets"
    found = in_blocks(rows, INITIALISATIONS["targets"](rows, 3, 1))
    # standardised by one sum or by several
    assert close(found, initial_responsibilities(30.0 * y + 5.0, 3, random_state=1), 1e-6)


def test_cluster_assignments_are_hard() -> None:
    """Four groups: two of the targets, each in two of the features."""
    g = generator(0)
    label = torch.arange(80) % 4
    y = 10.0 * (label % 2)[:, None] + 0.1 * normal(g, 80, 2)
    x = 10.0 * (label // 2)[:, None] + 0.1 * normal(g, 80, 3)
    rows = Rows(x, y, block_rows=30)
    found = in_blocks(rows, INITIALISATIONS["kmeans"](rows, 2, 0))
    assert found.sum(1).eq(1).all()
    assert len(set(zip((label % 2).tolist(), found.argmax(1).tolist(), strict=True))) == 2
    both = in_blocks(rows, INITIALISATIONS["joint"](rows, 4, 0))
    assert both.sum(1).eq(1).all()
    assert len(set(zip(label.tolist(), both.argmax(1).tolist(), strict=True))) == 4


def test_joint_clusters_use_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialisation, "JOINT_ELEMENTS", 3 * 40)  # a row in ten of 400 with 3 features
    seen: list[Tensor] = []
    k_means = initialisation._k_means

    def recorded(points: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        seen.append(points)
        return k_means(points, *others)

    monkeypatch.setattr(initialisation, "_k_means", recorded)
    label = torch.arange(400) * 4 // 400
    x = 10.0 * label[:, None] + 0.1 * normal(generator(0), 400, 3)
    y = torch.stack([2.0 * label, -label], 1).double()
    rows = Rows(x, y, block_rows=33)
    r = in_blocks(rows, INITIALISATIONS["joint"](rows, 4, 0))
    assert len(set(zip(label.tolist(), r.argmax(1).tolist(), strict=True))) == 4
    # features and targets of a total variance of 1 each
    unit = rows.scaling.feature_variance.sum().sqrt()
    parts = [(x - rows.scaling.feature_mean) / unit, rows.scaling.standardise(y) / 2**0.5]
    assert close(seen[0], torch.cat(parts, 1)[::10], 1e-12)


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_rows_with_weight_zero_are_ignored(init: str) -> None:
    x, y, _, _ = problem_of(MixtureSpec())
    w = (torch.arange(90) % 3 > 0).double()
    kept = w > 0
    options = {"init": init, "max_iter": 5, "tol": 0.0}
    weighted = fit(x, y, 3, sample_weight=w, **options).parameters
    removed = fit(x[kept], y[kept], 3, **options).parameters
    assert all_close(weighted, removed, 1e-9)  # sums with zeros between, five iterations


def test_the_best_of_several_initializations_is_kept() -> None:
    x, y, _, _ = problem_of(MixtureSpec(), K=4)
    options = {"max_iter": 4, "tol": 0.0, "init": "kmeans"}
    alone = [fit(x, y, 4, random_state=seed, **options) for seed in (3, 4, 5)]
    values = [result.log_likelihoods[-1] for result in alone]
    assert len(set(values)) > 1
    best = fit(x, y, 4, random_state=3, n_init=3, **options)
    assert best.log_likelihoods[-1] == max(values)


def test_tied_and_untied_starts_are_converted() -> None:
    x, y, _, _ = problem_of(MixtureSpec(covariance_type="full"))
    tied, untied = (
        parameters_of(MixtureSpec(covariance_type="full", tied=True)),
        parameters_of(MixtureSpec(covariance_type="full")),
    )
    repeated = tied._replace(Sigma=tied.noise_matrices.contiguous())
    mean = untied._replace(Sigma=torch.tensordot(untied.pi, untied.Sigma, 1)[None])
    options = {"covariance_type": "full", "max_iter": 2, "tol": 0.0, "min_count": 0.0}
    pairs = ((tied, repeated, False), (untied, mean, True))
    for start, other, spec in pairs:
        got, expected = (fit(x, y, start=p, tied=spec, **options).parameters for p in (start, other))  # type: ignore[arg-type]
        assert got.tied == spec
        assert all_close(got, expected, 1e-12)


@pytest.mark.parametrize("name", Parameters._fields)
def test_a_start_that_is_not_finite_is_an_error(name: str) -> None:
    x, y, _, spec = problem_of(MixtureSpec(n_latents=1, dof="estimated"))
    start = parameters_of(spec)
    bad = start.tensors[name].clone()
    bad.view(-1)[0] = torch.nan
    with pytest.raises(DataError, match="start"):
        fit(x, y, start=start._replace(**{name: bad}), n_latents=1, dof="estimated")


def test_read_only_targets_raise_no_warning() -> None:
    targets = normal(generator(1), 30, 2).numpy()
    targets.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(normal(generator(0), 30, 4), targets, 2, max_iter=1).parameters.n_targets == 2
