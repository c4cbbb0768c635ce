"""The deep model: backbone, projection, normalisation, head; and its file, safetensors with a JSON header."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.errors import ModelError
from deepgllim.nn.backbones import Backbone, build_backbone
from deepgllim.nn.head import HEADS, Head
from deepgllim.storage import read_header, read_tensors, write_tensors

FORMAT_VERSION = 1


class ModelSpec(BaseModel):
    """What must be known to build the model again and to feed it: the JSON in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format_version: int = FORMAT_VERSION
    backbone: str
    backbone_options: dict[str, Any] = {}
    projection: int | None
    affine_norm: bool = False
    head: Literal["inverse_regression", "least_squares", "mixture_density"]
    targets: tuple[str, ...]
    image_size: int | None = None
    margin: float | None = None
    notes: dict[str, Any] = {}


class DeepRegression(nn.Module):
    """p(y | image) = head(norm(V φ(image) + v)): features x of D dimensions and unit variance, then the head.

    Args:
        spec: names, sizes, targets.
        backbone: φ, pixels to (N, D').

    Example:
        >>> import torch
        >>> from deepgllim.nn.backbones import wrap_module
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
        ModelError: if there is none, or it is of a newer version.
    """
    values = read_header(path, metadata, "deepgllim", FORMAT_VERSION, "train one with `deepgllim train`")
    try:
        return ModelSpec.model_validate(values)
    except ValidationError as error:
        raise ModelError(f"{path}: its header is not a model's ({error.errors()[0]['msg']}): train it again") from None


def load_model(path: Path | str, backbone: Backbone | None = None) -> DeepRegression:
    """A model from its file, in evaluation mode.

    Args:
        path: of the file that `DeepRegression.save` wrote.
        backbone: needed where the model's own was not one of the named ones.

    Raises:
        ModelError: if the file is missing, cut short, foreign, of a newer version, or does not fit the backbone.
    """
    tensors, metadata = read_tensors(path)
    spec = read_spec(path, metadata)
    if backbone is None:
        if spec.backbone == "custom":
            raise ModelError(f"{path}: its backbone is a module of your own: pass it as load_model(path, backbone=…)")
        backbone = build_backbone(spec.backbone, weights=None, **spec.backbone_options)
    model = DeepRegression(spec, backbone)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(
            f"{path}: its weights do not fit {spec.backbone}: {str(error).splitlines()[-1].strip()}"
        ) from None
    return model.eval()
