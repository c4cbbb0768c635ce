"""Frozen stages computed once for many trainings: their outputs as inputs, and models on the stages that follow."""

import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deepgllim.nn.backbones.registry import Backbone
from deepgllim.nn.config import Recipe
from deepgllim.nn.inputs import ArrayInputs, Inputs, batches
from deepgllim.nn.model import DeepRegression, ModelSpec
from deepgllim.runs import build_model


class Trunk:
    """The frozen stages of a recipe's backbone.

    Args:
        recipe: its backbone, weights and first frozen depth count.
        targets: names of what is predicted.
    """

    def __init__(self, recipe: Recipe, targets: tuple[str, ...]) -> None:
        self.depth, self.targets = recipe.network.frozen_depths[0], targets
        self.backbone = build_model(recipe, targets).backbone.eval()

    @torch.no_grad()
    def activations(self, inputs: Inputs, cache: Path | None = None) -> ArrayInputs:
        """The output of the frozen stages for plain inputs, with their targets; kept in a file if one is given."""
        if cache is not None and cache.is_file():
            return ArrayInputs(np.load(cache, mmap_mode="r"), inputs.targets)
        values = torch.cat([self.backbone.begin(x, self.depth) for x, _ in batches(inputs, 64)])
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.save(cache, values.numpy())
        return ArrayInputs(values, inputs.targets)

    def model(self, recipe: Recipe) -> DeepRegression:
        """A fresh model on a copy of the stages that follow, for `activations` as inputs."""
        torch.manual_seed(recipe.schedule.seed)
        stages = nn.Sequential(*(copy.deepcopy(stage) for stage in list(self.backbone.stages)[self.depth :]))
        tail = Backbone(stages, self.backbone.feature_size, channels_last=self.backbone.channels_last)
        spec = ModelSpec(
            backbone="custom",
            projection=recipe.network.projection,
            affine_norm=recipe.network.affine_norm,
            head=recipe.objective.name,
            targets=self.targets,
        )
        return DeepRegression(spec, tail)

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe for such a model: nothing is left to freeze, and the copies are among the inputs."""
        return recipe.override({"network.frozen_depths": [0], "schedule.fixed_copies": 0})
