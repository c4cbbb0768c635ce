"""The file of a deep model, safetensors with a JSON header: reading it, with checks before any memory is allocated."""

from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from deepgllim.errors import DeepGLLiMError, ModelError
from deepgllim.geometry.names import present_names
from deepgllim.nn.backbones import Backbone, build_backbone
from deepgllim.nn.map_density import MapDensity
from deepgllim.nn.model import FORMAT_VERSION, BackboneOptions, DeepRegression, ModelSpec
from deepgllim.storage import read_header, read_tensors

TARGET_TENSORS = {
    "inverse_regression": "head.c",
    "least_squares": "head.target_mean",
    "mixture_density": "head.target_mean",
}
"""For each head, the name of a tensor whose last axis has the length L."""


def read_spec(path: Path | str, metadata: dict[str, str]) -> ModelSpec:
    """Return the specification in the header of a model file.

    Raises:
        ModelError: if there is none, it has a newer format, or an entry is out of range.
    """
    values = read_header(path, metadata, "deepgllim", FORMAT_VERSION, "train one with `deepgllim train`")
    try:
        spec = ModelSpec.model_validate(values)
        BackboneOptions.model_validate(spec.backbone_options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:60]
        raise ModelError(f"{path}: its header is not a model's ({place}: {first['msg']}): train it again") from None
    return spec.model_copy(update={"targets": present_names(spec.targets)})


def load_model(path: Path | str, backbone: Backbone | None = None) -> DeepRegression:
    """Read a model from a file; it is in evaluation mode.

    Args:
        path: file that `DeepRegression.save` wrote.
        backbone: backbone of the model, if it is not one that `build_backbone` can build.

    Raises:
        ModelError: if the file is missing, truncated, of another kind or of a newer format, if it has numbers that are
            not finite, or if it does not fit its header or the backbone.
    """
    if Path(path).suffix == ".onnx":
        raise ModelError(
            f"{path} is an exported model: give the .safetensors file from which it was exported; exported models are "
            "used by predict, calibrate and doctor"
        )
    tensors, metadata = read_tensors(path)
    spec = read_spec(path, metadata)
    _check_numbers(path, tensors)
    _check_sizes(path, spec, tensors)
    if backbone is None:
        if spec.backbone == "custom":
            raise ModelError(f"{path}: its backbone is a custom module: pass it as load_model(path, backbone=…)")
        backbone = build_backbone(spec.backbone, weights=None, **spec.backbone_options)
    model = DeepRegression(spec, backbone)
    if spec.density_depth is not None:
        if spec.density_depth > len(backbone.stages):
            raise _misfit(path, spec, f"its density is of {spec.density_depth} stages of {len(backbone.stages)}")
        model.set_map_density(MapDensity(len(tensors["maps.mean"])), spec.density_depth)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _misfit(path, spec, str(error).splitlines()[-1].strip()) from None
    _check_head(path, model.eval())
    _check_maps(path, model)
    return model


def _check_numbers(path: Path | str, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_complex() or not bool(torch.isfinite(tensor).all()):
            kind = "complex" if tensor.is_complex() else "not finite"
            raise ModelError(f"{path}: its tensor {name} is {kind}: copy the file again, or train it again")


def _check_sizes(path: Path | str, spec: ModelSpec, tensors: dict[str, Tensor]) -> None:
    """Compare the sizes in the header with those of the tensors, before memory of these sizes is allocated."""
    wanted = {TARGET_TENSORS[spec.head]: (-1, len(spec.targets), f"{len(spec.targets)} targets")}
    if spec.projection is not None:
        wanted["projection.weight"] = (0, spec.projection, f"a projection to {spec.projection} features")
    for name, (axis, size, header) in wanted.items():
        shape = tuple(tensors[name].shape) if name in tensors else ()
        if not shape or shape[axis] != size:
            found = f"{name} of shape {shape}" if shape else f"no {name}"
            raise _misfit(path, spec, f"its header has {header}, but the file has {found}")
    if spec.density_depth is not None:
        _check_density(path, spec, tensors)


def _check_density(path: Path | str, spec: ModelSpec, tensors: dict[str, Tensor]) -> None:
    """Check that the file has a density of maps, of M > 0 statistics, and a head to whose log p(x) it is added."""
    header = f"its header has a density of the maps of {spec.density_depth} stages"
    if spec.head != "inverse_regression":
        raise _misfit(path, spec, f"{header}, but {spec.head} provides no log p(x)")
    size = tensors["maps.mean"].numel() if "maps.mean" in tensors else 0
    for name, shape in (("maps.mean", (size,)), ("maps.whitening", (size, size)), ("maps.constant", ())):
        found = f"{name} of shape {tuple(tensors[name].shape)}" if name in tensors else f"no {name}"
        if name not in tensors or tensors[name].shape != shape or size == 0:
            raise _misfit(path, spec, f"{header}, but the file has {found}")
    if not bool((tensors["maps.whitening"].diagonal() > 0).all()):
        raise _misfit(path, spec, f"{header}, but maps.whitening has no positive diagonal")


def _check_head(path: Path | str, model: DeepRegression) -> None:
    """Check that the head predicts a distribution: parameters of the right shape may be invalid."""
    try:
        with torch.no_grad():
            answer = model.head(torch.zeros(1, model.n_features))
            found = torch.cat([answer.mean.flatten(), answer.covariance_matrix.flatten()])
    except (RuntimeError, ValueError, IndexError, DeepGLLiMError) as error:
        cause = str(error).splitlines()[0]
        raise ModelError(f"{path}: its head gives no distribution ({cause}): train it again") from None
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"{path}: its head gives numbers that are not finite: train it again")


@torch.no_grad()
def _check_maps(path: Path | str, model: DeepRegression) -> None:
    """Check that the maps of a model of pictures have as many statistics as their density."""
    depth, size = model.spec.density_depth, model.spec.image_size
    if model.maps is None or depth is None or size is None or model.spec.backbone == "custom":
        return
    try:
        model.maps(model.statistics(torch.zeros(1, 3, size, size, dtype=torch.uint8), depth))
    except (RuntimeError, ValueError, ModelError) as error:
        raise _misfit(path, model.spec, str(error).splitlines()[0]) from None


def _misfit(path: Path | str, spec: ModelSpec, cause: str) -> ModelError:
    return ModelError(f"{path}: its weights do not fit {spec.backbone}: {cause}: train it again")
