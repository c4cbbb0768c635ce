"""A small writer of ONNX graphs: values by name, constants from arrays, one call a node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

OPSET = 20


class Graph:
    """Nodes and constants that follow an existing graph.

    Args:
        prefix: of every name, so that none meets one of the existing graph.

    Example:
        >>> graph = Graph("head")
        >>> doubled = graph("Mul", "x", graph.constant(np.array(2.0)), name="doubled")
        >>> doubled, [node.op_type for node in graph.nodes]
        ('doubled', ['Mul'])
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor | NDArray[Any] | Sequence[int]) -> str:
        """A constant; whole numbers, of shapes and axes, as int64."""
        from onnx import numpy_helper

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        name = f"{self.prefix}/c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def __call__(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """One node; returns the name of its output."""
        from onnx import helper

        output = name or f"{self.prefix}/n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def cast(self, value: str, kind: str, name: str | None = None) -> str:
        """To "float32" or "float64"."""
        from onnx import TensorProto

        return self("Cast", value, name=name, to={"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[kind])

    def reshape(self, value: str, *shape: int) -> str:
        """To a shape whose first entry may be −1."""
        return self("Reshape", value, self.constant(np.array(shape, dtype=np.int64)))

    def total(self, value: str, *axes: int) -> str:
        """The sum over axes, which are dropped."""
        return self("ReduceSum", value, self.constant(np.array(axes, dtype=np.int64)), keepdims=0)
