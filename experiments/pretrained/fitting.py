"""Training of the network on rendered heads, then on photographs too, and the mixture on its features."""

import copy
from pathlib import Path

from torch import Tensor

from deepgllim.data import Manifest
from deepgllim.gllim import MixtureSpec, Options, Parameters
from deepgllim.gllim import fit as fit_mixture
from deepgllim.nn import (
    CHECKPOINT,
    AugmentationConfig,
    DeepRegression,
    InverseRegressionHead,
    Recipe,
    collect_normalised,
    load_model,
    load_recipe,
    train,
)
from deepgllim.runs import build_model, face_inputs
from experiments.pretrained.heads import RenderedPeople
from experiments.pretrained.stages import StageOutput, stage_output

HERE = Path(__file__).parent
FINAL = "final.safetensors"
"""Name of the file of the model with its final mixture."""

SHRINKAGE = 0.05

FINE = {
    "augmentation.box_shift": 0.09,
    "augmentation.box_scale": 0.25,
    "schedule.rounds": 1,
    "schedule.epochs_per_round": 2,
    "schedule.fixed_copies": 2,
    "schedule.learning_rate": 1e-3,
}
"""Options of the second training that differ from those of the first."""


def recipe(quick: bool = False) -> Recipe:
    """Return the recipe of the network."""
    loaded = load_recipe(str(HERE / "recipe.toml"))
    small = {"schedule.rounds": 1, "data.image_size": 64, "network.projection": 8, "objective.n_components": 2}
    return loaded.override(small) if quick else loaded


def fine_recipe(quick: bool = False) -> Recipe:
    """Return the recipe of the second training, which starts from the model of the first."""
    return recipe(quick).override(FINE | ({"schedule.epochs_per_round": 1} if quick else {}))


def fit(people: RenderedPeople, folder: Path, quick: bool = False) -> DeepRegression:
    """Return the model trained on rendered heads in a folder; train it first if it is absent."""
    if (folder / FINAL).is_file():
        return load_model(folder / FINAL)
    options = recipe(quick)
    model = build_model(options, people.training.targets)
    inputs = stage_output(people.training, options, model, folder / "stages")
    return trained(model, inputs, people.held_out, options, folder, warm_start=False)


def fine_tune(
    start: DeepRegression, inputs: StageOutput, validation: Manifest, folder: Path, quick: bool = False
) -> DeepRegression:
    """Return a copy of a model that was trained further in a folder; train it first if it is absent."""
    if (folder / FINAL).is_file():
        return load_model(folder / FINAL)
    return trained(copy.deepcopy(start), inputs, validation, fine_recipe(quick), folder, warm_start=True)


def trained(
    model: DeepRegression, inputs: StageOutput, validation: Manifest, options: Recipe, folder: Path, warm_start: bool
) -> DeepRegression:
    """Train a model, or continue its training, give it its final mixture and write it to a folder.

    Args:
        model: model to train.
        inputs: output of the frozen stages for the faces to learn from.
        validation: faces of other people, which select the best round.
        options: recipe.
        folder: folder of the training.
        warm_start: start from the projection of the model.
    """
    depth, resume = options.network.frozen_depths[-1], (folder / CHECKPOINT).is_file()
    others = face_inputs(validation, options.data, AugmentationConfig.off())
    model = train(
        model, options, inputs, others, output=folder, resume=resume, warm_start=warm_start, depth=depth
    ).model
    fit_final_mixture(model, inputs, options)
    model.save(folder / FINAL)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return model


def fit_final_mixture(model: DeepRegression, inputs: StageOutput, options: Recipe) -> None:
    """Replace the mixture of a trained network by one with twice as many components.

    The mixture of the training has one Σ for few components, which is stable. In the final one each component has its
    own Σ, so that the predicted covariance depends on the pose.
    """
    assert isinstance(model.head, InverseRegressionHead)
    features = collect_normalised(model, inputs, depth=options.network.frozen_depths[-1]).double()
    n_components = 2 * options.objective.n_components
    model.head.mixture = final_mixture(features, inputs.targets.double(), n_components)


def final_mixture(features: Tensor, targets: Tensor, n_components: int) -> Parameters:
    """Return the parameters of a mixture with one full Σ for each component."""
    spec = MixtureSpec(n_components=n_components, covariance_type="full")
    options = Options(max_iter=100, tol=1e-3, shrinkage=SHRINKAGE, covariance_floor=1e-3, random_state=0)
    return fit_mixture(features, targets, spec, options).parameters
