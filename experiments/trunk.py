"""The trunk of a network, its frozen stages: its output is computed once for many trainings of the other stages."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from deepgllim.nn import ArrayInputs, Backbone, DeepRegression, Inputs, Recipe
from deepgllim.nn.batches import batches
from deepgllim.runs import build_model


def trunk_depth(recipe: Recipe) -> int:
    """Return the number of stages that are frozen in every round."""
    return min(recipe.network.frozen_depths)


@torch.no_grad()
def activations(backbone: Backbone, depth: int, inputs: Inputs, batch_size: int = 64) -> Iterator[Tensor]:
    """Yield the output of the first `depth` stages for inputs without augmentation, one batch at a time."""
    for pixels, _ in batches(inputs, batch_size):
        yield backbone.begin(pixels, depth)


def trunk_outputs(recipe: Recipe, targets: tuple[str, ...], parts: Iterable[Inputs]) -> list[ArrayInputs]:
    """Return the output of the trunk for several sets of inputs, with their targets."""
    backbone, depth = build_model(recipe, targets).backbone.eval(), trunk_depth(recipe)
    return [ArrayInputs(torch.cat(list(activations(backbone, depth, part))), part.targets) for part in parts]


def tail_model(recipe: Recipe, targets: tuple[str, ...]) -> DeepRegression:
    """Return an untrained model of the stages above the trunk; its inputs are the output of the trunk."""
    whole = build_model(recipe, targets)
    own = whole.backbone
    stages = nn.Sequential(*list(own.stages)[trunk_depth(recipe) :])
    tail = Backbone(
        stages, own.feature_size, head=own.head, normalisation=own.normalisation, channels_last=own.channels_last
    )
    return DeepRegression(whole.spec.model_copy(update={"backbone": "custom"}), tail)


def tail_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of a training of `tail_model`: depths are counted from the first stage above the trunk."""
    depth, density = trunk_depth(recipe), recipe.objective.density_depth
    options = {"network.frozen_depths": [own - depth for own in recipe.network.frozen_depths]}
    own_density = None if density is None or density < depth else density - depth
    return recipe.override(options | {"objective.density_depth": own_density})
