"""The deep model: backbone, projection, normalisation, head; and its file, safetensors with a JSON header."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator
from torch import Tensor, nn

from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.errors import DeepGLLiMError, ModelError
from deepgllim.geometry.names import present_names
from deepgllim.nn.backbones.registry import Backbone, build_backbone
from deepgllim.nn.head import HEADS, Head
from deepgllim.storage import read_header, read_tensors, write_tensors

FORMAT_VERSION = 1

TARGET_TENSORS = {
    "inverse_regression": "head.c",
    "least_squares": "head.target_mean",
    "mixture_density": "head.target_mean",
}
"""Of each head, the tensor whose last axis counts the targets, L."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class BackboneOptions(BaseModel):
    """What `build_backbone` is called with for the backbone of a model's file."""

    model_config = ConfigDict(extra="forbid")

    head: str | None = None
    preprocessing: str | None = None
    normalisation: Literal["frozen", "batch"] = "frozen"


class ModelSpec(BaseModel):
    """What must be known to build the model again and to feed it: the JSON in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format_version: int = FORMAT_VERSION
    backbone: str
    backbone_options: dict[str, Any] = {}
    projection: Annotated[int, Field(ge=1, strict=True)] | None
    affine_norm: bool = False
    head: Literal["inverse_regression", "least_squares", "mixture_density"]
    targets: Annotated[tuple[Name, ...], Field(min_length=1)]
    image_size: Annotated[int, Field(ge=1, le=4096, strict=True)] | None = None
    margin: Annotated[float, Field(ge=0.1, le=10)] | None = None
    notes: dict[str, Any] = {}

    @field_validator("targets")
    @classmethod
    def _each_once(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(targets)) < len(targets) or not all(map(str.isprintable, targets)):
            raise ValueError("targets are printable names, each once")
        return targets


class DeepRegression(nn.Module):
    """p(y | image) = head(norm(V φ(image) + v)): features x of D dimensions and unit variance, then the head.

    Args:
        spec: names, sizes, targets.
        backbone: φ, pixels to (N, D').

    Example:
        >>> import torch
        >>> from deepgllim.nn.backbones.registry import wrap_module
        >>> spec = ModelSpec(backbone="custom", projection=4, head="inverse_regression", targets=("pitch", "yaw"))
        >>> model = DeepRegression(spec, wrap_module(torch.nn.Linear(6, 8), feature_size=8)).eval()
        >>> model(torch.randn(3, 6)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(self, spec: ModelSpec, backbone: Backbone) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.projection: nn.Module
        self.head: Head
        self.resize(spec.projection)

    def resize(self, projection: int | None) -> None:
        """Set the number of features after the projection, D, with a fresh projection, normalisation and head."""
        self.spec = self.spec.model_copy(update={"projection": projection})
        self.projection = nn.Identity() if projection is None else nn.Linear(self.backbone.feature_size, projection)
        self.normalisation = nn.BatchNorm1d(self.n_features, affine=self.spec.affine_norm)
        self.head = HEADS[self.spec.head](self.n_features, len(self.spec.targets))

    @property
    def n_features(self) -> int:
        """D."""
        return self.spec.projection or self.backbone.feature_size

    def project(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """The features before normalisation, (N, D), from pixels, or from a stage's output when `depth` is given."""
        hidden = self.backbone(inputs) if depth is None else self.backbone.finish(inputs, depth)
        projected: Tensor = self.projection(hidden)
        return projected

    def features(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """x, (N, D), float32."""
        normalised: Tensor = self.normalisation(self.project(inputs, depth))
        return normalised

    def forward(self, inputs: Tensor) -> MultivariateGaussianMixture:
        """p(y | image) for pixels (N, 3, H, W)."""
        distribution: MultivariateGaussianMixture = self.head(self.features(inputs))
        return distribution

    def save(self, path: Path | str) -> None:
        """Write the model to one file, whole or not at all."""
        write_tensors(Path(path), self.state_dict(), {"deepgllim": self.spec.model_dump_json()})


def read_spec(path: Path | str, metadata: dict[str, str]) -> ModelSpec:
    """The specification in a model file's header.

    Raises:
        ModelError: if there is none, it is of a newer version, or an entry is out of its range.
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
    """A model from its file, in evaluation mode.

    Args:
        path: of the file that `DeepRegression.save` wrote.
        backbone: needed where the model's own was not one of the named ones.

    Raises:
        ModelError: if the file is missing, cut short, foreign, of a newer version, holds numbers that are not finite,
            or does not fit its header or the backbone.
    """
    tensors, metadata = read_tensors(path)
    spec = read_spec(path, metadata)
    _check_numbers(path, tensors)
    _check_sizes(path, spec, tensors)
    if backbone is None:
        if spec.backbone == "custom":
            raise ModelError(f"{path}: its backbone is a module of your own: pass it as load_model(path, backbone=…)")
        backbone = build_backbone(spec.backbone, weights=None, **spec.backbone_options)
    model = DeepRegression(spec, backbone)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise _misfit(path, spec, str(error).splitlines()[-1].strip()) from None
    _check_head(path, model.eval())
    return model


def _check_numbers(path: Path | str, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_complex() or not bool(torch.isfinite(tensor).all()):
            kind = "complex" if tensor.is_complex() else "not finite"
            raise ModelError(f"{path}: its tensor {name} is {kind}: copy the file again, or train it again")


def _check_sizes(path: Path | str, spec: ModelSpec, tensors: dict[str, Tensor]) -> None:
    """Compare the header's sizes with those of the tensors, before anything of these sizes is made."""
    wanted = {TARGET_TENSORS[spec.head]: (-1, len(spec.targets), f"{len(spec.targets)} targets")}
    if spec.projection is not None:
        wanted["projection.weight"] = (0, spec.projection, f"a projection to {spec.projection} features")
    for name, (axis, size, header) in wanted.items():
        shape = tuple(tensors[name].shape) if name in tensors else ()
        if not shape or shape[axis] != size:
            found = f"{name} of shape {shape}" if shape else f"no {name}"
            raise _misfit(path, spec, f"its header says {header}, and it holds {found}")


def _check_head(path: Path | str, model: DeepRegression) -> None:
    """Let the head answer once: parameters of one shape may not be those of a distribution."""
    try:
        with torch.no_grad():
            answer = model.head(torch.zeros(1, model.n_features))
            found = torch.cat([answer.mean.flatten(), answer.covariance_matrix.flatten()])
    except (RuntimeError, ValueError, IndexError, DeepGLLiMError) as error:
        cause = str(error).splitlines()[0]
        raise ModelError(f"{path}: its head is that of no distribution ({cause}): train it again") from None
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"{path}: its head gives numbers that are not finite: train it again")


def _misfit(path: Path | str, spec: ModelSpec, cause: str) -> ModelError:
    return ModelError(f"{path}: its weights do not fit {spec.backbone}: {cause}: train it again")
