"""Train the model in the package on rendered heads and photographs, calibrate and export it, and measure it.

Each stage is skipped if its files are in the work folder, so that an interrupted run continues.
"""

from pathlib import Path

import pandas as pd
import torch

from deepgllim import HeadPose
from experiments import protocol
from experiments.pretrained.fitting import HERE, fit, recipe
from experiments.pretrained.groups import errors_by_group
from experiments.pretrained.heads import rendered_people
from experiments.pretrained.judging import errors, predict_faces
from experiments.pretrained.product import (
    accepted,
    add_density,
    detected_crops,
    export,
    photographs,
    rendered_coverage,
    rendered_crops,
)
from experiments.pretrained.second import predict_left_out, real_faces, second_training
from experiments.pretrained.validation import labelled_sets, measure_photographs, results


def main() -> None:
    """Render, train, calibrate, export and measure."""
    parser = protocol.Parser(description=__doc__)
    parser.add_argument("--pointing04", type=Path, help="folder of the Pointing'04 photographs")
    parser.add_argument("--portraits", type=Path, help="folder of portraits of different people, without labels")
    parser.add_argument("--validation", type=Path, help="folder of the sets imm and drivface, each with labels.csv")
    parser.add_argument("--work", type=Path, default=Path("runs") / HERE.name, help="folder for pictures and models")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument("--model", type=Path, default=Path("runs") / HERE.name / "headpose.onnx", help="file to write")
    parser.add_argument("--quick", action="store_true", help="smoke test: few pictures, one round")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    quick = arguments.quick
    people = rendered_people(arguments.work, quick)
    people.held_out.save(arguments.work / "held_out.csv")
    first = fit(people, arguments.work / "network", quick)
    base = export(first, predict_faces(first, people.held_out, recipe(quick)), arguments.work / "base.onnx")
    heads = HeadPose(base, threads=1)
    real = real_faces(heads, arguments.portraits, arguments.pointing04, arguments.work, quick)
    model = second_training(first, people, real, arguments.work, quick)
    found = predict_faces(model, people.held_out, recipe(quick))
    left_out_people = predict_left_out(first, people, real, arguments.work, quick)
    export(model, found, arguments.model, left_out_people.found if left_out_people else None)
    tables = {
        "rendered": pd.DataFrame([errors(found)]),
        "coverage": rendered_coverage(found),
        "groups": errors_by_group(found, people.held_out),
    }
    learning, left_out = photographs(arguments.portraits, arguments.pointing04)
    if learning:
        data = recipe(quick).data
        known, others = (
            {kind: detected_crops(faces, data.margin, data.image_size) for kind, faces in part.items()}
            for part in (learning, left_out)
        )
        known["rendered heads"], others["rendered heads"] = rendered_crops(people.held_out, recipe(quick))
        add_density(arguments.model, list(known.values()), list(others.values()))
        tables["density"] = accepted(arguments.model, others, left_out.get("photographs"), 6 if quick else 150)
    sets = labelled_sets(arguments.validation, every=60 if quick else 1)
    measured = results(HeadPose(arguments.model, threads=1), sets)
    if left_out_people is not None:
        measured.append({"set": "pointing04", **measure_photographs(*left_out_people)})
    if measured:
        tables["results"] = pd.DataFrame(measured)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(arguments.output / f"{name}.csv", index=False, float_format="%.4f")
        print(protocol.as_markdown(table.round(3)), end="\n\n")


if __name__ == "__main__":
    main()
