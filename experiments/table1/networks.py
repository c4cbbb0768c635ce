"""The methods of table 1 with fine-tuned networks; recipe, loop and candidates are the same for all objectives."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.data import Manifest
from deepgllim.nn import Predictions, Recipe, build_backbone, load_recipe, predict_inputs, train
from deepgllim.runs import build_model, copied
from experiments import steps
from experiments.table1.activations import trunk_inputs
from experiments.table1.convolutions import speed_up
from experiments.table1.features import network_inputs
from experiments.table1.options import Options
from experiments.trunk import tail_model, tail_recipe

if TYPE_CHECKING:
    from experiments.table1.methods import Predictor

RECIPE = Path(__file__).parent / "recipe.toml"
VGG_RECIPE = RECIPE.with_name("recipe_vgg.toml")
QUICK = {"schedule.rounds": 1, "schedule.epochs_per_round": 1, "data.image_size": 32, "schedule.fixed_copies": 0}

LAYER_FIRST = "last layer first"
CANDIDATES: dict[str, dict[str, Any]] = {
    "SGD": {
        "schedule.optimizer": "sgd",
        "schedule.learning_rate": 1e-3,
        "schedule.learning_rate_schedule": "halving",
        "schedule.halve_every": 3,
        "schedule.weight_decay": 0.0,
        "schedule.rounds": 2,
        "schedule.epochs_per_round": 3,
        "network.frozen_depths": LAYER_FIRST,
    },
    "AdamW 5e-4": {"schedule.learning_rate": 5e-4},
    "AdamW 1.5e-3": {"schedule.learning_rate": 1.5e-3},
}
"""The schedule of the paper's text for least squares, and two of ours.

The former has three epochs of the last layer, on cached features, and three of the last four stages; the latter have
three epochs of the last five stages. Their costs are similar.
"""

VGG_CANDIDATES: dict[str, dict[str, Any]] = {
    "SGD": CANDIDATES["SGD"],
    "AdamW 1e-4": {"schedule.learning_rate": 1e-4},
    "AdamW 3e-4": {"schedule.learning_rate": 3e-4},
}
"""The same for VGG-16, which has no batch normalisation and needs smaller learning rates."""

FULL = {"objective.covariance_type": "full"}
VGG_CONDITIONAL: dict[str, dict[str, Any]] = {
    "AdamW 3e-4": VGG_CANDIDATES["AdamW 3e-4"] | FULL,
    "AdamW 3e-4, 32 features": VGG_CANDIDATES["AdamW 3e-4"] | FULL | {"network.projection": 32},
}
"""Candidates of VGG-16 with β = 1, which needs a full, shrunk Σ as in the default recipe; the paper's is diagonal."""

STEPS: dict[int, dict[str, Any]] = {0: steps.PAPER, 1: steps.CONDITIONAL | {"schedule.em_window": 0.5}}
"""Options of the network step by β; the rows with β = 1 were computed with a window of half an epoch."""

TRUNK_DEPTH = 5
"""Number of frozen stages of EfficientNet-Lite0 in the methods that train three stages."""


def inverse_regression(K: int, beta: int) -> dict[str, Any]:
    """Return the options of inverse regression."""
    return {"objective.n_components": K} | STEPS[beta]


def base_recipe(options: Options) -> Recipe:
    """Return the recipe with the options that all methods share."""
    network = {"backbone": options.backbone, "weights": options.weights, "preprocessing": options.preprocessing}
    recipe = load_recipe(str(RECIPE)).override({f"network.{name}": value for name, value in network.items()})
    return recipe.override(QUICK) if options.quick else recipe


def recipe_of(options: Options, changes: dict[str, Any], settings: dict[str, Any], seed: int) -> Recipe:
    """Return the recipe of one training, which fine-tunes the last stages of any backbone."""
    backbone = build_backbone(options.backbone, weights=options.weights, preprocessing=options.preprocessing)
    stages = len(backbone.stages)
    layer_first = settings.get("network.frozen_depths") == LAYER_FIRST
    depths = {"network.frozen_depths": [stages, max(0, stages - 4)] if layer_first else [max(0, stages - 5)]}
    recipe = base_recipe(options).override(changes | settings | depths | {"schedule.seed": seed})
    return recipe.override(QUICK) if options.quick else recipe


def fine_tuned(
    changes: dict[str, Any],
    training: Manifest,
    validation: Manifest,
    seed: int,
    settings: dict[str, Any],
    options: Options,
) -> "Predictor":
    """Train a network; the validation people choose the best round and calibrate it."""
    recipe = recipe_of(options, changes, settings, seed)
    inputs = copied(network_inputs(options, recipe, training, recipe.augmentation), recipe)
    model = build_model(recipe, training.targets)
    train(model, recipe, inputs, network_inputs(options, recipe, validation))

    def predict(faces: Manifest) -> Predictions:
        return predict_inputs(model, network_inputs(options, recipe, faces))

    return predict


def trunk_recipe(options: Options, changes: dict[str, Any], seed: int) -> Recipe:
    """Return the recipe of a training of the last three stages, with the learning rate that the search chose."""
    recipe = recipe_of(options, changes, CANDIDATES["AdamW 1.5e-3"], seed)
    return recipe.override({"network.frozen_depths": [TRUNK_DEPTH]})


def last_stages(
    changes: dict[str, Any],
    training: Manifest,
    validation: Manifest,
    seed: int,
    settings: dict[str, Any],
    options: Options,
) -> "Predictor":
    """Train the last three stages of EfficientNet-Lite0 on the shared output of the others."""
    return train_tail(trunk_recipe(options, changes, seed), training, validation, options)


def vgg_recipe(options: Options, changes: dict[str, Any], settings: dict[str, Any], seed: int) -> Recipe:
    """Return the recipe of one training of VGG-16; epochs of the last layer do not train its fifth block."""
    depth = {"network.frozen_depths": [5, 4] if settings.get("network.frozen_depths") == LAYER_FIRST else [4]}
    recipe = load_recipe(str(VGG_RECIPE)).override({"network.weights": options.vgg} | changes)
    own = {"schedule.seed": seed, "data.image_size": options.vgg_size}
    recipe = recipe.override(settings | depth | own)
    return recipe.override(QUICK | {"network.projection": 16}) if options.quick else recipe


def fine_tuned_tail(
    changes: dict[str, Any],
    training: Manifest,
    validation: Manifest,
    seed: int,
    settings: dict[str, Any],
    options: Options,
) -> "Predictor":
    """Train the last block of VGG-16 on the shared output of the others."""
    return train_tail(vgg_recipe(options, changes, settings, seed), training, validation, options)


def train_tail(recipe: Recipe, training: Manifest, validation: Manifest, options: Options) -> "Predictor":
    """Train the stages above the trunk; the validation people choose the best round and calibrate it."""
    model = speed_up(tail_model(recipe, training.targets), recipe)
    inputs = trunk_inputs(options, recipe, training, copies=True)
    train(model, tail_recipe(recipe), inputs, trunk_inputs(options, recipe, validation))

    def predict(faces: Manifest) -> Predictions:
        return predict_inputs(model, trunk_inputs(options, recipe, faces))

    return predict
