"""WHENet's weights become the network that its paper describes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch.nn import functional

from deepgllim.data import Manifest, load_data
from deepgllim.pose.runtime import open_session
from research.compare_peers.networks import predict
from research.compare_peers.presets import PRESETS
from research.compare_peers.whenet import HEADS, STAGES, Graph, whenet
from tests.research.tiny_networks import POSE, bins


@pytest.fixture
def faces(face_folder: Path) -> Manifest:
    return load_data(f"folder:{face_folder}")


def shapes_of_whenet() -> dict[str, tuple[int, ...]]:
    """EfficientNet-B0's layers, numbered as Keras does, and the three heads."""
    found: dict[str, tuple[int, ...]] = {}
    count = {"conv2d": 0, "depthwise_conv2d": 0, "batch_normalization": 0}

    def layer(kind: str, parts: dict[str, tuple[int, ...]]) -> None:
        count[kind] += 1
        found.update({f"{kind}_{count[kind]}/{part}": shape for part, shape in parts.items()})

    def normalise(width: int) -> None:
        layer("batch_normalization", dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (width,)))

    layer("conv2d", {"kernel": (3, 3, 3, 32)})
    normalise(32)
    width = 32
    table = [(3, 16, 1, 1), (3, 24, 2, 6), (5, 40, 2, 6), (3, 80, 3, 6), (5, 112, 3, 6), (5, 192, 4, 6), (3, 320, 1, 6)]
    for kernel, out, blocks, expansion in table:
        for _ in range(blocks):
            inner, squeezed = width * expansion, width // 4
            if expansion > 1:
                layer("conv2d", {"kernel": (1, 1, width, inner)})
                normalise(inner)
            layer("depthwise_conv2d", {"depthwise_kernel": (kernel, kernel, inner, 1)})
            normalise(inner)
            layer("conv2d", {"kernel": (1, 1, inner, squeezed), "bias": (squeezed,)})
            layer("conv2d", {"kernel": (1, 1, squeezed, inner), "bias": (inner,)})
            layer("conv2d", {"kernel": (1, 1, inner, out)})
            normalise(out)
            width = out
    layer("conv2d", {"kernel": (1, 1, 320, 1280)})
    normalise(1280)
    for head, bins_ in (("yaw_new", 120), ("pitch_new", 66), ("roll_new", 66)):
        found |= {f"{head}/kernel": (1280, bins_), f"{head}/bias": (bins_,)}
    return found


def test_whenets_weights_become_a_network_of_its_preset(faces: Manifest, tmp_path: Path) -> None:
    """Every array is used once; with heads that ignore the features the answer is that of their biases."""
    generator = np.random.default_rng(0)
    weights = {
        name: generator.uniform(0.001, 0.1, shape).astype(np.float32) for name, shape in shapes_of_whenet().items()
    }
    for head, logits in zip(HEADS, (bins(-20, 120), bins(10, 66), bins(30, 66)), strict=True):
        weights |= {f"{head}/kernel": 0 * weights[f"{head}/kernel"], f"{head}/bias": logits.astype(np.float32)}
    model = whenet(weights)
    assert sorted(constant.name for constant in model.graph.initializer) == sorted(weights)
    onnx.save(model, tmp_path / "net.onnx")
    poses = predict([tmp_path / "net.onnx"], PRESETS["whenet-converted"], faces.subset([0, 1]))
    np.testing.assert_allclose(poses.angles, [POSE, POSE], atol=1e-4)


def test_a_block_of_whenet_is_what_its_paper_says() -> None:
    """Expansion, depthwise, squeeze and excitation, projection, shortcut: against torch."""
    stage, width, size = STAGES[1], 16, 9
    generator = np.random.default_rng(1)
    inner = 6 * width
    shapes: dict[str, tuple[int, ...]] = {
        "conv2d_1/kernel": (1, 1, width, inner),
        "depthwise_conv2d_1/depthwise_kernel": (3, 3, inner, 1),
    }
    shapes |= {"conv2d_2/kernel": (1, 1, inner, 4), "conv2d_2/bias": (4,), "conv2d_3/kernel": (1, 1, 4, inner)}
    shapes |= {"conv2d_3/bias": (inner,), "conv2d_4/kernel": (1, 1, inner, width)}
    weights = {name: (generator.normal(size=shape) * 0.3).astype(np.float32) for name, shape in shapes.items()}
    for number, channels in ((1, inner), (2, inner), (3, width)):
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            values = generator.uniform(0.5, 1.5, channels).astype(np.float32)
            weights[f"batch_normalization_{number}/{part}"] = values
    x = generator.normal(size=(2, width, size, size)).astype(np.float32)
    for first in (True, False):
        graph = Graph(weights)
        out = graph.block("input", stage, first)
        given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [2, width, size, size])
        output = helper.make_tensor_value_info(out, TensorProto.FLOAT, [2, width, None, None])
        made = helper.make_graph(graph.nodes, "block", [given], [output], graph.constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        session = open_session(model.SerializeToString())
        (found,) = session.run(None, {"input": x})
        np.testing.assert_allclose(
            found, block_in_torch(weights, x, stage.stride if first else 1), rtol=1e-3, atol=1e-4
        )


def block_in_torch(weights: dict[str, np.ndarray], x: np.ndarray, stride: int) -> np.ndarray:
    """The same block written again; TensorFlow's "same" on 9 pixels pads one on either side for both strides."""
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}

    def convolve(y: torch.Tensor, number: int) -> torch.Tensor:
        kernel = tensors[f"conv2d_{number}/kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(y, kernel, tensors.get(f"conv2d_{number}/bias"))

    def normalise(y: torch.Tensor, number: int) -> torch.Tensor:
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (tensors[f"batch_normalization_{number}/{part}"] for part in parts)
        return functional.batch_norm(y, mean, variance, gamma, beta, eps=1e-3)

    start = torch.from_numpy(x)
    hidden = functional.silu(normalise(convolve(start, 1), 1))
    kernel = tensors["depthwise_conv2d_1/depthwise_kernel"].permute(2, 3, 0, 1)
    hidden = functional.conv2d(hidden, kernel, stride=stride, padding=1, groups=len(kernel))
    hidden = functional.silu(normalise(hidden, 2))
    gate = torch.sigmoid(convolve(functional.silu(convolve(hidden.mean((2, 3), keepdim=True), 2)), 3))
    hidden = normalise(convolve(hidden * gate, 4), 3)
    result: np.ndarray = (hidden if stride == 2 else hidden + start).numpy()
    return result
