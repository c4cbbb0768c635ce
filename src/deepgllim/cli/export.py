"""`deepgllim export`."""

from pathlib import Path

from deepgllim.cli.console import print_json, results
from deepgllim.cli.options import Switch, refuse_existing


def export(
    model: Path,
    output: Path,
    /,
    *,
    full_precision: Switch = False,
    json: Switch = False,
    overwrite: Switch = False,
) -> None:
    """Write a trained model to one ONNX file.

    The graph maps pixels to the mean, covariance and components of the predicted distribution and to log p(x). It is
    compared with the model on random images before it is written. Weights are stored as float16 by default, which
    halves the size of the file; the effect on the mean is printed.

    ```
    deepgllim export runs/first/model.safetensors first.onnx
    ```

    Args:
        model: A trained model, `.safetensors`.
        output: The ONNX file to write.
        full_precision: Store the weights as float32.
        json: Print a single JSON object instead of text.
        overwrite: Replace `output` if it exists.
    """
    from deepgllim.nn.export.verification import export_verified
    from deepgllim.nn.model_file import load_model

    refuse_existing(output, overwrite)
    found = export_verified(load_model(model), output, half_weights=not full_precision)
    megabytes = output.stat().st_size / 1e6
    if json:
        facts = {"file": str(output), "megabytes": megabytes, "differences": found.differences}
        print_json(facts | {"float16": found.float16})
        return
    size = found.image_size
    results().print(f"written: {output}, {megabytes:.1f} MB, {size} × {size} pixels, {', '.join(found.targets)}")
    worst = max(found.differences.values())
    results().print(f"largest difference from the model: {worst:.1e} (relative for values above 1)")
    if not full_precision:
        results().print(
            f"float16 changes the mean for random images by at most {found.float16:.1e} (relative for values above 1)"
        )
