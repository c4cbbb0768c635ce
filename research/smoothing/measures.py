"""How steady, how late and how wrong what is shown is."""

import numpy as np

from deepgllim.geometry import geodesic_distance, vector_from_rotation
from deepgllim.geometry.rotations import Array
from research.smoothing.methods import Shown
from research.smoothing.sequence import Path

_SHIFTS = np.arange(-0.1, 1.0, 0.005)  # seconds
_QUANTILE = 6.2514  # of χ² with 3 degrees of freedom, at 0.9


def measures(path: Path, times: Array, shown: Shown) -> dict[str, float]:
    """The figures of one sequence.

    Returns:
        By name: `jitter`, root mean square of the turn from frame to frame while the head is held still, degrees;
        `lag`, by how many ms what is shown must be moved back to fit best while the head moves; `error`, mean
        geodesic distance, degrees, and those of the parts; `coverage`, share of frames whose truth lies in the 90 %
        region of the covariance, NaN where none is known.
    """
    held, moving = path.flags(times)
    errors = geodesic_distance(shown.rotations, path.rotation(times))
    turned = geodesic_distance(shown.rotations[1:], shown.rotations[:-1])[held[1:] & held[:-1]]
    return {
        "jitter": float(np.sqrt(np.mean(turned**2))),
        "lag": 1000 * lag(path, times[moving], shown.rotations[moving]),
        "error": float(errors.mean()),
        "error_held": float(errors[held].mean()),
        "error_moving": float(errors[moving].mean()),
        "coverage": coverage(path.rotation(times), shown),
    }


def lag(path: Path, times: Array, rotations: Array) -> float:
    """Seconds s for which rotations fit the truth s before best, in least squares, to 5 ms and a parabola."""
    costs = np.array([np.mean(geodesic_distance(rotations, path.rotation(times - s)) ** 2) for s in _SHIFTS])
    k = int(np.clip(np.argmin(costs), 1, len(costs) - 2))
    before, here, after = costs[k - 1 : k + 2]
    bend = before - 2 * here + after
    return float(_SHIFTS[k] + (0.0025 * (before - after) / bend if bend > 0 else 0.0))


def coverage(truth: Array, shown: Shown) -> float:
    """Share of truths within the 90 % region."""
    if shown.covariances is None:
        return float("nan")
    off = vector_from_rotation(truth @ np.swapaxes(shown.rotations, -1, -2))
    distance = np.einsum("ni,ni->n", off, np.linalg.solve(shown.covariances, off[..., None])[..., 0])
    return float(np.mean(distance <= _QUANTILE))
