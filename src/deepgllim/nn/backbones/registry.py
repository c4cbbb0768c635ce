"""Backbones: pixels in, features out; by name or from any module, with weights, preprocessing and a frozen depth."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.backbones import weights as files
from deepgllim.nn.backbones.efficientnet import LITE0_SHA256, lite0_file_key, lite0_imagenet, lite0_stages
from deepgllim.nn.backbones.vgg import HEADS as VGG16_HEADS
from deepgllim.nn.backbones.vgg import vgg16_file_key, vgg16_stages
from deepgllim.nn.backbones.weights import PREPROCESSINGS, Preprocessing

__all__ = ["BACKBONES", "PREPROCESSINGS", "Backbone", "BackboneSpec", "Preprocessing"]
__all__ += ["build_backbone", "register_backbone", "wrap_module"]

Normalisation = Literal["frozen", "batch"]


class Backbone(nn.Module):
    """x = φ(pixels) = stages[-1](… stages[0]((pixels - mean) / std)), from (N, 3, H, W) to (N, D).

    Args:
        stages: in order of depth; the last gives (N, D).
        feature_size: D.
        name: of the table BACKBONES, or "custom".
        head: of the variants of that name.
        preprocessing: mean and standard deviation of each channel, on RGB pixels in 0..255; kept as buffers.
            None hands the inputs, of any shape, to the first stage as they are.
        normalisation: "frozen": BatchNorm layers always use their running statistics, while their scale and shift
            train as other parameters do; "batch": they follow train() and eval() where they are not frozen.
        channels_last: convert activations to this memory format, the faster one for some networks.

    Raises:
        ValueError: an unknown normalisation.

    Example:
        >>> import torch
        >>> backbone = build_backbone("efficientnet_lite0", weights=None)
        >>> backbone.freeze(6)
        >>> kept = backbone.begin(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), 6)
        >>> kept.shape, backbone.finish(kept, 6).shape
        (torch.Size([2, 192, 2, 2]), torch.Size([2, 1280]))
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        stages: nn.Sequential,
        feature_size: int,
        *,
        name: str = "custom",
        head: str = "own",
        preprocessing: Preprocessing | None = None,
        normalisation: Normalisation = "frozen",
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if normalisation not in ("frozen", "batch"):
            raise ValueError(f"normalisation is {normalisation!r}: choose 'frozen' or 'batch'")
        self.name, self.head, self.feature_size = name, head, feature_size
        self.normalisation, self.channels_last = normalisation, channels_last
        self.stages = stages
        if channels_last:
            stages.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        like = next(stages.parameters(), torch.zeros(()))
        for key, values in zip(("mean", "std"), preprocessing or (None, None), strict=True):
            self.register_buffer(key, None if values is None else like.new_tensor(values).view(3, 1, 1))
        self._depth = 0
        self.train(self.training)

    @property
    def depth(self) -> int:
        """How many stages are frozen, 0..len(stages)."""
        return self._depth

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Mean and standard deviation as the buffers hold them, rounded to their floating-point type."""
        if self.mean is None or self.std is None:
            return None
        return Preprocessing(tuple(self.mean.flatten().tolist()), tuple(self.std.flatten().tolist()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (N, 3, H, W), RGB in 0..255, integer or float → features (N, D)."""
        return self.finish(self.begin(pixels, self._depth), self._depth)

    def begin(self, pixels: Tensor, depth: int) -> Tensor:
        """Preprocessing and stages[:depth]: where these are frozen, an output that can be kept.

        Raises:
            ValueError: pixels that are not (N, 3, H, W), or a depth outside 0..len(stages).
        """
        self._check(depth)
        x = self._cast(pixels)
        if self.mean is not None and self.std is not None:
            if pixels.ndim != 4 or pixels.shape[1] != 3:
                raise ValueError(f"pixels of shape {tuple(pixels.shape)}: give (N, 3, H, W), RGB, values 0..255")
            x = (x.to(self.mean.dtype) - self.mean) / self.std
        return self._run(x, 0, depth)

    def finish(self, activations: Tensor, depth: int) -> Tensor:
        """stages[depth:], from the output of `begin` at that depth to features (N, D).

        Raises:
            ValueError: a depth outside 0..len(stages).
            ModelError: an output that is not (N, D).
        """
        self._check(depth)
        x = self._run(self._cast(activations), depth, len(self.stages))
        if x.ndim != 2 or x.shape[1] != self.feature_size:
            raise ModelError(_not_features(self.name, x, self.feature_size))
        return x

    def freeze(self, depth: int) -> None:
        """Freeze stages[:depth]: no gradients, and eval mode whatever train() says. The others are trainable.

        Raises:
            ValueError: a depth outside 0..len(stages).
        """
        self._check(depth)
        self._depth = depth
        for i, stage in enumerate(self.stages):
            stage.requires_grad_(i >= depth)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for stages[depth:], save for BatchNorm where normalisation is "frozen"."""
        super().train(mode)
        for stage in list(self.stages)[: self._depth]:
            stage.eval()
        if self.normalisation == "frozen":
            for module in self.stages.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _cast(self, x: Tensor) -> Tensor:
        """Inputs of any dtype, half precision from a cache among them, in that of the weights."""
        like = next(self.stages.parameters(), x)
        return x.to(like.dtype if like.is_floating_point() else torch.float32)

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        if self.channels_last and x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        for stage in list(self.stages)[start:stop]:
            x = stage(x)
        return x

    def _check(self, depth: int) -> None:
        if not 0 <= depth <= len(self.stages):
            raise ValueError(
                f"depth {depth} is not of {self.name}, of {len(self.stages)} stages: give 0..{len(self.stages)}"
            )


class BackboneSpec(NamedTuple):
    """How to build one of BACKBONES.

    Attributes:
        stages: head → the stages, with random weights.
        heads: head → D and the tensor whose presence in a weights file selects it; the first with none needs none.
        file_key: our name of a tensor, as in stages.state_dict() → its name in a weights file.
        preprocessing: for a weights file that names none; None where a file must.
        imagenet: finds the packaged ImageNet weights, if there are any.
        imagenet_digest: their SHA-256, if they are no safetensors file but a PyTorch state dict.
        channels_last: whether that memory format is faster.
    """

    stages: Callable[[str], nn.Sequential]
    heads: Mapping[str, tuple[int, str | None]]
    file_key: Callable[[str], str] = str
    preprocessing: str | None = None
    imagenet: Callable[[], Path] | None = None
    imagenet_digest: str | None = None
    channels_last: bool = True


BACKBONES: dict[str, BackboneSpec] = {
    "efficientnet_lite0": BackboneSpec(
        lite0_stages, {"average": (1280, None)}, lite0_file_key, "efficientnet_lite", lite0_imagenet, LITE0_SHA256
    ),
    "vgg16": BackboneSpec(vgg16_stages, VGG16_HEADS, vgg16_file_key),
}


def build_backbone(
    name: str = "efficientnet_lite0",
    *,
    weights: str | Path | None = "imagenet",
    head: str | None = None,
    preprocessing: str | Preprocessing | None = None,
    normalisation: Normalisation = "frozen",
) -> Backbone:
    """The backbone of that name, with its weights.

    Args:
        name: of BACKBONES.
        weights: "imagenet", the packaged ones; a safetensors file (half precision becomes float32); None, random (He):
            to train with normalisation="batch", or to be overwritten.
        head: of vgg16 "fc7" (D = 4096), "average" (512) or "spatial" (4608); by default what the weights hold, "fc7"
            or "average", and "fc7" if random.
        preprocessing: of the weights, where their file does not name it: of PREPROCESSINGS, or the numbers. A file
            names it by the safetensors metadata key "preprocessing", or else in FILE.json beside it, as
            {"mean": [r, g, b], "std": [r, g, b]} on pixels 0..255.
        normalisation: of BatchNorm, see Backbone.

    Raises:
        ModelError: an unknown name or head; weights that are missing, damaged, foreign, or of unknown preprocessing.
        ConfigurationError: a preprocessing that is unknown or contradicts the file's.
        ValueError: an unknown normalisation.

    Example:
        >>> build_backbone("vgg16", weights=None, head="average").feature_size
        512
    """
    spec = BACKBONES.get(name)
    if spec is None:
        raise ModelError(files.unknown("backbone", name, BACKBONES))
    if head is not None and head not in spec.heads:
        raise ModelError(files.unknown(f"head of {name}", head, spec.heads))
    if weights == "imagenet" and spec.imagenet is None:
        raise ModelError(f"no package holds ImageNet weights of {name}: give a file, see docs/backbones.md")
    if weights is None:
        head = head or next(iter(spec.heads))
        stages = spec.stages(head).apply(files.initialise)
        used = files.find_preprocessing(preprocessing or spec.preprocessing or "torchvision")
    else:
        packaged = spec.imagenet if weights == "imagenet" else None
        path = packaged() if packaged else Path(weights)
        state, named = files.read_weights(path, spec.imagenet_digest if packaged else None)
        used = files.agree(path, named, preprocessing, spec.preprocessing)
        head = head or next(key for key, (_, marker) in spec.heads.items() if marker is None or marker in state)
        with torch.device("meta"):
            stages = spec.stages(head)
        files.load_into(stages, state, spec.file_key, f"{path} as {name}")
    options: dict[str, Any] = {"normalisation": normalisation, "channels_last": spec.channels_last}
    return Backbone(stages, spec.heads[head][0], name=name, head=head, preprocessing=used, **options)


def register_backbone(name: str, spec: BackboneSpec) -> None:
    """Add a backbone to BACKBONES, so that build_backbone knows its name.

    Raises:
        ConfigurationError: the name is taken.
    """
    if name in BACKBONES or name == "custom":
        raise ConfigurationError(f"backbone name {name!r} is taken: choose another")
    BACKBONES[name] = spec


def wrap_module(
    module: nn.Module,
    feature_size: int | None = None,
    preprocessing: str | Preprocessing | None = None,
    *,
    input_size: int = 224,
    normalisation: Normalisation = "frozen",
    channels_last: bool = False,
) -> Backbone:
    """Any module that gives (N, D), as a backbone of one stage.

    Args:
        module: its own input to (N, D).
        feature_size: D; by default found in a run on zeros of (2, 3, input_size, input_size), in eval mode.
        preprocessing: of PREPROCESSINGS, or the numbers; None hands on the inputs, of any shape, as they are.
        input_size: side of the zeros, in pixels; normalisation and channels_last as for Backbone.

    Raises:
        ModelError: the run fails, or its output is not (N, D).

    Example:
        >>> wrap_module(nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()), preprocessing="torchvision").feature_size
        48
    """
    used = None if preprocessing is None else files.find_preprocessing(preprocessing)
    D = _measure(module, input_size) if feature_size is None else feature_size
    options: dict[str, Any] = {"normalisation": normalisation, "channels_last": channels_last}
    return Backbone(nn.Sequential(module), D, preprocessing=used, **options)


def _measure(module: nn.Module, side: int) -> int:
    zeros = next(module.parameters(), torch.zeros(())).new_zeros(2, 3, side, side)
    modes = {part: part.training for part in module.modules()}
    try:
        with torch.no_grad():
            output = module.eval()(zeros)
    except (RuntimeError, ValueError, TypeError) as error:
        cause = str(error).partition("\n")[0]
        raise ModelError(f"module fails at {side} × {side} px ({cause}): give input_size or feature_size") from error
    finally:
        for part, mode in modes.items():
            part.training = mode
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != 2:
        raise ModelError(_not_features(type(module).__name__, output))
    return output.shape[1]


def _not_features(name: str, output: object, size: int | str = "D") -> str:
    shown = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    return f"backbone {name} gave {shown}, not (N, {size}): end it with pooling and nn.Flatten(), or set feature_size"
