"""Columns of a table of faces: their names, and checks of the targets, angles and boxes in them."""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from deepgllim.errors import DataError
from deepgllim.geometry.names import FORMER_NAMES
from deepgllim.geometry.rotations import ANGLES, MIRROR_SIGNS, NECK_ANGLES

Array = npt.NDArray[np.float64]

BOX_COLUMNS = ("x0", "y0", "x1", "y1")
TEXT_COLUMNS = ("path", "subject", "sequence", "source")

LARGEST_ANGLE = 360.0
"""Largest absolute value of pitch, yaw, roll, tilt, pan and neck_roll, degrees. Larger ones have another unit."""


def choose_targets(frame: pd.DataFrame, targets: Sequence[str] | None, origin: str) -> tuple[str, ...]:
    """Return the names of the target columns after checking them.

    Args:
        frame: the table.
        targets: names of the columns; None for those of pitch, yaw and roll that the table has, or else for those of
            tilt, pan and neck_roll.
        origin: name of the table in error messages.

    Raises:
        DataError: a column is missing, named twice or reserved, or the table has no angle and `targets` is None.
    """
    present = ", ".join(map(str, frame.columns)) or "none"
    if isinstance(targets, str):
        raise TypeError(f"targets is the text {targets!r}; give a sequence of column names, as [{targets!r}]")
    if targets is not None:
        chosen = tuple(targets)
    else:
        chosen = _present(ANGLES, frame) or _present(NECK_ANGLES, frame)
        if not chosen:
            known = ", ".join((*ANGLES, *NECK_ANGLES))
            raise DataError(f"{origin}: none of {known} is a column; name the targets among: {present}")
    for name in ("path", *chosen):
        if name not in frame:
            if name in FORMER_NAMES:
                raise DataError(f"{origin}: the target {name!r} is now named {FORMER_NAMES[name]!r}; use that name")
            raise DataError(f"{origin}: column {name!r} is missing; the columns are: {present}")
    reserved = [name for name in chosen if name in (*TEXT_COLUMNS, *BOX_COLUMNS)]
    if reserved:
        raise DataError(f"{origin}: column {reserved[0]!r} is reserved for texts or boxes; rename the target")
    if len(set(chosen)) < len(chosen) or not frame.columns.is_unique:
        raise DataError(f"{origin}: a column is named twice; targets are {', '.join(chosen)}, columns are: {present}")
    return chosen


def is_blank(value: Any) -> bool:
    """Return whether a cell is empty. Cells of Parquet tables may hold lists."""
    return bool(pd.api.types.is_scalar(value) and (pd.isna(value) or value == ""))


def to_number(value: Any) -> float:
    """Convert a cell as `float` does, but refuse lists of one number and underscores such as 1_000.

    Raises:
        ValueError: the cell is not a number.
    """
    if not pd.api.types.is_scalar(value) or (isinstance(value, str) and "_" in value):
        raise ValueError("not a number")
    return float(value)


def to_numbers(column: "pd.Series[str]", origin: str) -> Array:
    """Convert a column to float64, (N,); blank cells become NaN.

    Raises:
        DataError: a cell is not a number.
    """
    values = np.full(len(column), np.nan)
    for row, value in enumerate(column.astype(object)):
        if is_blank(value):
            continue
        try:
            values[row] = to_number(value)
        except (TypeError, ValueError):
            where = f"{origin}: row {row + 1}, column {column.name!r}"
            shown = reprlib.repr(value) if pd.api.types.is_scalar(value) else f"a {type(value).__name__}"
            raise DataError(f"{where}: {shown} is not a number; correct it or remove the row") from None
    return values


def read_labels(column: "pd.Series[str]", origin: str) -> Array:
    """Convert a column of labels to float64, (N,).

    Raises:
        DataError: a cell is not a finite number.
    """
    values = to_numbers(column, origin)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        what = f"row {bad[0] + 1}, column {column.name!r}: the label is {values[bad[0]]} (or blank)"
        raise DataError(f"{origin}: {what}, in {len(bad)} row(s); correct it or remove the rows")
    return values


def check_angles(frame: pd.DataFrame, origin: str) -> None:
    """Check the range of all angles, also of those that are not targets, since they may be converted to targets.

    Raises:
        DataError: the absolute value of an angle is larger than `LARGEST_ANGLE`.
    """
    for name in MIRROR_SIGNS:
        values = pd.to_numeric(frame[name].astype(str), errors="coerce") if name in frame else np.empty(0)
        bad = np.flatnonzero(np.abs(np.asarray(values, dtype=np.float64)) > LARGEST_ANGLE)
        if len(bad):
            where = f"{origin}: row {bad[0] + 1}, column {name!r}"
            limit = f"is not an angle in degrees within ±{LARGEST_ANGLE:g}, in {len(bad)} row(s)"
            raise DataError(f"{where}: {frame[name].iloc[bad[0]]} {limit}; correct it, or rename another quantity")


def read_boxes(frame: pd.DataFrame, origin: str) -> dict[str, Array]:
    """Return the four box columns after checking them; all NaN if the table has none.

    Raises:
        DataError: one of the columns is missing, or a box is partly blank, not finite or empty.
    """
    present = [name for name in BOX_COLUMNS if name in frame]
    if not present:
        return {name: np.full(len(frame), np.nan) for name in BOX_COLUMNS}
    if len(present) < 4:
        raise DataError(f"{origin}: of the box columns it has only {', '.join(present)}; give x0, y0, x1, y1 or none")
    boxes = np.stack([to_numbers(frame[name], origin) for name in BOX_COLUMNS], axis=1)  # (N, 4)
    blank = np.isnan(boxes)
    x0, y0, x1, y1 = boxes.T
    faults = [
        (blank.any(axis=1) & ~blank.all(axis=1), "is partly blank", "fill x0, y0, x1, y1 or leave all four blank"),
        (np.isinf(boxes).any(axis=1), "is not finite", "give it in pixels"),
        ((x1 <= x0) | (y1 <= y0), "is empty", "it needs x0 < x1 and y0 < y1"),
    ]
    for fault, what, remedy in faults:
        if fault.any():
            row = int(np.flatnonzero(fault)[0])
            box = ", ".join(f"{edge:g}" for edge in boxes[row])
            raise DataError(f"{origin}: row {row + 1}: the box x0, y0, x1, y1 = ({box}) {what}; {remedy}")
    return dict(zip(BOX_COLUMNS, boxes.T, strict=True))


def _present(names: Sequence[str], frame: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in names if name in frame)
