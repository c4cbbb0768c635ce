"""`deepgllim demo`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import messages, print_json, results, table
from deepgllim.cli.options import Switch, refuse_existing
from deepgllim.cli.train import progress

if TYPE_CHECKING:
    from deepgllim.apps.demo import HeldOut
    from deepgllim.runs import FacePrediction

ANGLES = ("pitch", "yaw", "roll")
CONVENTION = (
    "degrees; +pitch looks up, +yaw turns the face toward the image's left, +roll tilts the head clockwise in the image"
)


def demo(
    *,
    output: Path = Path("demo"),
    overwrite: Switch = False,
    seed: int = 0,
    quick: Switch = False,
    json: Switch = False,
) -> None:
    """Train inverse regression and least squares on the 2,000 synthetic heads of the package, and write a report.

    Two or three minutes on two cores. The folder gets `report.html`, the data set `heads` that other commands read as
    `folder:DIR`, and a model and a table of rounds for each method.

    ```
    deepgllim demo --output runs/demo
    ```

    Args:
        output: Folder for the report, the data set and the models.
        overwrite: Write into the folder even if there is something in it.
        seed: Of the people held out for validation, the network and the training.
        quick: A smoke run of some seconds, whose figures mean nothing.
        json: Print one JSON object and nothing else.
    """
    from deepgllim.apps.demo import run_demo

    refuse_existing(output, overwrite)
    with progress(json) as reporter:
        result = run_demo(
            output,
            seed,
            quick=quick,
            overwrite=overwrite,
            reporter=reporter,
            announce=(lambda text: None) if json else messages().print,
        )
    if json:
        print_json(
            {
                "rows": result.rows,
                "faces": [face_as_json(face) for face in result.faces],
                "report": str(result.report),
                "commands": result.commands,
                "seconds": result.seconds,
            }
        )
        return
    columns = list(result.rows[0])
    results().print(table(columns, [[row[name] for name in columns] for row in result.rows]))
    results().print("\nheld-out heads by inverse regression, with 90 % intervals:")
    results().print("\n".join(line(face) for face in result.faces))
    results().print(f"\nreport: {result.report}  ({result.seconds:.0f} s)\n\nto try next:")
    results().print("\n".join(f"  {command}" for command in result.commands))


def line(face: "HeldOut") -> str:
    """A held-out face in a line: each angle with its interval and its true value."""
    truth = face.manifest.target_values[0].tolist()
    parts = [
        f"{name} {value(name, mean)} ({value(name, low)} to {value(name, high)}; true {value(name, true)})"
        for (name, mean, low, high), true in zip(by_target(face.prediction), truth, strict=True)
    ]
    return f"{face.manifest.paths[0].name}: {', '.join(parts)}, log p(x) {face.prediction.log_density:.1f}"


def by_target(predicted: "FacePrediction") -> Iterator[tuple[str, float, float, float]]:
    """Return name, mean, lower and upper end of each target."""
    columns = (predicted.mean, predicted.lower, predicted.upper)
    return zip(predicted.targets, *(column.tolist() for column in columns), strict=True)


def value(name: str, target: float) -> str:
    """Format a target with its sign, and with its unit if it is an angle.

    Example:
        >>> value("yaw", 23.14), value("age", 31.0)
        ('+23.1°', '+31')
    """
    return f"{target:+.1f}°" if name in ANGLES else f"{target:+.4g}"


def face_as_json(face: "HeldOut") -> dict[str, Any]:
    """Return a held-out face as `--json` prints it, with its true angles."""
    from deepgllim.pose.batch.sources import printable

    predicted = face.prediction
    return {
        "image": printable(str(face.manifest.paths[0])),
        "box": [float(side) for side in face.manifest.boxes[0]],
        "targets": {name: {"mean": mean, "lower": low, "upper": up} for name, mean, low, up in by_target(predicted)},
        "level": predicted.level,
        "covariance": predicted.covariance.tolist(),
        "modes": [dict(zip(predicted.targets, mode, strict=True)) for mode in predicted.modes.tolist()],
        "log_density": predicted.log_density,
        "convention": CONVENTION,
        "true": dict(zip(face.manifest.targets, face.manifest.target_values[0].tolist(), strict=True)),
    }
