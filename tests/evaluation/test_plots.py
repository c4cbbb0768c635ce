"""Plots: what is drawn is what was computed."""

from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from torch import Tensor

from deepgllim.evaluation.plots import (
    COLOURS,
    blend,
    plot_calibration,
    plot_counts,
    plot_curves,
    plot_densities,
    plot_error_over,
    plot_histograms,
    plot_mapping,
    plot_predictions,
    plot_responsibilities,
    plot_responsibilities_2d,
    plot_rounds,
    plot_selection,
    plot_target_mixture,
    plot_trace,
)
from deepgllim.gllim import Parameters, responsibilities, sample, select, target_responsibilities

matplotlib.use("Agg")


@pytest.fixture
def axes() -> Iterator[Axes]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots()
    yield axes
    figure.canvas.draw()  # what cannot be drawn fails here
    pyplot.close(figure)


def xy(line: Line2D) -> list[tuple[float, float]]:
    """The points of a curve."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def mixture() -> Parameters:
    """Two lines in the plane, of slopes 1 and −1, over targets about −2 and 2."""
    return Parameters(
        torch.tensor([0.4, 0.6]).double(),
        torch.tensor([[-2.0], [2.0]]).double(),
        torch.full((2, 1, 1), 0.5).double(),
        torch.tensor([[[1.0], [1.0]], [[1.0], [-1.0]]]).double(),
        torch.tensor([[0.0, 1.0], [0.0, 3.0]]).double(),
        torch.full((2, 2), 0.04).double(),
    )


def data() -> tuple[Tensor, Tensor, Tensor]:
    x, y = sample(mixture(), 300, torch.Generator().manual_seed(0))
    return x, y, responsibilities(x, y, mixture())


def points(axes: Axes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    (scatter,) = (part for part in axes.collections if isinstance(part, PathCollection))
    return np.asarray(scatter.get_offsets())


def test_blend_is_the_palette_at_the_corners_and_between_elsewhere() -> None:
    colours = blend(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    assert np.round(255 * colours[0]).astype(int).tolist() == [0x3B, 0x6F, 0xB6]
    assert np.round(255 * colours[1]).astype(int).tolist() == [0xD1, 0x60, 0x3D]
    np.testing.assert_allclose(colours[2], (colours[0] + colours[1]) / 2)


def test_blend_has_colours_for_any_number_of_components() -> None:
    r = torch.eye(len(COLOURS) + 3)
    colours = blend(r)
    assert colours.shape == (len(COLOURS) + 3, 3)
    np.testing.assert_array_equal(colours[0], colours[len(COLOURS)])


def test_responsibilities_are_drawn_over_their_targets(axes: Axes) -> None:
    _, y, r = data()
    assert plot_responsibilities(axes, y, r, mixture()) is axes
    np.testing.assert_allclose(points(axes), torch.cat([y, r[:, :1]], 1))
    grid = torch.as_tensor(np.asarray(axes.lines[0].get_xdata()))[:, None]
    expected = target_responsibilities(grid, mixture())
    for k in range(2):
        np.testing.assert_allclose(np.asarray(axes.lines[k].get_ydata()), expected[:, k])


def test_the_target_mixture_is_a_density(axes: Axes) -> None:
    _, y, _ = data()
    assert plot_target_mixture(axes, y, mixture()) is axes
    x = np.asarray(axes.lines[0].get_xdata())
    areas = [np.trapezoid(np.asarray(line.get_ydata()), x) for line in axes.lines]
    # π_k, up to the tails outside the samples
    np.testing.assert_allclose(areas, [0.4, 0.6], atol=0.01)
    assert sum(bar.get_height() * bar.get_width() for bar in axes.patches) == pytest.approx(1)  # type: ignore[attr-defined]


def test_the_mapping_draws_each_components_line_over_its_own_targets(axes: Axes) -> None:
    x, y, r = data()
    assert plot_mapping(axes, x, y, r, mixture()) is axes
    np.testing.assert_allclose(points(axes), x)
    owner = r.argmax(1)
    for k, line in enumerate(axes.lines[1::2]):  # each has a white one under it
        ends = np.array([float(y[owner == k].min()), float(y[owner == k].max())])
        np.testing.assert_allclose(np.asarray(line.get_xdata()), ends)
        np.testing.assert_allclose(np.asarray(line.get_ydata()), (1 + ends, 3 - ends)[k])


def test_a_component_without_samples_has_no_line(axes: Axes) -> None:
    x, y, _ = data()
    plot_mapping(axes, x, y, torch.tensor([[1.0, 0.0]]).expand(300, 2), mixture())
    assert len(axes.lines) == 2


def test_more_components_than_colours_can_be_drawn(axes: Axes) -> None:
    K = len(COLOURS) + 1
    p = mixture()
    many = Parameters(*(value[:1].repeat(K, *[1] * (value.ndim - 1)) for value in p.tensors.values()))._replace(
        pi=torch.full((K,), 1 / K).double(), c=torch.arange(K).double()[:, None]
    )
    x, y = sample(many, 300, torch.Generator().manual_seed(0))
    r = responsibilities(x, y, many)
    plot_mapping(axes, x, y, r, many)
    plot_responsibilities(axes, y, r, many)
    plot_target_mixture(axes, y, many)


def test_curves_have_a_band_of_one_deviation(axes: Axes) -> None:
    curves: dict[str, tuple[ArrayLike, ArrayLike]] = {"a": ([1.0, 2.0], [0.1, 0.2]), "b": ([3.0, 1.0], [0.0, 0.5])}
    assert plot_curves(axes, [10, 20], curves, ("share", "error")) is axes
    assert [line.get_label() for line in axes.lines] == ["a", "b"]
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == pytest.approx(0.9)
    assert band[:, 1].max() == pytest.approx(2.2)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("share", "error")
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_no_curve_is_left_out(axes: Axes) -> None:
    n = len(COLOURS) + 2
    plot_curves(axes, [0], {str(i): ([1.0], [0.1]) for i in range(n)})
    assert len(axes.lines) == n


def test_a_trace_is_drawn_for_one_fit_or_several(axes: Axes) -> None:
    plot_trace(axes, [-3.0, -2.0, -1.5])
    (line,) = axes.lines
    assert xy(line) == [(1, -3.0), (2, -2.0), (3, -1.5)]
    plot_trace(axes, {"a": [-3.0, -2.0], "b": [-1.0]})
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_responsibilities_over_two_targets_have_a_mark_for_each_component(axes: Axes) -> None:
    y = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 4.0]])
    plot_responsibilities_2d(axes, y, np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    points, *centres = axes.collections
    assert len(np.asarray(points.get_offsets())) == 3
    np.testing.assert_allclose([np.asarray(mark.get_offsets())[0] for mark in centres], [[1.0, 0.0], [4.0, 4.0]])


def test_intervals_that_miss_are_set_apart(axes: Axes) -> None:
    truth, mean = [0.0, 1.0, 2.0], [0.1, 0.9, 5.0]
    plot_predictions(axes, truth, mean, lower=[-1, 0, 4], upper=[1, 2, 6])
    counts = {str(lines.get_label()): len(lines.get_paths()) for lines in axes.collections}
    assert counts["interval"] == 2
    assert counts["interval that misses"] == 1


def test_predictions_without_intervals_are_points(axes: Axes) -> None:
    plot_predictions(axes, [0.0, 1.0], [0.1, 0.9])
    (points,) = axes.collections
    assert len(np.asarray(points.get_offsets())) == 2


def test_calibration_is_drawn_against_the_diagonal(axes: Axes) -> None:
    plot_calibration(axes, [0.5, 0.9], {"model": [0.4, 0.8]})
    diagonal, curve = axes.lines
    assert xy(diagonal) == [(0, 0), (1, 1)]
    assert xy(curve) == [(0.5, 0.4), (0.9, 0.8)]


def test_selection_rings_the_best_and_names_what_differs(axes: Axes) -> None:
    y = torch.linspace(-1, 1, 120).double()[:, None]
    x = torch.cat([y.abs(), y], 1) + 0.02 * torch.randn(120, 2, generator=torch.Generator().manual_seed(0)).double()
    chosen = select(x, y, n_components=[1, 2], covariance_type=["diagonal", "isotropic"])
    plot_selection(axes, chosen.table, "bic")
    assert sorted(str(line.get_label()) for line in axes.lines) == [
        "covariance_type diagonal",
        "covariance_type isotropic",
    ]
    ((K, value),) = np.asarray(axes.collections[0].get_offsets())
    assert (K, value) == (chosen.best.n_components, chosen.best.bic)


def test_rounds_are_counted_from_one(axes: Axes) -> None:
    plot_rounds(axes, {"a": [3.0, 2.0], "b": [4.0, 1.0]}, "error, degrees")
    assert [xy(line) for line in axes.lines] == [[(1, 3.0), (2, 2.0)], [(1, 4.0), (2, 1.0)]]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "error, degrees")


def test_errors_are_averaged_in_bins_of_the_truth(axes: Axes) -> None:
    """The bin from 0 to 10 is empty; 35 lies beyond the last edge and counts in the last bin."""
    truth, error = [-5.0, -1.0, 12.0, 35.0], [1.0, -3.0, 4.0, -6.0]
    plot_error_over(axes, truth, {"a": error, "b": np.zeros(4)}, [-10, 0, 10, 20])
    assert [xy(line) for line in axes.lines] == [[(-5, 2.0), (15, 5.0)], [(-5, 0.0), (15, 0.0)]]
    assert axes.get_ylim()[0] == 0


def test_histograms_share_their_bins_and_count_everything(axes: Axes) -> None:
    plot_histograms(axes, {"a": [0.0, 1.0, 1.0], "b": [9.0, 10.0]}, "score", bins=5)
    bars = [(bar.get_x(), bar.get_height()) for bar in axes.patches]  # type: ignore[attr-defined]
    assert [height for _, height in bars] == [3, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    np.testing.assert_allclose([x for x, _ in bars], 2 * [0, 2, 4, 6, 8])
    assert axes.get_xlabel() == "score"


def test_densities_show_the_true_value(axes: Axes) -> None:
    plot_densities(axes, [0, 1, 2], {"a": [0.1, 0.8, 0.1]}, truth=1.5)
    curve, true = axes.lines
    assert xy(curve) == [(0, 0.1), (1, 0.8), (2, 0.1)]
    assert {x for x, _ in xy(true)} == {1.5}
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["a", "true"]


def test_counts_are_bars_that_do_not_overlap(axes: Axes) -> None:
    plot_counts(axes, [-15.0, 0.0, 15.0], [3, 0, 7], "yaw, degrees")
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_height() for bar in bars] == [3, 0, 7]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([-15, 0, 15])
    assert all(0 < bar.get_width() < 15 for bar in bars)
    assert axes.get_xlabel() == "yaw, degrees"
    plot_counts(axes, [30.0], [2], "yaw, degrees")
    assert len(axes.patches) == 4
