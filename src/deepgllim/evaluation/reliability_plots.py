"""Pictures of a coverage report: each function draws on the axes it is given and returns them."""

import numpy as np
from matplotlib.axes import Axes

from deepgllim.evaluation.coverage import CoverageReport, truth_levels, yaw_groups
from deepgllim.evaluation.faces import LabelledPredictions
from deepgllim.evaluation.plots import plot_calibration

GRID = np.linspace(0.02, 0.98, 49)


def plot_coverage(axes: Axes, predictions: LabelledPredictions, report: CoverageReport) -> Axes:
    """Plot the coverage over the level: before and after recalibration, and after it for each group by |yaw|."""
    before = truth_levels(predictions, None)
    curves = {"before": before, "after, people held out": report.truth_levels}
    curves |= {
        f"after, {name}": report.truth_levels[mask] for name, mask in yaw_groups(predictions).items() if mask.any()
    }
    drawn = plot_calibration(axes, GRID, {name: [(u <= q).mean() for q in GRID] for name, u in curves.items()})
    drawn.set_title("share of true poses inside the region")
    return drawn


def plot_abstention(axes: Axes, report: CoverageReport) -> Axes:
    """Plot the mean absolute error over the share of faces that are kept."""
    for by, rows in report.abstention.groupby("by", sort=False):
        axes.plot(100 * rows["kept"], rows["error"], marker="o", label=f"least sure by {by}")
    axes.set(
        xlabel="faces kept, %", ylabel="mean absolute error, degrees", ylim=(0, None), title="error of the faces kept"
    )
    axes.legend()
    return axes
