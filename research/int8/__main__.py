"""Quantise the convolutions of the packaged model to 8-bit integers, and compare error and time with the original.

The ranges of the activations are those of the first half of the faces; the other half is measured. The time is that of
one face on one thread, the minimum of repetitions in turns.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from deepgllim.data import load_data
from deepgllim.geometry import geodesic_distance
from deepgllim.imaging import crop_face, open_image
from deepgllim.pose import HeadPose, PoseNetwork, default_model
from deepgllim.pose.detection import make_detector
from deepgllim.pose.runtime import load_onnxruntime
from experiments.protocol import as_markdown

HERE = Path(__file__).parent
KEPT_STAGES: dict[str, tuple[str, ...]] = {
    "all convolutions": (),
    "without the first stage": ("stages.0.",),
    "stages 4 to 6 only": ("stages.0.", "stages.1.", "stages.2."),
}
"""For each way of quantisation, the stages that stay in float32."""

Pixels = NDArray[np.uint8]


class Crops:
    """Reader of the calibration, which gives one crop after another."""

    def __init__(self, crops: Pixels) -> None:
        self._crops: Iterator[Pixels] = iter(crops)

    def get_next(self) -> dict[str, Pixels] | None:
        """Return the next input of the graph, or None at the end."""
        crop = next(self._crops, None)
        return None if crop is None else {"pixels": crop[None]}


def quantised(model: Path, crops: Pixels, kept: tuple[str, ...], target: Path) -> Path:
    """Write a model whose convolutions are quantised, but for those whose weights have a name with a part of `kept`."""
    quantization: Any = import_module(f"{load_onnxruntime().__name__}.quantization")
    graph = onnx.load(str(model)).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv" and node.name]
    chosen = [node.name for node in convolutions if not any(part in node.input[1] for part in kept)]
    quantization.quantize_static(
        str(model),
        str(target),
        Crops(crops),
        quant_format=quantization.QuantFormat.QDQ,
        nodes_to_quantize=chosen,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return target


def faces(source: str, every: int, spec: Any) -> tuple[Pixels, NDArray[np.float64]]:
    """Return crops of the detected faces of a set, and the labels of yaw."""
    manifest, detector = load_data(source, ("yaw",)), make_detector(boxes=spec.boxes)
    crops, yaw = [], []
    for path, label in list(zip(manifest.paths, manifest.target_values[:, 0], strict=True))[::every]:
        picture = open_image(path)
        if found := detector.detect(picture):
            crops.append(crop_face(picture, found[0].box, spec.margin, spec.image_size))
            yaw.append(label)
    return np.stack(crops), np.array(yaw)


def seconds(networks: dict[str, PoseNetwork], crop: Pixels, repetitions: int = 60) -> dict[str, float]:
    """Return the minimum seconds of each network for one face, measured in turns."""
    best = dict.fromkeys(networks, float("inf"))
    for _ in range(repetitions):
        for name, network in networks.items():
            began = time.perf_counter()
            network(crop[None])
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def main() -> None:
    """Quantise, measure, and write results.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="photographs with labels of yaw, such as folder:DIR")
    parser.add_argument("--every", type=int, default=1, help="use every n-th photograph")
    parser.add_argument("--model", type=Path, default=default_model(), help="exported model; that of the package")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.csv")
    given = parser.parse_args()
    crops, yaw = faces(given.data, given.every, PoseNetwork(given.model, 1).spec)
    known, new, truth = crops[::2], crops[1::2], yaw[1::2]
    with tempfile.TemporaryDirectory() as folder:
        files = {"float32 (weights in float16)": given.model}
        for number, (name, kept) in enumerate(KEPT_STAGES.items()):
            files[name] = quantised(given.model, known, kept, Path(folder) / f"{number}.onnx")
        networks = {name: PoseNetwork(path, 1) for name, path in files.items()}
        poses = {name: HeadPose(network, None).predict_crops(new) for name, network in networks.items()}
        times = seconds(networks, new[0])
        sizes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
    first = next(iter(files))
    reference = np.stack([pose.rotation for pose in poses[first]])
    rows = []
    for name, found in poses.items():
        rotation = np.stack([pose.rotation for pose in found])
        error = np.abs(np.array([pose.yaw for pose in found]) - truth).mean()
        change = float(geodesic_distance(rotation, reference).mean())
        speed = {"megabytes": sizes[name], "milliseconds": 1e3 * times[name], "time": times[name] / times[first]}
        rows.append({"model": name, "error_of_yaw": float(error), "change": change, **speed})
    table = pd.DataFrame(rows)
    given.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.output / "results.csv", index=False, float_format="%.3f")
    print(as_markdown(table.round(2)))


if __name__ == "__main__":
    main()
