"""Train the model in the package on rendered heads and photographs, calibrate and export it, and measure it.

Each stage is skipped if its files are in the work folder, so that an interrupted run continues.
"""

from argparse import Namespace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from deepgllim import HeadPose
from deepgllim.data import Manifest
from deepgllim.nn import DeepRegression
from experiments import protocol
from experiments.pretrained.fitting import HERE, fit, recipe
from experiments.pretrained.groups import errors_by_group, spread_by_brightness
from experiments.pretrained.heads import RenderedPeople, rendered_people
from experiments.pretrained.judging import FoldPredictions, errors, predict_faces
from experiments.pretrained.product import (
    BOXES,
    accepted,
    add_density,
    detected_crops,
    export,
    photographs,
    rendered_coverage,
    rendered_crops,
)
from experiments.pretrained.second import LeftOut, people_of_fold, predict_left_out, real_faces, second_trainings
from experiments.pretrained.validation import detected, labelled_sets, measure_photographs, results, validation_errors


def main() -> None:
    """Train, calibrate, export and measure."""
    parser = protocol.Parser(description=__doc__)
    parser.add_argument("--pointing04", type=Path, help="folder of the Pointing'04 photographs")
    parser.add_argument("--portraits", type=Path, help="folder of portraits of different people, without labels")
    parser.add_argument("--validation", type=Path, help="folder of the sets imm and drivface, each with labels.csv")
    parser.add_argument("--work", type=Path, default=Path("runs") / HERE.name, help="folder for pictures and models")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument("--model", type=Path, default=Path("runs") / HERE.name / "headpose.onnx", help="file to write")
    parser.add_argument("--quick", action="store_true", help="smoke test: few pictures, one round")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets = dict(labelled_sets(given.validation, every=60 if given.quick else 1))
    trained = train_networks(given, sets)
    others = None if trained.left_out is None else trained.left_out.found
    export(trained.models[trained.chosen], trained.found, given.model, others)
    tables = {
        "folds": trained.folds,
        "rendered": pd.DataFrame([errors(trained.found)]),
        "coverage": rendered_coverage(trained.found),
        "groups": errors_by_group(trained.found, trained.people.held_out),
    }
    learning, left_out = photographs(given.portraits, given.pointing04, trained.apart)
    if learning:
        tables["density"] = density(given, trained.people.held_out, learning, left_out)
    heads = HeadPose(given.model, threads=1)
    measured = results(heads, iter(sets.items()))
    if trained.left_out is not None:
        measured.append({"set": "pointing04", **measure_photographs(*trained.left_out)})
    tables["results"] = pd.DataFrame(measured)
    if "portraits" in left_out:
        tables["portraits"] = spread_by_brightness(heads, left_out["portraits"])
    given.output.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if table.size:
            table.to_csv(given.output / f"{name}.csv", index=False, float_format="%.4f")
            print(protocol.as_markdown(table.round(3)), end="\n\n")


class Networks(NamedTuple):
    """The networks of the second training, and predictions for people left out.

    Attributes:
        people: rendered people.
        models: a network for each fold of Pointing'04.
        chosen: index of the network of the package.
        folds: errors of yaw of each network on the validation sets.
        found: predictions of the chosen network for rendered people left out.
        left_out: predictions for the photographs of Pointing'04, each by the network of its fold; None without them.
        apart: people of Pointing'04 that the chosen network was not trained on.
    """

    people: RenderedPeople
    models: list[DeepRegression]
    chosen: int
    folds: pd.DataFrame
    found: FoldPredictions
    left_out: LeftOut | None
    apart: set[str]


def train_networks(given: Namespace, sets: dict[str, Manifest]) -> Networks:
    """Run both trainings, and choose the network by the validation sets."""
    options, work, quick = recipe(given.quick), given.work, given.quick
    people = rendered_people(work, quick)
    people.held_out.save(work / "held_out.csv")
    first = fit(people, work / "network", quick)
    base = export(first, predict_faces(first, people.held_out, options), work / "base.onnx")
    real = real_faces(HeadPose(base, threads=1), given.portraits, given.pointing04, work, quick)
    models = second_trainings(first, people, real, work, quick)
    folds = validation_errors(models, {name: detected(faces, BOXES) for name, faces in sets.items()}, options)
    chosen = int(folds[list(sets)].sum(axis=1).argmin())
    left_out, apart = None, set[str]()
    if real.photographs is not None:
        left_out = predict_left_out(models, real.photographs, options)
        apart = people_of_fold(real.photographs, chosen)
    found = predict_faces(models[chosen], people.held_out, options)
    return Networks(people, models, chosen, folds, found, left_out, apart)


def density(
    given: Namespace, heads: Manifest, learning: dict[str, Manifest], left_out: dict[str, Manifest]
) -> pd.DataFrame:
    """Add the density of early maps to the exported model, and return which pictures it accepts."""
    options = recipe(given.quick)
    known, others = (
        {kind: detected_crops(faces, options.data.margin, options.data.image_size) for kind, faces in part.items()}
        for part in (learning, left_out)
    )
    known["rendered heads"], others["rendered heads"] = rendered_crops(heads, options)
    add_density(given.model, list(known.values()), list(others.values()))
    return accepted(given.model, others, left_out.get("photographs"), 6 if given.quick else 150)


if __name__ == "__main__":
    main()
