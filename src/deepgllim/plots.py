"""Pictures of the model: each function draws on the axes it is given and returns them."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from deepgllim.gllim import Parameters, target_responsibilities
from deepgllim.gllim.likelihood import target_log_density

COLOURS = ("#3b6fb6", "#d1603d", "#4a9d6f", "#8a63ac", "#b09a2f", "#5f6b73")


def blend(responsibilities: Tensor) -> NDArray[np.float64]:
    """One colour a sample, the components' colours mixed by its responsibilities: (N, K) to RGB (N, 3) in [0, 1]."""
    palette = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS]) / 255
    K = responsibilities.shape[1]
    return np.clip(responsibilities.double().numpy() @ palette[np.arange(K) % len(palette)], 0.0, 1.0)


def plot_responsibilities(axes: Axes, targets: Tensor, responsibilities: Tensor, parameters: Parameters) -> Axes:
    """The E-step: r_nk over a one-dimensional target, with p(z = k | y) of the targets alone as lines."""
    grid = torch.linspace(float(targets.min()), float(targets.max()), 200, dtype=parameters.c.dtype)[:, None]
    prior = target_responsibilities(grid, parameters)
    for k in range(parameters.n_components):
        axes.plot(grid[:, 0], prior[:, k], color=COLOURS[k % len(COLOURS)], lw=1.5, label=f"p(z={k + 1} | y)")
    axes.scatter(targets[:, 0], responsibilities[:, 0], s=6, c=blend(responsibilities), label="r of z=1, from x and y")
    axes.set(xlabel="target y", ylabel="responsibility", ylim=(-0.05, 1.05))
    return axes


def plot_target_mixture(axes: Axes, targets: Tensor, parameters: Parameters) -> Axes:
    """The M-GMM step: π_k N(y; c_k, Γ_k) over a histogram of a one-dimensional target."""
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
    """The M-mapping step: features in two dimensions, and the line A_k y + b_k of each component over its targets."""
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
    """Means with a band of one standard deviation a side, a curve for each name."""
    for colour, (name, (mean, deviation)) in zip(cycle(COLOURS), curves.items(), strict=False):
        centre, spread = np.asarray(mean), np.asarray(deviation)
        axes.plot(np.asarray(x), centre, color=colour, marker="o", label=name)
        axes.fill_between(np.asarray(x), centre - spread, centre + spread, color=colour, alpha=0.15, lw=0)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(frameon=False)
    return axes
