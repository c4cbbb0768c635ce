"""Errors and calibration of predictions as arrays: targets (N, L), predictions (N, L), intervals (N, L).

Errors of angles are differences in degrees without wrap-around: 179 and −179 differ by 358. Use `geodesic_error` for
poses near ±180.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deepgllim.geometry.rotations import ANGLES, geodesic_distance, rotation_from_angles

Array = npt.NDArray[np.float64]


def mean_absolute_error(targets: npt.ArrayLike, predictions: npt.ArrayLike) -> Array:
    """Return mean_n |y_nl − ŷ_nl| for each target.

    Args:
        targets, predictions: (N, L), in the units of the targets; angles do not wrap around.

    Returns:
        (L,).

    Raises:
        ValueError: if the shapes differ or are not (N, L), or there are no rows, or values are not finite.

    Example:
        >>> mean_absolute_error([[0, 10], [2, 10]], [[1, 10], [1, 14]])
        array([1., 2.])
    """
    y, predicted = _pair(targets, predictions)
    error: Array = np.abs(y - predicted).mean(axis=0)
    return error  # (L,)


def geodesic_error(targets: npt.ArrayLike, predictions: npt.ArrayLike, names: Sequence[str] = ANGLES) -> Array:
    """Return the angle of R̂ᵀR for each row, the smallest rotation between the true and the predicted head.

    Args:
        targets, predictions: (N, L), degrees for the columns that are angles.
        names: names of the L columns. Missing angles of pitch, yaw and roll are 0; other columns are ignored.

    Returns:
        (N,), degrees in [0, 180].

    Raises:
        ValueError: as for `mean_absolute_error`, or if the names do not match the columns or contain no angle.

    Example:
        >>> geodesic_error([[10, 0]], [[40, 0]], names=("pitch", "yaw")).round(6)
        array([30.])
    """
    return geodesic_distance(*_rotations(targets, predictions, names))


def vector_error(targets: npt.ArrayLike, predictions: npt.ArrayLike, names: Sequence[str] = ANGLES) -> Array:
    """Return the mean angle between the columns of R and R̂ for each row; its mean over rows is MAEV.

    Arguments and errors are those of `geodesic_error`.

    Returns:
        (N,), degrees in [0, 180].

    Example:
        >>> vector_error([[0, 0, 30]], [[0, 0, 0]]).round(6)  # two axes rotate by 30, the third by 0
        array([20.])
    """
    R, predicted = _rotations(targets, predictions, names)
    sine = np.linalg.norm(np.cross(R, predicted, axis=-2), axis=-2)  # (N, 3)
    angles: Array = np.degrees(np.arctan2(sine, (R * predicted).sum(axis=-2))).mean(axis=-1)
    return angles  # (N,)


def interval_coverage(targets: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Array:
    """Return the share of rows with lower ≤ y ≤ upper for each target; about 0.9 for calibrated 90 % intervals.

    Args:
        targets, lower, upper: (N, L), in the units of the targets.

    Returns:
        (L,), in [0, 1].

    Raises:
        ValueError: as for `mean_absolute_error`, or if a lower end is above its upper end.

    Example:
        >>> interval_coverage([[0.0], [5.0]], [[-1.0], [-1.0]], [[1.0], [1.0]])
        array([0.5])
    """
    y, low = _pair(targets, lower)
    _, high = _ends(lower, upper)
    if y.shape != high.shape:
        raise ValueError(f"targets have shape {y.shape} and interval ends {high.shape}; they must be the same")
    share: Array = ((low <= y) & (y <= high)).mean(axis=0)
    return share  # (L,)


def mean_interval_width(lower: npt.ArrayLike, upper: npt.ArrayLike) -> Array:
    """Return mean_n (upper − lower) for each target, (L,), in the units of the targets.

    Raises:
        ValueError: as for `interval_coverage`.

    Example:
        >>> mean_interval_width([[0.0], [0.0]], [[1.0], [3.0]])
        array([2.])
    """
    low, high = _ends(lower, upper)
    width: Array = (high - low).mean(axis=0)
    return width  # (L,)


def negative_log_likelihood(log_probabilities: npt.ArrayLike) -> float:
    """Return −mean_n log p(y_n | x_n), in nats.

    Args:
        log_probabilities: log-densities of the true targets, (N,). A −inf (density 0) makes the result inf.

    Raises:
        ValueError: if the shape is another, or there are no rows, or a value is NaN or +inf.

    Example:
        >>> negative_log_likelihood([-1.0, -3.0])
        2.0
    """
    values = np.asarray(log_probabilities, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"log probabilities have shape {values.shape}; (N,) is expected")
    bad = np.flatnonzero(np.isnan(values) | (values == np.inf))
    if len(bad):
        raise ValueError(f"the log probability of row {bad[0]} is {values[bad[0]]}; it must be a number below inf")
    return float(-values.mean())


def area_under_roc(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> float:
    """Return the share of pairs in which the positive has the higher score; ties count as half.

    Args:
        positives, negatives: scores, (N,) and (M,). The result is 1 if they are separated, 0.5 if they are alike.

    Raises:
        ValueError: if a shape is another, or scores are missing or NaN.

    Example:
        >>> area_under_roc([3, 2], [1, 2])
        0.875
    """
    high, low = np.asarray(positives, dtype=np.float64), np.sort(np.asarray(negatives, dtype=np.float64), axis=-1)
    for name, scores in (("positives", high), ("negatives", low)):
        if scores.ndim != 1 or len(scores) == 0 or np.isnan(scores).any():
            raise ValueError(f"{name} have shape {scores.shape}; give at least one score, (N,), without NaN")
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / (2 * len(low)))


def summarise(
    targets: npt.ArrayLike,
    predictions: npt.ArrayLike,
    names: Sequence[str],
    *,
    lower: npt.ArrayLike | None = None,
    upper: npt.ArrayLike | None = None,
    level: float = 0.9,
    log_probabilities: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """Return all measures that the arguments allow, by name.

    Keys: n; mae_NAME for each target and mae, their mean over the angles (over all targets if none is an angle);
    geodesic and maev, if there are angles; with intervals, coverage_90_NAME and width_90_NAME for level 0.9; with
    log probabilities, nll.

    Args:
        targets, predictions: (N, L), with the L `names` of the columns.
        lower, upper: (N, L), ends of the intervals; both or none.
        level: nominal probability of the intervals, in (0, 1), which is part of the keys.
        log_probabilities: log-densities of the true targets, (N,).

    Raises:
        ValueError: as for the measures, or if one end of the intervals is missing, the level is outside (0, 1), or the
            number of log-densities is not N.

    Example:
        >>> summarise([[0, 10]], [[1, 13]], ("pitch", "yaw"))["mae"]
        2.0
    """
    y, predicted = _pair(targets, predictions)
    summary = {"n": float(len(y)), **_errors(y, predicted, tuple(names))}
    if (lower is None) != (upper is None):
        raise ValueError("an interval has two ends; give lower and upper, or neither")
    if lower is not None and upper is not None:
        summary |= _intervals(y, lower, upper, level, names)
    if log_probabilities is not None:
        summary["nll"] = negative_log_likelihood(log_probabilities)
        if np.shape(log_probabilities)[0] != len(y):
            raise ValueError(f"{np.shape(log_probabilities)[0]} log probabilities for {len(y)} rows of targets")
    return summary


def _errors(targets: Array, predictions: Array, names: tuple[str, ...]) -> dict[str, float]:
    _check_names(targets, names)
    error = mean_absolute_error(targets, predictions)
    angles = [column for column, name in enumerate(names) if name in ANGLES]
    summary = _named("mae", names, error) | {"mae": float((error[angles] if angles else error).mean())}
    if angles:
        summary["geodesic"] = float(geodesic_error(targets, predictions, names).mean())
        summary["maev"] = float(vector_error(targets, predictions, names).mean())
    return summary


def _intervals(
    targets: Array, lower: npt.ArrayLike, upper: npt.ArrayLike, level: float, names: Sequence[str]
) -> dict[str, float]:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; the probability of intervals must be strictly between 0 and 1")
    percent = f"{100 * level:.6g}"
    coverage = _named(f"coverage_{percent}", names, interval_coverage(targets, lower, upper))
    return coverage | _named(f"width_{percent}", names, mean_interval_width(lower, upper))


def _named(prefix: str, names: Sequence[str], values: Array) -> dict[str, float]:
    return {f"{prefix}_{name}": float(value) for name, value in zip(names, values, strict=True)}


def _rotations(targets: npt.ArrayLike, predictions: npt.ArrayLike, names: Sequence[str]) -> tuple[Array, Array]:
    """Return both sides as rotations, (N, 3, 3)."""
    y, predicted = _pair(targets, predictions)
    _check_names(y, names)
    columns = [list(names).index(name) if name in names else None for name in ANGLES]
    if columns == [None] * 3:
        raise ValueError(f"none of {', '.join(names)} is an angle; a rotation needs some of {', '.join(ANGLES)}")
    truth, guess = ([np.zeros(len(y)) if c is None else side[:, c] for c in columns] for side in (y, predicted))
    return rotation_from_angles(*truth), rotation_from_angles(*guess)


def _check_names(values: Array, names: Sequence[str]) -> None:
    if isinstance(names, str) or len(names) != values.shape[1] or len(set(names)) != len(names):
        raise ValueError(f"names {names!r} do not name {values.shape[1]} columns, each once")


def _pair(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Array, Array]:
    """Return both as finite float64 arrays of one shape (N, L), N ≥ 1."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or len(a) == 0:
        raise ValueError(f"shapes {a.shape} and {b.shape}; both must be (N, L) with at least one row")
    for values in (a, b):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise ValueError(f"row {row}, column {column} is {values[row, column]}; leave such rows out")
    return a, b


def _ends(lower: npt.ArrayLike, upper: npt.ArrayLike) -> tuple[Array, Array]:
    low, high = _pair(lower, upper)
    bad = np.argwhere(low > high)
    if len(bad):
        row, column = bad[0]
        raise ValueError(f"row {row}, column {column}: lower {low[row, column]} is above upper {high[row, column]}")
    return low, high
