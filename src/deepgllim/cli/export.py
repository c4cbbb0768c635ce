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

    The graph maps pixels to the mean, covariance and components of the predicted distribution and to log p(x). It is
    compared with the model on random images. Weights are stored as float16 by default, which halves the size of the
    file; the effect on the mean is printed.

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
        raise ModelError(
            f"{output}: {name} differs from the model by {worst[name]:g}, more than {TOLERANCE:g}: report this as a bug"
        )
    changed = differences(trained, found, torch.from_numpy(pixels))["mean"]
    facts = {"file": str(output), "megabytes": output.stat().st_size / 1e6, "differences": worst, "float16": changed}
    if json:
        print_json(facts)
        return
    results().print(
        f"written: {output}, {facts['megabytes']:.1f} MB, {size} × {size} pixels, {', '.join(network.spec.targets)}"
    )
    results().print(f"largest difference from the model: {max(worst.values()):.1e} (relative for values above 1)")
    if not full_precision:
        results().print(f"float16 changes the mean for random images by at most {changed:.1e}, relative")
