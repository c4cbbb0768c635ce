"""How sure a difference between two methods is when the people could have been others."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepgllim.errors import DataError

Array = NDArray[np.float64]


class Difference(NamedTuple):
    """mean(errors a) − mean(errors b): negative where a is the better.

    Attributes:
        mean: on the people there are.
        lower, upper: of the 95 % interval over resampled people.
        below_zero: share of the resamplings with a difference under 0.
    """

    mean: float
    lower: float
    upper: float
    below_zero: float


def paired_bootstrap(
    errors_a: ArrayLike, errors_b: ArrayLike, people: ArrayLike, draws: int = 10_000, seed: int = 0
) -> Difference:
    """The difference of two methods' mean errors on the same pictures, with people drawn with replacement.

    Pictures of one person are alike, so that the person, not the picture, is the unit; all of a drawn person's pictures
    count, for both methods.

    Args:
        errors_a, errors_b: (N,), one a picture, in the same order.
        people: (N,), who is seen.
        draws: resamplings, ≥ 1.
        seed: of the resamplings.

    Raises:
        DataError: arrays of other shapes, no pictures, errors that are not finite, or no draws.

    Example:
        >>> paired_bootstrap([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], ["a", "a", "b"])
        Difference(mean=-1.0, lower=-1.0, upper=-1.0, below_zero=1.0)
    """
    a, b = np.asarray(errors_a, dtype=np.float64), np.asarray(errors_b, dtype=np.float64)
    names = np.asarray(people)
    if not (a.shape == b.shape == names.shape and a.ndim == 1 and len(a)):
        raise DataError(f"shapes {a.shape}, {b.shape}, {names.shape}: give one error of each and one person a picture")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("an error is not finite: leave its picture out of both methods")
    if draws < 1:
        raise DataError(f"draws is {draws}: give one or more")
    _, person = np.unique(names, return_inverse=True)
    sums, counts = np.asarray(np.bincount(person, a - b), dtype=np.float64), np.bincount(person)
    resampled = _resampled_means(sums, counts, draws, seed)
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    return Difference(float((a - b).mean()), float(lower), float(upper), float((resampled < 0).mean()))


def _resampled_means(sums: Array, counts: NDArray[np.signedinteger[Any]], draws: int, seed: int) -> Array:
    """The mean over the pictures of as many people as there are, drawn with replacement, (draws,)."""
    n = len(sums)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=draws)  # (draws, people)
    means: Array = (times @ sums) / (times @ counts)
    return means
