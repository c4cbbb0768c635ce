"""Conformal calibration of predicted covariances with predictions for held-out people.

For a target y with the prediction N(m, C) in L coordinates, the smallest level whose region contains y is u =
F_L(δ²), where δ² = (y − m)ᵀ C⁻¹ (y − m) is the squared Mahalanobis distance and F_L the chi-square distribution
function with L degrees of freedom. If C is correct, u is uniform. Conformal calibration replaces the level q by the
q-quantile of u over held-out people; it assumes only that a new person is exchangeable with them. Coordinates without
a label do not contribute to δ² and to the degrees of freedom.

Source: V. Vovk et al., *Algorithmic Learning in a Random World*, 2005; for groups, R. Dunn, L. Wasserman and A. Ramdas,
"Distribution-free prediction sets for two-layer hierarchical models", JASA 2023 (pooling distribution functions).
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deepgllim.errors import DataError
from deepgllim.pose.calibration import Calibration, gaussian_interval_radius, gaussian_region_radius

Array = npt.NDArray[np.float64]

MIN_GROUPS = 2
LEVEL_RANGE = (1e-9, 1.0 - 1e-12)
"""Range of levels with a finite, positive radius."""

_erf = np.vectorize(math.erf, otypes=[np.float64])


def fit_calibration(
    residuals: npt.ArrayLike,
    covariances: npt.ArrayLike,
    groups: npt.ArrayLike,
    levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95),
    log_densities: npt.ArrayLike | None = None,
    known: float = 0.95,
    cautious: bool = False,
) -> Calibration:
    """Fit the calibration under which regions and intervals have their levels for held-out people.

    The standard deviation of each target is multiplied by the factor that makes the mean square of its standardised
    residuals 1. The radius of each level is then the quantile over all samples, with equal weight for each person.
    Its coverage of a new person converges to the level as the number of people grows. With `cautious`, the weight of
    one more person is added at infinity: the coverage is at least the level for any number of people, and higher for
    few.

    Args:
        residuals: y − m, (N, L), degrees, of models that were not trained on the person; NaN where there is no label.
        covariances: C of the predictions, (N, L, L).
        groups: person of each sample, (N,).
        levels: probabilities between 0 and 1, increasing.
        log_densities: log p(x), (N,); their (1 − `known`)-quantile becomes the threshold of the calibration.
        known: share of the faces that are above the threshold.
        cautious: whether the coverage is at least the level. For few people this requires a quantile near 1 or beyond;
            the quantile is at most halfway from the level to 1.

    Returns:
        The calibration.

    Raises:
        DataError: shapes do not match, or fewer than two people have labels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> residuals, people = 2.0 * rng.standard_normal((4000, 3)), np.arange(4000) // 100
        >>> found = fit_calibration(residuals, np.tile(np.eye(3), (4000, 1, 1)), people, levels=(0.5, 0.9))
        >>> np.round(found.scales, 1), round(found.region_radius(0.9), 1)
        (array([2., 2., 2.]), 2.5)
    """
    e, C, who = _checked(residuals, covariances, groups)
    weights = _person_weights(who)
    scales = _scales(e, C, weights)
    scaled = C * np.multiply.outer(scales, scales)
    inside = _levels(e, scaled)
    reach = np.abs(e) / np.sqrt(np.diagonal(scaled, axis1=1, axis2=2))
    labelled = ~np.isnan(reach)
    single, their = _erf(reach[labelled] / math.sqrt(2.0)), np.broadcast_to(weights[:, None], reach.shape)[labelled]
    count = len(np.unique(who)) if cautious else None
    threshold = None
    if log_densities is not None:
        threshold = float(np.quantile(np.asarray(log_densities, np.float64), 1 - known))
    return Calibration(
        scales=tuple(float(s) for s in scales),
        levels=tuple(levels),
        region=tuple(gaussian_region_radius(_quantile(inside, weights, q, count)) for q in levels),
        interval=tuple(gaussian_interval_radius(_quantile(single, their, q, count)) for q in levels),
        log_density_threshold=threshold,
    )


def region_levels(residuals: npt.ArrayLike, covariances: npt.ArrayLike, calibration: Calibration | None) -> Array:
    """Return the smallest level whose region contains the true pose; uniform if the calibration is correct.

    Args:
        residuals: (N, L), degrees; NaN where there is no label.
        covariances: predicted covariances without the scales of the calibration, (N, L, L), degrees².
        calibration: the calibration; None for Gaussian regions of the given covariances.

    Returns:
        (N,), in [0, 1].
    """
    e, C = np.asarray(residuals, dtype=np.float64), np.asarray(covariances, dtype=np.float64)
    if calibration is None:
        return _levels(e, C)
    scales = np.asarray(calibration.scales)
    nominal = _levels(e, C * np.multiply.outer(scales, scales))
    known = np.array([chi_square(radius**2, 3) for radius in calibration.region])
    inner = np.concatenate([[0.0], known, [1.0]])
    answer: Array = np.interp(nominal, inner, np.concatenate([[0.0], calibration.levels, [1.0]]))
    return answer


def chi_square(value: float, dof: int) -> float:
    """Return the chi-square distribution function with 1, 2 or 3 degrees of freedom at a value.

    Example:
        >>> round(chi_square(7.8147, 3), 4)
        0.95
    """
    x = max(float(value), 0.0)
    if dof == 1:
        return math.erf(math.sqrt(x / 2))
    if dof == 2:
        return -math.expm1(-x / 2)
    if dof == 3:
        return math.erf(math.sqrt(x / 2)) - math.sqrt(2 * x / math.pi) * math.exp(-x / 2)
    raise ValueError(f"{dof} degrees of freedom: a pose has 1, 2 or 3")


def _checked(residuals: npt.ArrayLike, covariances: npt.ArrayLike, groups: npt.ArrayLike) -> tuple[Array, Array, Array]:
    e, C, who = np.asarray(residuals, np.float64), np.asarray(covariances, np.float64), np.asarray(groups)
    if e.ndim != 2 or C.shape != (*e.shape, e.shape[1]) or who.shape != e.shape[:1]:
        raise DataError(
            f"residuals {e.shape}, covariances {C.shape}, groups {who.shape}: expected (N, L), (N, L, L) and (N,)"
        )
    labelled = ~np.isnan(e).all(axis=1)
    if len(np.unique(who[labelled])) < MIN_GROUPS:
        raise DataError(f"{len(np.unique(who[labelled]))} people with labels: calibration needs two or more")
    return e[labelled], C[labelled], who[labelled]


def _person_weights(who: Array) -> Array:
    """Return weights of the samples, (N,): 1 / (number of people) for each person, divided among their samples."""
    _, index, counts = np.unique(who, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (len(counts) * counts[index]))


def _scales(e: Array, C: Array, weights: Array) -> Array:
    squares = e**2 / np.diagonal(C, axis1=1, axis2=2)
    share = np.where(np.isnan(squares), 0.0, weights[:, None])
    total = share.sum(axis=0)
    mean = np.divide(np.nansum(share * squares, axis=0), total, out=np.ones_like(total), where=total > 0)
    return np.asarray(np.sqrt(mean))


def _levels(e: Array, C: Array) -> Array:
    """Return F(δ²) over the labelled targets of each sample, (N,)."""
    levels = np.full(len(e), np.nan)
    labelled = ~np.isnan(e)
    for pattern in np.unique(labelled, axis=0):
        rows = (labelled == pattern).all(axis=1)
        if pattern.any():
            part = e[rows][:, pattern]
            precise = np.linalg.solve(C[rows][:, pattern][:, :, pattern], part[..., None])[..., 0]
            levels[rows] = [chi_square(d, int(pattern.sum())) for d in (part * precise).sum(axis=1)]
    return levels


def _quantile(values: Array, weights: Array, level: float, n_people: int | None) -> float:
    """Return the weighted quantile; with `n_people`, the quantile with one more person at infinity."""
    wanted = level if n_people is None else min(level * (n_people + 1) / n_people, 0.5 * (1.0 + level))
    order = np.argsort(values)
    total = np.cumsum(weights[order]) / weights.sum()
    found = values[order][min(int(np.searchsorted(total, wanted - 1e-12)), len(values) - 1)]
    return float(np.clip(found, *LEVEL_RANGE))
