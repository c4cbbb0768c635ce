"""Train the model in the package, evaluate its recipe on people left out, calibrate and export the model."""

import argparse
from pathlib import Path

import torch

from deepgllim.data import subject_folds
from experiments import protocol
from experiments.pretrained.fitting import HERE, Plan, fit, photographs, recipe
from experiments.pretrained.heads import FIRST, OTHERS, first_network, rendered
from experiments.pretrained.judging import predict_faces, write_predictions


def main() -> None:
    """Run the stages whose files do not exist yet."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR")
    parser.add_argument(
        "--work", type=Path, default=Path("runs") / HERE.name, help="folder for rendered sets, models and predictions"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the tables")
    parser.add_argument("--model", type=Path, default=Path("runs") / HERE.name / "headpose.onnx", help="file to write")
    parser.add_argument("--folds", type=int, default=5, help="number of folds of the people")
    parser.add_argument("--only", type=int, nargs="*", help="train only these; with five folds, 5 is the final model")
    parser.add_argument("--quick", action="store_true", help="smoke test: few pictures, one round, two folds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = photographs(arguments.data)
    faces = faces.subset(list(range(0, len(faces), 40 if arguments.quick else 1)))
    folds = subject_folds(faces, 2 if arguments.quick else arguments.folds, seed=0)
    heads, others = rendered(FIRST, arguments.work, arguments.quick), rendered(OTHERS, arguments.work, arguments.quick)
    plan = Plan(recipe(arguments.quick), heads, first_network(arguments.work, arguments.quick))
    for number, (training, test) in enumerate([*folds, (faces, None)]):
        if arguments.only is not None and number not in arguments.only:
            continue
        name = "all" if test is None else f"fold{number}"
        model = fit(training, plan, arguments.work / name)
        if test is not None:
            found = predict_faces(model, test, plan.recipe, plan.recipe.data.margin, labelled=2)
            write_predictions(found, arguments.work / f"{name}.npz")
            write_predictions(
                predict_faces(model, others, plan.recipe, 1.0, labelled=3), arguments.work / f"{name}_rendered.npz"
            )
    if arguments.only is None:
        from experiments.pretrained.product import finish

        finish(arguments, [test for _, test in folds], others, plan)


if __name__ == "__main__":
    main()
