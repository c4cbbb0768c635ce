"""The second training: the network of the first, trained further on rendered heads, turned portraits and photographs.

There is one network for each fold of the people of Pointing'04, which was trained without them. The photographs are
predicted by the network of their fold; the network in the package is that with the smallest error on the validation
sets.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepgllim import HeadPose
from deepgllim.data import Manifest
from deepgllim.nn import DeepRegression, Recipe
from experiments.pretrained.fitting import fine_recipe, fine_tune
from experiments.pretrained.heads import RenderedPeople
from experiments.pretrained.judging import FoldPredictions, predict_faces
from experiments.pretrained.photographs import FOLDS, fold_of, photographs_with_labels
from experiments.pretrained.product import is_left_out
from experiments.pretrained.stages import StageOutput, joined_output, stage_output
from experiments.pretrained.turned import turned_portraits

ROTATION = {"rendered": 0.0, "turned": 15.0, "photographs": 20.0}
"""Largest rotation of the pictures in the image plane, degrees: rendered heads have a roll of their own."""

RENDERED = 13_000
"""Number of rendered heads, each of another person."""

REPEATED = 2
"""Number of times that the photographs are in the training."""


class RealFaces(NamedTuple):
    """Faces of real people to learn from, with the angles of their heads.

    Attributes:
        turned: portraits turned in space, without those that are left out; None if there is no folder of portraits.
        photographs: all people of Pointing'04; None if there is no folder.
    """

    turned: Manifest | None
    photographs: Manifest | None


def real_faces(
    heads: HeadPose, portraits: Path | None, pointing04: Path | None, work: Path, quick: bool = False
) -> RealFaces:
    """Return the faces of the folders that are given, with angles that come from a model trained on rendered heads."""
    turned = photographs = None
    if portraits is not None:
        turned = turned_portraits(portraits, heads, work, every=100 if quick else 1)
        turned = turned.subset(np.array([not is_left_out(str(who)) for who in turned.subjects]))
    if pointing04 is not None:
        photographs = photographs_with_labels(pointing04, heads, every=10 if quick else 1)
    return RealFaces(turned, photographs)


class Output(NamedTuple):
    """The output of the frozen stages for the faces of the second training.

    Attributes:
        common: rendered heads, one of each person, and turned portraits.
        photographs: all photographs of Pointing'04; None if there is no folder.
    """

    common: StageOutput
    photographs: StageOutput | None


def cached_output(
    first: DeepRegression, people: RenderedPeople, real: RealFaces, work: Path, quick: bool = False
) -> Output:
    """Return the output of the frozen stages, which is computed once, in folders below a work folder."""

    def output(faces: Manifest, name: str) -> StageOutput:
        options = fine_recipe(quick).override({"augmentation.rotation": ROTATION[name]})
        return stage_output(faces, options, first, work / f"{name}_stages")

    each_once = np.flatnonzero(~people.training.frame["subject"].duplicated().to_numpy())[:RENDERED]
    parts = [output(people.training.subset(each_once), "rendered")]
    if real.turned is not None:
        parts.append(output(real.turned, "turned"))
    photographs = None if real.photographs is None else output(real.photographs, "photographs")
    return Output(joined_output(parts), photographs)


def second_trainings(
    first: DeepRegression, people: RenderedPeople, real: RealFaces, work: Path, quick: bool = False
) -> list[DeepRegression]:
    """Return one network for each fold of the photographs, trained without its people; one if there are none."""
    output = cached_output(first, people, real, work, quick)
    if real.photographs is None or output.photographs is None:
        return [fine_tune(first, output.common, people.held_out, work / "second", quick)]
    folds, models = fold_of(real.photographs), []
    for fold in range(FOLDS):
        mine = output.photographs.of_faces(folds != fold)
        inputs = joined_output([output.common, *[mine] * REPEATED])
        models.append(fine_tune(first, inputs, people.held_out, work / f"second_fold{fold}", quick))
    return models


class LeftOut(NamedTuple):
    """Photographs, and their predictions by networks that were not trained on their people."""

    photographs: Manifest
    found: FoldPredictions


def predict_left_out(models: list[DeepRegression], photographs: Manifest, recipe: Recipe) -> LeftOut:
    """Return the photographs in the order of their folds, each predicted by the network of its fold."""
    folds = fold_of(photographs)
    parts = [predict_faces(model, photographs.subset(folds == fold), recipe) for fold, model in enumerate(models)]
    return LeftOut(photographs.subset(np.argsort(folds, kind="stable")), FoldPredictions.joined(parts))


def people_of_fold(photographs: Manifest, fold: int) -> set[str]:
    """Return the names of the people of a fold, as Pointing'04 has them."""
    return {str(who).split()[-1] for who in photographs.subjects[fold_of(photographs) == fold]}
