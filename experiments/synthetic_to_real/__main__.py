"""Train networks on rendered heads only, with less randomisation too, and evaluate them on all of Pointing'04."""

import argparse
import itertools
from pathlib import Path

from deepgllim.data import load_data
from deepgllim.geometry import NECK_ANGLES
from deepgllim.nn import load_recipe
from experiments.protocol import Parser, as_markdown, read_rows, read_table, write_rows
from experiments.rendered import Heads, cost, faces, trained
from experiments.synthetic_to_real.judge import judge

HERE = Path(__file__).parent
MAIN = Heads("wide", 12000, 6000, 96, seed=101)
SMALL = Heads("wide", 2000, 1000, 64, seed=102)
OTHERS = Heads("wide", 1500, 300, 96, seed=103)
METHODS: dict[str, Heads] = {
    "all randomised, 12,000 pictures of 96 px": MAIN,
    "all randomised, 2,000 of 64 px": SMALL,
    "the same, one fixed light": SMALL._replace(leave_out=("light",)),
    "the same, plain background": SMALL._replace(leave_out=("background",)),
    "the same, no blur, noise or colour changes": SMALL._replace(leave_out=("capture",)),
}


def main() -> None:
    """Render, train and evaluate the methods that are not in the table yet."""
    parser = Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR")
    parser.add_argument("--work", type=Path, default=Path("runs") / HERE.name, help="folder for sets and models")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.csv")
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings of each method")
    parser.add_argument("--quick", action="store_true", help="smoke test: two methods, few pictures, one round")
    given = parser.parse_args()
    photographs, table = load_data(given.data), given.output / "results.csv"
    photographs = photographs.subset(list(range(0, len(photographs), 60 if given.quick else 1)))
    rows = read_rows(table)
    for seed, method in itertools.product(range(given.seeds), list(METHODS)[: 2 if given.quick else None]):
        if any(row["method"] == method and row["seed"] == seed for row in rows):
            continue
        heads, others = METHODS[method], OTHERS
        recipe = load_recipe(str(HERE / ("recipe.toml" if heads == MAIN else "ablation.toml")))
        if given.quick:
            recipe = recipe.override({"schedule.rounds": 1, "schedule.epochs_per_round": 1})
            heads, others = (each._replace(images=40, identities=20, size=32) for each in (heads, others))
        recipe = recipe.override({"schedule.seed": seed, "data.image_size": heads.size})
        training, validation = (faces(each, given.work, NECK_ANGLES) for each in (heads, others))
        folder = given.work / f"{heads.folder}_train{seed}"
        model = trained(recipe, training, validation, folder)
        rows.append({"method": method, "seed": seed, **cost(folder), **judge(model, photographs)})
        write_rows(rows, table)
    shown = read_table(table).groupby("method", sort=False).mean(numeric_only=True).round(2).reset_index()
    print(as_markdown(shown[["method", *(c for c in shown if str(c).endswith("_mean"))]]))


if __name__ == "__main__":
    main()
