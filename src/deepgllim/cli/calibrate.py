"""`deepgllim calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.options import Source, Switch, Text, exported_model, faces_with_any, refuse_existing

if TYPE_CHECKING:
    from deepgllim.evaluation.coverage import CoverageReport
    from deepgllim.evaluation.faces import LabelledPredictions


def calibrate(
    model: Path,
    output: Path | None = None,
    /,
    *,
    data: Source,
    subjects: Text = None,
    plot: Path | None = None,
    json: Switch = False,
    overwrite: Switch = False,
    skip_unreadable: Switch = False,
) -> None:
    """Recalibrate the predicted covariances of an exported model.

    The standard deviation of each angle is multiplied by a factor, and the radius of the region of each level is set
    to the one that reaches the level on held-out people. The printed coverage is cross-validated over people in five
    folds; the calibration that is written is fitted to all people.

    ```
    deepgllim calibrate packaged mine.onnx --data pointing04:data/pointing04 --plot coverage.png
    ```

    Args:
        model: An exported model, `.onnx`, or `packaged` for the model in the package.
        output: File of the recalibrated model; nothing is written without it.
        subjects: Comma-separated names of the people to use, who must not be in the training data of the model.
        plot: Write a plot of the coverage before and after recalibration to this file.
        json: Print a single JSON object instead of tables.
        overwrite: Replace existing files, including the model itself.
        skip_unreadable: Skip images that cannot be read.
    """
    from deepgllim.evaluation.coverage import report_coverage
    from deepgllim.evaluation.faces import predict_faces
    from deepgllim.evaluation.selection import readable_faces
    from deepgllim.pose.network import PoseNetwork, write_metadata

    refuse_existing(output, overwrite)
    refuse_existing(plot, overwrite)
    source = exported_model(model)
    network = PoseNetwork(source)
    chosen, left_out = readable_faces(faces_with_any(data, network.spec.targets, subjects), skip_unreadable)
    if left_out:
        complain(f"left out {left_out} of {left_out + len(chosen)} images that cannot be read")
    predictions = predict_faces(network, chosen)
    report = report_coverage(predictions)
    if output is not None:
        write_metadata(source, output, network.spec._replace(calibration=report.calibration.to_json()))
    if plot is not None:
        save_plot(plot, predictions, report)
    if json:
        print_json(as_json(predictions, report))
    else:
        show(predictions, report, output)


def as_json(predictions: "LabelledPredictions", report: "CoverageReport") -> dict[str, Any]:
    """Return what `--json` prints."""
    from deepgllim.evaluation.coverage import errors_by_target

    return {
        "faces": len(predictions.truth),
        "people": len(set(predictions.subjects.tolist())),
        "mean_absolute_error": errors_by_target(predictions),
        "calibration": report.calibration.to_json(),
        "coverage": report.coverage.to_dict(orient="records"),
        "abstention": report.abstention.to_dict(orient="records"),
    }


def show(predictions: "LabelledPredictions", report: "CoverageReport", output: Path | None) -> None:
    """Print errors, scale factors, coverage and abstention."""
    from deepgllim.evaluation.coverage import errors_by_target

    screen = results()
    people = len(set(predictions.subjects.tolist()))
    errors = ", ".join(f"{name} {error:.2f}°" for name, error in errors_by_target(predictions).items())
    factors = ", ".join(f"{n} × {s:.2f}" for n, s in zip(predictions.names, report.calibration.scales, strict=True))
    screen.print(f"{len(predictions.truth)} faces of {people} people; mean absolute error: {errors}")
    screen.print(f"standard deviations: {factors}")
    screen.print("fraction of true poses inside their regions, before → after recalibration on other people:")
    levels = [c.removeprefix("after_") for c in map(str, report.coverage) if c.startswith("after_")]
    rows = [
        [row["faces"], row["n"], *(f"{row[f'before_{q}']:.1%} → {row[f'after_{q}']:.1%}" for q in levels)]
        for row in report.coverage.to_dict(orient="records")
        if row["n"]
    ]
    screen.print(table(["faces", "n", *(f"{q} %" for q in levels)], rows))
    screen.print("mean absolute error of the faces that are kept when the most uncertain ones are rejected:")
    kept = report.abstention.pivot(index="by", columns="kept", values="error").sort_index(axis=1, ascending=False)
    names = ["rejected by", *(f"{100 * float(share):g} % kept" for share in map(str, kept))]
    screen.print(table(names, [[by, *map(float, kept.loc[by])] for by in kept.index]))
    nothing = "nothing was written: give a second path to write the recalibrated model"
    screen.print(nothing if output is None else f"written: {output}")


def save_plot(path: Path, predictions: "LabelledPredictions", report: "CoverageReport") -> None:
    """Plot the coverage over the level, and the error over the fraction of faces that are kept."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    from deepgllim.evaluation.reliability_plots import plot_abstention, plot_coverage
    from deepgllim.storage import write_atomically

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_coverage(left, predictions, report)
    plot_abstention(right, report)
    kind = path.suffix.lstrip(".") or "png"
    write_atomically(path, lambda place: figure.savefig(place, format=kind, dpi=120))
