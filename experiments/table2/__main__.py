"""Make table 2 of the paper: K = 1, 2, 5, 10 on rendered S2G and SSV, errors in degrees on other people."""

import argparse
from functools import partial
from pathlib import Path

from deepgllim.geometry import ANGLES
from deepgllim.nn import load_recipe
from experiments.protocol import Parser, as_markdown, run_tasks, waiting
from experiments.table2.cells import SETS, Job, parts_of, run

HERE = Path(__file__).parent
COMPONENTS = (1, 2, 5, 10)


def main() -> None:
    """Render the sets, then train and evaluate the cells that are not in the table yet."""
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="number of pictures of each set; the paper has 20000")
    parser.add_argument(
        "--recipe",
        type=Path,
        default=HERE / "recipe.toml",
        help="recipe; conditional.toml has β = 1, paper.toml is that of the paper",
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings of each cell")
    parser.add_argument("--jobs", type=int, default=1, help="parallel trainings, one thread each if more than one")
    parser.add_argument("--work", type=Path, default=Path("runs") / HERE.name, help="folder for sets and models")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the table")
    parser.add_argument("--quick", action="store_true", help="smoke test: few small pictures, one round, K = 1, 2")
    arguments = parser.parse_args()
    recipe, own = load_recipe(str(arguments.recipe)), arguments.recipe.stem != "recipe"
    table = arguments.output / (f"{arguments.recipe.stem}.csv" if own else "results.csv")
    components, images = (COMPONENTS[:2], 100) if arguments.quick else (COMPONENTS, arguments.images)
    if arguments.quick:
        recipe = recipe.override({"schedule.rounds": 1, "schedule.epochs_per_round": 1, "data.image_size": 32})
    cells = [Job(name, K, seed) for seed in range(arguments.seeds) for K in components for name in SETS]
    sets = dict.fromkeys(job.set for job in waiting(cells, table, Job._asdict))
    parts = {name: parts_of(name, images, recipe.data.image_size, arguments.work) for name in sets}
    suffix = f"_{arguments.recipe.stem}" if own else ""
    task = partial(run, recipe=recipe, parts=parts, work=arguments.work, suffix=suffix, jobs=arguments.jobs)
    results = run_tasks(cells, task, table, arguments.jobs, Job._asdict)
    shown = results.groupby(["set", "K"]).mean(numeric_only=True).round(2).reset_index()
    print(as_markdown(shown[["set", "K", *(f"mae_{name}" for name in ANGLES), "mae", "nll", "coverage_90_yaw"]]))


if __name__ == "__main__":
    main()
