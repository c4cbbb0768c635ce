"""A builder of ONNX graphs: values by name, constants from arrays, one call for each node."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

OPSET = 20


class Graph:
    """Nodes and constants to append to an existing graph.

    Args:
        prefix: prefix of all names, which keeps them distinct from those of the existing graph.

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
        """Add a constant and return its name; sequences of integers become int64."""
        from onnx import numpy_helper

        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        name = f"{self.prefix}/c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def __call__(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        output = name or f"{self.prefix}/n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def cast(self, value: str, kind: str, name: str | None = None) -> str:
        """Add a cast to "float32" or "float64"."""
        from onnx import TensorProto

        return self("Cast", value, name=name, to={"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[kind])

    def reshape(self, value: str, *shape: int) -> str:
        """Add a reshape to a shape, whose first entry may be −1."""
        return self("Reshape", value, self.constant(np.array(shape, dtype=np.int64)))

    def total(self, value: str, *axes: int) -> str:
        """Add a sum over axes, which are removed."""
        return self("ReduceSum", value, self.constant(np.array(axes, dtype=np.int64)), keepdims=0)
