"""Fixed features and crops of all faces, computed once into the work folder and read by all jobs."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.nn import AugmentationConfig, DataConfig, FaceInputs, Recipe, build_backbone, prepare_contexts
from deepgllim.nn.augmentation import context_size
from deepgllim.nn.batches import batches
from deepgllim.runs import face_inputs
from deepgllim.storage import write_atomically
from experiments.table1.hog import SIZES, pyramid
from experiments.table1.options import Options, faces, rows

MARGIN = 1.4
Array = NDArray[np.float64]


def crops(options: Options, size: int) -> FaceInputs:
    """Return the crops of all faces at a size, without augmentation."""
    data = DataConfig(image_size=size, margin=MARGIN)
    return face_inputs(faces(options.source, options.quick), data, AugmentationConfig.off())


def hog_features(options: Options) -> NDArray[np.float32]:
    """Return the histograms of gradients of all faces, (N, 1888)."""
    return np.stack([pyramid(picture) for picture in crops(options, SIZES[0]).contexts])


def backbone_features(options: Options) -> NDArray[np.float32]:
    """Return the features of all faces by the frozen network that other rows fine-tune, (N, D')."""
    return _frozen(options, options.backbone, options.weights, options.preprocessing)


def vgg_features(options: Options) -> NDArray[np.float32]:
    """Return the output of the last convolution of VGG-16, averaged over the picture, (N, 512)."""
    assert options.vgg is not None
    return _frozen(options, "vgg16", options.vgg, "caffe")


@torch.no_grad()
def _frozen(options: Options, name: str, weights: str, preprocessing: str | None) -> NDArray[np.float32]:
    network = build_backbone(name, weights=weights, preprocessing=preprocessing).eval()
    inputs = crops(options, options.frozen_size)
    return torch.cat([network(pixels) for pixels, _ in batches(inputs, 32)]).numpy()


FEATURES = {"hog": hog_features, "backbone": backbone_features, "vgg": vgg_features}
"""Functions that compute features of all faces, by name."""


def cache_of(options: Options, name: str) -> Path:
    """Return the path of features; its name contains all that the features depend on."""
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
    """Return the features of the given faces, (n, D), float64."""
    return np.asarray(read_array(cache_of(options, name))[rows(part)], dtype=np.float64)


@lru_cache(maxsize=8)
def read_array(path: Path) -> NDArray[Any]:
    """Return the array of an .npy file as a memory map; the last eight stay open."""
    values: NDArray[Any] = np.load(path, mmap_mode="r")
    return values


def contexts_of(options: Options, recipe: Recipe) -> Path:
    """Return the path of the crops of all faces, with the surroundings that the augmentation needs."""
    side = context_size(recipe.data.image_size, recipe.augmentation)
    return options.work / "features" / f"contexts_{side}px_{len(faces(options.source, options.quick))}.npy"


def prepare_crops(options: Options, recipe: Recipe) -> None:
    """Write the crops of all faces, unless the file exists."""
    path, manifest = contexts_of(options, recipe), faces(options.source, options.quick)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_array(path, prepare_contexts(manifest.paths, manifest.boxes, recipe.data, recipe.augmentation))


def network_inputs(
    options: Options, recipe: Recipe, part: Manifest, augmentation: AugmentationConfig | None = None
) -> FaceInputs:
    """Return the crops of the given faces, without augmentation by default."""
    contexts = read_array(contexts_of(options, recipe))[rows(part)]
    targets, changes = torch.tensor(part.target_values), augmentation or AugmentationConfig.off()
    size, seed = recipe.data.image_size, recipe.schedule.seed
    return FaceInputs(contexts, targets, part.targets, size, changes, seed)


def save_array(path: Path, values: NDArray[Any]) -> None:
    """Write an .npy file, atomically."""

    def write(place: Path) -> None:
        with place.open("wb") as file:
            np.save(file, values)

    write_atomically(path, write)
