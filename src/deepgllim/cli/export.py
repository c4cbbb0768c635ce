"""`deepgllim export`."""

from pathlib import Path
from typing import TYPE_CHECKING

from deepgllim.cli.console import print_json, results
from deepgllim.cli.options import Switch, refuse_existing

if TYPE_CHECKING:
    from deepgllim.nn.model import DeepRegression
    from deepgllim.pose.network import PoseNetwork


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
    compared with the model on random images before the file is written. Weights are stored as float16 by default, which
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
    from deepgllim.nn.export.onnx_file import export_onnx
    from deepgllim.nn.model import load_model
    from deepgllim.pose.network import PoseNetwork

    refuse_existing(output, overwrite)
    trained = load_model(model)
    network = PoseNetwork(export_onnx(trained, output, half_weights=not full_precision))
    worst, changed = compare(trained, network, full_precision)
    facts = {"file": str(output), "megabytes": output.stat().st_size / 1e6, "differences": worst, "float16": changed}
    if json:
        print_json(facts)
        return
    size, targets = network.spec.image_size, ", ".join(network.spec.targets)
    results().print(f"written: {output}, {facts['megabytes']:.1f} MB, {size} × {size} pixels, {targets}")
    results().print(
        f"largest difference from the model: {max(worst.values()):.1e} (means in predicted standard deviations)"
    )
    if not full_precision:
        results().print(
            f"float16 changes the mean for random images by at most {changed:.1e} predicted standard deviations"
        )


def compare(trained: "DeepRegression", network: "PoseNetwork", full_precision: bool) -> tuple[dict[str, float], float]:
    """Return the differences of a file from what was exported, and of its mean from that of the model before rounding.

    See `deepgllim.nn.export.differences` for their units.
    """
    import torch

    from deepgllim.nn.export import compact, differences, folded
    from deepgllim.nn.export.verification import random_images

    pixels = random_images(network.spec.image_size)
    found = {name: torch.from_numpy(v) for name, v in network(pixels)._asdict().items() if v is not None}
    form = folded(trained) if full_precision else compact(trained)
    worst = differences(form, found, torch.from_numpy(pixels))
    return worst, differences(trained, found, torch.from_numpy(pixels))["mean"]
