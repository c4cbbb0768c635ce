"""Removal of components that have lost their samples."""

import warnings

import torch
from torch import Tensor

from deepgllim.errors import EmptyComponentWarning
from deepgllim.gllim.blocks import Block
from deepgllim.gllim.monitor import Monitor
from deepgllim.gllim.parameters import Parameters
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.statistics import Assign, SufficientStatistics, e_step


def occupied(counts: Tensor, min_count: float) -> Tensor:
    """Return which components have at least `min_count` samples, (K,), and warn about the others.

    The largest component is always kept.
    """
    enough = (counts >= min(min_count, float(counts.max()))) & (counts > 0)
    if not bool(enough.all()):
        removed = (~enough).nonzero().flatten().tolist()
        left = ", ".join(f"{float(counts[k]):.3g}" for k in removed)
        warnings.warn(
            f"removed {len(removed)} of {len(enough)} components, which had {left} samples, fewer than {min_count:g}",
            EmptyComponentWarning,
            stacklevel=4,
        )
    return enough


def without(assign: Assign, kept: Tensor) -> Assign:
    """Return the responsibilities of the components that are kept; a sample of the others alone is shared by all."""

    def renormalised(block: Block, first: int) -> Tensor:
        r = assign(block, first)[:, kept]
        total = r.sum(1, keepdim=True)
        return torch.where(total > 0, r / total, torch.full_like(r, 1.0 / r.shape[1]))

    return renormalised


def drop_empty(
    rows: Rows, parameters: Parameters, statistics: SufficientStatistics, min_count: float, monitor: Monitor
) -> tuple[Parameters, SufficientStatistics]:
    """Remove components with too few samples; an E-step of its own assigns these samples to the other components."""
    kept = occupied(statistics.s0, min_count)
    while not bool(kept.all()):
        monitor.components_removed()
        parameters = parameters.keep(kept)
        statistics = e_step(rows, parameters)
        kept = occupied(statistics.s0, min_count)
    return parameters, statistics
