"""Conversion of features, targets and weights to arrays and tensors."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from deepgllim.errors import DataError

Array = Tensor | NDArray[np.generic]


def as_array(values: ArrayLike | Tensor) -> Array:
    """Return lists and tables as an array; return tensors, arrays and memory maps unchanged.

    Raises:
        DataError: if rows differ in length, or a value is not a number.

    Example:
        >>> as_array([[1, 2], [3, 4]]).shape
        (2, 2)
    """
    sliced = all(hasattr(values, name) for name in ("shape", "ndim", "dtype")) and not hasattr(values, "iloc")
    if sliced:
        return values  # type: ignore[return-value]
    try:
        array = np.asarray(values)
        return array.astype(np.float64) if array.dtype == object else array
    except (TypeError, ValueError) as error:
        raise DataError(f"a {type(values).__name__} is not a table of numbers ({error}): use real numbers") from None


def as_columns(targets: ArrayLike | Tensor) -> Array:
    """Return targets as an array (N, L); one target per sample, (N,), becomes a column, (N, 1).

    Example:
        >>> as_columns([1.0, 2.0, 3.0]).shape
        (3, 1)
    """
    values = as_array(targets)
    return values[:, None] if values.ndim == 1 else values


def device_of(values: Array) -> torch.device:
    """Return the device of a tensor; the CPU for arrays.

    Example:
        >>> device_of(torch.zeros(2, 3))
        device(type='cpu')
    """
    return values.device if isinstance(values, Tensor) else torch.device("cpu")


def to_tensor(values: Array, device: torch.device | None = None) -> Tensor:
    """Return a real tensor without gradients on the device, copied only if needed (a read-only array is).

    Raises:
        DataError: if the values are not real numbers.
    """
    if not isinstance(values, Tensor):
        if values.dtype.kind not in "fiub":
            raise DataError(f"values of dtype {values.dtype}: use real numbers")
        if values.dtype.kind in "iu" or values.dtype.itemsize not in (4, 8):  # torch does not have all of these
            values = values.astype(np.float64)
        values = np.require(values, values.dtype.newbyteorder("="), ["C", "W"])
        values = torch.from_numpy(values.copy() if min(values.strides, default=0) < 0 else values)
    values = values.detach().to(device)
    if values.is_complex():
        raise DataError(f"values of dtype {values.dtype}: use real numbers")
    return values if values.is_floating_point() and values.itemsize >= 4 else values.double()


def require_table(features: Array, targets: Array, weights: Array | None = None) -> None:
    """Raise an error if the shapes of features, targets and weights do not fit each other.

    Raises:
        DataError: if they do not; the message gives the shapes.
    """
    shapes_fit = features.ndim == targets.ndim == 2 and len(features) == len(targets)
    if not shapes_fit or 0 in (features.shape[1], targets.shape[1]):
        raise DataError(
            f"features {tuple(features.shape)} and targets {tuple(targets.shape)} do not fit: "
            "use (N, D) and (N, L) with the same N, D ≥ 1 and L ≥ 1"
        )
    if len(features) == 0:
        raise DataError("there are 0 samples: give at least one row of features and targets")
    if weights is not None and tuple(weights.shape) != (len(features),):
        raise DataError(f"sample weights {tuple(weights.shape)} do not fit {len(features)} samples: use (N,)")


def require_finite(name: str, block: Tensor, first_row: int) -> None:
    """Raise an error if a value is infinite or NaN.

    Raises:
        DataError: if one is; the message gives its row and column.
    """
    if bool(torch.isfinite(block.sum())) or bool(torch.isfinite(block).all()):
        return
    row, column = (~torch.isfinite(block)).nonzero()[0].tolist()
    raise DataError(
        f"{name} row {first_row + row}, column {column} is {float(block[row, column])}: "
        "every value must be finite; remove or correct the sample"
    )
