"""Make table 2 of the paper: K = 1, 2, 5, 10 on rendered S2G and SSV, errors in degrees on other people."""

import argparse
from pathlib import Path

from deepgllim.geometry import ANGLES
from deepgllim.nn import evaluate, load_recipe
from experiments.protocol import Parser, as_markdown, read_rows, read_table, write_rows
from experiments.rendered import Heads, cost, crops, faces, trained

HERE = Path(__file__).parent
SETS = {"S2G": "s2g", "SSV": "ssv"}
COMPONENTS = (1, 2, 5, 10)
IDENTITIES = 50
TRAINING, VALIDATION, TEST = slice(0, 32), slice(32, 40), slice(40, 50)
"""Indices of the people."""


def main() -> None:
    """Render, train and evaluate the cells that are not in the table yet."""
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="number of pictures of each set; the paper has 20000")
    parser.add_argument(
        "--recipe",
        default=str(HERE / "recipe.toml"),
        help="recipe; paper.toml is that of the paper",
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings of each cell")
    parser.add_argument("--work", type=Path, default=Path("runs") / HERE.name, help="folder for sets and models")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the table")
    parser.add_argument("--quick", action="store_true", help="smoke test: few small pictures, one round, K = 1, 2")
    arguments = parser.parse_args()
    base, stem = load_recipe(arguments.recipe), Path(arguments.recipe).stem
    table = arguments.output / ("results.csv" if stem == "recipe" else f"{stem}.csv")
    components, images = (COMPONENTS[:2], 100) if arguments.quick else (COMPONENTS, arguments.images)
    if arguments.quick:
        base = base.override({"schedule.rounds": 1, "schedule.epochs_per_round": 1, "data.image_size": 32})
    rows = read_rows(table)
    jobs = [(seed, k, label) for seed in range(arguments.seeds) for k in components for label in SETS]
    for seed, k, label in jobs:
        if any((row["set"], row["K"], row["seed"]) == (label, k, seed) for row in rows):
            continue
        recipe = base.override({"objective.n_components": k, "schedule.seed": seed})
        heads = Heads(SETS[label], images, IDENTITIES, recipe.data.image_size, seed=2017)
        parts = (faces(heads, arguments.work, ANGLES, people) for people in (TRAINING, VALIDATION, TEST))
        training, validation, test = parts
        folder = arguments.work / f"{heads.folder}_K{k}_train{seed}{'' if stem == 'recipe' else f'_{stem}'}"
        model = trained(recipe, training, validation, folder)
        figures = evaluate(model, crops(test, recipe))
        rows.append({"set": label, "K": k, "seed": seed, "pictures": len(training), **cost(folder), **figures})
        write_rows(rows, table)
    shown = read_table(table).groupby(["set", "K"]).mean(numeric_only=True).round(2).reset_index()
    print(as_markdown(shown[["set", "K", *(f"mae_{name}" for name in ANGLES), "mae", "nll", "coverage_90_yaw"]]))


if __name__ == "__main__":
    main()
