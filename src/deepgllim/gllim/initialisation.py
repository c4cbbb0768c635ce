"""Initialization of EM: from parameters, from responsibilities, from the targets, or from features and targets."""

from collections.abc import Callable

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.arrays import Array, as_columns, to_tensor
from deepgllim.gllim.blocks import Block
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.distributed import gather_rows
from deepgllim.gllim.likelihood import normalise, target_log_density, target_responsibilities
from deepgllim.gllim.moments import CONSTANT
from deepgllim.gllim.parameters import Centred, Parameters, TargetMixture
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.scaling import Scaling
from deepgllim.gllim.spec import MixtureSpec
from deepgllim.gllim.statistics import Assign

JOINT_ELEMENTS = 2**22  # features for the k-means on features and targets, 32 MiB
TARGET_RIDGE = 1e-3  # added to the covariances of the target mixture, in standardised units
FIRST_DOF = 10.0  # initial value of an estimated ν


def check_components(n_components: int, n_samples: int) -> None:
    """Raise an error if the number of components is not positive or exceeds the number of samples.

    Raises:
        ConfigurationError: if K < 1.
        DataError: if K > N.
    """
    require_integer("n_components", n_components, 1)
    if n_samples < n_components:
        raise DataError(
            f"{n_samples} samples are fewer than {n_components} components: use more samples or a smaller K"
        )


def check_weights(rows: Rows, n_components: int, least: float) -> None:
    """Raise an error if the sample weights are too small for the number of components, but the samples are enough.

    Raises:
        DataError: if the sum of the weights is below the number of samples that the components need.
    """
    needed, total = n_components * least, float(rows.total)
    if n_components == 1 or total >= needed:
        return
    weights = rows.known_targets()[1]
    if int((weights > 0).sum()) >= needed:
        raise DataError(
            f"the sample weights sum to {total:.3g}, below the {needed:g} samples that {n_components} components need: "
            "a weight of 2 counts as two samples; divide the weights by their mean, or use fewer components"
        )


def count_components(n_components: int, r: Array | None, start: Parameters | Centred | None) -> int:
    """Return K: that of the given responsibilities or start, else `n_components`.

    Raises:
        ConfigurationError: if both are given, or `n_components` is neither 1 nor the K of the given one.

    Example:
        >>> count_components(1, torch.ones(9, 2) / 2, None)
        2
    """
    if r is not None and start is not None:
        raise ConfigurationError("both responsibilities and start are given: give one of them")
    columns = r.shape[-1] if r is not None and r.ndim > 0 else None
    given = columns if start is None else start.n_components
    if given is not None and n_components not in (1, given):
        raise ConfigurationError(f"n_components is {n_components} but the start has {given}: leave n_components out")
    return n_components if given is None else given


def check_responsibilities(r: Tensor, n_samples: int) -> Tensor:
    """Return r (N, K) after checking it.

    Raises:
        DataError: unless there is one row per sample, with values ≥ 0 and sum 1.
    """
    if r.ndim != 2 or len(r) != n_samples:
        raise DataError(f"responsibilities {tuple(r.shape)} do not fit {n_samples} samples: use (N, K)")
    valid = (r >= 0).all(1) & ((r.sum(1) - 1).abs() < 1e-3)  # False for NaN
    if not bool(valid.all()):
        row = int((~valid).nonzero()[0])
        raise DataError(f"responsibilities row {row} is {r[row].tolist()}: each row must be ≥ 0 and sum to 1")
    return r


