"""The noise covariance Σ of the network step: that of the mixture, or one derived from it."""

from collections.abc import Callable

import torch

from deepgllim.gllim import Parameters


def tied_isotropic(parameters: Parameters) -> Parameters:
    """Return the same regression with one σ² for all components and features; at β = 0 it only scales the gradient."""
    variances = diagonal(parameters).Sigma
    per_component = variances.reshape(len(variances), -1).mean(1).expand(parameters.n_components)
    return parameters._replace(Sigma=(parameters.pi * per_component).sum().reshape(1))


def diagonal(parameters: Parameters) -> Parameters:
    """Return the same regression with the diagonal of a full Σ; other structures are unchanged."""
    if parameters.covariance_type != "full":
        return parameters
    return parameters._replace(Sigma=parameters.Sigma.diagonal(dim1=-2, dim2=-1))


def signal(parameters: Parameters) -> Parameters:
    """Return the same regression with Σ_k = U S Uᵀ + D s₁ (I − U Uᵀ), where U S Uᵀ = A_k V A_kᵀ and V = Cov(y).

    In the network step all directions in which the targets move the features then have the same weight, as
    standardised targets have in least squares. The directions without signal have together the weight of the strongest
    direction, 1/s₁. No direction has more than a thousand times this weight.
    """
    mean = parameters.pi @ parameters.c  # (L,)
    off = parameters.c - mean
    spread = torch.einsum("k,kij->ij", parameters.pi, parameters.Gamma) + (parameters.pi[:, None] * off).T @ off
    U, s, _ = torch.linalg.svd(parameters.A @ torch.linalg.cholesky(spread), full_matrices=False)  # (K, D, L), (K, L)
    strength = s.square()
    strongest = strength[:, :1].clamp_min(torch.finfo(s.dtype).tiny)
    rest = parameters.n_features * strongest
    extra = torch.maximum(strength, 1e-3 * strongest) - rest
    identity = torch.eye(parameters.n_features, dtype=U.dtype, device=U.device)
    return parameters._replace(Sigma=rest[..., None] * identity + (U * extra[:, None]) @ U.mT)


STEP_NOISE: dict[str, Callable[[Parameters], Parameters]] = {
    "mixture": lambda parameters: parameters,
    "diagonal": diagonal,
    "tied_isotropic": tied_isotropic,
    "signal": signal,
}
"""Functions of θ that give the Σ of the network step, by the value of `objective.network_noise`."""
