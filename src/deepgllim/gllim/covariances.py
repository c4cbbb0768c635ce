"""The structures of the covariances Σ and Γ: isotropic, diagonal and full, each a set of functions.

This module contains every formula of EM and prediction that depends on the structure of Σ. The features enter these
formulas through their *square*: ‖x‖² (N, 1), x∘x (N, D), or x itself for a full Σ. A tied Σ needs no formula of its
own: its moments have one component, the sum over all components.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, NumericalError

Row = TypeVar("Row")


class Noise(NamedTuple):
    """The functions of one structure of Σ.

    Attributes:
        square: x (N, D) to its square; the second argument is a buffer (N, D) that it may use.
        moment: (square, r (N, K)) to the second moment q = Σ_n r_nk x xᵀ, restricted to the structure.
        explained: ([A b] (K, D, P), C (K, D, P)) to the part of q that the regression explains.
        spread: (q − explained, count (K,), D) to Σ.
        residual: (Σ, count (K,), D) to q − explained: the inverse of `spread`.
        scatter: variances (D,) to the second moment of one sample with these variances.
        precision: Σ to the argument of `weigh`, `distance` and `log_determinant`: W = Σ⁻¹, or a factor of it.
        weigh: (precision, B (K, D, P)) to W_k B_k.
        distance: (precision, square) to xᵀ W_k x, (N, K).
        log_determinant: (precision, D) to log |Σ_k|, (K,).
        trace: (precision, variances (D,)) to tr(W_k diag(variances)), (K,).
        floor: (Σ, floor (D,)) to the nearest Σ whose variances are at least the floor.
    """

    square: Callable[[Tensor, Tensor | None], Tensor]
    moment: Callable[[Tensor, Tensor], Tensor]
    explained: Callable[[Tensor, Tensor], Tensor]
    spread: Callable[[Tensor, Tensor, int], Tensor]
    residual: Callable[[Tensor, Tensor, int], Tensor]
    scatter: Callable[[Tensor], Tensor]
    precision: Callable[[Tensor], Tensor]
    weigh: Callable[[Tensor, Tensor], Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]
    log_determinant: Callable[[Tensor, int], Tensor]
    trace: Callable[[Tensor, Tensor], Tensor]
    floor: Callable[[Tensor, Tensor], Tensor]


def cholesky(matrices: Tensor, name: str) -> Tensor:
    """Return the Cholesky factors of a stack of covariances.

    Raises:
        NumericalError: if one is not positive definite; the message gives its component.
    """
    factors: Tensor
    factors, info = torch.linalg.cholesky_ex(matrices)
    if bool(info.any()):
        k = int(info.flatten().nonzero()[0])
        raise NumericalError(
            f"{name} of component {k} is singular: too few or collinear samples for its structure; "
            "use fewer components, a diagonal or tied covariance, or a covariance_floor above 0"
        )
    return factors


def floor_eigenvalues(matrices: Tensor, floor: Tensor) -> Tensor:
    """Raise the eigenvalues of S^-½ M S^-½ to at least 1, S = diag(floor), which is the exact constrained M-step."""
    if not bool((floor > 0).all()):
        return matrices
    scale = floor.sqrt()
    scaled = matrices / scale / scale[:, None]
    low = torch.linalg.cholesky_ex(scaled - torch.eye(len(floor), dtype=scaled.dtype, device=scaled.device)).info != 0
    if not bool(low.any()):
        return matrices
    values, vectors = torch.linalg.eigh(scaled[low])
    raised = (vectors * values.clamp(min=1.0).unsqueeze(-2)) @ vectors.mT
    result = matrices.clone()
    result[low] = raised * scale * scale[:, None]
    return result


def shrink(Sigma: Tensor, shrinkage: float | str, count: Tensor) -> Tensor:
    """Return (1 − ρ_k) Σ_k + ρ_k s_k² I, where s_k² is the mean variance tr Σ_k / D.

    Args:
        Sigma: (K,), (K, D) or (K, D, D) by structure; an isotropic Σ is not changed.
        shrinkage: ρ in [0, 1) for all components, or "oas" for the closed-form intensity of each.
        count: number of samples of each Σ_k, (K,), used by "oas".

    Source: Chen, Wiesel, Eldar & Hero, IEEE Transactions on Signal Processing 2010 (oracle approximating shrinkage),
    without its terms of order 1/D, as in scikit-learn.

    Example:
        >>> shrink(torch.diag(torch.tensor([1.0, 3.0]))[None], 0.5, torch.ones(1)).diagonal(dim1=1, dim2=2)
        tensor([[1.5000, 2.5000]])
    """
    if Sigma.ndim == 1 or shrinkage == 0:
        return Sigma
    D = Sigma.shape[-1]
    variances = Sigma if Sigma.ndim == 2 else Sigma.diagonal(dim1=1, dim2=2)
    mean = variances.mean(1)
    if isinstance(shrinkage, str):
        share = _oas_intensity(Sigma.flatten(1).square().sum(1), mean, count, D)
    else:
        share = torch.full_like(mean, shrinkage)
    share = share.view(-1, *[1] * (Sigma.ndim - 1))
    identity = torch.ones_like(variances) if Sigma.ndim == 2 else torch.eye(D, dtype=Sigma.dtype, device=Sigma.device)
    return (1.0 - share) * Sigma + share * mean.view_as(share) * identity


def _oas_intensity(square: Tensor, mean: Tensor, count: Tensor, D: int) -> Tensor:
    """Return ρ_k, (K,), from tr Σ_k² and tr Σ_k / D; 1 where Σ_k is isotropic."""
    trace_square = (D * mean).square()
    above = square + trace_square
    below = (count + 1.0) * (square - trace_square / D)
    return torch.where(below > above, above / below, torch.ones_like(above))


def _full_moment(x: Tensor, responsibilities: Tensor) -> Tensor:
    return (responsibilities.T.unsqueeze(-1) * x).mT @ x  # (K, D, D)


def _full_distance(inverse_factor: Tensor, x: Tensor) -> Tensor:
    return (x @ inverse_factor.mT).square().sum(-1).T  # (N, K), through (K, N, D): blocks are small


def _full_precision(Sigma: Tensor) -> Tensor:
    """Return the inverse Cholesky factors F_k, with Σ_k⁻¹ = F_kᵀ F_k."""
    factor = cholesky(Sigma, "the noise covariance")
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse: Tensor = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    return inverse


def _positive_inverse(Sigma: Tensor) -> Tensor:
    if not bool((Sigma > 0).all()):
        where = tuple((~(Sigma > 0)).nonzero()[0].tolist())
        raise NumericalError(
            f"the noise variance {float(Sigma[where]):g} (component {where[0]}"
            + (f", feature {where[1]})" if len(where) > 1 else ")")
            + " is not positive: the feature is constant, or the targets determine it without error; "
            "remove the feature or use a covariance_floor above 0"
        )
    return 1.0 / Sigma


ISOTROPIC = Noise(
    square=lambda x, out: torch.square(x, out=out).sum(1, keepdim=True),
    moment=lambda square, r: r.T @ square.squeeze(1),
    explained=lambda B, C: (B * C).sum((1, 2)),
    spread=lambda residual, count, D: residual / (count * D),
    residual=lambda Sigma, count, D: Sigma * (count * D),
    scatter=torch.sum,
    precision=_positive_inverse,
    weigh=lambda W, B: W[:, None, None] * B,
    distance=lambda W, square: square * W,
    log_determinant=lambda W, D: -D * W.log(),
    trace=lambda W, variances: W * variances.sum(),
    floor=lambda Sigma, floor: Sigma.clamp(min=float(floor.mean())),
)

DIAGONAL = Noise(
    square=lambda x, out: torch.square(x, out=out),
    moment=lambda square, r: r.T @ square,
    explained=lambda B, C: (B * C).sum(2),
    spread=lambda residual, count, D: residual / count[:, None],
    residual=lambda Sigma, count, D: Sigma * count[:, None],
    scatter=lambda variances: variances,
    precision=_positive_inverse,
    weigh=lambda W, B: W[:, :, None] * B,
    distance=lambda W, square: square @ W.T,
    log_determinant=lambda W, D: -W.log().sum(1),
    trace=lambda W, variances: W @ variances,
    floor=torch.maximum,
)

FULL = Noise(
    square=lambda x, out: x,
    moment=_full_moment,
    explained=lambda B, C: B @ C.mT,
    spread=lambda residual, count, D: (residual + residual.mT) / (2 * count[:, None, None]),
    residual=lambda Sigma, count, D: Sigma * count[:, None, None],
    scatter=torch.diag,
    precision=_full_precision,
    weigh=lambda F, B: F.mT @ (F @ B),
    distance=_full_distance,
    log_determinant=lambda F, D: -2.0 * F.diagonal(dim1=1, dim2=2).log().sum(1),
    trace=lambda F, variances: F.square().sum(1) @ variances,
    floor=floor_eigenvalues,
)

NOISE = {"isotropic": ISOTROPIC, "diagonal": DIAGONAL, "full": FULL}


def _isotropic_part(matrices: Tensor) -> Tensor:
    mean = matrices.diagonal(dim1=-2, dim2=-1).mean(-1)
    return mean[:, None, None] * torch.eye(matrices.shape[-1], dtype=matrices.dtype, device=matrices.device)


TARGET_COVARIANCE: dict[str, Callable[[Tensor], Tensor]] = {
    "full": lambda matrices: matrices,
    "diagonal": lambda matrices: torch.diag_embed(matrices.diagonal(dim1=-2, dim2=-1)),
    "isotropic": _isotropic_part,
}
"""The structures of Γ: functions from the unrestricted covariance (K, L, L) to the maximum-likelihood one."""


def noise_structure(name: str) -> Noise:
    """Return the structure of Σ with a name.

    Raises:
        ConfigurationError: for an unknown name.

    Example:
        >>> noise_structure("diagonal") is DIAGONAL
        True
    """
    return _row(NOISE, name, "covariance_type")


def target_structure(name: str) -> Callable[[Tensor], Tensor]:
    """Return the structure of Γ with a name.

    Raises:
        ConfigurationError: for an unknown name.
    """
    return _row(TARGET_COVARIANCE, name, "target_covariance")


def _row(table: Mapping[str, Row], name: str, what: str) -> Row:
    try:
        return table[name]
    except KeyError:
        raise ConfigurationError(f"unknown {what} {name!r}: use one of {', '.join(table)}") from None
