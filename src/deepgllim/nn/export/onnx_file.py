"""Export of a model to one ONNX graph, from pixels to the predictive distribution.

The metadata describe the targets and the crops. Inputs and outputs, for any N:

    pixels       (N, 3, S, S)  uint8, RGB
    weights      (N, K)        float32
    means        (N, K, L)     float32, in the targets' units
    covariances  (N, K, L, L)  float32
    mean         (N, L), covariance (N, L, L)  of the mixture, float32
    log_density  (N,)          float32, log p(x), with a density of maps log p(x, m); absent if the head has none

The head runs in float64 inside the graph, as in torch.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.backbones.backbone import Backbone
from deepgllim.nn.export.activations import expand_prelu
from deepgllim.nn.export.graph import OPSET, Graph
from deepgllim.nn.export.heads import HeadOutputs, write_head
from deepgllim.nn.export.map_density import add_map_density
from deepgllim.nn.model import DeepRegression
from deepgllim.storage import write_atomically

FORMAT_VERSION = 1
SMALLEST_HALF = 1024
"""Number of entries from which a tensor is stored as float16."""

BACKBONE = "backbone/"
HIDDEN, MAPS = "hidden", "maps"


def export_onnx(
    model: DeepRegression,
    path: Path | str,
    *,
    half_weights: bool = True,
    calibration: dict[str, Any] | None = None,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Export a model to an ONNX file, which is written atomically, and return its path.

    Args:
        model: a trained model of pictures.
        path: the file.
        half_weights: store the weights as float16, which halves the file. The graph still computes in float32; its
            outputs are those of `compact(model)`.
        calibration: calibration, as `deepgllim.pose.calibration.Calibration.to_json` returns it.
        notes: other metadata, such as data, licence and version.

    Raises:
        ConfigurationError: if the model was not trained on pictures.
        ModelError: if onnx or onnxscript is not installed, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from deepgllim.nn.backbones import wrap_module
        >>> from deepgllim.nn.model import ModelSpec
        >>> net = nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
        >>> spec = ModelSpec(
        ...     backbone="custom", projection=None, head="least_squares", targets=("yaw",), image_size=8, margin=1
        ... )
        >>> model = DeepRegression(spec, wrap_module(net, feature_size=12)).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_onnx(model, f"{folder}/model.onnx").name
        'model.onnx'
    """
    content = onnx_content(compact(model) if half_weights else folded(model), half_weights, calibration, notes)
    write_atomically(Path(path), lambda place: place.write_bytes(content), ModelError)
    return Path(path)


def onnx_content(
    model: DeepRegression,
    half_weights: bool = True,
    calibration: dict[str, Any] | None = None,
    notes: dict[str, Any] | None = None,
) -> bytes:
    """Return the content of the file that `export_onnx` writes.

    Args:
        model: the model in the form that is exported: `compact(model)` with half weights, otherwise `folded(model)`.
        half_weights, calibration, notes: as for `export_onnx`.

    Raises:
        ConfigurationError: if the model was not trained on pictures.
        ModelError: if onnx or onnxscript is not installed.
    """
    if model.spec.image_size is None or model.spec.margin is None:
        raise ConfigurationError("this model was not trained on pictures: it has no image size to export")
    proto = write_graph(model)
    if half_weights:
        store_as_half(proto)
    describe(proto, model, calibration, notes or {})
    content: bytes = proto.SerializeToString()
    return content


def folded(model: DeepRegression) -> DeepRegression:
    """Return a copy in evaluation mode, with batch normalisations folded into the convolutions before them."""
    twin = copy.deepcopy(model).eval()
    for module in twin.modules():
        if isinstance(module, nn.Sequential):
            _fold(module, model.spec.density_depth if module is twin.backbone.stages else None)
    return twin


def compact(model: DeepRegression) -> DeepRegression:
    """Return a folded copy whose large weights are rounded to float16, like those of a file with half weights."""
    twin = folded(model)
    for parameter in [*twin.backbone.parameters(), *twin.projection.parameters()]:
        if parameter.numel() >= SMALLEST_HALF:
            parameter.data = parameter.data.half().to(parameter.dtype)
    return twin


def _fold(sequence: nn.Sequential, border: int | None = None) -> None:
    """Fold normalisations into the convolutions before them, but not across a border, whose maps have a density."""
    names = list(sequence._modules)
    for index, (first, second) in enumerate(pairwise(names), start=1):
        if index == border:
            continue
        conv, norm = sequence._modules[first], sequence._modules[second]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            assert norm.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            conv.weight, conv.bias = weight, bias
            sequence._modules[second] = nn.Identity()


