"""The pictures of the report, as data URIs: plots as SVG, faces as JPEG."""

import base64
import io
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from deepgllim.apps.demo.methods import Floats, Method, mean_coverage
from deepgllim.data import Manifest
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.evaluation import plots
from deepgllim.geometry.rotations import ANGLES
from deepgllim.imaging.drawing import draw_axes
from deepgllim.imaging.images import open_image

LEVELS: Floats = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
SIDE = 192
"""Longer side of a face in the report, pixels."""


def plot_to_uri(draw: Callable[[list[Axes]], object], panels: int = 1, height: float = 3.4) -> str:
    """Return a plot as a data URI.

    Args:
        draw: function that draws on the given axes.
        panels: number of axes side by side.
        height: height in inches; each panel is 4.4 inches wide.
    """
    with matplotlib.rc_context({"svg.hashsalt": "deepgllim", "font.size": 11}):
        figure = Figure(figsize=(4.4 * panels, height), layout="constrained")
        axes = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
        for panel in axes:
            panel.spines[["top", "right"]].set_visible(False)
        draw(axes)
        handles, names = axes[0].get_legend_handles_labels()
        for legend in (panel.get_legend() for panel in axes):
            if legend is not None:
                legend.remove()
        figure.legend(handles, names, loc="outside upper left", ncols=min(len(names), 1 + len(axes)), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return data_uri(buffer.getvalue(), "image/svg+xml")


def data_uri(content: bytes, kind: str) -> str:
    """Return the content of a file as a data URI.

    Example:
        >>> data_uri(b"abc", "text/plain")
        'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def plot_training(methods: Sequence[Method]) -> str:
    """Plot error and likelihood on the validation pictures after each round."""

    def draw(axes: list[Axes]) -> None:
        """Draw one panel for each metric."""
        for panel, column, label in zip(
            axes,
            ("validation_mae", "validation_nll"),
            ("mean validation error, degrees", "validation NLL, nats"),
            strict=True,
        ):
            plots.plot_rounds(panel, {m.name: [row[column] for row in m.history] for m in methods}, label)

    return plot_to_uri(draw, panels=2)


def plot_errors(methods: Sequence[Method]) -> str:
    """Plot the error of each angle against its true value."""
    truth = methods[0].predictions.targets

    def draw(axes: list[Axes]) -> None:
        """Draw one panel for each angle."""
        for number, (panel, name) in enumerate(zip(axes, ANGLES, strict=True)):
            errors = {m.name: m.predictions.mean[:, number] - truth[:, number] for m in methods}
            limit = float(np.abs(truth[:, number]).max())
            plots.plot_error_over(panel, truth[:, number], errors, np.linspace(-limit, limit, 10))
            panel.set(xlabel=f"true {name}, degrees", ylabel="mean error, degrees")

    return plot_to_uri(draw, panels=len(ANGLES))


def plot_calibration(methods: Sequence[Method]) -> str:
    """Plot the actual against the nominal coverage of the intervals."""
    shares = {method.name: mean_coverage(method, LEVELS) for method in methods}
    return plot_to_uri(lambda axes: plots.plot_calibration(axes[0], LEVELS, shares), height=4.0)


def plot_input_densities(method: Method) -> str:
    """Plot histograms of log p(x) of heads and of pictures without heads; the lowest bin includes all lower values."""
    samples = {"test heads": method.predictions.log_density, "no heads": method.non_heads}
    lowest = min(float(np.percentile(values, 2)) for values in samples.values())
    clipped = {name: np.maximum(values, lowest) for name, values in samples.items()}
    return plot_to_uri(lambda axes: plots.plot_histograms(axes[0], clipped, "log p(x), nats"), height=4.0)


def plot_marginals(methods: Sequence[Method], index: int) -> str:
    """Plot the predicted density of each angle of one face."""
    truth = methods[0].predictions.targets[index]

    def draw(axes: list[Axes]) -> None:
        """Draw one panel for each angle."""
        for number, (panel, name) in enumerate(zip(axes, ANGLES, strict=True)):
            grid = np.linspace(*_plot_range(methods, index, number, float(truth[number])), 300)
            densities = {m.name: marginal_density(m.distribution, index, number, grid) for m in methods}
            plots.plot_densities(panel, grid, densities, float(truth[number])).set_xlabel(f"{name}, degrees")

    return plot_to_uri(draw, panels=len(ANGLES))


def marginal_density(distribution: MultivariateGaussianMixture, index: int, target: int, grid: Floats) -> Floats:
    """Return p(y_l) of one picture and one target on a grid, (number of points,)."""
    one = distribution.select(torch.tensor([index]))
    weights, means = one.weights[0].numpy(), one.means[0, :, target].numpy()
    deviations = one.covariances[0, :, target, target].sqrt().numpy()
    z = (grid[:, None] - means) / deviations
    density: Floats = (weights / deviations * np.exp(-0.5 * z**2)).sum(1) / np.sqrt(2 * np.pi)
    return density


def _plot_range(methods: Sequence[Method], index: int, target: int, truth: float) -> tuple[float, float]:
    """Return the range of one target that includes the densities of all methods and the true value."""
    tails = [m.distribution.select(torch.tensor([index])).interval(0.998) for m in methods]
    low = min(float(below[0, target]) for below, _ in tails)
    high = max(float(above[0, target]) for _, above in tails)
    return min(low, truth - 2), max(high, truth + 2)


def draw_face(test: Manifest, index: int, angles: Sequence[float] | None = None) -> str:
    """Return the picture of a test face, with the axes of the head at the centre of its box if angles are given."""
    picture = open_image(test.paths[index])
    scale = SIDE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    if angles is not None:
        pitch, yaw, roll = map(float, angles)
        picture = draw_axes(picture, pitch, yaw, roll, [float(edge) * scale for edge in test.boxes[index]])
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")
