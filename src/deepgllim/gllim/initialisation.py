"""What EM starts from: parameters, responsibilities, or the targets alone (k-means, then a Gaussian mixture)."""

import warnings

import numpy as np
import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim.covariances import noise_structure
from deepgllim.gllim.likelihood import target_responsibilities
from deepgllim.gllim.parameters import Parameters, Scaling, TargetMixture
from deepgllim.gllim.statistics import CONSTANT, Array, Rows, Statistics, collect, expect, to_float64


def check_components(n_components: int, n_samples: int) -> None:
    """Refuse a number of components that is not positive or exceeds the number of samples.

    Raises:
        ConfigurationError: if K < 1.
        DataError: if K > N.
    """
    if n_components < 1:
        raise ConfigurationError(f"{n_components} components: use 1 or more")
    if n_samples < n_components:
        raise DataError(
            f"{n_samples} samples are fewer than {n_components} components: use more samples or a smaller K"
        )


def count_components(n_components: int | None, r: Array | None, start: Parameters | None) -> int:
    """K, from what is given; 1 when nothing tells it.

    Raises:
        ConfigurationError: if two sources contradict each other.

    Example:
        >>> count_components(None, torch.ones(9, 2) / 2, None)
        2
    """
    if r is not None and start is not None:
        raise ConfigurationError("both responsibilities and start are given: EM starts from one of them")
    columns = r.shape[-1] if r is not None and r.ndim > 0 else None
    given = columns if start is None else start.n_components
    if n_components is not None and given is not None and n_components != given:
        raise ConfigurationError(f"n_components is {n_components} but the start has {given}: leave n_components out")
    return next((K for K in (n_components, given) if K is not None), 1)


def first_statistics(
    rows: Rows, n_components: int, r: Array | None, start: Parameters | None, noise: str, seed: int
) -> Statistics:
    """The statistics of the first M-step: under the start's r, the given r, or r from the targets.

    Raises:
        ConfigurationError, DataError: if the start or r does not fit the data.
    """
    if start is not None:
        return expect(rows, _require_start(start, noise, rows.scaling))
    first = initial_responsibilities(to_float64(rows.targets), n_components, seed) if r is None else to_float64(r)
    return collect(rows, _require_responsibilities(first, len(rows)), noise_structure(noise))


def _require_responsibilities(r: Tensor, n_samples: int) -> Tensor:
    if r.ndim != 2 or len(r) != n_samples:
        raise DataError(f"responsibilities {tuple(r.shape)} do not fit {n_samples} samples: give (N, K)")
    valid = (r >= 0).all(1) & ((r.sum(1) - 1).abs() < 1e-3)  # False for NaN
    if not bool(valid.all()):
        row = int((~valid).nonzero()[0])
        raise DataError(f"responsibilities row {row} is {r[row].tolist()}: each row must be ≥ 0 and sum to 1")
    return r


def _require_start(start: Parameters, noise: str, scaling: Scaling) -> Parameters:
    """The start in the units that EM runs in."""
    if start.noise != noise:
        raise ConfigurationError(f"start has {start.noise} noise but noise is {noise!r}: give both the same")
    D, L = len(scaling.feature_mean), len(scaling.target_mean)
    if (start.n_features, start.n_targets) != (D, L):
        raise DataError(f"start has {start.n_features} features and {start.n_targets} targets, the data {D} and {L}")
    return scaling.reduce(start.to(scaling.feature_mean.device, torch.float64))


def initial_responsibilities(targets: Tensor, n_components: int, seed: int = 0) -> Tensor:
    """p(z = k | y_n) of a Gaussian mixture fitted to the targets from a k-means start, (N, K).

    Args:
        targets: y, (N, L); standardised inside, so their units do not matter.
        n_components: K ≥ 1.
        seed: of k-means.

    Source: paper, end of section 4.

    Raises:
        ConfigurationError, DataError: see `check_components`.

    Example:
        >>> y = torch.cat([torch.zeros(5, 1), torch.ones(5, 1)]) + torch.linspace(0, 0.1, 10)[:, None]
        >>> r = initial_responsibilities(y, 2)
        >>> r.shape, bool((r[0] - r[-1]).abs().min() > 0.99)
        (torch.Size([10, 2]), True)
    """
    if n_components == 1 and len(targets) > 0:
        return torch.ones(len(targets), 1, dtype=torch.float64)
    return target_responsibilities(targets.detach().cpu().double(), fit_target_mixture(targets, n_components, seed))


def fit_target_mixture(targets: Tensor, n_components: int, seed: int = 0) -> TargetMixture:
    """A Gaussian mixture of the targets, from a k-means start: π, c, Γ in their units.

    Its `target_responsibilities` are defined for any target, so that mirrored pictures get theirs too.

    Args, raises and source: as `initial_responsibilities`.

    Example:
        >>> y = torch.cat([torch.zeros(5, 1), torch.ones(5, 1)]) + torch.linspace(0, 0.1, 10)[:, None]
        >>> fit_target_mixture(y, 2).pi
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    check_components(n_components, len(targets))
    values = targets.detach().cpu().double().numpy()
    mean, spread = values.mean(axis=0), values.std(axis=0)
    scale = np.where(spread > CONSTANT * np.abs(mean), spread, 1.0)
    standardised = (values - mean) / scale
    distinct = len(np.unique(standardised, axis=0))
    if distinct < n_components:
        raise DataError(
            f"the targets take {distinct} distinct values, fewer than {n_components} components: use K ≤ {distinct}"
        )
    weights, means, covariances = _gaussian_mixture(standardised, n_components, seed)
    return TargetMixture(
        torch.from_numpy(weights),
        torch.from_numpy(means * scale + mean),
        torch.from_numpy(covariances * scale * scale[:, None]),
    )


def _gaussian_mixture(
    standardised: np.ndarray, n_components: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(n_components, reg_covar=1e-3, random_state=seed, init_params="kmeans")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not have converged
        mixture.fit(standardised)
    return mixture.weights_, mixture.means_, mixture.covariances_
