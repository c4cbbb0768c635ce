"""Initialization of A_w in the partially-latent model: the principal axes of the residuals of each component."""

import torch
from torch import Tensor

from deepgllim.gllim.blocks import Block
from deepgllim.gllim.likelihood import feature_distance, multiply, prepare
from deepgllim.gllim.parameters import Parameters, with_intercept
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.statistics import Assign

PASSES = 4  # over the data, to compute the axes; an initial value needs few digits


def add_latents(rows: Rows, parameters: Parameters, assign: Assign, n_latents: int, seed: int) -> Parameters:
    """Add A_w by probabilistic PCA of the residuals of each component, and reduce Σ accordingly.

    In units of the standard deviations, let λ and U be the leading eigenvalues and axes of the covariance of the
    residuals, and σ² the mean of the other eigenvalues. Then A_w = diag(Σ)^½ U (λ − σ²)^½ and Σ = σ² diag(Σ). Subspace
    iteration computes the axes in a few passes over the rows, without a D × D matrix.

    Source: Tipping & Bishop, Journal of the Royal Statistical Society B 1999; Halko, Martinsson & Tropp, SIAM Review
    2011.
    """
    K, D = parameters.b.shape
    width = min(D, n_latents + 4)
    deviation = parameters.noise_variances.sqrt()  # (K, D)
    generator = torch.Generator().manual_seed(seed)
    Q = torch.randn(K, D, width, generator=generator, dtype=torch.float64).to(parameters.b.device)
    for _ in range(PASSES):
        Q = _correlate(rows, parameters, assign, deviation, torch.linalg.qr(Q).Q)
    basis = torch.linalg.qr(Q).Q
    small = basis.mT @ _correlate(rows, parameters, assign, deviation, basis)
    values, axes = torch.linalg.eigh(0.5 * (small + small.mT))
    values, axes = values.flip(-1)[:, :n_latents], axes.flip(-1)[:, :, :n_latents]
    trace = _mean_distance(rows, parameters, assign, deviation)
    rest = ((trace - values.sum(1)) / (D - n_latents)).clamp(min=1e-3)
    A_w = deviation[:, :, None] * (basis @ axes) * (values - rest[:, None]).clamp(min=1e-6).sqrt()[:, None]
    Sigma = rest[:, None] * deviation.square()
    return parameters._replace(A=torch.cat([parameters.A, A_w], 2), Sigma=_as_structure(Sigma, parameters))


def _mean_distance(rows: Rows, p: Parameters, assign: Assign, deviation: Tensor) -> Tensor:
    """Return Σ_n r_nk ‖e_n‖² / Σ_n r_nk, (K,), the trace of the matrix that `_correlate` multiplies by."""
    model = prepare(p._replace(Sigma=deviation.square(), dof=None))
    total, summed, first = deviation.new_zeros(len(deviation)), deviation.new_zeros(len(deviation)), 0
    for block in rows:
        r = _weighted(assign, block, first)
        first += len(r)
        distance, _ = feature_distance(multiply(block.features.double(), model.expansion), block.targets, model)
        summed += (r * distance).sum(0)
        total += r.sum(0)
    return rows.sum(summed) / rows.sum(total)


def _weighted(assign: Assign, block: Block, first: int) -> Tensor:
    r = assign(block, first)
    return r if block.weights is None else r * block.weights[:, None]


def _correlate(rows: Rows, p: Parameters, assign: Assign, deviation: Tensor, Q: Tensor) -> Tensor:
    """Return Σ_n r_nk e_n e_nᵀ Q / Σ_n r_nk with e = (x − A y − b) / deviation, (K, D, width)."""
    K, D, width = Q.shape
    weighted = Q / deviation[:, :, None]
    offset = p.coefficients.mT @ weighted  # (K, P, width)
    total = Q.new_zeros(K)
    by_x, by_t = Q.new_zeros(D, K * width), Q.new_zeros(K, p.coefficients.shape[2], width)
    first = 0
    for block in rows:
        r = _weighted(assign, block, first)
        first += len(r)
        x, t = block.features.double(), with_intercept(block.targets)
        along = (x @ weighted.transpose(0, 1).reshape(D, -1)).view(-1, K, width)
        along = r[:, :, None] * (along - torch.einsum("np,kpq->nkq", t, offset))
        by_x += x.T @ along.flatten(1)
        by_t += torch.einsum("np,nkq->kpq", t, along)
        total += r.sum(0)
    by_x, by_t, total = (rows.sum(value) for value in (by_x, by_t, total))
    summed = by_x.view(D, K, width).transpose(0, 1) - p.coefficients @ by_t
    return summed / deviation[:, :, None] / total[:, None, None]


def _as_structure(variances: Tensor, parameters: Parameters) -> Tensor:
    """Return variances (K, D) as a Σ with the structure of the parameters."""
    if parameters.tied:
        variances = torch.einsum("k,kd->d", parameters.pi, variances)[None]
    return {1: variances.mean(1), 2: variances, 3: torch.diag_embed(variances)}[parameters.Sigma.ndim]
