"""ONNX networks of known answer, and tables of predictions, for the tests of `research.compare_peers`."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepgllim.data import Manifest
from deepgllim.geometry.conventions import convention as row_of
from deepgllim.geometry.conventions import rotation_to_convention, to_convention
from deepgllim.geometry.rotations import ANGLES, rotation_from_angles
from research.compare_peers.presets import Preset
from research.compare_peers.tables import ENTRIES

POSE = np.array([10.0, -20.0, 30.0])
"""A pose with no symmetry, pitch, yaw, roll."""

Axes = list[str | int | None]


def network(path: Path, shape: Axes, outputs: dict[str, np.ndarray], kind: int = TensorProto.FLOAT) -> Path:
    """A network that answers constants, once a sample: 0 · (a sum of the input) + constant."""
    nodes, initial = [], [numpy_helper.from_array(np.array([1, 2, 3]), "axes"), scalar("zero", 0.0)]
    nodes.append(helper.make_node("Cast", ["input"], ["x"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["sum", "zero"], ["nothing"]))  # (N,)
    for name, value in outputs.items():
        column = np.array([-1, *[1] * value.ndim])
        initial += [numpy_helper.from_array(value.astype(np.float32), f"{name}_value")]
        initial += [numpy_helper.from_array(column, f"{name}_shape")]
        nodes.append(helper.make_node("Reshape", ["nothing", f"{name}_shape"], [f"{name}_zeros"]))
        nodes.append(helper.make_node("Add", [f"{name}_zeros", f"{name}_value"], [name]))
    return save(path, nodes, initial, shape, {name: value.ndim + 1 for name, value in outputs.items()}, kind)


def means(path: Path, shape: Axes, axes: Sequence[int]) -> Path:
    """A network that answers the mean of each of its channels, (N, 3)."""
    initial = [numpy_helper.from_array(np.array(axes), "axes")]
    nodes = [helper.make_node("ReduceMean", ["input", "axes"], ["output"], keepdims=0)]
    return save(path, nodes, initial, shape, {"output": 2})


def scalar(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, dtype=np.float32), name)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    initial: list[onnx.TensorProto],
    shape: Axes,
    ranks: dict[str, int],
    kind: int = TensorProto.FLOAT,
) -> Path:
    given = [helper.make_tensor_value_info("input", kind, shape)]
    output = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name, rank in ranks.items()]
    graph = helper.make_graph(nodes, "tiny", given, output, initial)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def shape_of(chosen: Preset, batch: int | str = "N") -> Axes:
    side = chosen.size
    return [batch, 3, side, side] if chosen.layout == "nchw" else [batch, side, side, 3]


def bins(degrees: float, count: int) -> np.ndarray:
    """Logits whose expectation is an angle: a share of two neighbouring bins three degrees apart."""
    place = (degrees + 1.5 * count) / 3
    weights = np.full(count, 1e-30)
    weights[int(place)], weights[int(place) + 1] = 1 - place % 1, max(place % 1, 1e-30)
    logits: np.ndarray = np.log(weights)
    return logits


def answer(name: str) -> dict[str, np.ndarray]:
    """What a system's network would say of `POSE`, written from its own documentation."""
    pitch, yaw, roll = POSE
    c, s = np.cos(np.radians(POSE)), np.sin(np.radians(POSE))
    # 6DRepNet's utils.get_R(x, y, z): right-handed turns, Rz · Ry · Rx
    Rx = np.array([[1, 0, 0], [0, c[0], -s[0]], [0, s[0], c[0]]])
    Ry = np.array([[c[1], 0, s[1]], [0, 1, 0], [-s[1], 0, c[1]]])
    Rz = np.array([[c[2], -s[2], 0], [s[2], c[2], 0], [0, 0, 1]])
    answers = {
        "fsanet": {"output": np.array([yaw, pitch, roll])},
        "openvino": {"angle_r_fc": np.array([roll]), "angle_p_fc": np.array([-pitch]), "angle_y_fc": np.array([-yaw])},
        "6drepnet": {"R": Rz @ Ry @ Rx},
        "hopenet": {"y": bins(yaw, 66), "p": bins(pitch, 66), "r": bins(roll, 66)},
        "whenet": {"y": bins(yaw, 120), "p": bins(pitch, 66), "r": bins(roll, 66)},
        "whenet-nchw": {"y": bins(yaw, 120), "r": bins(roll, 66), "p": bins(pitch, 66)},
    }
    return answers[{"uniface": "6drepnet", "whenet-converted": "whenet"}.get(name, name)]


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def table_of(faces: Manifest, convention: str, matrices: bool) -> list[dict[str, object]]:
    """Perfect predictions in a convention with our zero, in another order than the faces'."""
    truth = np.column_stack([faces.target_values, np.full(len(faces), 5.0)])
    if matrices:
        values = rotation_to_convention(rotation_from_angles(*truth.T), convention, zero=False).reshape(-1, 9)
    else:
        values = to_convention(truth, convention, zero=False)
    names = ENTRIES if matrices else row_of(convention).names or ANGLES
    rows = zip(faces.paths, values.tolist(), strict=True)
    return [{"path": path.name, **dict(zip(names, row, strict=True))} for path, row in rows][::-1]
