"""The output of the trunk for all faces and their fixed copies, in one file that all trainings read.

Folds, seeds and methods use different rows of the file. The copies are those of seed 0 for every seed.
"""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.data import Manifest
from deepgllim.errors import DataError
from deepgllim.nn import ArrayInputs, Backbone, Recipe, fixed_copies
from deepgllim.nn.inputs import allocate
from deepgllim.runs import build_model
from deepgllim.storage import write_atomically
from experiments.table1.features import network_inputs, prepare_crops, read_array, save_array
from experiments.table1.options import Options, faces, rows
from experiments.trunk import activations, trunk_depth

BATCH_SIZE = 32


def trunk_file(options: Options, recipe: Recipe) -> Path:
    """Return the path of the output of the trunk; its name contains all that the output depends on."""
    network, n = recipe.network, len(faces(options.source, options.quick))
    kind = f"{network.backbone}_{Path(network.weights or 'random').stem}_to_{trunk_depth(recipe)}"
    return options.work / "features" / f"{kind}_{recipe.data.image_size}px_{recipe.schedule.fixed_copies}copies_{n}.npy"


def targets_file(options: Options, recipe: Recipe) -> Path:
    """Return the path of the targets of faces and copies; mirrored copies have other targets."""
    return trunk_file(options, recipe).with_suffix(".targets.npy")


def prepare_trunk(options: Options, recipe: Recipe) -> None:
    """Write the output of the trunk for all faces and copies, in half precision, unless the file exists."""
    if trunk_file(options, recipe).is_file():
        return
    prepare_crops(options, recipe)
    whole, seedless = faces(options.source, options.quick), recipe.override({"schedule.seed": 0})
    pictures = network_inputs(options, seedless, whole, recipe.augmentation)
    inputs = fixed_copies(pictures, recipe.schedule.fixed_copies)
    save_array(targets_file(options, recipe), inputs.targets.numpy())
    backbone = build_model(seedless, whole.targets).backbone.eval()
    write_atomically(trunk_file(options, recipe), lambda place: _write(place, backbone, trunk_depth(recipe), inputs))


def _write(place: Path, backbone: Backbone, depth: int, inputs: ArrayInputs) -> None:
    """Write the activations batch by batch; raise a DataError if half precision cannot represent one of them."""
    blocks = (block.half() for block in activations(backbone, depth, inputs, BATCH_SIZE))
    first = next(blocks)

    def fill(values: NDArray[Any]) -> None:
        done = 0
        for block in chain([first], blocks):
            if not block.isfinite().all():
                raise DataError(f"an activation after stage {depth} is over 65504 or not finite: freeze another depth")
            values[done : done + len(block)] = block.numpy()
            done += len(block)

    allocate((len(inputs), *first.shape[1:]), np.dtype(np.float16), place, fill)


def trunk_inputs(options: Options, recipe: Recipe, part: Manifest, copies: bool = False) -> ArrayInputs:
    """Return the output of the trunk for some faces, float32; with `copies`, followed by that for their copies."""
    n, plain = len(faces(options.source, options.quick)), np.array(rows(part))
    times = 1 + recipe.schedule.fixed_copies if copies else 1
    chosen = np.concatenate([plain + copy * n for copy in range(times)])
    values = torch.from_numpy(read_array(trunk_file(options, recipe))[chosen]).float()
    if copies:
        return ArrayInputs(values, torch.from_numpy(read_array(targets_file(options, recipe))[chosen]))
    return ArrayInputs(values, torch.tensor(part.target_values))
