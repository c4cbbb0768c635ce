"""Train the model in the wheel, judge its recipe on people left out, calibrate and export it."""

import argparse
from pathlib import Path

import torch

from deepgllim.data import subject_folds
from experiments.pretrained.fitting import HERE, Plan, fit, photographs, recipe
from experiments.pretrained.heads import FIRST, OTHERS, first_network, rendered
from experiments.pretrained.judging import said, write_said


def main() -> None:
    """Stages whose files are there are not run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR")
    parser.add_argument(
        "--work", type=Path, default=Path("runs") / HERE.name, help="rendered sets, models, predictions"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the tables")
    parser.add_argument("--model", type=Path, default=Path("runs") / HERE.name / "headpose.onnx", help="file to write")
    parser.add_argument("--folds", type=int, default=5, help="parts of the people")
    parser.add_argument("--only", type=int, nargs="*", help="train these and stop; 5 of five folds is the last model")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few pictures, one round, two folds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    faces = photographs(given.data)
    faces = faces.subset(list(range(0, len(faces), 40 if given.quick else 1)))
    folds = subject_folds(faces, 2 if given.quick else given.folds, seed=0)
    heads, others = rendered(FIRST, given.work, given.quick), rendered(OTHERS, given.work, given.quick)
    plan = Plan(recipe(given.quick), heads, first_network(given.work, given.quick))
    for number, (training, test) in enumerate([*folds, (faces, None)]):
        if given.only is not None and number not in given.only:
            continue
        name = "all" if test is None else f"fold{number}"
        model = fit(training, plan, given.work / name)
        if test is not None:
            found = said(model, test, plan.recipe, plan.recipe.data.margin, labelled=2)
            write_said(found, given.work / f"{name}.npz")
            write_said(said(model, others, plan.recipe, 1.0, labelled=3), given.work / f"{name}_rendered.npz")
    if given.only is None:
        from experiments.pretrained.product import finish

        finish(given, [test for _, test in folds], others, plan)


if __name__ == "__main__":
    main()
