"""Paired bootstrap over people, for the difference of the mean errors of two methods."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepgllim.errors import DataError

Array = NDArray[np.float64]


class Difference(NamedTuple):
    """The difference mean(errors a) − mean(errors b); it is negative if a is better.

    Attributes:
        mean: difference over all pictures.
        lower, upper: ends of the 95 % interval over resampled people.
        below_zero: share of the resamplings with a negative difference.
    """

    mean: float
    lower: float
    upper: float
    below_zero: float


def paired_bootstrap(
    errors_a: ArrayLike, errors_b: ArrayLike, people: ArrayLike, draws: int = 10_000, seed: int = 0
) -> Difference:
    """Return the difference of the mean errors of two methods, with an interval over resampled people.

    Pictures of one person are correlated, so people are drawn with replacement, each with all of his or her pictures.

    Args:
        errors_a, errors_b: error per picture, (N,), in the same order.
        people: person in each picture, (N,).
        draws: number of resamplings, ≥ 1.
        seed: seed of the resamplings.

    Raises:
        DataError: the shapes differ, there are no pictures, an error is not finite, or `draws` is below 1.

    Example:
        >>> paired_bootstrap([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], ["a", "a", "b"])
        Difference(mean=-1.0, lower=-1.0, upper=-1.0, below_zero=1.0)
    """
    a, b = np.asarray(errors_a, dtype=np.float64), np.asarray(errors_b, dtype=np.float64)
    names = np.asarray(people)
    if not (a.shape == b.shape == names.shape and a.ndim == 1 and len(a)):
        raise DataError(
            f"shapes {a.shape}, {b.shape}, {names.shape}: give one error of each method and one person per picture"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("an error is not finite: leave its picture out for both methods")
    if draws < 1:
        raise DataError(f"draws = {draws}: give 1 or more")
    _, person = np.unique(names, return_inverse=True)
    sums, counts = np.asarray(np.bincount(person, a - b), dtype=np.float64), np.bincount(person)
    resampled = _resampled_means(sums, counts, draws, seed)
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return Difference(float((a - b).mean()), float(lower), float(upper), float((resampled < 0).mean()))


def _resampled_means(sums: Array, counts: NDArray[np.signedinteger[Any]], draws: int, seed: int) -> Array:
    """Return the mean over the pictures of people drawn with replacement, (draws,)."""
    n = len(sums)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=draws)  # (draws, people)
    means: Array = (times @ sums) / (times @ counts)
    return means