def write_graph(model: DeepRegression) -> Any:
    """Return the ONNX graph of a model."""
    from onnx import compose

    size, depth = model.spec.image_size, model.spec.density_depth
    pixels = torch.zeros(2, 3, size, size, dtype=torch.uint8)  # type: ignore[arg-type]
    network: nn.Module = model.backbone if depth is None else WithMaps(model.backbone, depth)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (pixels,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=[HIDDEN] if depth is None else [HIDDEN, MAPS],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=OPSET,
        )
    assert program is not None
    proto = compose.add_prefix(program.model_proto, BACKBONE, rename_inputs=False)
    for node in proto.graph.node:
        del node.metadata_props[:]  # they name source files
    del proto.graph.value_info[:]
    expand_prelu(proto)
    graph = Graph("head")
    answer = write_head(graph, model.head, _features(graph, model))
    outputs = _outputs(graph, answer, *_sizes(model))
    proto.graph.node.extend(graph.nodes)
    proto.graph.initializer.extend(graph.constants)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    if model.maps is not None:
        add_map_density(proto, model.maps, [BACKBONE + MAPS])
    return proto


class WithMaps(nn.Module):
    """A backbone with two outputs: its features, and the maps after the first `depth` stages."""

    def __init__(self, backbone: Backbone, depth: int) -> None:
        super().__init__()
        self.backbone, self.depth = backbone, depth

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (N, D') and maps (N, C, H, W) of pixels."""
        maps = self.backbone.begin(pixels, self.depth)
        kept = maps.clone()  # the next stage may overwrite the maps
        return self.backbone.finish(maps, self.depth), kept


def _sizes(model: DeepRegression) -> tuple[int, int]:
    """Return K and L of the head of a model."""
    with torch.no_grad():
        means = model.head(torch.zeros(1, model.n_features)).means
    return means.shape[1], means.shape[2]


def _features(graph: Graph, model: DeepRegression) -> str:
    """Append projection and normalisation, x = (V h + v − m) / √(s² + ε), in float64."""
    value = graph.cast(BACKBONE + HIDDEN, "float64")
    if isinstance(model.projection, nn.Linear):
        weight = graph.cast(graph.constant(model.projection.weight.T), "float64")
        value = graph("MatMul", value, weight)
        value = graph("Add", value, graph.constant(model.projection.bias.double()))
    norm = model.normalisation
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    offset = -norm.running_mean.double() * scale
    if norm.affine:
        offset = offset + norm.bias.double()
    return graph("Add", graph("Mul", value, graph.constant(scale)), graph.constant(offset))


def _outputs(graph: Graph, answer: HeadOutputs, K: int, L: int) -> list[Any]:
    """Append the outputs of the graph, including mean and covariance of the mixture."""
    from onnx import TensorProto, helper

    weights = graph("Exp", answer.log_weights)
    rows = graph("Shape", weights, start=0, end=1)
    shape = graph("Concat", rows, graph.constant([K, L, L]), axis=0)
    covariances = graph("Expand", answer.covariances, shape)
    weighed = graph("Mul", answer.means, graph("Unsqueeze", weights, graph.constant([2])))
    mean = graph.total(weighed, 1)
    deviation = graph("Sub", answer.means, graph("Unsqueeze", mean, graph.constant([1])))
    square = graph("Mul", *(graph("Unsqueeze", deviation, graph.constant([axis])) for axis in (2, 3)))
    spread = graph("Mul", graph("Add", covariances, square), graph("Unsqueeze", weights, graph.constant([2, 3])))
    named = {
        "weights": (weights, (K,)),
        "means": (answer.means, (K, L)),
        "covariances": (covariances, (K, L, L)),
        "mean": (mean, (L,)),
        "covariance": (graph.total(spread, 1), (L, L)),
    }
    if answer.log_density is not None:
        named["log_density"] = (answer.log_density, ())
    for name, (value, _) in named.items():
        graph.cast(value, "float32", name=name)
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *s]) for name, (_, s) in named.items()]


def store_as_half(proto: Any) -> None:
    """Store float32 constants that float16 represents exactly as float16, followed by a cast."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        half = values.astype("float16")
        if values.size >= SMALLEST_HALF and (half.astype("float32") == values).all():
            name, stored = tensor.name, f"{tensor.name}/half"
            tensor.CopyFrom(numpy_helper.from_array(half, stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def describe(proto: Any, model: DeepRegression, calibration: dict[str, Any] | None, notes: dict[str, Any]) -> None:
    """Set producer and metadata."""
    from onnx import helper

    from deepgllim import __version__

    spec = model.spec
    header = {
        "format_version": FORMAT_VERSION,
        "targets": list(spec.targets),
        "image_size": spec.image_size,
        "margin": spec.margin,
        "calibration": calibration,
        "notes": notes,
    }
    proto.producer_name, proto.producer_version = "deepgllim", __version__
    proto.graph.name = "deepgllim"
    del proto.metadata_props[:]
    helper.set_model_props(proto, {"deepgllim": json.dumps(header)})


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the log messages and warnings of the exporter."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.onnx._internal.exporter", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{error.name} is not installed, but the export needs it: pip install 'deepgllim[train]'"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
