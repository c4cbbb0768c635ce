"""Plots of mixtures, predictions and trainings. Each function draws on given axes and returns them."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Parameters, target_responsibilities
from deepgllim.gllim.likelihood import target_log_density

if TYPE_CHECKING:
    import pandas as pd

COLOURS = ("#3b6fb6", "#d1603d", "#4a9d6f", "#8a63ac", "#b09a2f", "#5f6b73")
SPEC_COLUMNS = MixtureSpec._fields[1:]  # without n_components
LABELS = {
    "bic": "BIC",
    "aic": "AIC",
    "icl": "ICL",
    "held_out": "held-out log p(x, y), nats a sample",
    "held_out_conditional": "held-out log p(y | x), nats a sample",
}


def blend(responsibilities: Tensor) -> NDArray[np.float64]:
    """Mix the colours of the components by responsibilities: (N, K) to RGB (N, 3) in [0, 1]."""
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS]) / 255
    K = responsibilities.shape[1]
    return np.clip(responsibilities.double().numpy() @ palette[np.arange(K) % len(palette)], 0.0, 1.0)


def plot_responsibilities(axes: Axes, targets: Tensor, responsibilities: Tensor, parameters: Parameters) -> Axes:
    """Plot the E-step: r_nk over a one-dimensional target, and p(z = k | y) as lines."""
    grid = torch.linspace(float(targets.min()), float(targets.max()), 200, dtype=parameters.c.dtype)[:, None]
    prior = target_responsibilities(grid, parameters)
    for k in range(parameters.n_components):
        axes.plot(grid[:, 0], prior[:, k], color=COLOURS[k % len(COLOURS)], lw=1.5, label=f"p(z={k + 1} | y)")
    axes.scatter(targets[:, 0], responsibilities[:, 0], s=6, c=blend(responsibilities), label="r of z=1, from x and y")
    axes.set(xlabel="target y", ylabel="responsibility", ylim=(-0.05, 1.05))
    return axes


def plot_target_mixture(axes: Axes, targets: Tensor, parameters: Parameters) -> Axes:
    """Plot the M-GMM step: π_k N(y; c_k, Γ_k) over a histogram of a one-dimensional target."""
    axes.hist(targets[:, 0].numpy(), bins=40, density=True, color="0.85", label="targets")
    grid = torch.linspace(float(targets.min()), float(targets.max()), 200, dtype=parameters.c.dtype)[:, None]
    density = (parameters.pi.log() + target_log_density(grid, parameters)).exp()
    for k in range(parameters.n_components):
        axes.plot(grid[:, 0], density[:, k], color=COLOURS[k % len(COLOURS)], label=f"π N(y; c, Γ) of z={k + 1}")
    axes.set(xlabel="target y", ylabel="density")
    return axes


def plot_mapping(
    axes: Axes, features: Tensor, targets: Tensor, responsibilities: Tensor, parameters: Parameters
) -> Axes:
    """Plot the M-mapping step: features in two dimensions, and the line A_k y + b_k of each component."""
    axes.scatter(features[:, 0], features[:, 1], s=6, c=blend(responsibilities), alpha=0.6, label="features x")
    owner = responsibilities.argmax(1)
    for k in range(parameters.n_components):
        mine = targets[owner == k].to(parameters.A.dtype)
        if len(mine) == 0:
            continue
        ends = torch.stack([mine.min(0).values, mine.max(0).values])
        line = ends @ parameters.A[k].T + parameters.b[k]
        axes.plot(line[:, 0], line[:, 1], color="white", lw=5)
        axes.plot(line[:, 0], line[:, 1], color=COLOURS[k % len(COLOURS)], lw=2.5, label=f"A y + b of z={k + 1}")
    axes.set(xlabel="feature 1", ylabel="feature 2")
    return axes


def plot_curves(
    axes: Axes, x: ArrayLike, curves: Mapping[str, tuple[ArrayLike, ArrayLike]], labels: Sequence[str] = ("", "")
) -> Axes:
    """Plot a mean with a band of ± one standard deviation for each name."""
    for colour, (name, (mean, deviation)) in zip(cycle(COLOURS), curves.items(), strict=False):
        centre, spread = np.asarray(mean), np.asarray(deviation)
        axes.plot(np.asarray(x), centre, color=colour, marker="o", label=name)
        axes.fill_between(np.asarray(x), centre - spread, centre + spread, color=colour, alpha=0.15, lw=0)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False)
    return axes


def plot_trace(axes: Axes, log_likelihoods: Sequence[float] | Mapping[str, Sequence[float]]) -> Axes:
    """Plot the log-likelihood after each iteration of EM, of one fit or of several by name."""
    fits = log_likelihoods if isinstance(log_likelihoods, Mapping) else {"": log_likelihoods}
    for colour, (name, values) in zip(cycle(COLOURS), fits.items(), strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, marker="o", ms=3, label=name)
    axes.set(xlabel="iteration", ylabel="log-likelihood, nats")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if isinstance(log_likelihoods, Mapping):
        axes.legend(frameon=False)
    return axes


def plot_responsibilities_2d(axes: Axes, targets: ArrayLike, responsibilities: ArrayLike) -> Axes:
    """Plot the E-step over two targets: the colour of each sample is mixed by its responsibilities."""
    y, r = np.asarray(targets), torch.as_tensor(np.asarray(responsibilities))
    axes.scatter(y[:, 0], y[:, 1], s=8, c=blend(r))
    for k in range(r.shape[1]):
        weight = r[:, k].numpy()
        centre = weight @ y / max(float(weight.sum()), 1e-300)
        colour = COLOURS[k % len(COLOURS)]
        axes.scatter([centre[0]], [centre[1]], s=120, marker="X", color=colour, edgecolor="black", label=f"z={k + 1}")
    axes.set(xlabel="target 1", ylabel="target 2")
    axes.legend(framealpha=0.9)
    return axes


def plot_predictions(
    axes: Axes, truth: ArrayLike, mean: ArrayLike, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Axes:
    """Plot predicted against true values of one target, optionally with intervals; those that miss are marked."""
    y, centre = np.asarray(truth, float), np.asarray(mean, float)
    if lower is not None and upper is not None:
        low, high = np.asarray(lower, float), np.asarray(upper, float)
        hit = (low <= y) & (y <= high)
        for chosen, colour, label in ((hit, "0.75", "interval"), (~hit, COLOURS[1], "interval that misses")):
            if chosen.any():
                axes.vlines(y[chosen], low[chosen], high[chosen], color=colour, lw=1.2, label=label)
    ends = [min(y.min(), centre.min()), max(y.max(), centre.max())]
    axes.plot(ends, ends, color="0.4", lw=1, ls="--", label="exact")
    axes.scatter(y, centre, s=10, color=COLOURS[0], zorder=3, label="mean")
    axes.set(xlabel="true", ylabel="predicted")
    axes.legend(frameon=False)
    return axes


def plot_calibration(axes: Axes, levels: ArrayLike, coverages: Mapping[str, ArrayLike]) -> Axes:
    """Plot the coverage of the intervals of each level; calibrated intervals are on the diagonal."""
    axes.plot([0, 1], [0, 1], color="0.4", lw=1, ls="--", label="calibrated")
    for colour, (name, share) in zip(cycle(COLOURS), coverages.items(), strict=False):
        axes.plot(np.asarray(levels), np.asarray(share), color=colour, marker="o", ms=4, label=name)
    axes.set(xlabel="level of the interval", ylabel="share of true values inside", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    return axes


def plot_rounds(axes: Axes, curves: Mapping[str, Sequence[float]], label: str) -> Axes:
    """Plot a metric, named by `label`, after each round of a training, with a curve for each name."""
    for colour, (name, values) in zip(cycle(COLOURS), curves.items(), strict=False):
        axes.plot(np.arange(1, len(values) + 1), values, color=colour, marker="o", ms=4, label=name)
    axes.set(xlabel="round", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return axes


def plot_error_over(axes: Axes, truth: ArrayLike, errors: Mapping[str, ArrayLike], edges: ArrayLike) -> Axes:
    """Plot the mean absolute error in bins of the true value, with a curve for each name."""
    y, ends = np.asarray(truth, float), np.asarray(edges, float)
    place = np.digitize(y, ends[1:-1])  # what lies beyond the ends belongs to the outer bins
    filled = [i for i in range(len(ends) - 1) if (place == i).any()]
    middles = [0.5 * (ends[i] + ends[i + 1]) for i in filled]
    for colour, (name, values) in zip(cycle(COLOURS), errors.items(), strict=False):
        error = np.abs(np.asarray(values, float))
        axes.plot(middles, [error[place == i].mean() for i in filled], color=colour, marker="o", ms=4, label=name)
    axes.set(xlabel="true value", ylabel="mean absolute error", ylim=(0, None))
    axes.legend(frameon=False)
    return axes


def plot_counts(axes: Axes, centres: ArrayLike, counts: ArrayLike, label: str) -> Axes:
    """Plot given counts of the quantity named by `label` as bars at the centres of the bins."""
    x = np.asarray(centres, float)
    width = 0.9 * float(np.diff(x).min()) if len(x) > 1 else 0.9
    axes.bar(x, np.asarray(counts, float), width=width, color=COLOURS[0])
    axes.set(xlabel=label, ylabel="count")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def plot_histograms(axes: Axes, samples: Mapping[str, ArrayLike], label: str, bins: int = 40) -> Axes:
    """Plot histograms of several samples of the quantity named by `label`, with the same bins."""
    values = {name: np.asarray(sample, float) for name, sample in samples.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins)
    for colour, (name, sample) in zip(cycle(COLOURS), values.items(), strict=False):
        axes.hist(sample, bins=edges.tolist(), color=colour, alpha=0.6, label=name)
    axes.set(xlabel=label, ylabel="count")
    axes.legend(frameon=False)
    return axes


def plot_densities(axes: Axes, grid: ArrayLike, densities: Mapping[str, ArrayLike], truth: float | None = None) -> Axes:
    """Plot predicted densities of one target over a grid, with a curve for each name, and the true value."""
    for colour, (name, density) in zip(cycle(COLOURS), densities.items(), strict=False):
        axes.plot(np.asarray(grid), np.asarray(density), color=colour, label=name)
        axes.fill_between(np.asarray(grid), np.asarray(density), color=colour, alpha=0.12, lw=0)
    if truth is not None:
        axes.axvline(truth, color="0.3", lw=1.2, ls="--", label="true")
    axes.set(ylabel="density", ylim=(0, None))
    axes.legend(frameon=False)
    return axes


def plot_selection(axes: Axes, table: "pd.DataFrame", criterion: str = "bic") -> Axes:
    """Plot a criterion over K, with a curve for each structure in a table of `gllim.select`, and mark the best."""
    names = [name for name in SPEC_COLUMNS if name in table and table[name].astype(str).nunique() > 1]
    groups = table.groupby([table[name].astype(str) for name in names], sort=True) if names else [("", table)]
    for colour, (group, rows) in zip(cycle(COLOURS), groups, strict=False):
        ordered = rows.sort_values("n_components")
        values = [group] if isinstance(group, str) else group
        parts = [f"{name} {value}" for name, value in zip(names, values, strict=False)]
        axes.plot(ordered["n_components"], ordered[criterion], color=colour, marker="o", ms=4, label=", ".join(parts))
    best = table.iloc[0]
    axes.scatter(best["n_components"], best[criterion], s=120, facecolor="none", edgecolor="0.2", label="best")
    axes.set(xlabel="components K", ylabel=LABELS.get(criterion, criterion))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return axes
