"""The deep model, of backbone, projection, normalisation and head, and the header of its file."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from torch import Tensor, nn

from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.nn.backbones import Backbone
from deepgllim.nn.head import HEADS, Head
from deepgllim.nn.map_density import MapDensity, pooled_statistics
from deepgllim.storage import write_tensors

FORMAT_VERSION = 1

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class BackboneOptions(BaseModel):
    """The options in a model file with which `build_backbone` is called."""

    model_config = ConfigDict(extra="forbid")

    head: str | None = None
    preprocessing: str | None = None
    normalisation: Literal["frozen", "batch"] = "frozen"


class ModelSpec(BaseModel):
    """The JSON header of a model file: what is needed to build the model and to prepare its inputs."""

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
    density_depth: Annotated[int, Field(ge=0, strict=True)] | None = None
    notes: dict[str, Any] = {}

    @field_validator("targets")
    @classmethod
    def _each_once(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(targets)) < len(targets) or not all(map(str.isprintable, targets)):
            raise ValueError("targets are printable names without duplicates")
        return targets


class Encoding(NamedTuple):
    """The inputs of the head and of the density of maps, for N pictures.

    Attributes:
        features: x, (N, D), float32.
        statistics: m, means and standard deviations of feature maps, (N, M), float64; None for a model without a
            density of maps.
    """

    features: Tensor
    statistics: Tensor | None


class DeepRegression(nn.Module):
    """A deep regression: p(y | image) = head(norm(V φ(image) + v)).

    The head reads D features x of unit variance. A model may have a density of the maps of an early stage, which is
    added to log p(x): `maps`, with `spec.density_depth` stages before it.

    Args:
        spec: names of the parts, sizes, targets.
        backbone: φ, which maps pixels to (N, D').

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
        self.maps: MapDensity | None = None
        self.resize(spec.projection)

    def resize(self, projection: int | None) -> None:
        """Set the number of features after the projection, D, and reset projection, normalisation and head."""
        network, last = self._devices()
        self.spec = self.spec.model_copy(update={"projection": projection})
        self.projection = nn.Identity() if projection is None else nn.Linear(self.backbone.feature_size, projection)
        self.normalisation = nn.BatchNorm1d(self.n_features, affine=self.spec.affine_norm)
        self.head = HEADS[self.spec.head](self.n_features, len(self.spec.targets))
        self.projection.to(network)
        self.normalisation.to(network)
        self.head.to(last)

    def _devices(self) -> tuple[torch.device, torch.device]:
        """Return the devices of normalisation and head; that of the backbone before they exist."""
        if "head" not in self._modules:
            first = next(self.backbone.parameters(), torch.zeros(())).device
            return first, first
        assert self.normalisation.running_mean is not None
        return self.normalisation.running_mean.device, self.head.covariance_scale.device

    @property
    def n_features(self) -> int:
        """The number of features that the head reads, D."""
        return self.spec.projection or self.backbone.feature_size

    def project(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Return the features before normalisation, (N, D), from pixels or the output of `depth` backbone stages."""
        hidden = self.backbone(inputs) if depth is None else self.backbone.finish(inputs, depth)
        projected: Tensor = self.projection(hidden)
        return projected

    def features(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Return the features x, (N, D), float32, from pixels or from the output of `depth` backbone stages."""
        normalised: Tensor = self.normalisation(self.project(inputs, depth))
        return normalised

    def set_map_density(self, density: MapDensity | None, depth: int | None = None) -> None:
        """Set the density of the output of `depth` backbone stages, which is added to log p(x); None removes it.

        Raises:
            ValueError: if only one of the two arguments is given.
        """
        if (density is None) != (depth is None):
            raise ValueError(f"a density of maps needs the number of stages, depth, but depth is {depth}")
        self.maps = density
        self.spec = self.spec.model_copy(update={"density_depth": None if density is None else depth})

    def statistics(self, inputs: Tensor, density_depth: int, depth: int | None = None) -> Tensor:
        """Return the statistics m of the output of `density_depth` stages, (N, M), float64.

        Args:
            inputs: pixels, or the output of `depth` backbone stages.
            density_depth: number of stages.
            depth: number of stages whose output the inputs are, at most `density_depth`; None for pixels.
        """
        return pooled_statistics([self.stage_output(inputs, density_depth, depth)])

    def encode(self, inputs: Tensor, depth: int | None = None) -> Encoding:
        """Return features and statistics from pixels, or from the output of `depth` backbone stages."""
        stop = self.spec.density_depth
        if self.maps is None or stop is None:
            return Encoding(self.features(inputs, depth), None)
        maps = self.stage_output(inputs, stop, depth)
        statistics = pooled_statistics([maps])  # first: the next stage may overwrite the maps
        return Encoding(self.features(maps, stop), statistics)

    def stage_output(self, inputs: Tensor, stop: int, depth: int | None = None) -> Tensor:
        """Return the output of the first `stop` backbone stages from pixels, or from that of `depth` stages."""
        if depth is None:
            return self.backbone.begin(inputs, stop)
        return self.backbone.between(inputs, depth, stop)

    def predict(self, encoding: Encoding) -> MultivariateGaussianMixture:
        """Return p(y | image) of encoded inputs; its `input_log_density` includes that of the maps."""
        distribution: MultivariateGaussianMixture = self.head(encoding.features)
        if self.maps is not None and encoding.statistics is not None and distribution.input_log_density is not None:
            added = self.maps(encoding.statistics)
            distribution.input_log_density = distribution.input_log_density + added.to(distribution.input_log_density)
        return distribution

    def forward(self, inputs: Tensor) -> MultivariateGaussianMixture:
        """Return p(y | image) for pixels (N, 3, H, W)."""
        return self.predict(self.encode(inputs))

    def save(self, path: Path | str) -> None:
        """Write the model to one file, atomically."""
        write_tensors(Path(path), self.state_dict(), {"deepgllim": self.spec.model_dump_json()})
