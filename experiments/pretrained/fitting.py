"""One training of the model in the wheel: photographs of some people, and rendered heads."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepgllim.data import Manifest, load_data
from deepgllim.geometry.rotations import NECK_ANGLES
from deepgllim.gllim import MixtureSpec, Options
from deepgllim.gllim import fit as fit_mixture
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import AugmentationConfig, Recipe, load_recipe
from deepgllim.nn.evaluation import collect_normalised
from deepgllim.nn.head import InverseRegressionHead
from deepgllim.nn.inputs import ArrayInputs, fixed_copies
from deepgllim.nn.model import DeepRegression, load_model
from deepgllim.nn.training import start_training, train
from deepgllim.runs import build_model, copied, face_inputs

HERE = Path(__file__).parent
WIDE = "wide.safetensors"
"""The model with all its features, in its training's folder."""


def photographs(source: str) -> Manifest:
    """Pointing'04 with its labels as directions: tilt, pan, and a neck roll of 0."""
    return Manifest(load_data(source).frame.assign(neck_roll=0.0), NECK_ANGLES)


def recipe(quick: bool = False) -> Recipe:
    """The recipe of all trainings but that on rendered heads alone."""
    loaded = load_recipe(str(HERE / "recipe.toml"))
    small = {"schedule.rounds": 1, "schedule.fixed_copies": 1, "data.image_size": 32}
    return loaded.override(small) if quick else loaded


class Pictures(NamedTuple):
    """What a training sees: inputs, and for each whether it is a photograph (0) or rendered (1)."""

    inputs: ArrayInputs
    kinds: Tensor


def training_pictures(people: Manifest, heads: Manifest | None, recipe: Recipe) -> Pictures:
    """Every photograph and its changed copies, and every rendered picture."""
    parts = [copied(face_inputs(people, recipe.data, recipe.augmentation, recipe.schedule.seed), recipe)]
    if heads is not None and len(heads):
        whole = recipe.override({"data.margin": 1.0}).data
        parts.append(fixed_copies(face_inputs(heads, whole, AugmentationConfig.off()), 0))
    arrays = [part for part in parts if isinstance(part, ArrayInputs)]
    values = np.concatenate([np.asarray(part.values) for part in arrays])
    kinds = torch.cat([torch.full((len(part),), kind) for kind, part in enumerate(arrays)])
    return Pictures(ArrayInputs(values, torch.cat([part.targets for part in arrays])), kinds)


class Plan(NamedTuple):
    """What all trainings of a run share.

    Attributes:
        recipe: of the last training.
        rendered: heads to learn from, whole pictures; none for photographs alone.
        first: file of the network that has seen rendered heads alone; None for ImageNet's.
        features: principal axes of the backbone's output behind the mixture.
    """

    recipe: Recipe
    rendered: Manifest | None
    first: Path | None
    features: int = 256


def fit(people: Manifest, plan: Plan, folder: Path) -> DeepRegression:
    """The model in a folder, trained if it is not there."""
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
    """Replace projection and head: more principal axes of the trained backbone's output, and a mixture fitted to them.

    The training drives few features towards A y + b; what else the backbone sees of a picture lies in the axes that
    these leave out, and log p(x) needs it to tell faces from other things. The mixture starts with one component of
    photographs and one of rendered heads, for features answer differently to the two; EM goes on from there.
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
