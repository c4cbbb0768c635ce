"""A density of a network's early feature maps, added to the log p(x) of an exported model.

A head's features are made for the pose: what they leave out of a picture, they cannot call unusual. A mosaic of random
colours may have the features of a face. Means and standard deviations over the picture of some early maps,

    m = (mean_hw a₁, std_hw a₁, mean_hw a₂, …)    ∈ ℝᴹ,

describe colours and textures. With them as features of their own, taken as independent of x,

    log p(x, m) = log p(x) + log N(m; μ, Σ),

with Σ shrunk towards a multiple of the identity by the intensity of Ledoit and Wolf (2004). An exported graph with this
density reports log p(x, m) as its output `log_density`; its poses do not change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepgllim.errors import DataError, ModelError
from deepgllim.nn.export.graph import Graph

Array = NDArray[np.float64]

PREFIX = "maps"
"""Of the names of the nodes in the graph."""
LOG_DENSITY = "log_density"
SMALLEST_DEVIATION = 1e-6


class MapDensity(NamedTuple):
    """A Gaussian density of the pooled statistics of feature maps.

    Attributes:
        maps: names of the graph's values (N, C, H, W), whose channels are counted by M / 2 in all.
        mean: μ, (M,).
        whitening: W, (M, M), with Σ⁻¹ = W Wᵀ.
        constant: −(M log 2π + log |Σ|) / 2.
    """

    maps: tuple[str, ...]
    mean: Array
    whitening: Array
    constant: float

    def log_prob(self, statistics: Array) -> Array:
        """Return log N(m; μ, Σ) for statistics (N, M): (N,)."""
        white = (statistics - self.mean) @ self.whitening
        found: Array = self.constant - 0.5 * np.square(white).sum(1)
        return found


def pooled_statistics(maps: Sequence[NDArray[Any]]) -> Array:
    """Return the means, then the standard deviations, of each channel of each map over the picture.

    Args:
        maps: arrays (N, C, H, W).

    Returns:
        (N, M), M being twice the number of channels of all maps.

    Example:
        >>> pooled_statistics([np.array([[[[1.0, 3.0]], [[2.0, 2.0]]]])])
        array([[2., 2., 1., 0.]])
    """
    wide = [np.asarray(values, dtype=np.float64) for values in maps]
    return np.concatenate([part for a in wide for part in (a.mean((2, 3)), a.std((2, 3)))], axis=1)


def fit_map_density(statistics: Array, maps: Sequence[str]) -> MapDensity:
    """Fit the density to the statistics of pictures of the kind that a model is made for.

    Args:
        statistics: (N, M), of `pooled_statistics`.
        maps: names of the maps.

    Raises:
        DataError: fewer than two pictures, or statistics that are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> density = fit_map_density(rng.normal(size=(500, 4)), ["a"])
        >>> bool(density.log_prob(np.zeros((1, 4)))[0] > density.log_prob(np.full((1, 4), 5.0))[0])
        True
    """
    from sklearn.covariance import ledoit_wolf

    if len(statistics) < 2 or not np.isfinite(statistics).all():
        raise DataError(f"{len(statistics)} pictures with finite statistics are wanted, at least two, to fit a density")
    mean = statistics.mean(0)
    deviation = np.maximum(statistics.std(0), SMALLEST_DEVIATION)
    covariance, _ = ledoit_wolf((statistics - mean) / deviation, assume_centered=True)
    factor = np.linalg.cholesky(covariance)
    whitening = (np.linalg.inv(factor).T / deviation[:, None]).astype(np.float32)  # as the graph stores it
    log_determinant = 2.0 * float(np.log(np.diag(factor)).sum() + np.log(deviation).sum())
    constant = -0.5 * (len(mean) * np.log(2.0 * np.pi) + log_determinant)
    return MapDensity(tuple(maps), mean, whitening.astype(np.float64), float(constant))


def add_map_density(proto: Any, density: MapDensity) -> None:
    """Make an exported graph report log p(x, m) as its `log_density`; the graph is changed in place.

    Args:
        proto: an ONNX model of `export_onnx`, without such a density.
        density: of maps that the graph has.

    Raises:
        ModelError: the graph reports no log p(x), lacks one of the maps, or has such a density already.
    """
    nodes = list(proto.graph.node)
    made = {output for node in nodes for output in node.output}
    if LOG_DENSITY not in {output.name for output in proto.graph.output}:
        raise ModelError("the graph has no output log_density: a density of its maps can be added to log p(x) only")
    if any(name.startswith(f"{PREFIX}/") for name in made):
        raise ModelError("the graph has a density of its maps already: start from the exported file without one")
    missing = [name for name in density.maps if name not in made]
    if missing:
        raise ModelError(f"the graph has no value {missing[0]!r}: give names of maps that the graph has")
    last = next(node for node in nodes if LOG_DENSITY in node.output)
    nodes.remove(last)
    graph = Graph(PREFIX)
    total = graph("Add", last.input[0], _log_prob(graph, density))
    graph.cast(total, "float32", name=LOG_DENSITY)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *graph.nodes])
    proto.graph.initializer.extend(graph.constants)


def _log_prob(graph: Graph, density: MapDensity) -> str:
    """Append log N(m; μ, Σ), (N,), in float64."""
    axes = graph.constant([2, 3])
    parts = []
    for name in density.maps:
        values = graph.cast(name, "float64")
        mean = graph("ReduceMean", values, axes, keepdims=1)
        deviation = graph("Sub", values, mean)
        variance = graph("ReduceMean", graph("Mul", deviation, deviation), axes, keepdims=0)
        parts += [graph("Squeeze", mean, axes), graph("Sqrt", variance)]
    residual = graph("Sub", graph("Concat", *parts, axis=1), graph.constant(density.mean))
    whitening = graph.cast(graph.constant(density.whitening.astype(np.float32)), "float64")
    white = graph("MatMul", residual, whitening)
    distance = graph.total(graph("Mul", white, white), 1)
    half = graph("Mul", distance, graph.constant(np.array(0.5)))
    return graph("Sub", graph.constant(np.array(density.constant)), half)


def map_statistics(proto: Any, maps: Sequence[str], pixels: NDArray[np.uint8], batch: int = 32) -> Array:
    """Run a graph on crops and return the pooled statistics of some of its maps.

    Args:
        proto: an ONNX model of `export_onnx`.
        maps: names of its values (N, C, H, W).
        pixels: (N, 3, S, S), uint8.
        batch: crops at a time.

    Returns:
        (N, M), float64.
    """
    from onnx import TensorProto, helper

    from deepgllim.pose.runtime import Session

    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in maps)
    session = Session(copy.SerializeToString(), threads=1)
    blocks = [pixels[i : i + batch] for i in range(0, len(pixels), batch)]
    return np.concatenate([pooled_statistics(session.run(list(maps), {"pixels": block})) for block in blocks])


def write_with_map_density(source: Path, target: Path, density: MapDensity) -> None:
    """Write a copy of an exported model that reports log p(x, m).

    The calibration in its header is kept, its threshold of log p(x) is not valid any more: write another one with
    `deepgllim.pose.network.write_metadata`, or recalibrate the copy.

    Raises:
        ModelError: as `add_map_density`, or the file cannot be written.
    """
    import onnx

    from deepgllim.storage import write_atomically

    proto = onnx.load(str(source))
    add_map_density(proto, density)
    content = proto.SerializeToString()
    write_atomically(target, lambda place: place.write_bytes(content), ModelError)
