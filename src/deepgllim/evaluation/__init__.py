"""Inspection of data sets, and evaluation of models on labelled faces: errors, calibration, sensitivity, plots.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from deepgllim.lazy import lazy_names

if TYPE_CHECKING:
    from deepgllim.evaluation.coverage import (
        CoverageReport,
        abstention_table,
        coverage_table,
        errors_by_target,
        fit_recalibration,
        report_coverage,
    )
    from deepgllim.evaluation.faces import LabelledPredictions, open_faces, predict_faces, target_labels
    from deepgllim.evaluation.inspection import contact_sheet, inspect_data
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
    from deepgllim.evaluation.reliability_plots import plot_abstention, plot_coverage
    from deepgllim.evaluation.selection import evenly_spaced, readable_faces
    from deepgllim.evaluation.sensitivity import measure_sensitivity

__all__ = [
    "COLOURS",
    "CoverageReport",
    "LabelledPredictions",
    "abstention_table",
    "blend",
    "contact_sheet",
    "coverage_table",
    "errors_by_target",
    "evenly_spaced",
    "fit_recalibration",
    "inspect_data",
    "measure_sensitivity",
    "open_faces",
    "plot_abstention",
    "plot_calibration",
    "plot_counts",
    "plot_coverage",
    "plot_curves",
    "plot_densities",
    "plot_error_over",
    "plot_histograms",
    "plot_mapping",
    "plot_predictions",
    "plot_responsibilities",
    "plot_responsibilities_2d",
    "plot_rounds",
    "plot_selection",
    "plot_target_mixture",
    "plot_trace",
    "predict_faces",
    "readable_faces",
    "report_coverage",
    "target_labels",
]

_MODULES = {
    "coverage": [
        "CoverageReport",
        "abstention_table",
        "coverage_table",
        "errors_by_target",
        "fit_recalibration",
        "report_coverage",
    ],
    "faces": ["LabelledPredictions", "open_faces", "predict_faces", "target_labels"],
    "inspection": ["contact_sheet", "inspect_data"],
    "plots": [
        "COLOURS",
        "blend",
        "plot_calibration",
        "plot_counts",
        "plot_curves",
        "plot_densities",
        "plot_error_over",
        "plot_histograms",
        "plot_mapping",
        "plot_predictions",
        "plot_responsibilities",
        "plot_responsibilities_2d",
        "plot_rounds",
        "plot_selection",
        "plot_target_mixture",
        "plot_trace",
    ],
    "reliability_plots": ["plot_abstention", "plot_coverage"],
    "selection": ["evenly_spaced", "readable_faces"],
    "sensitivity": ["measure_sensitivity"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
