"""A first A_w for the partially-latent model: the principal axes of each component's residuals."""

import torch
from torch import Tensor

from deepgllim.gllim.blocks import Block
from deepgllim.gllim.likelihood import feature_distance, multiply, prepare
from deepgllim.gllim.parameters import Parameters, with_intercept
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.statistics import Assign

PASSES = 4  # over the data, to find the axes: a start needs no digits


def add_latents(rows: Rows, parameters: Parameters, assign: Assign, n_latents: int, seed: int) -> Parameters:
    """Probabilistic PCA of each component's residuals, in units of their standard deviations: A_w and what Σ is left.

    With the leading eigenvalues λ and axes U of the residuals' covariance in those units and σ² the mean of the others,
    A_w = diag(Σ)^½ U (λ − σ²)^½ and Σ = σ² diag(Σ). The axes come from subspace iteration, a few passes over the rows,
    so that no D × D matrix is formed.

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
    """Σ_n r_nk ‖e_n‖² / Σ_n r_nk, (K,): the trace of what `_correlate` multiplies by."""
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
    """Σ_n r_nk e_n e_nᵀ Q / Σ_n r_nk with e = (x − A y − b) / deviation, (K, D, width), by matrix products."""
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
    """Variances (K, D) as a Σ of the parameters' structure."""
    if parameters.tied:
        variances = torch.einsum("k,kd->d", parameters.pi, variances)[None]
    return {1: variances.mean(1), 2: variances, 3: torch.diag_embed(variances)}[parameters.Sigma.ndim]
