"""Lists, tables and one-dimensional targets are equivalent to arrays."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from deepgllim.errors import DataError
from deepgllim.gllim import BatchRows, Rows, fit_target_mixture, initial_responsibilities
from deepgllim.gllim.arrays import as_array, as_columns
from tests.gllim.strategies import all_close, fit, generator, normal

X = normal(generator(0), 40, 3).numpy()
Y = (X[:, 0] + 0.1 * normal(generator(1), 40).numpy()).round(2)
Kind = Callable[[NDArray[np.float64]], object]
KINDS: dict[str, Kind] = {
    "lists": lambda values: values.tolist(),
    "tensors": torch.from_numpy,
    "tables": lambda values: pd.DataFrame(values) if values.ndim == 2 else pd.Series(values, index=range(40, 0, -1)),
    "objects": lambda values: values.astype(object).tolist(),
    "nullable tables": lambda values: (
        pd.DataFrame(values) if values.ndim == 2 else pd.Series(values)
    ).convert_dtypes(),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_all_containers_give_the_same_fit(kind: Kind) -> None:
    expected = fit(X, Y[:, None], 2).parameters
    weights = kind(np.ones(40))
    assert all_close(fit(kind(X), kind(Y), 2, sample_weight=weights).parameters, expected, 1e-12)
    assert Rows(kind(X), kind(Y)).n_rows == BatchRows([(kind(X), kind(Y))]).n_rows == 40  # type: ignore[arg-type, list-item]
    assert torch.equal(initial_responsibilities(kind(Y), 2), initial_responsibilities(Y[:, None], 2))  # type: ignore[arg-type]
    assert torch.equal(fit_target_mixture(kind(Y), 2).c, fit_target_mixture(Y[:, None], 2).c)  # type: ignore[arg-type]


def test_a_table_of_mixed_dtypes_is_numeric() -> None:
    table = pd.DataFrame({"a": [1.5, 2.5], "b": [True, False], "c": np.array([3, 4], np.int8)})
    assert as_array(table).tolist() == [[1.5, 1.0, 3.0], [2.5, 0.0, 4.0]]
    assert tuple(as_columns(table["a"]).shape) == (2, 1)


def test_arrays_are_not_copied() -> None:
    assert as_array(X) is X
    tensor = torch.from_numpy(X)
    assert as_array(tensor) is tensor
    assert np.shares_memory(as_columns(Y), Y)


@pytest.mark.parametrize("values", [[[1.0, 2.0], [3.0]], [["a", 1], [None, 2]]])
def test_values_that_are_not_numbers_are_an_error(values: object) -> None:
    with pytest.raises(DataError, match=r"is not a table of numbers .*: use real numbers"):
        as_array(values)  # type: ignore[arg-type]