def check_start(given: Parameters | Centred, spec: MixtureSpec, scaling: Scaling) -> Parameters:
    """Return the given parameters in the units of EM.

    Raises:
        ConfigurationError, DataError: if they differ from the specification or the data in structure or size.
    """
    start = given.parameters if isinstance(given, Centred) else given
    if start.covariance_type != spec.covariance_type:
        raise ConfigurationError(
            f"start has covariance_type {start.covariance_type!r} but covariance_type is {spec.covariance_type!r}: "
            "use the same for both"
        )
    if start.n_latents != spec.n_latents:
        raise ConfigurationError(
            f"start has {start.n_latents} latents but n_latents is {spec.n_latents}: use the same for both"
        )
    D, L = len(scaling.feature_mean), len(scaling.target_mean)
    if (start.n_features, start.n_targets) != (D, L):
        raise DataError(
            f"start has {start.n_features} features and {start.n_targets} targets, the data {D} and {L}: use the same"
        )
    for name, value in start.tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise DataError(
                f"{name} of the start contains {float(value[~torch.isfinite(value)][0])}: use finite parameters"
            )
    start = start.to(scaling.feature_mean.device, torch.float64)
    if spec.tied and not start.tied:
        start = start._replace(Sigma=torch.tensordot(start.pi, start.Sigma, 1)[None])
    if not spec.tied and start.tied:
        start = start._replace(Sigma=start.Sigma.repeat_interleave(start.n_components, 0))
    start = start._replace(dof=first_dof(spec, start))
    if isinstance(given, Centred):
        origins = given.to(scaling.feature_mean.device, torch.float64)
        return scaling.reduce(origins._replace(parameters=start))
    return scaling.reduce(start)


def first_dof(spec: MixtureSpec, parameters: Parameters) -> Tensor | None:
    """Return ν before the first E-step: the fixed value, that of the given parameters, or 10."""
    if spec.dof is None:
        return None
    if spec.dof != "estimated":
        return torch.full_like(parameters.pi, float(spec.dof))
    return torch.full_like(parameters.pi, FIRST_DOF) if parameters.dof is None else parameters.dof


def given(r: Tensor) -> Assign:
    """Return known responsibilities, (N, K), block by block."""
    return lambda block, first: r[first : first + len(block.targets)].to(block.targets)


def from_targets(rows: Rows, n_components: int, seed: int) -> Assign:
    """Return p(z = k | y) of a Gaussian mixture of the targets, initialized by k-means (paper, end of section 4)."""
    mixture = _fit_standardised(*rows.known_targets(), n_components, seed)
    on_device = mixture.to(rows.device)
    return lambda block, first: target_responsibilities(block.targets, on_device)


def from_target_clusters(rows: Rows, n_components: int, seed: int) -> Assign:
    """Return the hard assignment of the targets to k-means clusters."""
    centres = _k_means(*rows.known_targets(), n_components, seed)[1].to(rows.device)
    return lambda block, first: _nearest(block.targets, centres)


