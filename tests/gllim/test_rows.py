"""Rows in blocks, dtypes and containers of any kind, and errors for invalid data."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from deepgllim.errors import DataError
from deepgllim.gllim import BatchRows, MixtureSpec, Options, Rows, fit_rows, moments
from tests.gllim.strategies import all_close, fit, generator, normal, problem_of

OPTIONS = Options(max_iter=3, tol=0.0)
Pair = tuple[Tensor, Tensor]


def data(N: int = 50) -> Pair:
    return normal(generator(0), N, 4), normal(generator(1), N, 3)


def blocks(rows: Rows) -> list[list[Tensor | None]]:
    return [[None if values is None else values.clone() for values in block] for block in rows]


def whole(rows: Rows) -> Pair:
    """All blocks, one below the other."""
    parts = [(x.clone(), y) for x, y, _ in rows]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def cut(values: Tensor, *lengths: int) -> list[Tensor]:
    return list(torch.split(values, list(lengths)))


# Containers and dtypes.


def as_arrays(values: Tensor, folder: Path) -> dict[str, "Tensor | np.ndarray[tuple[int, ...], np.dtype[np.generic]]"]:
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
        "columns of a matrix": np.hstack([array, array])[:, : array.shape[1]],
        "memory map": np.memmap(folder / "values", np.float32, "r", shape=array.shape),
        "writable memory map": np.memmap(folder / "values", np.float32, "r+", shape=array.shape),
        "big-endian": array.astype(">f4"),
    }


def test_containers_do_not_matter(tmp_path: Path) -> None:
    x, y = (values.float() for values in data())
    expected = whole(Rows(x.double(), y.double(), block_rows=32))
    for kind, features in as_arrays(x, tmp_path).items():
        for block_rows in (1, 32, 50, 1000):
            got = whole(Rows(features, y.numpy(), block_rows=block_rows))
            # the mean alone may differ, by the order of its sum
            assert torch.allclose(got[0], expected[0], rtol=0, atol=1e-14), kind
            assert not got[0].requires_grad, kind


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "longdouble", ">f8"],
)
def test_numbers_of_any_dtype_are_those_in_double(dtype: str) -> None:
    x, y, w = np.arange(40).reshape(10, 4) % 3 % 2, np.arange(10)[:, None] % 2, np.arange(10) % 2
    got = Rows(x.astype(dtype), y.astype(dtype), w.astype(dtype), block_rows=4)
    expected = Rows(x.astype(float), y.astype(float), w.astype(float), block_rows=4)
    assert all(torch.equal(a, b) for a, b in zip(got.scaling, expected.scaling, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole(got), whole(expected), strict=True))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float16, torch.bfloat16])
def test_tensors_of_any_dtype_are_those_in_double(dtype: torch.dtype) -> None:
    x, y = torch.arange(40).reshape(10, 4) % 3 % 2, torch.arange(10)[:, None] % 2
    got, expected = Rows(x.to(dtype), y.to(dtype)), Rows(x.double(), y.double())
    assert all(torch.equal(a, b) for a, b in zip(whole(got), whole(expected), strict=True))


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["complex64", "complex128", "object", "str", "datetime64[s]"])
def test_values_that_are_not_real_are_an_error(which: int, dtype: str) -> None:
    arrays = [np.ones((10, 2)), np.ones((10, 1)), np.ones(10)]
    arrays[which] = arrays[which].astype(int).astype(dtype)
    with pytest.raises(DataError, match=rf"values of dtype {re.escape(str(arrays[which].dtype))}: use real numbers"):
        Rows(*arrays)


def test_complex_tensors_are_an_error() -> None:
    x, y = data()
    with pytest.raises(DataError, match=r"values of dtype torch.complex128: use real numbers"):
        Rows(x * 1j, y)


# Blocks.


def test_blocks_are_the_rows_centred_and_scaled() -> None:
    x, y = data()
    w = torch.arange(50.0)
    rows = Rows(x, y, w, block_rows=20)
    assert [len(block.features) for block in rows] == [20, 20, 10]
    features, targets = rows.scaling.apply(x, y)
    assert all(torch.equal(a, b) for a, b in zip(whole(rows), (features, targets), strict=True))
    assert torch.equal(torch.cat([block.weights for block in rows if block.weights is not None]), w.double())
    assert all(block.weights is None for block in Rows(x, y))
    assert {block.features.dtype for block in Rows(x, y, dtype=torch.float32)} == {torch.float32}


def test_default_blocks_have_a_reasonable_size() -> None:
    assert Rows(torch.zeros(1, 3), torch.zeros(1, 1)).block_rows == 2**18 // 3
    assert Rows(torch.zeros(1, 10_000), torch.zeros(1, 1)).block_rows == 512


def test_batches_of_any_size_give_the_same_rows() -> None:
    (x, y), w = data(), torch.arange(50) % 3
    expected = blocks(Rows(x, y, w, block_rows=50))[0]
    pieces = list(zip(*(cut(values, 7, 1, 30, 12) for values in (x, y, w)), strict=True))
    loader: DataLoader[tuple[Tensor, ...]] = DataLoader(TensorDataset(x, y, w), batch_size=13)
    for batches in (pieces, loader, lambda: iter(pieces), lambda: ((a.numpy(), b, c) for a, b, c in pieces)):
        got = blocks(BatchRows(batches, block_rows=10))
        assert max(len(block[0]) for block in got if block[0] is not None) <= 10
        for i, value in enumerate(expected):
            assert value is not None
            joined = torch.cat([block[i] for block in got])  # type: ignore[misc]
            assert torch.allclose(joined, value, rtol=0, atol=1e-14)  # means in another order


@pytest.mark.parametrize(
    "spec",
    [MixtureSpec(), MixtureSpec(covariance_type="full", tied=True, n_latents=1, dof="estimated")],
    ids=["plain", "full"],
)
@pytest.mark.parametrize("init", ["targets", "kmeans", "joint"])
def test_a_fit_to_batches_is_that_to_arrays(spec: MixtureSpec, init: str) -> None:
    x, y, _, spec = problem_of(spec)
    options = OPTIONS._replace(init=init)
    spec = spec._replace(n_components=2)
    expected = fit_rows(Rows(x, y), spec, options).parameters
    got = fit_rows(BatchRows(list(zip(cut(x, 40, 50), cut(y, 40, 50), strict=True))), spec, options).parameters
    assert all_close(got, expected, 1e-9)  # other orders of summation, amplified by three iterations


@pytest.mark.parametrize("block_rows", [1, 7, 64, 500])
@pytest.mark.parametrize("N", [9, 10, 11, 33, 500])
def test_the_target_subsample_is_evenly_spaced(monkeypatch: pytest.MonkeyPatch, N: int, block_rows: int) -> None:
    """For the first mixture: every row, or every second, fourth, … of more than are kept."""
    monkeypatch.setattr(moments, "MAX_TARGETS", 10)
    y = torch.arange(float(N))[:, None].double()
    rows = Rows(torch.ones(N, 2), y, 1.0 + torch.arange(N), block_rows=block_rows)
    targets, weights = rows.known_targets()
    number = (targets * rows.scaling.target_scale + rows.scaling.target_mean)[:, 0].round()
    step = 1 if N <= 10 else int(number[1])
    assert len(number) == -(-N // step)
    assert 5 < len(number) <= 10
    assert torch.equal(number, torch.arange(0.0, N, step).double())
    assert torch.equal(weights, number + 1.0)


# What is refused.


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["features", "targets", "weights"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_values_that_are_not_finite_are_an_error(name: str, value: float, dtype: torch.dtype) -> None:
    arrays = {"features": torch.zeros(50, 4), "targets": torch.zeros(50, 3), "weights": torch.ones(50, 1)}
    column = 0 if name == "weights" else 2
    arrays[name][37, column] = value
    x, y, w = (values.to(dtype) for values in arrays.values())
    message = f"{name} row 37, column {column} is {value}"
    with pytest.raises(DataError, match=message):
        Rows(x, y, w[:, 0], block_rows=10)
    pieces = list(zip(*(cut(values, 30, 20) for values in (x, y, w[:, 0])), strict=True))
    with pytest.raises(DataError, match=message):
        BatchRows(pieces)


def test_large_finite_values_are_not_taken_for_infinite() -> None:
    # float32's largest values overflow the sum of their own dtype, not float64's
    x = torch.full((10, 2), 3e38)
    x[::2] = -3e38
    assert bool(torch.isfinite(Rows(x, torch.zeros(10, 1)).scaling.feature_mean).all())


@pytest.mark.parametrize(
    ("features", "targets"),
    [
        *(((5, 3), (4, 2)), ((5,), (5, 1)), ((5, 3), (4,)), ((5, 3), (5, 1, 1))),
        *(((0, 3), (0, 2)), ((5, 0), (5, 1)), ((5, 2), (5, 0)), ((), ())),
    ],
)
def test_shapes_that_do_not_fit_are_an_error(features: tuple[int, ...], targets: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"do not fit|0 samples"):
        Rows(torch.zeros(features), torch.zeros(targets))
    with pytest.raises(DataError, match=r"do not fit|0 samples"):
        BatchRows([(torch.zeros(features), torch.zeros(targets))])


@pytest.mark.parametrize("shape", [(49,), (51,), (50, 1), (1,), ()])
def test_weights_of_another_length_are_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"sample weights .* do not fit 50 samples: use \(N,\)"):
        Rows(*data(), torch.ones(shape))


def test_negative_weights_are_an_error_by_row() -> None:
    w = torch.ones(50)
    w[41] = -0.5
    with pytest.raises(DataError, match=r"the weight of row 41 is -0.5: sample weights must be ≥ 0"):
        Rows(*data(), w, block_rows=20)


def test_weights_that_are_all_zero_are_an_error() -> None:
    x, y = data()
    with pytest.raises(DataError, match="all sample weights are 0"):
        Rows(x, y, torch.zeros(50))
    with pytest.raises(DataError, match="all sample weights are 0"):
        BatchRows([(x, y, torch.zeros(50))] * 2)
    with pytest.raises(DataError, match="all sample weights are 0"):
        fit(x, y, sample_weight=np.zeros(50, dtype=bool))


def test_no_batches_are_an_error() -> None:
    with pytest.raises(DataError, match="the batches are empty"):
        BatchRows([])
    with pytest.raises(DataError, match="the batches are empty"):
        BatchRows(lambda: iter(()))


def test_a_generator_is_an_error_since_it_ends_after_one_pass() -> None:
    batches: Iterator[Pair] = (data() for _ in range(3))
    with pytest.raises(DataError, match=r"end.* after one pass.*use a list, a DataLoader, or a function"):
        BatchRows(batches)
    with pytest.raises(DataError, match="this pass over the batches gave 0 rows"):
        fit_rows(BatchRows(lambda: batches))  # the same iterator each time


def test_an_empty_batch_is_an_error() -> None:
    x, y = data()
    for batches in ([(x[:0], y[:0]), (x, y)], [(x, y), (x[:0], y[:0])]):
        with pytest.raises(DataError, match="0 samples"):
            BatchRows(batches)


@pytest.mark.parametrize(("D", "L"), [(3, 3), (5, 3), (4, 2)])
def test_batches_with_other_columns_are_an_error(D: int, L: int) -> None:
    x, y = data()
    message = f"a batch has {D} features and {L} targets, the first 4 and 3"
    with pytest.raises(DataError, match=message):
        BatchRows([(x, y), (torch.zeros(9, D), torch.zeros(9, L))])


@pytest.mark.parametrize("later", [1, 3])
def test_passes_of_another_length_are_an_error(later: int) -> None:
    passes = 0

    def batches() -> list[Pair]:
        nonlocal passes
        passes += 1
        return [data()] * (2 if passes <= 2 else later)  # a look at the first batch, then the first pass

    with pytest.raises(DataError, match=f"this pass over the batches gave {50 * later} rows, the first gave 100"):
        fit_rows(BatchRows(batches), options=OPTIONS)


def test_batches_that_are_no_longer_finite_are_an_error() -> None:
    passes = 0

    def batches() -> list[Pair]:
        nonlocal passes
        passes += 1
        x, y = data()
        return [(x if passes <= 2 else x * torch.nan, y)]

    with pytest.raises(ArithmeticError):
        fit_rows(BatchRows(batches), options=OPTIONS)


def test_batches_may_reuse_their_memory() -> None:
    y = normal(generator(0), 60, 2)
    x = y @ normal(generator(1), 2, 3)
    memory = torch.empty(20, 5).double()

    def reused() -> Iterator[tuple[Tensor, Tensor]]:
        for part in torch.split(torch.cat([x, y], 1), 20):
            memory.copy_(part)
            yield memory[:, :3], memory[:, 3:]

    rows, whole = BatchRows(reused), Rows(x, y)
    # the same numbers, scaled by a mean and a variance that were summed in another order
    assert all(
        bool((a - b).abs().max() < 1e-13) for a, b in zip(rows.known_targets(), whole.known_targets(), strict=True)
    )
