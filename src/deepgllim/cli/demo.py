"""`deepgllim demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.cli.console import messages, print_json, results, table
from deepgllim.cli.options import Switch, refuse_existing
from deepgllim.cli.predict.targets import as_json, by_target, value
from deepgllim.cli.train import progress

if TYPE_CHECKING:
    from deepgllim.apps.demo import HeldOut


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


def face_as_json(face: "HeldOut") -> dict[str, Any]:
    """A held-out face as `deepgllim predict --json` has it, with its true angles."""
    x0, y0, x1, y1 = map(float, face.manifest.boxes[0])
    truth = dict(zip(face.manifest.targets, face.manifest.target_values[0].tolist(), strict=True))
    return as_json(face.manifest.paths[0], (x0, y0, x1, y1), face.prediction) | {"true": truth}
