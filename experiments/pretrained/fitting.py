"""One training of the model in the package, on photographs of some people and on rendered heads."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepgllim.data import Manifest, load_data
from deepgllim.geometry import NECK_ANGLES
from deepgllim.gllim import MixtureSpec, Options
from deepgllim.gllim import fit as fit_mixture
from deepgllim.nn import (
    CHECKPOINT,
    ArrayInputs,
    AugmentationConfig,
    DeepRegression,
    InverseRegressionHead,
    Recipe,
    collect_normalised,
    fixed_copies,
    load_model,
    load_recipe,
    start_training,
    train,
)
from deepgllim.runs import build_model, copied, face_inputs

HERE = Path(__file__).parent
WIDE = "wide.safetensors"
"""Name of the file of the model with all features, in the folder of its training."""


def photographs(source: str) -> Manifest:
    """Return Pointing'04 with its labels as directions: tilt, pan, and a neck roll of 0."""
    return Manifest(load_data(source).frame.assign(neck_roll=0.0), NECK_ANGLES)


def recipe(quick: bool = False) -> Recipe:
    """Return the recipe of all trainings except the one on rendered heads only."""
    loaded = load_recipe(str(HERE / "recipe.toml"))
    small = {"schedule.rounds": 1, "schedule.fixed_copies": 1, "data.image_size": 32}
    return loaded.override(small) if quick else loaded


class Pictures(NamedTuple):
    """Inputs of a training, and the kind of each: 0 for a photograph, 1 for a rendered head."""

    inputs: ArrayInputs
    kinds: Tensor


def training_pictures(people: Manifest, heads: Manifest | None, recipe: Recipe) -> Pictures:
    """Return all photographs with their augmented copies, and all rendered pictures."""
    parts = [copied(face_inputs(people, recipe.data, recipe.augmentation, recipe.schedule.seed), recipe)]
    if heads is not None and len(heads):
        whole = recipe.override({"data.margin": 1.0}).data
        parts.append(fixed_copies(face_inputs(heads, whole, AugmentationConfig.off()), 0))
    arrays = [part for part in parts if isinstance(part, ArrayInputs)]
    values = np.concatenate([np.asarray(part.values) for part in arrays])
    kinds = torch.cat([torch.full((len(part),), kind) for kind, part in enumerate(arrays)])
    return Pictures(ArrayInputs(values, torch.cat([part.targets for part in arrays])), kinds)


class Plan(NamedTuple):
    """The options that all trainings share.

    Attributes:
        recipe: the recipe of the final training.
        rendered: rendered heads to learn from, whole pictures; None for photographs only.
        first: file of the network that was trained on rendered heads only; None for ImageNet weights.
        features: number of principal axes of the output of the backbone that the mixture reads.
    """

    recipe: Recipe
    rendered: Manifest | None
    first: Path | None
    features: int = 256


def fit(people: Manifest, plan: Plan, folder: Path) -> DeepRegression:
    """Return the model in a folder; train it first if it is absent."""
    if (folder / WIDE).is_file():
        return load_model(folder / WIDE)
    pictures = training_pictures(people, plan.rendered, plan.recipe)
    if (folder / "model.safetensors").is_file():
        model = load_model(folder / "model.safetensors")
    else:
        model = build_model(plan.recipe, NECK_ANGLES)
        if plan.first is not None:
            model.backbone.load_state_dict(load_model(plan.first).backbone.state_dict())
        model = train(model, plan.recipe, pictures.inputs, output=folder, resume=(folder / CHECKPOINT).is_file()).model
        (folder / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(folder / "cache", ignore_errors=True)
    widen(model, pictures, plan)
    model.save(folder / WIDE)
    return model


def widen(model: DeepRegression, pictures: Pictures, plan: Plan) -> None:
    """Replace projection and head: more principal axes of the output of the backbone, and a mixture fitted to them.

    The training fits few features to A y + b. Other properties of a picture are in the other axes, and log p(x) needs
    them to separate faces from other pictures. EM starts with one component for photographs and one for rendered heads,
    whose features are distributed differently.
    """
    inputs = pictures.inputs
    model.resize(min(plan.features, len(inputs) // 8))
    start_training(model, plan.recipe, inputs)
    features = collect_normalised(model, inputs).double()
    starts = torch.nn.functional.one_hot(pictures.kinds).double()
    assert isinstance(model.head, InverseRegressionHead)
    model.head.mixture = fit_mixture(
        features,
        inputs.targets.double(),
        MixtureSpec(covariance_type="full"),
        Options(max_iter=100, tol=1e-3, covariance_floor=1e-3),
        responsibilities=starts,
    ).parameters
    model.eval()
