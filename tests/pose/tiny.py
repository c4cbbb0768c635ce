"""A small network in the form of an exported one: pan is the mean red level less 128, tilt and neck roll are 0."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepgllim.pose.network import PoseSpec


def tiny_network(path: Path, calibration: dict[str, object] | None = None, size: int = 8) -> Path:
    """Write it; its covariance is that of 10, 20 and 5 degrees, and log p(x) the mean red level."""
    constants = {
        "axes": np.array([1, 2]),
        "middle": np.array(128.0, np.float32),
        "place": np.array([[0.0, 1.0, 0.0]], np.float32),
        "covariance1": np.diag([100.0, 400.0, 25.0]).astype(np.float32)[None],
        "one": np.array([1]),
        "three": np.array([3, 3]),
        "red": np.array([0]),
        "zero": np.array(0.0, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["float", "red"], ["reds"], axis=1),
        helper.make_node("Squeeze", ["reds", "one"], ["plane"]),
        helper.make_node("ReduceMean", ["plane", "axes"], ["log_density"], keepdims=0),
        helper.make_node("Unsqueeze", ["log_density", "one"], ["level"]),
        helper.make_node("Sub", ["level", "middle"], ["pan"]),
        helper.make_node("Mul", ["pan", "place"], ["mean"]),
        helper.make_node("Unsqueeze", ["mean", "one"], ["means"]),
        helper.make_node("Mul", ["level", "zero"], ["nothing"]),
        helper.make_node("Exp", ["nothing"], ["weights"]),
        helper.make_node("Shape", ["mean"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "three"], ["shape"], axis=0),
        helper.make_node("Expand", ["covariance1", "shape"], ["covariance"]),
        helper.make_node("Unsqueeze", ["covariance", "one"], ["covariances"]),
    ]
    shapes: dict[str, list[str | int]] = {
        "weights": ["N", 1],
        "means": ["N", 1, 3],
        "covariances": ["N", 1, 3, 3],
        "mean": ["N", 3],
        "covariance": ["N", 3, 3],
        "log_density": ["N"],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 3, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    spec = PoseSpec(("tilt", "pan", "neck_roll"), size, 1.4, calibration, {"made": "by hand"})
    helper.set_model_props(proto, {"deepgllim": spec.to_json()})
    onnx.save(proto, path)
    return path
