"""Train on 20, 40, 60 and 80 % of the training pictures of Pointing'04, with both objectives (table 4 of the paper).

Recipe, people, seeds and learning rates are those of `experiments.pointing04`, which has to be run first; its results
are those for 100 %. Each share contains the smaller ones, and the same share of the pictures of each person.
"""

from pathlib import Path

import matplotlib

from deepgllim.nn import load_recipe
from experiments import pointing04, protocol
from experiments.pointing04.__main__ import METHODS, SEEDS
from experiments.protocol import Job

matplotlib.use("Agg")
HERE = Path(__file__).parent
MAIN = Path(pointing04.__file__).parent
FRACTIONS = (0.2, 0.4, 0.6, 0.8)
COMPARED = ("least squares", "inverse regression, K = 1")


def main() -> None:
    """Train on each share, evaluate, and write the table and the plot."""
    arguments = protocol.options(__doc__ or "", HERE)
    fractions, seeds = (FRACTIONS[:1], SEEDS[:1]) if arguments.quick else (FRACTIONS, SEEDS)
    recipe = load_recipe(str(MAIN / "recipe.toml"))
    rates = protocol.best_rates(protocol.read_table(MAIN / "runs.csv"))
    jobs = [
        Job(method, recipe.override(METHODS[method]), rates[method], seed, fraction)
        for seed in seeds
        for fraction in fractions
        for method in COMPARED
    ]
    _, shares = protocol.train_and_judge(jobs, arguments)
    whole = protocol.read_table(MAIN / "results.csv").query("method in @COMPARED", local_dict={"COMPARED": COMPARED})
    protocol.plot_over(shares, whole, "test_mae", arguments.output / "training_size.png")
    every = protocol.join(shares, whole).sort_values(["fraction", "method"])
    table = protocol.mean_and_deviation(every, ["fraction", "method"], ["test_mae", "test_mae_pitch", "test_mae_yaw"])
    print(protocol.as_markdown(table))


if __name__ == "__main__":
    main()
