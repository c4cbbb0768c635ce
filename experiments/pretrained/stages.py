"""The output of the frozen stages for faces in several versions, computed once for all trainings that use them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepgllim.data import Manifest
from deepgllim.nn import DeepRegression, Recipe, cache_activations
from deepgllim.runs import training_inputs

ACTIVATIONS, TARGETS = "activations.npy", "targets.npy"


class StageOutput:
    """Inputs of a training: the output of frozen stages for N versions of faces, in one or several arrays.

    Args:
        arrays: output of the stages, each (M, C, H, W).
        rows: number of the array and row in it for each input, (N, 2).
        faces: number of the face of each input, (N,); the versions of a face have the same number.
        targets: y, (N, L).
    """

    augmented = False

    def __init__(
        self, arrays: list[NDArray[np.generic]], rows: NDArray[np.intp], faces: NDArray[np.intp], targets: Tensor
    ):
        self.arrays, self.rows, self.faces, self.targets = arrays, rows, faces, targets

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, address: tuple[int, int | None]) -> tuple[Tensor, Tensor]:
        array, row = self.rows[address[0]]
        return torch.from_numpy(np.array(self.arrays[array][row])), self.targets[address[0]]

    def of_faces(self, mask: NDArray[np.bool_]) -> "StageOutput":
        """Return the versions of the faces of a mask."""
        kept = np.asarray(mask)[self.faces]
        return StageOutput(self.arrays, self.rows[kept], self.faces[kept], self.targets[torch.from_numpy(kept)])


def joined_output(parts: list[StageOutput]) -> StageOutput:
    """Return the inputs of several parts, whose faces are numbered one after another."""
    arrays: list[NDArray[np.generic]] = []
    rows, faces, n_faces = [], [], 0
    for part in parts:
        rows.append(part.rows + np.array([len(arrays), 0]))
        faces.append(part.faces + n_faces)
        arrays += part.arrays
        n_faces += int(part.faces.max()) + 1
    return StageOutput(arrays, np.concatenate(rows), np.concatenate(faces), torch.cat([p.targets for p in parts]))


def stage_output(faces: Manifest, recipe: Recipe, model: DeepRegression, folder: Path) -> StageOutput:
    """Return the output of the frozen stages for the versions of faces; it is in a folder, and computed if absent.

    Args:
        faces: N faces.
        recipe: recipe with the augmentation, the number of fixed copies and the depth.
        model: model whose first stages are frozen.
        folder: folder for the arrays.
    """
    if not (folder / TARGETS).is_file():
        inputs = training_inputs(faces, recipe, folder)
        depth = recipe.network.frozen_depths[-1]
        cache_activations(model, inputs, depth, recipe.schedule.batch_size, folder / ACTIVATIONS, half=True)
        for name in ("training.npy", "copies.npy"):
            (folder / name).unlink(missing_ok=True)
        np.save(folder / TARGETS, inputs.targets.numpy())
    return read_output(folder, recipe)


def read_output(folder: Path, recipe: Recipe) -> StageOutput:
    """Return the output of the frozen stages that `stage_output` has written."""
    array, labels = np.load(folder / ACTIVATIONS, mmap_mode="r"), torch.from_numpy(np.load(folder / TARGETS))
    n = np.arange(len(array))
    n_faces = len(array) // (1 + recipe.schedule.fixed_copies)
    return StageOutput([array], np.stack([np.zeros_like(n), n], axis=1), n % n_faces, labels)
