"""`deepgllim evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from deepgllim.cli.console import complain, print_json, results, table
from deepgllim.cli.options import Source, Switch, Text, faces, refuse_existing

if TYPE_CHECKING:
    from deepgllim.data import Manifest
    from deepgllim.nn.evaluation import Predictions


def evaluate(
    *,
    model: Path,
    data: Source,
    subjects: Text = None,
    json: Switch = False,
    predictions: Path | None = None,
    overwrite: Switch = False,
    skip_unreadable: Switch = False,
) -> None:
    """Evaluate a trained model: errors and calibration of its intervals.

    ```
    deepgllim evaluate --model runs/first/model.safetensors --data pointing04:data/pointing04 --subjects 13,14,15
    ```

    Args:
        model: A trained model, `.safetensors`.
        subjects: Comma-separated names of the people to use, such as `13,14,15`; not those of the training data.
        json: Print a single JSON object instead of a table; an undefined value is null.
        predictions: Write the predictions for all images to this CSV file.
        overwrite: Replace the file of `--predictions` if it exists.
        skip_unreadable: Skip images that cannot be read.
    """
    from deepgllim.geometry.rotations import ANGLES
    from deepgllim.nn.evaluation import compute_metrics
    from deepgllim.nn.model_file import load_model
    from deepgllim.runs import predict_manifest, readable

    refuse_existing(predictions, overwrite)
    network = load_model(model)
    targets = network.spec.targets
    wanted = None if set(targets) <= set(ANGLES) else targets
    given = faces(data, wanted, subjects)
    manifest = readable(given, skip_unreadable)
    if len(manifest) < len(given):
        complain(f"left out {len(given) - len(manifest)} of {len(given)} images that cannot be read")
    predicted = predict_manifest(network, manifest)
    if predictions is not None:
        write_predictions(predictions, manifest, targets, predicted)
    measured = compute_metrics(predicted, targets)
    if json:
        print_json(measured | {"n": len(manifest)})
    else:
        results().print(table(["metric", "value"], measured.items()))


def write_predictions(path: Path, manifest: "Manifest", targets: tuple[str, ...], predicted: "Predictions") -> None:
    """Write a CSV file with the label, prediction and 90 % interval of each target, and log-densities.

    There is one row for each image. Paths are escaped so that spreadsheets do not read them as formulas.

    Raises:
        DataError: the file cannot be written.
    """
    from deepgllim.pose.batch.formats import csv_lines
    from deepgllim.pose.batch.sources import printable
    from deepgllim.storage import write_atomically

    columns = [column for name in targets for column in (name, f"{name}_predicted", f"{name}_lower", f"{name}_upper")]
    blocks = (predicted.targets, predicted.mean, predicted.lower, predicted.upper)

    def write(place: Path) -> None:
        with place.open("w", newline="", encoding="utf-8") as file:
            file.write(csv_lines([["path", *columns, "log_probability", "log_density"]]))
            for n, image in enumerate(manifest.paths):
                values = [float(block[n, target]) for target in range(len(targets)) for block in blocks]
                scores = [float(predicted.log_probability[n]), float(predicted.log_density[n])]
                file.write(csv_lines([[printable(str(image)), *values, *scores]]))

    write_atomically(path, write)
