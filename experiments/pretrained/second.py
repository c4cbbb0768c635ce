"""The second training: the network of the first, trained further on rendered heads, turned portraits and photographs.

The photographs of Pointing'04 are predicted by networks that were trained without their people, one for each fold.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepgllim import HeadPose
from deepgllim.data import Manifest
from deepgllim.nn import DeepRegression
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


class LeftOut(NamedTuple):
    """Photographs, and their predictions by networks that were not trained on their people."""

    photographs: Manifest
    found: FoldPredictions


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
        turned = turned.subset(~left_out_rows(turned))
    if pointing04 is not None:
        photographs = photographs_with_labels(pointing04, heads, every=10 if quick else 1)
    return RealFaces(turned, photographs)


def left_out_rows(faces: Manifest) -> np.ndarray:
    """Return the mask of the faces whose people no network in the package is trained on, (N,)."""
    return np.array([is_left_out(str(who)) for who in faces.subjects])


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


def second_training(
    first: DeepRegression, people: RenderedPeople, real: RealFaces, work: Path, quick: bool = False
) -> DeepRegression:
    """Return the network trained on all people but those that are left out; it is in the folder `second`."""
    output = cached_output(first, people, real, work, quick)
    apart = None if real.photographs is None else left_out_rows(real.photographs)
    return fine_tune(first, chosen(output, apart), people.held_out, work / "second", quick)


def predict_left_out(
    first: DeepRegression, people: RenderedPeople, real: RealFaces, work: Path, quick: bool = False
) -> LeftOut | None:
    """Return the photographs, and their predictions by networks that were not trained on their people."""
    if real.photographs is None:
        return None
    output, folds, predictions = cached_output(first, people, real, work, quick), fold_of(real.photographs), []
    for fold in range(FOLDS):
        apart = folds == fold
        model = fine_tune(first, chosen(output, apart), people.held_out, work / f"second_fold{fold}", quick)
        predictions.append(predict_faces(model, real.photographs.subset(apart), fine_recipe(quick)))
    return LeftOut(real.photographs.subset(np.argsort(folds, kind="stable")), FoldPredictions.joined(predictions))


def chosen(output: Output, apart: np.ndarray | None) -> StageOutput:
    """Return the inputs of a training without some of the photographs; the others are repeated to have more weight."""
    if output.photographs is None or apart is None:
        return output.common
    return joined_output([output.common, *[output.photographs.of_faces(~apart)] * REPEATED])
