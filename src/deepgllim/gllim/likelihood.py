"""log p(x, y, z = k), with all the work in two matrix products over the features.

With t̃ = [y; 1], B_k = [A_k b_k] and W_k = Σ_k⁻¹,

    (x − B_k t̃)ᵀ W_k (x − B_k t̃) = xᵀ W_k x − 2 (xᵀ W_k B_k) t̃ + t̃ᵀ (B_kᵀ W_k B_k) t̃,

so that the features enter through x∘x·w_k and x·(W_k B_k) alone; the rest is K × P × P, P = L + 1.
Features should be centred near 0, where the expansion loses no digits: EM and prediction both see to it.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.covariances import Noise, cholesky, noise_structure
from deepgllim.gllim.parameters import Parameters, TargetMixture, with_intercept

LOG_2PI = math.log(2.0 * math.pi)


class Expansion(NamedTuple):
    """What the expanded quadratic needs of the parameters, computed once for all blocks.

    Attributes:
        noise: the structure's functions.
        precision: W, or its factor.
        WB: W_k [A_k b_k], (D, K, P), contiguous: side by side it is the right factor of the matrix product.
        G: B_kᵀ W_k B_k, (K, P, P).
        log_determinant: log |Σ_k|, (K,) or (1,) if tied.
    """

    noise: Noise
    precision: Tensor
    WB: Tensor
    G: Tensor
    log_determinant: Tensor


class Products(NamedTuple):
    """The two matrix products of a block of features.

    Attributes:
        square: the features' square, as the structure sees it; the M-step uses it again.
        distance: xᵀ W_k x, (N, K) or (N, 1) if tied.
        cross: xᵀ W_k [A_k b_k], (N, K, P).
    """

    square: Tensor
    distance: Tensor
    cross: Tensor


def expand(parameters: Parameters) -> Expansion:
    """Precompute the terms of the expanded quadratic."""
    noise = noise_structure(parameters.noise)
    precision = noise.precision(parameters.Sigma)
    B = parameters.coefficients
    WB = noise.weigh(precision, B)
    log_determinant = noise.log_determinant(precision, parameters.n_features)
    return Expansion(noise, precision, WB.transpose(0, 1).contiguous(), B.mT @ WB, log_determinant)


def multiply(features: Tensor, expansion: Expansion) -> Products:
    """The two matrix products over a block of features (N, D)."""
    D, K, P = expansion.WB.shape
    square = expansion.noise.square(features)
    cross = (features @ expansion.WB.view(D, K * P)).view(-1, K, P)  # (N, K, P)
    return Products(square, expansion.noise.distance(expansion.precision, square), cross)


def target_log_density(targets: Tensor, parameters: Parameters | TargetMixture) -> Tensor:
    """log N(y; c_k, Γ_k), (N, K)."""
    factor = cholesky(parameters.Gamma, "the target covariance")
    deviation = (targets[None] - parameters.c[:, None]).mT  # (K, L, N)
    white: Tensor = torch.linalg.solve_triangular(factor, deviation, upper=False)
    log_determinant = 2.0 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return -0.5 * (white.square().sum(1).T + log_determinant + targets.shape[1] * LOG_2PI)


def feature_log_density(products: Products, targets: Tensor, expansion: Expansion) -> Tensor:
    """log N(x; A_k y + b_k, Σ_k), (N, K)."""
    D = expansion.WB.shape[0]
    t = with_intercept(targets)  # (N, P)
    tt = (t[:, :, None] * t[:, None, :]).flatten(1)  # (N, P * P)
    quadratic = tt @ expansion.G.flatten(1).T
    linear = torch.einsum("nkp,np->nk", products.cross, t)
    return -0.5 * (products.distance - 2.0 * linear + quadratic + expansion.log_determinant + D * LOG_2PI)


def joint_log_density(features: Tensor, targets: Tensor, parameters: Parameters) -> Tensor:
    """log π_k + log p(y | k) + log p(x | y, k), (N, K); its log-sum-exp over k is log p(x, y).

    Args:
        features: x, (N, D).
        targets: y, (N, L).
        parameters: those of the mixture, in the same units and dtype.

    Raises:
        NumericalError: if a covariance is singular.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1, 2),
        ... )
        >>> joint_log_density(torch.zeros(1, 2), torch.zeros(1, 1), p)
        tensor([[-2.7568]])
    """
    origin = parameters.feature_mean
    shifted = parameters._replace(b=parameters.b - origin)
    expansion = expand(shifted)
    return (
        parameters.pi.log()
        + target_log_density(targets, parameters)
        + feature_log_density(multiply(features - origin, expansion), targets, expansion)
    )


def normalise(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    """Responsibilities r = p(z = k | x, y), (N, K), and log p(x, y), (N,), from the joint log-densities.

    The softmax sums to 1 however low the densities are; exp(log_joint − log p(x, y)) would not.
    """
    return torch.softmax(log_joint, dim=1), torch.logsumexp(log_joint, dim=1)


def responsibilities(features: Tensor, targets: Tensor, parameters: Parameters) -> Tensor:
    """r_nk = p(z = k | x_n, y_n), (N, K): the E-step (paper eq. 5)."""
    return normalise(joint_log_density(features, targets, parameters))[0]


def target_responsibilities(targets: Tensor, parameters: Parameters | TargetMixture) -> Tensor:
    """p(z = k | y_n), (N, K): from the targets alone (paper eq. 2)."""
    return normalise(parameters.pi.log() + target_log_density(targets, parameters))[0]
