"""Statistics add; rows may come in any blocks, dtype or container."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.errors import DataError
from deepgllim.gllim import Rows, Statistics, collect, expect, joint_log_density, responsibilities
from deepgllim.gllim.covariances import noise_structure
from deepgllim.gllim.statistics import measure_scaling
from tests.gllim.strategies import (
    NOISES,
    Problem,
    close,
    full_noise,
    generator,
    make_parameters,
    make_problem,
    normal,
    problems,
    properties,
)

SUMS = 1e-12  # sums of 90 terms of order one in another order


def same(a: Statistics, b: Statistics, tolerance: float = SUMS) -> bool:
    """All five statistics equal, but for rounding."""
    return all(close(u, v, tolerance) for u, v in zip(a, b, strict=True))


@given(problems)
@properties
def test_statistics_are_their_sums(problem: Problem) -> None:
    rows = Rows(problem.features, problem.targets, block_rows=17)
    x, y = rows.scaling.apply(problem.features, problem.targets)
    t, r = torch.cat([y, torch.ones(len(y), 1)], 1), problem.r
    got = collect(rows, r, noise_structure(problem.noise))
    second = torch.einsum("nk,nd,ne->kde", r, x, x)
    diagonal = second.diagonal(dim1=1, dim2=2)
    q = {"full": second, "diagonal": diagonal, "isotropic": diagonal.sum(1)}[problem.noise]
    expected = (r.sum(0), torch.einsum("nk,np,nq->kpq", r, t, t), torch.einsum("nk,nd,np->kdp", r, x, t), q)
    assert same(got, Statistics(*expected, torch.zeros(()).double()))


@given(problems)
@properties
def test_expected_statistics_are_those_under_the_responsibilities(problem: Problem) -> None:
    K, L, D = problem.r.shape[1], problem.targets.shape[1], problem.features.shape[1]
    p = make_parameters(1, problem.noise, problem.tied, K, L, D)
    rows = Rows(problem.features, problem.targets, block_rows=40)
    scaled = rows.scaling.apply(problem.features, problem.targets)
    got = expect(rows, p)
    plain = collect(rows, responsibilities(*scaled, p), noise_structure(problem.noise))
    log_likelihood = torch.logsumexp(joint_log_density(*scaled, p), 1).sum()
    # the two expand the quadratic, of order 10⁴, about different origins
    assert same(got, plain._replace(log_likelihood=log_likelihood), 1e-9)


@given(problems, st.integers(1, 89), st.integers(1, 100))
@properties
def test_statistics_of_batches_sum_to_those_of_the_whole(problem: Problem, cut: int, block_rows: int) -> None:
    x, y, r = problem[:3]
    whole = Rows(x, y)
    noise = noise_structure(problem.noise)
    parts = [Rows(x[rows], y[rows], whole.scaling, block_rows) for rows in (slice(cut), slice(cut, None))]
    p = make_parameters(1, problem.noise, problem.tied, r.shape[1], y.shape[1], x.shape[1])
    assert same(collect(parts[0], r[:cut], noise) + collect(parts[1], r[cut:], noise), collect(whole, r, noise))
    # log-densities of order 10⁴ by matrix products of other shapes, in another order of summation
    assert same(expect(parts[0], p) + expect(parts[1], p), expect(whole, p), 1e-10)


@pytest.mark.parametrize("noise", NOISES)
def test_kept_components_are_those_of_the_mask(noise: str) -> None:
    problem = make_problem(0, noise, False, K=3, L=2, D=4)
    rows, structure = Rows(problem.features, problem.targets), noise_structure(noise)
    kept = collect(rows, problem.r, structure).keep(torch.tensor([True, False, True]))
    assert same(kept, collect(rows, problem.r[:, [0, 2]], structure))


def as_arrays(values: Tensor, folder: Path) -> dict[str, Tensor | np.ndarray]:
    """The same float32 values in every container that may hold them."""
    array = values.numpy()
    array.tofile(folder / "values")
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "float32": values,
        "gradients": values.clone().requires_grad_(),
        "strided": values.T.contiguous().T,
        "numpy": array,
        "read-only": read_only,
        "reversed": array[::-1].copy()[::-1],
        "memory map": np.memmap(folder / "values", np.float32, "r", shape=array.shape),
        "writable memory map": np.memmap(folder / "values", np.float32, "r+", shape=array.shape),
        "big-endian": array.astype(">f4"),
    }


def test_container_and_dtype_do_not_matter(tmp_path: Path) -> None:
    problem = make_problem(0, "diagonal", False, K=2, L=2, D=4)
    x, y, r = problem.features.float(), problem.targets.float(), problem.r
    noise = noise_structure("diagonal")
    expected = collect(Rows(x.double(), y.double(), block_rows=32), r, noise)
    for kind, features in as_arrays(x, tmp_path).items():
        got = collect(Rows(features, y.numpy(), block_rows=32), r, noise)
        # float32 values are float64 values: only the order of summation by memory layout may differ
        assert same(got, expected), kind
        assert not got.C.requires_grad, kind


def test_integers_are_numbers() -> None:
    x, y = torch.arange(24).reshape(8, 3) % 7, torch.arange(8)[:, None]
    expected = collect(Rows(x.double(), y.double()), torch.ones(8, 1), noise_structure("full"))
    assert same(collect(Rows(x, y.numpy()), torch.ones(8, 1), noise_structure("full")), expected)


def test_scaling_is_mean_and_variance_far_from_the_origin() -> None:
    x, y = normal(generator(0), 1000, 3) + 1e6, normal(generator(1), 1000, 2) * 50.0
    scaling = Rows(x, y, block_rows=64).scaling
    # values at 10⁶ are rounded to 1e-10; raw second moments would lose all but four digits
    assert close(scaling.feature_variance, x.var(0, correction=0), 1e-9)
    assert close(scaling.feature_mean, x.mean(0), 1e-12)
    assert close(scaling.target_mean, y.mean(0), 1e-12)
    assert close(scaling.target_scale, y.std(0, correction=0), 1e-12)


def test_constant_columns_have_no_variance() -> None:
    for value in (0.1, -3.7, 1e9 / 3, 0.0):
        constant = torch.full((1001, 1), value).double()
        scaling = measure_scaling([(constant[:300], constant[:300]), (constant[300:], constant[300:])])
        assert scaling.feature_variance.item() == 0.0
        assert scaling.target_scale.item() == 1.0


def test_a_column_that_varies_by_rounding_only_is_constant() -> None:
    x = torch.full((100, 1), 0.1, dtype=torch.float64)
    x[::3] = float(np.nextafter(0.1, 1.0))
    scaling = Rows(x, x).scaling
    assert scaling.feature_variance.item() == 0.0
    assert scaling.target_scale.item() == 1.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["features", "targets"])
def test_what_is_not_finite_is_named_by_row_and_column(name: str, value: float) -> None:
    arrays = {"features": torch.zeros(50, 4), "targets": torch.zeros(50, 3)}
    arrays[name][37, 2] = value
    with pytest.raises(DataError, match=f"{name} row 37, column 2 is {value}"):
        Rows(arrays["features"], arrays["targets"], block_rows=10)


def test_large_finite_values_are_not_taken_for_infinite() -> None:
    # float32's largest values overflow the sum of their own dtype, not float64's
    x = torch.full((10, 2), 3e38)
    x[::2] = -3e38
    assert bool(torch.isfinite(Rows(x, torch.zeros(10, 1)).scaling.feature_mean).all())


@pytest.mark.parametrize(
    ("features", "targets"),
    [((5, 3), (4, 2)), ((5,), (5, 1)), ((5, 3), (5,)), ((0, 3), (0, 2)), ((5, 0), (5, 1)), ((5, 2), (5, 0))],
)
def test_shapes_that_do_not_fit_are_refused(features: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"do not fit|0 samples"):
        Rows(torch.zeros(features), torch.zeros(targets))


def test_full_noise_of_the_helpers_is_diagonal_where_it_should_be() -> None:
    p = make_parameters(0, "isotropic", True, K=2, L=1, D=3)
    assert torch.equal(full_noise(p), p.Sigma * torch.eye(3).double().repeat(2, 1, 1))
