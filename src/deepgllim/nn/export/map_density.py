"""The density of feature maps in an exported graph: log p(x, m) instead of log p(x) as the output `log_density`.

A model that was trained with `objective.density_depth` is exported with its density. These functions add one to a file
that has none, of any maps in the graph. See `deepgllim.nn.map_density` for the formula.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.errors import ModelError
from deepgllim.nn.export.graph import Graph
from deepgllim.nn.map_density import MapDensity, pooled_statistics

PREFIX = "maps"
"""Prefix of the names of the nodes in the graph."""
LOG_DENSITY = "log_density"


def add_map_density(proto: Any, density: MapDensity, maps: Sequence[str]) -> None:
    """Add the density of maps to the output `log_density` of a graph, which is changed in place; poses do not change.

    Args:
        proto: an ONNX model of `export_onnx`, without such a density.
        density: density of the statistics of the maps.
        maps: names of values (N, C, H, W) in the graph.

    Raises:
        ModelError: if the graph has no output log p(x), lacks one of the maps, or has such a density already.
    """
    nodes = list(proto.graph.node)
    made = {output for node in nodes for output in node.output}
    if LOG_DENSITY not in {output.name for output in proto.graph.output}:
        raise ModelError("the graph has no output log_density: a density of its maps can be added to log p(x) only")
    if any(name.startswith(f"{PREFIX}/") for name in made):
        raise ModelError("the graph has a density of its maps already: start from the exported file without one")
    missing = [name for name in maps if name not in made]
    if missing:
        raise ModelError(f"the graph has no value {missing[0]!r}: give names of maps that the graph has")
    last = next(node for node in nodes if LOG_DENSITY in node.output)
    nodes.remove(last)
    graph = Graph(PREFIX)
    total = graph("Add", last.input[0], _log_prob(graph, density, maps))
    graph.cast(total, "float32", name=LOG_DENSITY)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *graph.nodes])
    proto.graph.initializer.extend(graph.constants)


def _log_prob(graph: Graph, density: MapDensity, maps: Sequence[str]) -> str:
    """Append log N(m; μ, Σ), (N,), in float64."""
    axes = graph.constant([2, 3])
    parts = []
    for name in maps:
        values = graph.cast(name, "float64")
        mean = graph("ReduceMean", values, axes, keepdims=1)
        deviation = graph("Sub", values, mean)
        variance = graph("ReduceMean", graph("Mul", deviation, deviation), axes, keepdims=0)
        parts += [graph("Squeeze", mean, axes), graph("Sqrt", variance)]
    residual = graph("Sub", graph("Concat", *parts, axis=1), graph.constant(density.mean.double()))
    whitening = graph.cast(graph.constant(density.whitening.float()), "float64")
    white = graph("MatMul", residual, whitening)
    distance = graph.total(graph("Mul", white, white), 1)
    half = graph("Mul", distance, graph.constant(np.array(0.5)))
    return graph("Sub", graph.constant(density.constant.double()), half)


def map_statistics(proto: Any, maps: Sequence[str], pixels: NDArray[np.uint8], batch: int = 32) -> Tensor:
    """Run a graph on crops and return the pooled statistics of some of its maps.

    Args:
        proto: an ONNX model of `export_onnx`.
        maps: names of values (N, C, H, W) in the graph.
        pixels: (N, 3, S, S), uint8.
        batch: number of crops in a batch.

    Returns:
        (N, M), float64.
    """
    from onnx import TensorProto, helper

    from deepgllim.pose.runtime import Session

    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in maps)
    session = Session(copy.SerializeToString(), threads=1)
    found = []
    for i in range(0, len(pixels), batch):
        values = session.run(list(maps), {"pixels": pixels[i : i + batch]})
        found.append(pooled_statistics([torch.as_tensor(each) for each in values]))
    return torch.cat(found)


def write_with_map_density(source: Path, target: Path, density: MapDensity, maps: Sequence[str]) -> None:
    """Write a copy of an exported model whose output `log_density` is log p(x, m).

    The calibration in its header is kept, but its threshold of log p(x) is no longer valid: write another one with
    `deepgllim.pose.network.write_metadata`, or recalibrate the copy.

    Raises:
        ModelError: as `add_map_density`, or if the file cannot be written.
    """
    import onnx

    from deepgllim.storage import write_atomically

    proto = onnx.load(str(source))
    add_map_density(proto, density, maps)
    content = proto.SerializeToString()
    write_atomically(target, lambda place: place.write_bytes(content), ModelError)
