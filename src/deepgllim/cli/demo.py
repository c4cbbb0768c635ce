"""`deepgllim demo`."""

from pathlib import Path
from typing import Any

from deepgllim.cli.console import messages, print_json, results, table
from deepgllim.cli.options import Switch, Whole, refuse_existing
from deepgllim.cli.train import progress


def demo(
    *,
    output: Path = Path("demo"),
    overwrite: Switch = False,
    seed: Whole = 0,
    quick: Switch = False,
    json: Switch = False,
) -> None:
    """Train inverse regression and least squares on the 2,000 synthetic heads of the package, and write a report.

    The run takes about three minutes on two cores. The folder gets `report.html`; the data set `heads`, which other
    commands read as `folder:DIR`; and for each method the model (`.safetensors`), the exported model (`.onnx`) and a
    table with a row for each round (`.csv`).

    ```
    deepgllim demo --output runs/demo
    ```

    Args:
        output: Folder for the report, the data set and the models.
        overwrite: Write into the folder even if it is not empty.
        seed: Seed of the split by person, the network and the training.
        quick: Run a test of some seconds on few pictures; its figures mean nothing.
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
        print_json({**result._asdict(), "report": str(result.report)})
        return
    columns = list(result.rows[0])
    results().print(table(columns, [[row[name] for name in columns] for row in result.rows]))
    results().print("\ntest heads by inverse regression, with 90 % intervals:")
    results().print("\n".join(map(face_line, result.faces)))
    results().print(f"\nreport: {result.report}  ({result.seconds:.0f} s)\n\nto try next:")
    results().print("\n".join(f"  {command}" for command in result.commands))


def face_line(face: dict[str, Any]) -> str:
    """Return a line with the angles of a face, their intervals and their true values."""
    angles = [
        f"{name} {degrees(row['mean'])} ({degrees(row['lower'])} to {degrees(row['upper'])}; "
        f"true {degrees(face['true'][name])})"
        for name, row in face["targets"].items()
    ]
    return f"{Path(face['image']).name}: {', '.join(angles)}, log p(x) {face['log_density']:.1f}"


def degrees(angle: float) -> str:
    """Return an angle with its sign.

    Example:
        >>> degrees(23.14)
        '+23.1°'
    """
    return f"{angle:+.1f}°"
