"""What the experiments on rendered heads share: sets made on demand, trainings that resume, figures in degrees.

The pictures of these sets are crops already, each with a margin of its own: the network sees them whole.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepgllim.data import Manifest, read_manifest
from deepgllim.nn.checkpoint import CHECKPOINT
from deepgllim.nn.config import AugmentationConfig, Recipe
from deepgllim.nn.inputs import FaceInputs
from deepgllim.nn.model import DeepRegression, load_model
from deepgllim.nn.training import train
from deepgllim.runs import build_model, face_inputs, training_inputs
from deepgllim.synthetic import CONFIGURATION, Aspect, SceneSampler, render_set

Array = NDArray[np.float64]


class Heads(NamedTuple):
    """A rendered set.

    Attributes:
        name: of the distribution of poses, a key of `deepgllim.synthetic.sets.SETS`.
        images: pictures.
        identities: people; picture n shows person n mod `identities`.
        size: of a picture, pixels.
        seed: another one, other people.
        leave_out: aspects that are not randomised.
    """

    name: str
    images: int
    identities: int
    size: int
    seed: int
    leave_out: tuple[Aspect, ...] = ()

    @property
    def folder(self) -> str:
        """A name that tells sets apart."""
        without = "".join(f"-{aspect}" for aspect in self.leave_out)
        return f"{self.name}{without}_{self.images}x{self.size}_i{self.identities}_s{self.seed}"


def faces(heads: Heads, work: Path, targets: tuple[str, ...], people: slice = slice(None)) -> Manifest:
    """The manifest of a set, rendered if it is not there or not complete, whole pictures, of some of its people."""
    folder = work / heads.folder
    sampler = SceneSampler(heads.name, heads.identities, heads.size, heads.seed, heads.leave_out)
    path = render_set(sampler, heads.images, folder, resume=(folder / CONFIGURATION).is_file())
    manifest = read_manifest(path, targets)
    whole = Manifest(manifest.frame.assign(x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan), targets)
    chosen = sorted(set(whole.subjects))[people]
    return whole.subset(np.isin(whole.subjects, chosen))


def crops(manifest: Manifest, recipe: Recipe) -> FaceInputs:
    """Whole pictures at the network's size."""
    return face_inputs(manifest, _whole(recipe).data, AugmentationConfig.off(), recipe.schedule.seed)


def trained(recipe: Recipe, training: Manifest, validation: Manifest, folder: Path) -> DeepRegression:
    """The model in a folder, trained if it is not there; an interrupted training goes on."""
    if (folder / "model.safetensors").is_file():
        return load_model(folder / "model.safetensors")
    model = build_model(recipe, training.targets)
    resume = (folder / CHECKPOINT).is_file()
    inputs = training_inputs(training, _whole(recipe), folder / "cache")
    result = train(model, recipe, inputs, crops(validation, recipe), output=folder, resume=resume)
    (folder / CHECKPOINT).unlink(missing_ok=True)  # there is none where no round went well
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return result.model


def _whole(recipe: Recipe) -> Recipe:
    return recipe.override({"data.margin": 1.0})


def cost(folder: Path) -> dict[str, Any]:
    """Rounds and seconds of a training, from its `metrics.csv`."""
    import pandas as pd

    if not (folder / "metrics.csv").is_file():  # no round was kept
        return {"rounds": 0, "seconds": 0.0}
    rows = pd.read_csv(folder / "metrics.csv")
    seconds = [column for column in rows if str(column).startswith("seconds_")]
    return {"rounds": len(rows), "seconds": float(rows[seconds].to_numpy().sum())}
