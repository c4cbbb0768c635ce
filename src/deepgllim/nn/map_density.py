"""A density of feature maps, which is added to the log p(x) of a model.

The features x of a head are trained for the targets: pictures that differ from the training pictures in other respects
may have the same features. Means and standard deviations over the picture of the maps a of a stage,

    m = (mean_hw a, std_hw a)    ∈ ℝᴹ,

describe colours and textures. They are modelled as independent of x and y,

    log p(x, m) = log p(x) + log N(m; μ, Σ),

so that p(y | x, m) = p(y | x) does not change. Σ is shrunk towards a multiple of the identity, in units of the standard
deviations of m, by the intensity of Ledoit and Wolf (2004).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from deepgllim.errors import DataError, ModelError

LEAST_DEVIATION = 1e-3
"""Lower bound of the standard deviation of a statistic, as a share of the root mean square of all of them."""
ROUNDING = 1e-6
"""Lower bound of the standard deviation of a statistic, as a share of its mean."""


class MapDensity(nn.Module):
    """Gaussian density of the statistics of feature maps, log N(m; μ, Σ) with Σ⁻¹ = W Wᵀ.

    Args:
        n_statistics: number of statistics, M, twice the number of channels.

    Attributes:
        mean: μ, (M,), float64.
        whitening: W, (M, M), float32, upper triangular with a positive diagonal.
        constant: −(M log 2π + log |Σ|) / 2, float64.

    Example:
        >>> density = MapDensity(2)
        >>> density(torch.zeros(1, 2, dtype=torch.float64))
        tensor([-1.8379], dtype=torch.float64)
    """

    mean: Tensor
    whitening: Tensor
    constant: Tensor

    def __init__(self, n_statistics: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_statistics, dtype=torch.float64))
        self.register_buffer("whitening", torch.eye(n_statistics))
        self.register_buffer("constant", torch.tensor(-0.5 * n_statistics * math.log(2.0 * math.pi)).double())

    def forward(self, statistics: Tensor) -> Tensor:
        """Return log N(m; μ, Σ) for statistics m (N, M): (N,), float64.

        Raises:
            ModelError: if the number of statistics is not M.
        """
        if statistics.shape[1] != len(self.mean):
            raise ModelError(
                f"the maps have {statistics.shape[1]} statistics, but their density has {len(self.mean)}: "
                "it belongs to another network; train the model again"
            )
        white = (statistics.double() - self.mean.double()) @ self.whitening.double()
        found: Tensor = self.constant.double() - 0.5 * white.square().sum(1)
        return found


def pooled_statistics(maps: Sequence[Tensor]) -> Tensor:
    """Return the means, then the standard deviations, of each channel of each map over the picture.

    Args:
        maps: tensors (N, C, H, W).

    Returns:
        (N, M), float64, where M is twice the number of channels of all maps.

    Raises:
        ModelError: if a tensor has other than four axes.

    Example:
        >>> pooled_statistics([torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])])
        tensor([[2., 2., 1., 0.]], dtype=torch.float64)
    """
    for each in maps:
        if each.ndim != 4:
            raise ModelError(f"the output has the shape {tuple(each.shape)}, which are no maps (N, C, H, W)")
    wide = [each.double() for each in maps]
    return torch.cat([part for a in wide for part in (a.mean((2, 3)), a.std((2, 3), correction=0))], dim=1)


def fit_map_density(statistics: Tensor) -> MapDensity:
    """Fit the density to the statistics of the training pictures.

    Args:
        statistics: m of N pictures, (N, M).

    Raises:
        DataError: if there are fewer than two pictures, no statistics, or statistics that are not finite.

    Example:
        >>> density = fit_map_density(torch.randn(500, 4).double())
        >>> bool(density(torch.zeros(1, 4))[0] > density(torch.full((1, 4), 5.0))[0])
        True
    """
    from sklearn.covariance import ledoit_wolf

    m = statistics.double().cpu().numpy()
    if len(m) < 2 or m.shape[1] == 0:
        raise DataError(f"{len(m)} pictures with {m.shape[1]} statistics: a density of maps needs at least 2 and 1")
    if not np.isfinite(m).all():
        row = int(np.flatnonzero(~np.isfinite(m).all(1))[0])
        raise DataError(
            f"the statistics of the maps of picture {row} are not finite: check that picture and the weights"
        )
    mean, own = m.mean(0), m.std(0)
    least = LEAST_DEVIATION * float(np.sqrt(np.square(own).mean()))
    deviation = np.maximum(own, np.maximum(least, ROUNDING * np.abs(mean)))
    deviation[deviation == 0] = 1.0
    covariance, _ = ledoit_wolf((m - mean) / deviation, assume_centered=True)
    covariance += np.diag(1.0 - np.square(own / deviation))  # variances below their bounds are raised to these
    factor = np.linalg.cholesky(covariance)
    log_determinant = 2.0 * float(np.log(np.diag(factor)).sum() + np.log(deviation).sum())
    density = MapDensity(len(mean))
    density.mean.copy_(torch.from_numpy(mean))
    density.whitening.copy_(torch.from_numpy(np.linalg.inv(factor).T / deviation[:, None]))
    density.constant.sub_(0.5 * log_determinant)
    return density
