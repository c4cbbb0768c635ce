"""Sampling from the joint model p(x, y)."""

import torch
from torch import Tensor

from deepgllim.gllim.covariances import cholesky
from deepgllim.gllim.parameters import Centred, Parameters, centre


def sample(
    parameters: Parameters | Centred, n_samples: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Draw features (N, D) and targets (N, L): first z, then u for Student noise, y and w, then x.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1),
        ... )
        >>> x, y = sample(p, 7)
        >>> x.shape, y.shape
        (torch.Size([7, 2]), torch.Size([7, 1]))
    """
    about = centre(parameters)
    p = about.parameters
    pi, c, Gamma, A, b, Sigma, dof = p
    z = torch.multinomial(pi, n_samples, replacement=True, generator=generator)

    def white(width: int) -> Tensor:
        return torch.randn(n_samples, width, dtype=c.dtype, device=c.device, generator=generator)

    spread = torch.ones_like(white(1)) if dof is None else _inverse_root_gamma(dof[z], generator)  # u^-½, (N, 1)
    factor = cholesky(Gamma, "the target covariance")
    y = c[z] + spread * torch.einsum("nlm,nm->nl", factor[z], white(c.shape[1]))
    response = torch.cat([y, spread * white(p.n_latents)], 1)
    x = torch.einsum("ndl,nl->nd", A[z], response) + b[z]
    x = x + spread * _noise(Sigma, z, p.tied, white(b.shape[1]))
    return x + about.feature_origin, y + about.target_origin


def _inverse_root_gamma(dof: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw u^-½ with u ~ Gamma(ν/2, ν/2), by a sampler of torch that accepts a generator."""
    half = 0.5 * dof
    return (torch._standard_gamma(half, generator=generator) / half).rsqrt()[:, None]


def _noise(Sigma: Tensor, z: Tensor, tied: bool, white: Tensor) -> Tensor:
    component = torch.zeros_like(z) if tied else z
    if Sigma.ndim == 3:
        return torch.einsum("nde,ne->nd", cholesky(Sigma, "the noise covariance")[component], white)
    deviation = Sigma.sqrt()[component]
    return white * (deviation if Sigma.ndim == 2 else deviation[:, None])
