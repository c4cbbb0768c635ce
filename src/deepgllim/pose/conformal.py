"""Recalibration from predictions for people not seen: scales by likelihood, radii by conformal quantiles over people.

For a target y predicted by N(m, C) in L coordinates, the region's level that just reaches y is u = F_L(δ²), where
δ² = (y − m)ᵀ C⁻¹ (y − m) is the squared Mahalanobis distance and F_L the chi-square distribution function of L degrees
of freedom. If C were true, u would be uniform. Conformal recalibration replaces the level q by the q-quantile of u
over people held out, and thus needs nothing but that a new person is drawn as they were. Coordinates without a label
are left out of u, with their degrees of freedom.

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

LEAST_GROUPS = 2
PROPER = (1e-9, 1.0 - 1e-12)
"""Levels that have a radius."""

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
    """The recalibration under which regions and intervals hold their levels for the people of the residuals.

    First each target's standard deviation is multiplied by the factor that makes its standardised residuals' mean
    square 1. Then, for each level, the radius is the quantile over all samples, each person counting alike, which
    covers a new person's poses with the level as the number of people grows. `cautious` adds the weight of one more
    person at infinity: P(covered) ≥ level for any number of people, and more than the level for few.

    Args:
        residuals: y − m, (N, L), degrees, by models that had not seen the person; NaN where there is no label.
        covariances: C, (N, L, L), of the predictions.
        groups: who each sample shows, (N,).
        levels: between 0 and 1, increasing.
        log_densities: log p(x), (N,); their 1 − `known` quantile becomes the verdict's threshold.
        known: share of faces that the verdict calls known.
        cautious: cover at least the level, rather than the level itself. With few people that asks for a quantile near
            1, or none; it is taken no further than half of the way from the level to 1.

    Raises:
        DataError: shapes that do not fit, or fewer than two people with labels.

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
    """The least level whose region holds each true pose, (N,): at most q for a share q of faces, if all is well.

    Args:
        residuals: (N, L), NaN where there is no label.
        covariances: (N, L, L), as predicted, not yet scaled.
        calibration: None for the Gaussian regions of the covariances as they are.
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
    """F(value) of the chi-square distribution with 1, 2 or 3 degrees of freedom.

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
    if len(np.unique(who[labelled])) < LEAST_GROUPS:
        raise DataError(f"{len(np.unique(who[labelled]))} people with labels: recalibration needs two or more")
    return e[labelled], C[labelled], who[labelled]


def _person_weights(who: Array) -> Array:
    """1 / (number of people) each, shared by the person's samples."""
    _, index, counts = np.unique(who, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (len(counts) * counts[index]))


def _scales(e: Array, C: Array, weights: Array) -> Array:
    squares = e**2 / np.diagonal(C, axis1=1, axis2=2)
    share = np.where(np.isnan(squares), 0.0, weights[:, None])
    total = share.sum(axis=0)
    mean = np.divide(np.nansum(share * squares, axis=0), total, out=np.ones_like(total), where=total > 0)
    return np.asarray(np.sqrt(mean))


def _levels(e: Array, C: Array) -> Array:
    """F(δ²) over each sample's labelled targets."""
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
    """The weighted quantile; with `n_people`, that with one more person at infinity, as far as they are enough."""
    wanted = level if n_people is None else min(level * (n_people + 1) / n_people, 0.5 * (1.0 + level))
    order = np.argsort(values)
    total = np.cumsum(weights[order]) / weights.sum()
    found = values[order][min(int(np.searchsorted(total, wanted - 1e-12)), len(values) - 1)]
    return float(np.clip(found, *PROPER))
