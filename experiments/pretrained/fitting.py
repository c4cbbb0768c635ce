"""Training of the network on rendered heads, and the mixture on its features that the package ships."""

import shutil
from pathlib import Path

from torch import Tensor

from deepgllim.gllim import MixtureSpec, Options, Parameters
from deepgllim.gllim import fit as fit_mixture
from deepgllim.nn import (
    DeepRegression,
    Inputs,
    InverseRegressionHead,
    Recipe,
    collect_normalised,
    load_model,
    load_recipe,
)
from deepgllim.runs import training_inputs
from experiments.pretrained.heads import RenderedPeople
from experiments.rendered import trained_on_crops

HERE = Path(__file__).parent
FINAL = "final.safetensors"
"""Name of the file of the model with its final mixture."""

COMPONENTS = 10
"""Number of components of the final mixture, each with its own Σ."""

SHRINKAGE = 0.05


def recipe(quick: bool = False) -> Recipe:
    """Return the recipe of the network."""
    loaded = load_recipe(str(HERE / "recipe.toml"))
    small = {"schedule.rounds": 1, "data.image_size": 64, "network.projection": 8, "objective.n_components": 2}
    return loaded.override(small) if quick else loaded


def fit(people: RenderedPeople, folder: Path, quick: bool = False) -> DeepRegression:
    """Return the model in a folder; train it first if it is absent, or continue an interrupted training."""
    if (folder / FINAL).is_file():
        return load_model(folder / FINAL)
    model = trained_on_crops(recipe(quick), people.training, people.held_out, folder)
    fit_final_mixture(model, training_inputs(people.training, recipe(quick), folder / "cache"), quick)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    model.save(folder / FINAL)
    return model


def fit_final_mixture(model: DeepRegression, inputs: Inputs, quick: bool = False) -> None:
    """Replace the mixture of a trained network.

    The mixture of the training has one Σ for few components, which is stable. In the final one each component has its
    own Σ, so that the predicted covariance depends on the pose.
    """
    features = collect_normalised(model, inputs).double()
    assert isinstance(model.head, InverseRegressionHead)
    model.head.mixture = final_mixture(features, inputs.targets.double(), 2 if quick else COMPONENTS)


def final_mixture(features: Tensor, targets: Tensor, n_components: int) -> Parameters:
    """Return the parameters of a mixture with one full Σ for each component."""
    spec = MixtureSpec(n_components=n_components, covariance_type="full")
    options = Options(max_iter=100, tol=1e-3, shrinkage=SHRINKAGE, covariance_floor=1e-3, random_state=0)
    return fit_mixture(features, targets, spec, options).parameters