def from_joint_clusters(rows: Rows, n_components: int, seed: int) -> Assign:
    """Return the hard assignment of [features, targets], each scaled to a total variance of 1, to k-means clusters.

    The centres are computed from evenly spaced rows, as many as fit in 32 MiB.
    """
    D, L = len(rows.scaling.feature_mean), len(rows.scaling.target_mean)
    unit = rows.scaling.feature_variance.sum().sqrt().clamp(min=torch.finfo(torch.float64).tiny)

    def joint(block: Block) -> Tensor:
        return torch.cat([block.features.double() / unit, block.targets / L**0.5], 1)

    every = max(1, -(-rows.n_total * D // JOINT_ELEMENTS))
    first, points, weights = rows.first_row, [], []
    for block in rows:
        chosen = slice(-first % every, None, every)
        points.append(joint(block)[chosen].cpu())
        w = torch.ones_like(block.targets[:, 0]) if block.weights is None else block.weights
        weights.append(w[chosen].cpu())
        first += len(block.targets)
    sample, weight = gather_rows(torch.cat(points), rows.group), gather_rows(torch.cat(weights), rows.group)
    centres = _k_means(sample, weight, n_components, seed)[1].to(rows.device)
    return lambda block, first: _nearest(joint(block), centres)


INITIALISATIONS: dict[str, Callable[[Rows, int, int], Assign]] = {
    "targets": from_targets,
    "kmeans": from_target_clusters,
    "joint": from_joint_clusters,
}
"""The functions for the initial responsibilities, by name: `init`."""


def initial_responsibilities(targets: ArrayLike | Tensor, n_components: int, random_state: int = 0) -> Tensor:
    """Return p(z = k | y_n), (N, K), of a Gaussian mixture of the targets that is initialized by k-means.

    Args:
        targets: y, (N, L), in any units.
        n_components: K ≥ 1.
        random_state: seed of k-means.

    Source: paper, end of section 4.

    Raises:
        ConfigurationError, DataError: see `check_components`.

    Example:
        >>> y = torch.cat([torch.zeros(5, 1), torch.ones(5, 1)]) + torch.linspace(0, 0.1, 10)[:, None]
        >>> r = initial_responsibilities(y, 2)
        >>> r.shape, bool((r[0] - r[-1]).abs().min() > 0.99)
        (torch.Size([10, 2]), True)
    """
    values = to_tensor(as_columns(targets)).double()
    if n_components == 1 and len(values) > 0:
        return torch.ones_like(values[:, :1])
    check_components(n_components, len(values))
    standard, _, _ = _standardised(values.cpu())
    mixture = _fit_standardised(standard, _ones(standard), n_components, random_state)
    return target_responsibilities(standard, mixture).to(values.device)


def fit_target_mixture(targets: ArrayLike | Tensor, n_components: int, random_state: int = 0) -> TargetMixture:
    """Fit a Gaussian mixture of the targets, initialized by k-means: π, c and Γ in their units.

    Its `target_responsibilities` are defined for any target, for example those of mirrored images.

    Args, raises and source: as `initial_responsibilities`.

    Example:
        >>> y = torch.cat([torch.zeros(5, 1), torch.ones(5, 1)]) + torch.linspace(0, 0.1, 10)[:, None]
        >>> fit_target_mixture(y, 2).pi
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    values = to_tensor(as_columns(targets)).double()
    check_components(n_components, len(values))
    standard, mean, scale = _standardised(values.cpu())
    mixture = _fit_standardised(standard, _ones(standard), n_components, random_state)
    mixture = TargetMixture(mixture.pi, mixture.c * scale + mean, mixture.Gamma * scale * scale[:, None])
    return mixture.to(values.device)


def _standardised(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (y − mean) / scale, mean and scale; the first row is subtracted first to keep digits far from zero."""
    moved = values - values[:1]
    spread, mean = torch.std_mean(moved, dim=0, correction=0)
    constant = spread <= CONSTANT * (values[0] + mean).abs()
    scale = torch.where(constant, torch.ones_like(spread), spread)
    return (moved - mean) / scale, values[0] + mean, scale


def _ones(values: Tensor) -> Tensor:
    return torch.ones_like(values[:, 0])


def _k_means(points: Tensor, weights: Tensor, n_components: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return labels (n,) and centres (K, ·)."""
    from sklearn.cluster import KMeans

    seen = weights > 0
    distinct = len(torch.unique(points[seen], dim=0)) if n_components > 1 else 1
    if distinct < n_components:
        raise DataError(
            f"{distinct} distinct values are fewer than {n_components} components: use K ≤ {distinct}, "
            "or init 'joint' if the features separate the components better than the targets"
        )
    k_means = KMeans(n_components, n_init=1, random_state=seed)
    labels = torch.full((len(points),), 0, dtype=torch.int64)
    k_means.fit(points[seen].numpy(), sample_weight=weights[seen].numpy())
    labels[seen] = torch.from_numpy(k_means.labels_).long()
    return labels, torch.from_numpy(k_means.cluster_centers_)


def _nearest(points: Tensor, centres: Tensor) -> Tensor:
    nearest = torch.cdist(points, centres).argmin(1)
    return torch.nn.functional.one_hot(nearest, len(centres)).to(points)


def _fit_standardised(y: Tensor, weights: Tensor, n_components: int, seed: int, iterations: int = 100) -> TargetMixture:
    """Fit the mixture by EM from k-means labels, until the gain in mean log-likelihood is below 1e-3."""
    L, last = y.shape[1], -torch.inf
    ridge = TARGET_RIDGE * torch.eye(L, dtype=y.dtype)
    labels = _k_means(y, weights, n_components, seed)[0]
    r = torch.nn.functional.one_hot(labels, n_components).double() * weights[:, None]
    for _ in range(iterations):
        s0 = r.sum(0) + 10 * torch.finfo(y.dtype).eps
        c = r.T @ y / s0[:, None]
        deviation = y[None] - c[:, None]  # (K, n, L)
        Gamma = (deviation * r.T[:, :, None]).mT @ deviation / s0[:, None, None] + ridge
        mixture = TargetMixture(s0 / s0.sum(), c, Gamma)
        r, log_density = normalise(mixture.pi.log() + target_log_density(y, mixture))
        r = r * weights[:, None]
        value = float(weights @ log_density / weights.sum())
        if abs(value - last) < 1e-3:
            break
        last = value
    return mixture
