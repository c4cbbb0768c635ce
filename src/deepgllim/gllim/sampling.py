"""Draws from the joint model p(x, y)."""

import torch
from torch import Tensor

from deepgllim.gllim.covariances import cholesky
from deepgllim.gllim.parameters import Parameters


def sample(parameters: Parameters, n_samples: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Features (N, D) and targets (N, L) drawn from the model: z, then y | z, then x | y, z.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1),
        ... )
        >>> x, y = sample(p, 7)
        >>> x.shape, y.shape
        (torch.Size([7, 2]), torch.Size([7, 1]))
    """
    pi, c, Gamma, A, b, Sigma = parameters
    z = torch.multinomial(pi, n_samples, replacement=True, generator=generator)
    factor = cholesky(Gamma, "the target covariance")
    white_y = torch.randn(n_samples, c.shape[1], dtype=c.dtype, device=c.device, generator=generator)
    y = c[z] + torch.einsum("nlm,nm->nl", factor[z], white_y)
    white_x = torch.randn(n_samples, b.shape[1], dtype=b.dtype, device=b.device, generator=generator)
    x = torch.einsum("ndl,nl->nd", A[z], y) + b[z] + _noise(Sigma, z, parameters.tied, white_x)
    return x, y


def _noise(Sigma: Tensor, z: Tensor, tied: bool, white: Tensor) -> Tensor:
    component = torch.zeros_like(z) if tied else z
    if Sigma.ndim == 3:
        return torch.einsum("nde,ne->nd", cholesky(Sigma, "the noise covariance")[component], white)
    deviation = Sigma.sqrt()[component]
    return white * (deviation if Sigma.ndim == 2 else deviation[:, None])
