"""The frozen stages of a network: their output for all faces and fixed copies, computed once for all trainings.

A training then runs on the stages above, its tail, from rows of that file: folds, seeds and methods differ in rows
alone. The copies are those of seed 0 for every seed.
"""

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepgllim.data import Manifest
from deepgllim.errors import DataError
from deepgllim.nn.backbones.registry import Backbone
from deepgllim.nn.config import Recipe
from deepgllim.nn.inputs import ArrayInputs, allocate, batches, fixed_copies
from deepgllim.nn.model import DeepRegression
from deepgllim.runs import build_model
from deepgllim.storage import write_atomically
from experiments.table1.convolutions import SmallMapConvolutions
from experiments.table1.features import network_inputs, prepare_crops
from experiments.table1.options import Options, faces, rows

BATCH = 32


def trunk_file(options: Options, recipe: Recipe) -> Path:
    """The file of a trunk's activations; its name tells what they depend on."""
    network, n = recipe.network, len(faces(options.source, options.quick))
    kind = f"{network.backbone}_{Path(network.weights or 'random').stem}_to_{depth_of(recipe)}"
    return options.work / "features" / f"{kind}_{recipe.data.image_size}px_{recipe.schedule.fixed_copies}copies_{n}.npy"


def depth_of(recipe: Recipe) -> int:
    """How many stages the trunk has: those that no round trains."""
    return min(recipe.network.frozen_depths)


def targets_file(options: Options, recipe: Recipe) -> Path:
    """The file of the copies' targets, which a mirror changes."""
    return trunk_file(options, recipe).with_suffix(".targets.npy")


def prepare_trunk(options: Options, recipe: Recipe) -> None:
    """Compute the activations of all faces and copies, half precision, unless the work folder holds them."""
    if trunk_file(options, recipe).is_file():
        return
    prepare_crops(options, recipe)
    whole, seedless = faces(options.source, options.quick), recipe.override({"schedule.seed": 0})
    pictures = network_inputs(options, seedless, whole, recipe.augmentation)
    inputs = fixed_copies(pictures, recipe.schedule.fixed_copies)
    write_atomically(targets_file(options, recipe), lambda place: _save(place, inputs.targets.numpy()))
    backbone = build_model(seedless, whole.targets).backbone.eval()
    write_atomically(trunk_file(options, recipe), lambda place: _fill(place, backbone, depth_of(recipe), inputs))


def _save(place: Path, values: NDArray[Any]) -> None:
    with place.open("wb") as file:
        np.save(file, values)


@torch.no_grad()
def _fill(place: Path, backbone: Backbone, depth: int, inputs: ArrayInputs) -> None:
    """Activations to a file, a batch at a time.

    Raises:
        DataError: if one of them is too large for half precision.
    """
    blocks = (backbone.begin(pixels, depth).half() for pixels, _ in batches(inputs, BATCH))
    first = next(blocks)

    def fill(values: NDArray[Any]) -> None:
        done = 0
        for block in chain([first], blocks):
            if not block.isfinite().all():
                raise DataError(f"an activation after stage {depth} is over 65504 or not finite: freeze another depth")
            values[done : done + len(block)] = block.numpy()
            done += len(block)

    allocate((len(inputs), *first.shape[1:]), np.dtype(np.float16), place, fill)


@lru_cache(maxsize=2)
def _read(path: Path) -> NDArray[Any]:
    values: NDArray[Any] = np.load(path, mmap_mode="r")
    return values


def trunk_inputs(options: Options, recipe: Recipe, part: Manifest, copies: bool = False) -> ArrayInputs:
    """The activations of some faces, float32: plain, or followed by the recipe's copies of them."""
    n, plain = len(faces(options.source, options.quick)), np.array(rows(part))
    times = 1 + recipe.schedule.fixed_copies if copies else 1
    chosen = np.concatenate([plain + copy * n for copy in range(times)])
    values = torch.from_numpy(_read(trunk_file(options, recipe))[chosen]).float()
    if copies:
        return ArrayInputs(values, torch.from_numpy(_read(targets_file(options, recipe))[chosen]))
    return ArrayInputs(values, torch.tensor(part.target_values))


def tail_model(recipe: Recipe, targets: tuple[str, ...]) -> DeepRegression:
    """A fresh model whose network is the stages above the trunk: activations in, distributions out."""
    whole, depth = build_model(recipe, targets), depth_of(recipe)
    stages = nn.Sequential(*list(whole.backbone.stages)[depth:])
    if recipe.network.backbone == "vgg16" and depth == 4:
        stages[0] = fast_block(stages[0], recipe.data.image_size // 16)
    own = whole.backbone
    tail = Backbone(
        stages, own.feature_size, head=own.head, normalisation=own.normalisation, channels_last=own.channels_last
    )
    return DeepRegression(whole.spec.model_copy(update={"backbone": "custom"}), tail)


def tail_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a training on a trunk's activations: depths are counted from there."""
    depths = [depth - depth_of(recipe) for depth in recipe.network.frozen_depths]
    return recipe.override({"network.frozen_depths": depths})


def fast_block(block: nn.Module, side: int) -> nn.Module:
    """VGG-16's fifth block with its convolutions done the quick way, on maps of a side; the weights are the same."""
    layers = list(block.children())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    if not 2 <= side <= 6:
        return block
    return nn.Sequential(SmallMapConvolutions(convolutions, side), *layers[2 * len(convolutions) :])
