"""Inversion in closed form: from p(x | y) to p(y | x) and p(x), by L × L matrices only (paper, under eq. 3).

Σ*_k = (Γ_k⁻¹ + A_kᵀ Σ_k⁻¹ A_k)⁻¹;  E[y | x, k] = Σ*_k (Γ_k⁻¹ c_k + A_kᵀ Σ_k⁻¹ (x − b_k));
p(x | k) = N(x; A_k c_k + b_k, Σ_k + A_k Γ_k A_kᵀ): Woodbury and the determinant lemma, no D × D covariance is formed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.covariances import cholesky
from deepgllim.gllim.likelihood import LOG_2PI, Expansion, expand, multiply
from deepgllim.gllim.parameters import Parameters, with_intercept


class Forward(NamedTuple):
    """The inverse regression turned round: all that prediction needs of the parameters.

    Attributes:
        origin: E[x], (D,), taken off the features first so that the expanded quadratic loses no digits.
        expansion: of the parameters about that origin.
        offset: Γ_k⁻¹ c_k − A_kᵀ Σ_k⁻¹ b_k, (K, L).
        covariances: Σ*_k, (K, L, L).
        t: [c_k; 1], (K, P).
        log_weight: log π_k − ½ log |2π Γ*_k|, (K,).
    """

    origin: Tensor
    expansion: Expansion
    offset: Tensor
    covariances: Tensor
    t: Tensor
    log_weight: Tensor


class Predictive(NamedTuple):
    """p(y | x_n) = Σ_k w_nk N(y; m_nk, Σ*_k), and log p(x_n).

    Attributes:
        log_weights: log w, (N, K).
        means: m, (N, K, L).
        covariances: Σ*, (K, L, L).
        log_density: log p(x), (N,): low where the input is unlike the training data.
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    log_density: Tensor


def invert(parameters: Parameters) -> Forward:
    """The forward regression of an inverse one, to be used for any number of features.

    Raises:
        NumericalError: if a covariance is singular.
    """
    origin = parameters.feature_mean
    shifted = parameters._replace(b=parameters.b - origin)
    expansion = expand(shifted)
    L = parameters.n_targets
    factor = cholesky(parameters.Gamma, "the target covariance")
    Gamma_inverse = torch.cholesky_inverse(factor)
    posterior = cholesky(Gamma_inverse + expansion.G[:, :L, :L], "the posterior precision")
    covariances = torch.cholesky_inverse(posterior)
    offset = torch.einsum("klm,km->kl", Gamma_inverse, parameters.c) - expansion.G[:, :L, L]
    half_log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum(1) + posterior.diagonal(dim1=1, dim2=2).log().sum(
        1
    )
    log_weight = (
        parameters.pi.log() - half_log_determinant - 0.5 * (expansion.log_determinant + parameters.n_features * LOG_2PI)
    )
    return Forward(origin, expansion, offset, covariances, with_intercept(parameters.c), log_weight)


def predict(features: Tensor, forward: Forward) -> Predictive:
    """p(y | x) and log p(x) for features (N, D), in the dtype of the parameters.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 2.0),
        ... )
        >>> answer = predict(torch.tensor([[1.0, 1.0]]), invert(p))
        >>> answer.means, answer.covariances
        (tensor([[[0.5000]]]), tensor([[[0.5000]]]))
    """
    expansion, L = forward.expansion, forward.covariances.shape[-1]
    _, distance, cross = multiply(features.to(forward.origin.dtype) - forward.origin, expansion)
    u = cross[..., :L]  # (N, K, L): A' W x
    means = torch.einsum("klm,nkm->nkl", forward.covariances, u + forward.offset)
    residual = u - torch.einsum("klp,kp->kl", expansion.G[:, :L], forward.t)  # (N, K, L): A' W (x − A c − b)
    quadratic = (
        distance
        - 2.0 * torch.einsum("nkp,kp->nk", cross, forward.t)
        + torch.einsum("kp,kpq,kq->k", forward.t, expansion.G, forward.t)
        - torch.einsum("nkl,klm,nkm->nk", residual, forward.covariances, residual)
    )
    log_joint = forward.log_weight - 0.5 * quadratic
    log_weights, log_density = torch.log_softmax(log_joint, dim=1), torch.logsumexp(log_joint, dim=1)
    return Predictive(log_weights, means, forward.covariances, log_density)
