"""The E-step: from rows and parameters to sufficient statistics, which add over rows, batches and processes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.blocks import Block
from deepgllim.gllim.covariances import Noise
from deepgllim.gllim.densities import family
from deepgllim.gllim.likelihood import join, multiply, normalise, prepare
from deepgllim.gllim.parameters import Parameters, with_intercept
from deepgllim.gllim.rows import Rows

Assign = Callable[[Block, int], Tensor]
"""A function from a block, centred and scaled, and the number of its first row to responsibilities (n, K)."""


class SufficientStatistics(NamedTuple):
    """Expected sufficient statistics with t̃ = [y; E w; 1], P = L + Lw + 1, and u = 1 for Gaussian noise.

    s0_k = Σ_n r_nk;  M_k = Σ_n r_nk u_nk (t̃ t̃ᵀ + V/u_nk);  C_k = Σ_n r_nk u_nk x t̃ᵀ;  q_k = Σ_n r_nk u_nk x xᵀ,
    restricted to the structure of Σ. V is the posterior covariance of w. The weight of a sample multiplies its r.

    Attributes:
        s0: effective counts, (K,).
        M: (K, P, P).
        C: (K, D, P).
        q: (K,) of ‖x‖² isotropic, (K, D) of x∘x diagonal, (K, D, D) full; a leading 1 for a tied Σ.
        excess: Σ_n r_nk E[log u_nk − u_nk], (K,), which determines ν; −s0 for Gaussian noise.
        log_likelihood: Σ_n log p(x_n, y_n) under the parameters of the E-step; 0 if r was given.
    """

    s0: Tensor
    M: Tensor
    C: Tensor
    q: Tensor
    excess: Tensor
    log_likelihood: Tensor

    def __add__(self, other: "SufficientStatistics") -> "SufficientStatistics":  # type: ignore[override]
        """Return the statistics of the union of two sets of rows."""
        return SufficientStatistics(*(a + b for a, b in zip(self, other, strict=True)))

    def keep(self, components: Tensor) -> "SufficientStatistics":
        """Return the statistics of the components of a boolean mask (K,); the moment of a tied Σ is not changed."""
        tied = len(self.q) < len(self.s0)
        s0, M, C, excess = (value[components] for value in (self.s0, self.M, self.C, self.excess))
        return SufficientStatistics(s0, M, C, self.q if tied else self.q[components], excess, self.log_likelihood)

    def scaled(self, factor: float) -> "SufficientStatistics":
        """Return the statistics with the weights of all samples multiplied by a factor."""
        return SufficientStatistics(*(factor * value for value in self))


class _Accumulator:
    """The sums of the statistics, updated in place: float64 for any dtype of the products."""

    def __init__(self, rows: Rows, n_components: int, n_latents: int, noise: Noise, tied: bool) -> None:
        K, D, L = n_components, len(rows.scaling.feature_mean), len(rows.scaling.target_mean)
        P = L + n_latents + 1
        self.noise, self.tied = noise, tied
        zero = rows.scaling.feature_mean.new_zeros
        self.C, self.M = zero(P * K, D), zero(K, P, P)
        self.s0, self.excess, self.log_likelihood = zero(K), zero(K), zero(())
        self.q: Tensor | None = None

    def add(self, features: Tensor, square: Tensor, t: Tensor, r: Tensor, u: Tensor | None) -> None:
        """Add a block: features and their square (n, ·), t̃ (n, P, 1 or K), r (n, K), u (n, K) or None for 1."""
        ru = r if u is None else r * u
        rt = (ru[:, None] * t).flatten(1)  # (n, P K)
        n, P = len(t), t.shape[1]
        if t.shape[2] == 1:
            self.M += (rt.T @ t[:, :, 0]).view(P, -1, P).transpose(0, 1)
        else:
            self.M += torch.einsum("npk,nqk->kpq", rt.view(n, P, -1), t)
        if features.dtype == torch.float64:
            self.C.addmm_(rt.T, features)
        else:
            self.C += rt.to(features.dtype).T @ features
        moment = self.noise.moment(square, (ru.sum(1, keepdim=True) if self.tied else ru).to(square.dtype))
        self.q = moment.double() if self.q is None else self.q.add_(moment)
        self.s0 += r.sum(0)

    def statistics(self, rows: Rows) -> SufficientStatistics:
        """Return the statistics of all rows of all processes."""
        assert self.q is not None
        values = [self.s0, self.M, self.C, self.q, self.excess, self.log_likelihood]
        if rows.group is not None:
            values = _summed(values, rows.sum)
        K, P = len(self.s0), self.M.shape[1]
        values[2] = values[2].view(P, K, -1).permute(1, 2, 0)
        return SufficientStatistics(*values)


def _summed(values: list[Tensor], add: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Return tensors after one call of a function that sums one tensor over processes."""
    flat = add(torch.cat([value.flatten() for value in values]))
    parts = torch.split(flat, [value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def add_processes(statistics: SufficientStatistics, add: Callable[[Tensor], Tensor]) -> SufficientStatistics:
    """Return the sum of the statistics of all processes.

    Args:
        statistics: of this process.
        add: function that returns the sum of a tensor over all processes; it is called once.
    """
    return SufficientStatistics(*_summed(list(statistics), add))


def collect(rows: Rows, assign: Assign, n_components: int, noise: Noise, tied: bool = False) -> SufficientStatistics:
    """Return the statistics of all rows under given responsibilities, without latents and with u = 1."""
    total = _Accumulator(rows, n_components, 0, noise, tied)
    first = 0
    for block in rows:
        r = assign(block, first)
        r = r if block.weights is None else r * block.weights[:, None]
        t = with_intercept(block.targets)[:, :, None]
        total.add(block.features, noise.square(block.features, None), t, r, None)
        first += len(r)
    total.excess = -total.s0
    return total.statistics(rows)


def e_step(rows: Rows, parameters: Parameters) -> SufficientStatistics:
    """Return the statistics for the next M-step, in one pass over the rows.

    The responsibilities are computed for one block of rows at a time.
    """
    model = prepare(parameters)
    noise = model.expansion.noise
    K, D, L, Lw = (parameters.n_components, parameters.n_features, parameters.n_targets, parameters.n_latents)
    kernel = family(parameters.dof)
    products_in = model.to(rows.dtype)
    total = _Accumulator(rows, K, Lw, noise, parameters.tied)
    square = torch.empty(rows.block_rows, D, dtype=rows.dtype, device=rows.device)
    for block in rows:
        n = len(block.targets)
        own = noise.square(block.features, square[:n])
        joint = join(multiply(block.features, products_in.expansion, own), block.targets, model)
        r, log_density = normalise(joint.log_joint)
        w = block.weights
        total.log_likelihood += log_density.sum() if w is None else w @ log_density
        r = r if w is None else r * w[:, None]
        u = kernel.expected_scale(joint.distance, D + L, parameters.dof)
        if u is None:
            total.excess -= r.sum(0)
        else:
            total.excess += (r * (kernel.expected_log_scale(joint.distance, D + L, parameters.dof) - u)).sum(0)
        total.add(block.features, own, joint.t, r, u)
    if model.latents is not None:
        total.M[:, L:-1, L:-1] += total.s0[:, None, None] * model.latents.posterior_covariance
    return total.statistics(rows)
