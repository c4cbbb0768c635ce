"""Features of all faces that no training changes: computed once into the work folder, read by every job."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.nn.augmentation import context_size
from deepgllim.nn.backbones.registry import build_backbone
from deepgllim.nn.config import AugmentationConfig, DataConfig, Recipe
from deepgllim.nn.inputs import FaceInputs, batches, prepare_contexts
from deepgllim.runs import face_inputs
from deepgllim.storage import write_atomically
from experiments.table1.hog import SIZES, pyramid
from experiments.table1.options import Options, faces, rows

MARGIN = 1.4
Array = NDArray[np.float64]


def crops(options: Options, size: int) -> FaceInputs:
    """All faces, plain, at a size."""
    data = DataConfig(image_size=size, margin=MARGIN)
    return face_inputs(faces(options.source, options.quick), data, AugmentationConfig.off())


def hog_features(options: Options) -> NDArray[np.float32]:
    """The gradients of all faces, (N, 1888)."""
    return np.stack([pyramid(picture) for picture in crops(options, SIZES[0]).contexts])


def backbone_features(options: Options) -> NDArray[np.float32]:
    """What the frozen network, the one that others fine-tune, says of all faces, (N, D')."""
    return _frozen(options, options.backbone, options.weights, options.preprocessing)


def vgg_features(options: Options) -> NDArray[np.float32]:
    """The mean over the picture of VGG-16's last convolutions, (N, 512)."""
    assert options.vgg is not None
    return _frozen(options, "vgg16", options.vgg, "caffe")


@torch.no_grad()
def _frozen(options: Options, name: str, weights: str, preprocessing: str | None) -> NDArray[np.float32]:
    network = build_backbone(name, weights=weights, preprocessing=preprocessing).eval()
    inputs = crops(options, options.frozen_size)
    return torch.cat([network(pixels) for pixels, _ in batches(inputs, 32)]).numpy()


FEATURES = {"hog": hog_features, "backbone": backbone_features, "vgg": vgg_features}
"""Name → the function that computes them for all faces."""


def cache_of(options: Options, name: str) -> Path:
    """The file of a kind of features; its name tells what they depend on."""
    n = len(faces(options.source, options.quick))
    of_network = "" if name == "hog" else f"_{options.frozen_size}px"
    kind = f"{options.backbone}_{Path(options.weights).stem}" if name == "backbone" else name
    return options.work / "features" / f"{kind}{of_network}_{n}.npy"


def prepare(options: Options, names: set[str]) -> None:
    """Compute the features that are not in the work folder yet."""
    for name in sorted(names):
        path = cache_of(options, name)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_array(path, FEATURES[name](options))


def features(options: Options, name: str, part: Manifest) -> Array:
    """The features of some faces, (n, D), float64."""
    return np.asarray(_read(cache_of(options, name))[rows(part)], dtype=np.float64)


@lru_cache(maxsize=8)
def _read(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r")
    return values


def contexts_of(options: Options, recipe: Recipe) -> Path:
    """The file of all faces' crops with their surroundings, for augmentation."""
    side = context_size(recipe.data.image_size, recipe.augmentation)
    return options.work / "features" / f"contexts_{side}px_{len(faces(options.source, options.quick))}.npy"


def prepare_crops(options: Options, recipe: Recipe) -> None:
    """Read and crop every picture once."""
    path, manifest = contexts_of(options, recipe), faces(options.source, options.quick)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_array(path, prepare_contexts(manifest.paths, manifest.boxes, recipe.data, recipe.augmentation))


def network_inputs(
    options: Options, recipe: Recipe, part: Manifest, augmentation: AugmentationConfig | None = None
) -> FaceInputs:
    """Crops of some faces; plain where no augmentation is given."""
    contexts = _read(contexts_of(options, recipe))[rows(part)]
    targets, changes = torch.tensor(part.target_values), augmentation or AugmentationConfig.off()
    size, seed = recipe.data.image_size, recipe.schedule.seed
    return FaceInputs(contexts, targets, part.targets, size, changes, seed)


def save_array(path: Path, values: NDArray[Any]) -> None:
    """An .npy file, whole or not at all."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            np.save(file, values)

    write_atomically(path, write)
