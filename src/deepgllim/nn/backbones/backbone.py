"""A backbone: stages from pixels to features, with preprocessing, freezing by stage and a split at any stage."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepgllim.errors import ModelError
from deepgllim.nn.backbones.weights import Preprocessing, find_preprocessing

Normalisation = Literal["frozen", "batch"]


class Backbone(nn.Module):
    """Network φ: `x = stages[-1](… stages[0]((pixels - mean) / std))`, from (N, 3, H, W) to (N, D).

    Args:
        stages: stages in order of depth; the output of the last is (N, D).
        feature_size: number of features, D.
        name: name in BACKBONES, or "custom".
        head: name of the variant of the last stages.
        preprocessing: mean and standard deviation of each channel, for RGB pixels in 0..255; saved as buffers. If None,
            inputs of any shape are passed to the first stage unchanged.
        normalisation: "frozen": BatchNorm layers always use their running statistics, and their scale and shift are
            trained; "batch": BatchNorm layers that are not frozen follow train() and eval().
        channels_last: convert activations to this memory format, which is faster for some networks.

    Raises:
        ValueError: if the normalisation is unknown.

    Example:
        >>> from deepgllim.nn import build_backbone
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
        """Number of frozen stages, 0..len(stages)."""
        return self._depth

    @property
    def preprocessing(self) -> Preprocessing | None:
        """Mean and standard deviation in the buffers, in their floating-point precision."""
        if self.mean is None or self.std is None:
            return None
        return Preprocessing(tuple(self.mean.flatten().tolist()), tuple(self.std.flatten().tolist()))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (N, 3, H, W), RGB in 0..255, integer or float, to features (N, D)."""
        return self.finish(self.begin(pixels, self._depth), self._depth)

    def begin(self, pixels: Tensor, depth: int) -> Tensor:
        """Return the output of preprocessing and stages[:depth], which can be cached if these are frozen.

        Raises:
            ValueError: if the pixels are not (N, 3, H, W), or the depth is outside 0..len(stages).
        """
        self._check(depth)
        x = self._cast(pixels)
        if self.mean is not None and self.std is not None:
            if pixels.ndim != 4 or pixels.shape[1] != 3:
                raise ValueError(f"pixels of shape {tuple(pixels.shape)}: give (N, 3, H, W), RGB, values 0..255")
            x = (x.to(self.mean.dtype) - self.mean) / self.std
        return self._run(x, 0, depth)

    def finish(self, activations: Tensor, depth: int) -> Tensor:
        """Map the output of `begin` at a depth to features (N, D), by stages[depth:].

        Raises:
            ValueError: if the depth is outside 0..len(stages).
            ModelError: if the output is not (N, D).
        """
        self._check(depth)
        x = self._run(self._cast(activations), depth, len(self.stages))
        if x.ndim != 2 or x.shape[1] != self.feature_size:
            raise ModelError(_not_features(self.name, x, self.feature_size))
        return x

    def between(self, activations: Tensor, depth: int, stop: int) -> Tensor:
        """Map the output of `begin` at a depth to that of `begin` at another, larger depth.

        Raises:
            ValueError: if a depth is outside 0..len(stages), or the second is smaller.
        """
        self._check(depth)
        self._check(stop)
        if stop < depth:
            raise ValueError(f"the output of {stop} stages cannot be computed from that of {depth}")
        return self._run(self._cast(activations), depth, stop)

    def freeze(self, depth: int) -> None:
        """Freeze stages[:depth]: no gradients, and always evaluation mode. The other stages are trainable.

        Raises:
            ValueError: if the depth is outside 0..len(stages).
        """
        self._check(depth)
        self._depth = depth
        for i, stage in enumerate(self.stages):
            stage.requires_grad_(i >= depth)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Set the mode of stages[depth:], except of BatchNorm layers if the normalisation is "frozen"."""
        super().train(mode)
        for stage in list(self.stages)[: self._depth]:
            stage.eval()
        if self.normalisation == "frozen":
            for module in self.stages.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _cast(self, x: Tensor) -> Tensor:
        """Return inputs of any dtype in that of the weights."""
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
                f"depth {depth} is invalid for {self.name} with {len(self.stages)} stages: give 0..{len(self.stages)}"
            )


def wrap_module(
    module: nn.Module,
    feature_size: int | None = None,
    preprocessing: str | Preprocessing | None = None,
    *,
    input_size: int = 224,
    normalisation: Normalisation = "frozen",
    channels_last: bool = False,
) -> Backbone:
    """Return a backbone of one stage from any module whose output is (N, D).

    Args:
        module: the module.
        feature_size: number of features, D. By default it is determined from the output for zeros of shape
            (2, 3, input_size, input_size), in evaluation mode.
        preprocessing: name in PREPROCESSINGS, or the numbers. If None, inputs of any shape are passed on unchanged.
        input_size: side of the zeros in pixels.
        normalisation: mode of BatchNorm, see `Backbone`.
        channels_last: memory format, see `Backbone`.

    Raises:
        ModelError: if the module fails on the zeros, or its output is not (N, D).

    Example:
        >>> wrap_module(nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten()), preprocessing="torchvision").feature_size
        48
    """
    used = None if preprocessing is None else find_preprocessing(preprocessing)
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
