"""The distribution of the features given the targets, p(x | y) (paper eq. 2)."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.densities import family
from deepgllim.gllim.likelihood import expand_targets, normalise
from deepgllim.gllim.parameters import Centred, Parameters, centre, with_intercept

BLOCK_ELEMENTS = 2**22  # (n, K, D) per block, 32 MiB


class FeaturePredictive(NamedTuple):
    """The moments of p(x | y_n) = Σ_k p(z = k | y_n) p(x | y_n, k).

    Attributes:
        mean: (N, D).
        variance: (N, D).
        covariance: (N, D, D); None unless requested.
    """

    mean: Tensor
    variance: Tensor
    covariance: Tensor | None


def predict_features(targets: Tensor, parameters: Parameters | Centred, covariance: bool = False) -> FeaturePredictive:
    """Return E[x | y] and Var[x | y], within plus between components, with latents integrated out.

    x | y, k ~ N(A_k y + b_k, Σ_k + A_w A_wᵀ); with Student noise it has ν + L degrees of freedom and the covariance
    (ν + δ_k(y)) / (ν + L − 2) (Σ_k + A_w A_wᵀ), infinite where ν + L ≤ 2.

    Args:
        targets: y, (N, L).
        parameters: of any variant.
        covariance: whether to return the full covariances, N D² numbers.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 2.0),
        ... )
        >>> predict_features(torch.tensor([[3.0]]), p)[:2]
        (tensor([[3., 3.]]), tensor([[2., 2.]]))
    """
    about = centre(parameters)
    targets = targets.to(about.target_origin.dtype) - about.target_origin
    K, D = about.parameters.b.shape
    rows = max(1, BLOCK_ELEMENTS // (K * D * (D if covariance else 1)))
    parts = [_block(y, about.parameters, covariance) for y in torch.split(targets, rows)]
    mean, variance, whole = (torch.cat([part[i] for part in parts]) for i in range(3))
    return FeaturePredictive(mean + about.feature_origin, variance, whole if covariance else None)


def _block(y: Tensor, p: Parameters, covariance: bool) -> tuple[Tensor, Tensor, Tensor]:
    L = p.n_targets
    expanded = expand_targets(p)
    distance = expanded.distance(y)
    log_density = family(p.dof).log_density(distance, expanded.log_determinant, L, p.dof)
    r = normalise(p.pi.log() + log_density)[0]  # (n, K)
    B = torch.cat([p.A[:, :, :L], p.b[:, :, None]], 2)
    means = torch.einsum("kdp,np->nkd", B, with_intercept(y))
    mean = torch.einsum("nk,nkd->nd", r, means)
    deviation = means - mean[:, None]
    spread = r if p.dof is None else r * _inflation(distance, p.dof, L)
    A_w = p.A[:, :, L:]
    within = p.noise_variances + A_w.square().sum(2)  # (K, D)
    variance = spread @ within + torch.einsum("nk,nkd->nd", r, deviation.square())
    if not covariance:
        return mean, variance, variance
    whole = p.noise_matrices + A_w @ A_w.mT
    between = torch.einsum("nk,nkd,nke->nde", r, deviation, deviation)
    return mean, variance, torch.einsum("nk,kde->nde", spread, whole) + between


def _inflation(distance: Tensor, dof: Tensor, L: int) -> Tensor:
    excess = dof + L - 2.0
    return torch.where(excess > 0, (dof + distance) / excess, torch.full_like(distance, torch.inf))
