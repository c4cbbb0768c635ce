"""The fine-tuned rows: one recipe, one loop, the same settings to choose from; the objective alone differs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepgllim.data import Manifest
from deepgllim.nn.backbones.registry import build_backbone
from deepgllim.nn.config import Recipe, load_recipe
from deepgllim.nn.evaluation import Predictions, predict_inputs
from deepgllim.nn.training import train
from deepgllim.runs import build_model, copied
from experiments.table1.features import network_inputs
from experiments.table1.options import Options
from experiments.table1.trunk import tail_model, tail_recipe, trunk_inputs

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
"""The text's way for least squares (three epochs of the last layer, three of the last four stages), and two of ours.

They cost about the same: the last layer's epochs run on cached features, and ours have three of the last five stages.
"""

VGG_CANDIDATES: dict[str, dict[str, Any]] = {
    "SGD": CANDIDATES["SGD"],
    "AdamW 1e-4": {"schedule.learning_rate": 1e-4},
    "AdamW 3e-4": {"schedule.learning_rate": 3e-4},
}
"""The same for VGG-16, which has no batch normalisation and wants smaller steps."""

STEPS: dict[int, dict[str, Any]] = {
    0: {"objective.beta": 0.0, "schedule.em": "round"},
    1: {
        "objective.beta": 1.0,
        "objective.network_noise": "mixture",
        "objective.tied": True,
        "objective.shrinkage": 0.2,
        "objective.target_noise": 0.1,
        "objective.em_start": "parameters",
        "schedule.em": "stepwise",
    },
}
"""The network step by its β: the paper's (0), and the conditional likelihood with the recipes' options (1)."""

TRUNK_DEPTH = 5
"""Stages of EfficientNet-Lite0 that are computed once for all trainings of the rows of three stages."""


def inverse_regression(K: int, beta: int) -> dict[str, Any]:
    """The options of the rows of inverse regression."""
    return {"objective.n_components": K} | STEPS[beta]


def base_recipe(options: Options) -> Recipe:
    """What all of them share."""
    network = {"backbone": options.backbone, "weights": options.weights, "preprocessing": options.preprocessing}
    recipe = load_recipe(str(RECIPE)).override({f"network.{name}": value for name, value in network.items()})
    return recipe.override(QUICK) if options.quick else recipe


def recipe_of(options: Options, changes: dict[str, Any], settings: dict[str, Any], seed: int) -> Recipe:
    """The recipe of one training; its last stages are fine-tuned, whatever the backbone."""
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
    """A network trained to the end, the best round by validation error, calibrated on validation people."""
    recipe = recipe_of(options, changes, settings, seed)
    inputs = copied(network_inputs(options, recipe, training, recipe.augmentation), recipe)
    model = build_model(recipe, training.targets)
    train(model, recipe, inputs, network_inputs(options, recipe, validation))

    def predict(faces: Manifest) -> Predictions:
        return predict_inputs(model, network_inputs(options, recipe, faces))

    return predict


def trunk_recipe(options: Options, changes: dict[str, Any], seed: int) -> Recipe:
    """The recipe of one training of the last three stages, with the step size that table 1's search chose for all."""
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
    """The last three stages of EfficientNet-Lite0, on activations that all trainings share."""
    return train_tail(trunk_recipe(options, changes, seed), training, validation, options)


def vgg_recipe(options: Options, changes: dict[str, Any], settings: dict[str, Any], seed: int) -> Recipe:
    """The recipe of one training of VGG-16; the last layer's epochs leave its fifth block alone."""
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
    """VGG-16 above its frozen blocks, trained like the others, on activations that all trainings share."""
    return train_tail(vgg_recipe(options, changes, settings, seed), training, validation, options)


def train_tail(recipe: Recipe, training: Manifest, validation: Manifest, options: Options) -> "Predictor":
    """The stages above a trunk, trained to the end, the best round kept and calibrated by validation people."""
    model = tail_model(recipe, training.targets)
    inputs = trunk_inputs(options, recipe, training, copies=True)
    train(model, tail_recipe(recipe), inputs, trunk_inputs(options, recipe, validation))

    def predict(faces: Manifest) -> Predictions:
        return predict_inputs(model, trunk_inputs(options, recipe, faces))

    return predict
