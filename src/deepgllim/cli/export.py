"""`deepgllim export`."""

from pathlib import Path

from deepgllim.cli.console import print_json, results
from deepgllim.cli.options import Switch, refuse_existing
from deepgllim.errors import ModelError

TOLERANCE = 1e-4


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

    The graph is compared with the model on random pictures before the command ends well. Weights are stored as float16
    unless told otherwise, which halves the file; the line "float16" says what that changes.

    ```
    deepgllim export runs/first/model.safetensors first.onnx
    ```

    Args:
        model: The model's file, `.safetensors`.
        output: The file to write, `.onnx`.
        full_precision: Store the weights as float32.
        json: Print one JSON object and nothing else.
        overwrite: Replace `output` if it is there.
    """
    import numpy as np
    import torch

    from deepgllim.nn.export.onnx_file import compact, differences, export_onnx, folded
    from deepgllim.nn.model import load_model
    from deepgllim.pose.network import PoseNetwork

    refuse_existing(output, overwrite)
    trained = load_model(model)
    export_onnx(trained, output, half_weights=not full_precision)
    network = PoseNetwork(output)
    size = network.spec.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, size, size)).astype(np.uint8)
    found = {name: torch.from_numpy(v) for name, v in network(pixels)._asdict().items() if v is not None}
    exported = folded(trained) if full_precision else compact(trained)
    worst = differences(exported, found, torch.from_numpy(pixels))
    if max(worst.values()) > TOLERANCE:
        name = max(worst, key=lambda key: worst[key])
        raise ModelError(f"{output}: {name} differs from the model's by {worst[name]:g}, more than {TOLERANCE:g}")
    changed = differences(trained, found, torch.from_numpy(pixels))["mean"]
    facts = {"file": str(output), "megabytes": output.stat().st_size / 1e6, "differences": worst, "float16": changed}
    if json:
        print_json(facts)
        return
    results().print(
        f"written: {output}, {facts['megabytes']:.1f} MB, {size} × {size} pixels, {', '.join(network.spec.targets)}"
    )
    results().print(f"largest difference from the model: {max(worst.values()):.1e} (of values above 1, relative)")
    if not full_precision:
        results().print(f"float16 changes the mean of random pictures by at most {changed:.1e} of it")
