"""One ONNX graph from pixels to the predictive distribution; its metadata say how to feed and read it.

Inputs and outputs, N free:

    pixels       (N, 3, S, S)  uint8, RGB
    weights      (N, K)        float32
    means        (N, K, L)     float32, in the targets' units
    covariances  (N, K, L, L)  float32
    mean         (N, L), covariance (N, L, L)  of the mixture, float32
    log_density  (N,)          float32, log p(x); absent where the head does not know it

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
from deepgllim.nn.export.graph import OPSET, Graph
from deepgllim.nn.export.heads import Answer, write_head
from deepgllim.nn.model import DeepRegression
from deepgllim.storage import write_atomically

FORMAT_VERSION = 1
SMALLEST_HALF = 1024
"""Entries from which a tensor is worth storing as float16."""

BACKBONE = "backbone/"
HIDDEN = "hidden"


def export_onnx(
    model: DeepRegression,
    path: Path | str,
    *,
    half_weights: bool = True,
    calibration: dict[str, Any] | None = None,
    notes: dict[str, Any] | None = None,
) -> Path:
    """Write a model's graph, whole or not at all.

    Args:
        model: a trained one that reads pictures.
        path: of the file.
        half_weights: store the weights as float16, which halves the file; the graph computes in float32 all the same,
            and agrees with `compact(model)`.
        calibration: of `deepgllim.pose.calibration.Calibration.to_json`.
        notes: anything else a reader should know: data, licence, version.

    Raises:
        ConfigurationError: a model that reads no pictures.
        ModelError: onnx or onnxscript is not installed, or the file cannot be written.

    Example:
        >>> import tempfile
        >>> from deepgllim.nn.backbones.registry import wrap_module
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
    if model.spec.image_size is None or model.spec.margin is None:
        raise ConfigurationError("this model was not trained on pictures: it has no image size to export")
    exported = compact(model) if half_weights else folded(model)
    proto = write_graph(exported)
    if half_weights:
        store_as_half(proto)
    describe(proto, model, calibration, notes or {})
    content = proto.SerializeToString()
    write_atomically(Path(path), lambda place: place.write_bytes(content), ModelError)
    return Path(path)


def folded(model: DeepRegression) -> DeepRegression:
    """A copy in evaluation mode whose batch normalisations right behind convolutions are part of these."""
    twin = copy.deepcopy(model).eval()
    for module in twin.modules():
        if isinstance(module, nn.Sequential):
            _fold(module)
    return twin


def compact(model: DeepRegression) -> DeepRegression:
    """A folded copy whose large weights have float16's values: what a file with half weights computes."""
    twin = folded(model)
    for parameter in [*twin.backbone.parameters(), *twin.projection.parameters()]:
        if parameter.numel() >= SMALLEST_HALF:
            parameter.data = parameter.data.half().to(parameter.dtype)
    return twin


def _fold(sequence: nn.Sequential) -> None:
    names = list(sequence._modules)
    for first, second in pairwise(names):
        conv, norm = sequence._modules[first], sequence._modules[second]
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None:
            assert norm.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            conv.weight, conv.bias = weight, bias
            sequence._modules[second] = nn.Identity()


def write_graph(model: DeepRegression) -> Any:
    """The model's graph as onnx writes it."""
    from onnx import compose

    size = model.spec.image_size
    pixels = torch.zeros(2, 3, size, size, dtype=torch.uint8)  # type: ignore[arg-type]
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            model.backbone.eval(),
            (pixels,),
            dynamo=True,
            verbose=False,
            input_names=["pixels"],
            output_names=[HIDDEN],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=OPSET,
        )
    assert program is not None
    proto = compose.add_prefix(program.model_proto, BACKBONE, rename_inputs=False)
    for node in proto.graph.node:
        del node.metadata_props[:]  # where in the source each came from
    del proto.graph.value_info[:]
    graph = Graph("head")
    answer = write_head(graph, model.head, _features(graph, model))
    outputs = _outputs(graph, answer, *_sizes(model))
    proto.graph.node.extend(graph.nodes)
    proto.graph.initializer.extend(graph.constants)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    return proto


def _sizes(model: DeepRegression) -> tuple[int, int]:
    """K and L."""
    with torch.no_grad():
        means = model.head(torch.zeros(1, model.n_features)).means
    return means.shape[1], means.shape[2]


def _features(graph: Graph, model: DeepRegression) -> str:
    """Projection and normalisation: x = (V h + v − m) / √(s² + ε), in float64."""
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


def _outputs(graph: Graph, answer: Answer, K: int, L: int) -> list[Any]:
    """The outputs of the graph, mean and covariance of the mixture among them."""
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
    """Constants in float32 that lose nothing as float16 become such, with a cast behind each."""
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
    """Producer and metadata."""
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


def differences(model: DeepRegression, outputs: dict[str, Tensor], pixels: Tensor) -> dict[str, float]:
    """The largest difference of each output from the model's own: absolute, for log p(x) relative where it is large.

    Args:
        model: as exported: `compact(model)`, or `folded(model)`.
        outputs: of the graph, by name.
        pixels: (N, 3, S, S).
    """
    with torch.no_grad():
        answer = model.eval()(pixels)
    truth = {
        "weights": answer.weights,
        "means": answer.means,
        "covariances": answer.covariances,
        "mean": answer.mean,
        "covariance": answer.covariance_matrix,
    }
    if answer.input_log_density is not None:
        truth["log_density"] = answer.input_log_density
    return {
        name: float(((outputs[name] - value).abs() / value.abs().clamp(min=1.0)).max()) for name, value in truth.items()
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the exporter says of itself and of packages that are not there."""
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
            f"{error.name} is not installed, and export needs it: pip install 'deepgllim[train]'"
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
