"""`deepgllim calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.options import Source, Switch, Text, faces_with_any, refuse_existing

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

    Each angle's standard deviation gets a factor, and each level the radius that holds it for whole people held out.
    The coverage that is printed is that of people who took no part in their recalibration (five folds of people); the
    recalibration that is written is fitted to all of them.

    ```
    deepgllim calibrate headpose.onnx mine.onnx --data pointing04:data/pointing04 --plot coverage.png
    ```

    Args:
        model: An exported model, `.onnx`.
        output: Where to write the recalibrated model; nothing is written without it.
        subjects: Only these people, with commas between them. The model must not have seen them.
        plot: Write a picture of the coverage before and after to this file.
        json: Print one JSON object and nothing else.
        overwrite: Replace files that are there, the model itself too.
        skip_unreadable: Go on without pictures that cannot be read.
    """
    from deepgllim.evaluation.coverage import report_coverage
    from deepgllim.evaluation.faces import predict_faces
    from deepgllim.evaluation.selection import readable_faces
    from deepgllim.pose.network import PoseNetwork, write_metadata

    refuse_existing(output, overwrite)
    refuse_existing(plot, overwrite)
    network = PoseNetwork(model)
    chosen, left_out = readable_faces(faces_with_any(data, network.spec.targets, subjects), skip_unreadable)
    if left_out:
        complain(f"left out {left_out} of {left_out + len(chosen)} pictures that cannot be read")
    judged = predict_faces(network, chosen)
    report = report_coverage(judged)
    if output is not None:
        write_metadata(model, output, network.spec._replace(calibration=report.calibration.to_json()))
    if plot is not None:
        save_plot(plot, judged, report)
    if json:
        print_json(as_json(judged, report))
    else:
        show(judged, report, output)


def as_json(judged: "LabelledPredictions", report: "CoverageReport") -> dict[str, Any]:
    """What `--json` prints."""
    from deepgllim.evaluation.coverage import errors_by_target

    return {
        "faces": len(judged.truth),
        "people": len(set(judged.subjects.tolist())),
        "mean_absolute_error": errors_by_target(judged),
        "calibration": report.calibration.to_json(),
        "coverage": report.coverage.to_dict(orient="records"),
        "abstention": report.abstention.to_dict(orient="records"),
    }


def show(judged: "LabelledPredictions", report: "CoverageReport", output: Path | None) -> None:
    """Errors, factors, coverage, abstention, as tables."""
    from deepgllim.evaluation.coverage import errors_by_target

    screen = results()
    people = len(set(judged.subjects.tolist()))
    errors = ", ".join(f"{name} {error:.2f}°" for name, error in errors_by_target(judged).items())
    factors = ", ".join(f"{n} × {s:.2f}" for n, s in zip(judged.names, report.calibration.scales, strict=True))
    screen.print(f"{len(judged.truth)} faces of {people} people; mean absolute error: {errors}")
    screen.print(f"standard deviations: {factors}")
    screen.print("share of true poses inside their regions, before → after recalibration by other people:")
    levels = [c.removeprefix("after_") for c in map(str, report.coverage) if c.startswith("after_")]
    rows = [
        [row["faces"], row["n"], *(f"{row[f'before_{q}']:.1%} → {row[f'after_{q}']:.1%}" for q in levels)]
        for row in report.coverage.to_dict(orient="records")
        if row["n"]
    ]
    screen.print(table(["faces", "n", *(f"{q} %" for q in levels)], rows))
    screen.print("mean absolute error of the faces kept, when the least sure are given up:")
    kept = report.abstention.pivot(index="by", columns="kept", values="error").sort_index(axis=1, ascending=False)
    names = ["least sure by", *(f"{100 * float(share):g} % kept" for share in map(str, kept))]
    screen.print(table(names, [[by, *map(float, kept.loc[by])] for by in kept.index]))
    nothing = "nothing is written: give a second path to write the recalibrated model"
    screen.print(nothing if output is None else f"written: {output}")


def save_plot(path: Path, judged: "LabelledPredictions", report: "CoverageReport") -> None:
    """Coverage over levels, and error over the share of faces kept."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    from deepgllim.evaluation.reliability_plots import plot_abstention, plot_coverage
    from deepgllim.storage import write_atomically

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_coverage(left, judged, report)
    plot_abstention(right, report)
    kind = path.suffix.lstrip(".") or "png"
    write_atomically(path, lambda place: figure.savefig(place, format=kind, dpi=120))
