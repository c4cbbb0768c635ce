"""Write src/deepgllim/pose/detection/blazeface.onnx from a wheel that contains MediaPipe's face detection.

    pip download --no-deps mediapipe==0.10.14
    pip install tflite
    python tools/convert_blazeface.py mediapipe-0.10.14-*.whl

The wheel contains `face_detection_full_range_sparse.tflite` (Google, Apache-2.0). The weights are written as dense
tensors in half precision; all arithmetic is in single precision. The graph takes pixels and images of any size.
"""

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper
from tflite_graph import check_digest, constant_values, operator_kind

from deepgllim.pose.detection.blazeface import weights_file

GRAPH = "face_detection_full_range_sparse.tflite"
GRAPH_SHA256 = "2c3728e6"
"""First digits of the SHA-256 of the graph."""

KINDS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
OUTPUTS = {1: "logits", 16: "geometry"}
"""Names of the outputs by number of channels."""


def read_graph(wheel: Path) -> bytes:
    """Return the graph in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(GRAPH))
        graph = archive.read(name)
    check_digest(graph, GRAPH_SHA256, f"{wheel}: {name}", "use mediapipe 0.10.14")
    return graph


def dense(tensor: tflite.Tensor, values: np.ndarray) -> np.ndarray:
    """Return the constant of a tensor, whose zeros may be left out in the file.

    A sparse tensor is a tree with one level for each axis. A node of a dense level has one child for each index; a node
    of a sparse level has the children that the segments of the level list.
    """
    shape = tensor.ShapeAsNumpy().tolist() if tensor.ShapeLength() else []
    if (sparsity := tensor.Sparsity()) is None:
        return values.reshape(shape)
    if sparsity.BlockMapLength() or sparsity.TraversalOrderAsNumpy().tolist() != list(range(len(shape))):
        raise SystemExit("a sparse tensor has blocks or another order of its axes")
    nodes = [()]  # the index of each node of a level, in the order of the file
    for level in (sparsity.DimMetadata(axis) for axis in range(sparsity.DimMetadataLength())):
        if level.Format() == tflite.DimensionType.DENSE:
            nodes = [(*node, child) for node in nodes for child in range(level.DenseSize())]
        else:
            starts = whole_numbers(level.ArraySegments(), level.ArraySegmentsType())
            children = whole_numbers(level.ArrayIndices(), level.ArrayIndicesType())
            bounds = zip(nodes, starts[:-1], starts[1:], strict=True)
            nodes = [(*node, child) for node, start, end in bounds for child in children[start:end]]
    found = np.zeros(shape, values.dtype)
    found[tuple(np.array(nodes).T)] = values
    return found


def whole_numbers(table: object, kind: int) -> list[int]:
    """Return a vector of the sparsity of a tensor."""
    vector = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}[kind]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().tolist()


class Converter:
    """Nodes and constants of an ONNX graph that is equal to a TFLite graph, with channels before rows and columns."""

    def __init__(self, graph: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(graph, 0)
        self.part = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.values = dict(self._values())
        self.names = {int(self.part.Inputs(0)): self.normalized()}

    def _values(self) -> Iterator[tuple[int, np.ndarray]]:
        for index in range(self.part.TensorsLength()):
            tensor = self.part.Tensors(index)
            stored = constant_values(self.model, tensor)
            if stored is not None:
                yield index, dense(tensor, stored)

    def add(self, kind: str, inputs: list[str], **attributes: object) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, values: np.ndarray) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), f"constant{len(self.constants)}"))
        return self.constants[-1].name

    def weight(self, values: np.ndarray) -> str:
        """Add a constant in half precision and return the name of its value in single precision."""
        return self.add("Cast", [self.constant(values.astype(np.float16))], to=TensorProto.FLOAT)

    def normalized(self) -> str:
        """Add pixels / 127.5 − 1 and return its name."""
        pixels = self.add("Cast", [self.add("Transpose", ["pixels"], perm=[0, 3, 1, 2])], to=TensorProto.FLOAT)
        scaled = self.add("Mul", [pixels, self.constant(np.float32(1 / 127.5))])
        return self.add("Sub", [scaled, self.constant(np.float32(1))])

    def convolution(self, inputs: list[int], options: object, depthwise: bool) -> str:
        """Add a convolution and return the name of its output."""
        weight = self.values[inputs[1]].transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        side, stride = weight.shape[2], options.StrideH()
        padding = max(side - stride, 0) if options.Padding() == tflite.Padding.SAME else 0
        before, after = padding // 2, padding - padding // 2  # the sides of the input are multiples of the stride
        return self.add(
            "Conv",
            [self.names[inputs[0]], self.weight(weight), self.weight(self.values[inputs[2]])],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=len(weight) if depthwise else 1,
        )

    def convert(self, operator: tflite.Operator) -> None:
        """Add the nodes of an operator."""
        kind = KINDS[operator_kind(self.model, operator)]
        inputs, output = operator.InputsAsNumpy().tolist(), int(operator.Outputs(0))
        if kind in ("DEQUANTIZE", "DENSIFY"):  # of constants
            self.values[output] = self.values[inputs[0]]
            return
        known = [self.names[index] for index in inputs if index in self.names]
        options = options_of(operator, kind)
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            name = self.convolution(inputs, options, kind != "CONV_2D")
        elif kind == "ADD":
            name = self.add("Add", known)
        elif kind == "PAD":
            before_after = self.values[inputs[1]][[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
            name = self.add("Pad", [*known, self.constant(before_after)])
        elif kind == "RESIZE_BILINEAR" and options.HalfPixelCenters():
            twice = self.constant(np.array([1, 1, 2, 2], np.float32))
            name = self.add("Resize", [*known, "", twice], mode="linear", coordinate_transformation_mode="half_pixel")
        elif kind == "DEPTH_TO_SPACE":
            name = self.add("DepthToSpace", known, blocksize=options.BlockSize(), mode="DCR")
        elif kind == "RESHAPE":  # to one row for each cell
            channels = int(self.part.Tensors(inputs[0]).ShapeAsNumpy()[3])
            self.nodes.append(helper.make_node("Identity", known, [OUTPUTS[channels]]))
            return
        else:
            raise SystemExit(f"unexpected operator {kind}")
        if getattr(options, "FusedActivationFunction", int)() == tflite.ActivationFunctionType.RELU:
            name = self.add("Relu", [name])
        self.names[output] = name


def options_of(operator: tflite.Operator, kind: str) -> object:
    """Return the options of an operator, None if it has none."""
    classes = {
        "CONV_2D": tflite.Conv2DOptions,
        "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
        "ADD": tflite.AddOptions,
        "RESIZE_BILINEAR": tflite.ResizeBilinearOptions,
        "DEPTH_TO_SPACE": tflite.DepthToSpaceOptions,
    }
    table = operator.BuiltinOptions()
    if kind not in classes or table is None:
        return None
    options = classes[kind]()
    options.Init(table.Bytes, table.Pos)
    return options


def as_onnx(graph: bytes) -> onnx.ModelProto:
    """Return the ONNX model of a TFLite graph."""
    converter = Converter(graph)
    for index in range(converter.part.OperatorsLength()):
        converter.convert(converter.part.Operators(index))
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", "H", "W", 3])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H/4", "W/4"])
        for channels, name in OUTPUTS.items()
    ]
    found = helper.make_graph(converter.nodes, "blazeface", [pixels], outputs, converter.constants)
    model = helper.make_model(found, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"licence": "Apache-2.0; (c) Google LLC, MediaPipe; see blazeface.LICENSE"})
    onnx.checker.check_model(model)
    return model


def main() -> None:
    """Convert the graph and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    model = as_onnx(read_graph(parser.parse_args().wheel))
    onnx.save(model, weights_file())
    print(f"{weights_file()}: {len(model.graph.node)} nodes, {weights_file().stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
