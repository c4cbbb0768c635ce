"""The report's pictures: plots as SVG, faces as JPEG, both as data URIs, so that one file holds them all."""

import base64
import io
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from deepgllim.apps.demo.trained import Floats, Method, coverages
from deepgllim.data import Manifest
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.evaluation import plots
from deepgllim.geometry.rotations import ANGLES
from deepgllim.imaging.drawing import draw_axes
from deepgllim.imaging.images import open_image

LEVELS: Floats = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
SIDE = 192
"""Of a face in the report, pixels."""


def plot(draw: Callable[[list[Axes]], object], panels: int = 1, height: float = 3.4) -> str:
    """A plot as a data URI.

    Args:
        draw: draws on the axes it is given.
        panels: how many there are, beside each other.
        height: inches; a panel is 4.4 wide.
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
    """A file as an address that holds it.

    Example:
        >>> data_uri(b"abc", "text/plain")
        'data:text/plain;base64,YWJj'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def training_curves(methods: Sequence[Method]) -> str:
    """Error and likelihood on the validation people after each round."""

    def draw(axes: list[Axes]) -> None:
        for panel, column, label in zip(
            axes,
            ("validation_mae", "validation_nll"),
            ("mean validation error, degrees", "validation NLL, nats"),
            strict=True,
        ):
            plots.plot_rounds(panel, {m.name: [row[column] for row in m.history] for m in methods}, label)

    return plot(draw, panels=2)


def errors_over_angles(methods: Sequence[Method]) -> str:
    """The error of each angle against its true value."""
    truth = methods[0].predictions.targets

    def draw(axes: list[Axes]) -> None:
        for number, (panel, name) in enumerate(zip(axes, ANGLES, strict=True)):
            errors = {m.name: m.predictions.mean[:, number] - truth[:, number] for m in methods}
            farthest = float(np.abs(truth[:, number]).max())
            plots.plot_error_over(panel, truth[:, number], errors, np.linspace(-farthest, farthest, 10))
            panel.set(xlabel=f"true {name}, degrees", ylabel="mean error, degrees")

    return plot(draw, panels=len(ANGLES))


def calibration(methods: Sequence[Method]) -> str:
    """Nominal against actual coverage of the intervals."""
    shares = {method.name: coverages(method, LEVELS) for method in methods}
    return plot(lambda axes: plots.plot_calibration(axes[0], LEVELS, shares), height=4.0)


def input_densities(method: Method) -> str:
    """log p(x) of heads and of pictures without any; a few that lie far below the others count in the lowest bin."""
    samples = {"held-out heads": method.predictions.log_density, "no heads": method.non_heads}
    lowest = min(float(np.percentile(values, 2)) for values in samples.values())
    shown = {name: np.maximum(values, lowest) for name, values in samples.items()}
    return plot(lambda axes: plots.plot_histograms(axes[0], shown, "log p(x), nats"), height=4.0)


def marginals(methods: Sequence[Method], index: int) -> str:
    """The predicted density of each angle of one face."""
    truth = methods[0].predictions.targets[index]

    def draw(axes: list[Axes]) -> None:
        for number, (panel, name) in enumerate(zip(axes, ANGLES, strict=True)):
            grid = np.linspace(*_reach(methods, index, number, float(truth[number])), 300)
            densities = {m.name: marginal_density(m.distribution, index, number, grid) for m in methods}
            plots.plot_densities(panel, grid, densities, float(truth[number])).set_xlabel(f"{name}, degrees")

    return plot(draw, panels=len(ANGLES))


def marginal_density(distribution: MultivariateGaussianMixture, index: int, target: int, grid: Floats) -> Floats:
    """p(y_l) of one picture and one target on a grid, (number of points,)."""
    one = distribution.select(torch.tensor([index]))
    weights, means = one.weights[0].numpy(), one.means[0, :, target].numpy()
    deviations = one.covariances[0, :, target, target].sqrt().numpy()
    z = (grid[:, None] - means) / deviations
    answer: Floats = (weights / deviations * np.exp(-0.5 * z**2)).sum(1) / np.sqrt(2 * np.pi)
    return answer


def _reach(methods: Sequence[Method], index: int, target: int, truth: float) -> tuple[float, float]:
    """From where to where a target's densities and its true value show."""
    tails = [m.distribution.select(torch.tensor([index])).interval(0.998) for m in methods]
    low = min(float(below[0, target]) for below, _ in tails)
    high = max(float(above[0, target]) for _, above in tails)
    return min(low, truth - 2), max(high, truth + 2)


def face(test: Manifest, index: int, angles: Sequence[float] | None = None) -> str:
    """A held-out face, with a head's axes from the middle of its box if angles are given."""
    picture = open_image(test.paths[index])
    scale = SIDE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    if angles is not None:
        pitch, yaw, roll = map(float, angles)
        picture = draw_axes(picture, pitch, yaw, roll, [float(edge) * scale for edge in test.boxes[index]])
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=85)
    return data_uri(buffer.getvalue(), "image/jpeg")
