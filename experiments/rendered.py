"""The common parts of the experiments on rendered heads: sets rendered on demand, and trainings that can be resumed.

The pictures of these sets are already crops with individual margins, so that a network can read whole pictures; other
trainings crop them at the boxes of the faces.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepgllim.data import Manifest, read_manifest
from deepgllim.nn import CHECKPOINT, AugmentationConfig, DeepRegression, FaceInputs, Recipe, load_model, train
from deepgllim.runs import build_model, face_inputs, training_inputs
from deepgllim.synthetic import SceneSampler, render_set
from deepgllim.synthetic.output import CONFIGURATION
from deepgllim.synthetic.sampler import Aspect

Array = NDArray[np.float64]


class Heads(NamedTuple):
    """A rendered set.

    Attributes:
        name: distribution of the poses, a key of `deepgllim.synthetic.SETS`.
        images: number of pictures.
        identities: number of people; picture n shows person n mod `identities`.
        size: side of a picture, pixels.
        seed: seed of people and scenes.
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
        """The name of the folder, which identifies the set."""
        without = "".join(f"-{aspect}" for aspect in self.leave_out)
        return f"{self.name}{without}_{self.images}x{self.size}_i{self.identities}_s{self.seed}"


def boxed_faces(heads: Heads, work: Path, targets: tuple[str, ...]) -> Manifest:
    """Return the manifest of a set with the boxes of its faces; the set is rendered first if it is not complete."""
    folder = work / heads.folder
    sampler = SceneSampler(heads.name, heads.identities, heads.size, heads.seed, heads.leave_out)
    path = render_set(sampler, heads.images, folder, resume=(folder / CONFIGURATION).is_file())
    return read_manifest(path, targets)


def faces(heads: Heads, work: Path, targets: tuple[str, ...], people: slice = slice(None)) -> Manifest:
    """Return the manifest of some people of a set, with whole pictures; it is rendered first if it is not complete."""
    manifest = boxed_faces(heads, work, targets)
    whole = Manifest(manifest.frame.assign(x0=np.nan, y0=np.nan, x1=np.nan, y1=np.nan), targets)
    chosen = sorted(set(whole.subjects))[people]
    return whole.subset(np.isin(whole.subjects, chosen))


def crops(manifest: Manifest, recipe: Recipe) -> FaceInputs:
    """Return whole pictures, resized for the network."""
    return face_inputs(manifest, _whole(recipe).data, AugmentationConfig.off(), recipe.schedule.seed)


def trained(recipe: Recipe, training: Manifest, validation: Manifest, folder: Path) -> DeepRegression:
    """Return the model in a folder; train it first if it is absent, or continue an interrupted training."""
    return trained_on_crops(_whole(recipe), training, validation, folder)


def trained_on_crops(recipe: Recipe, training: Manifest, validation: Manifest, folder: Path) -> DeepRegression:
    """Return the model in a folder as `trained` does; the pictures are cropped with the margin of the recipe."""
    if (folder / "model.safetensors").is_file():
        return load_model(folder / "model.safetensors")
    model = build_model(recipe, training.targets)
    resume = (folder / CHECKPOINT).is_file()
    inputs = training_inputs(training, recipe, folder / "cache")
    others = face_inputs(validation, recipe.data, AugmentationConfig.off(), recipe.schedule.seed)
    result = train(model, recipe, inputs, others, output=folder, resume=resume)
    (folder / CHECKPOINT).unlink(missing_ok=True)  # absent if no round succeeded
    shutil.rmtree(folder / "cache", ignore_errors=True)
    return result.model


def _whole(recipe: Recipe) -> Recipe:
    return recipe.override({"data.margin": 1.0})


def cost(folder: Path) -> dict[str, Any]:
    """Return the number of rounds and the seconds of a training, from its `metrics.csv`."""
    import pandas as pd

    if not (folder / "metrics.csv").is_file():  # no round was kept
        return {"rounds": 0, "seconds": 0.0}
    rows = pd.read_csv(folder / "metrics.csv")
    seconds = [column for column in rows if str(column).startswith("seconds_")]
    return {"rounds": len(rows), "seconds": float(rows[seconds].to_numpy().sum())}
