"""20, 40, 60, 80 and 100 % of the training pictures of Pointing'04, both objectives, three seeds (paper, table 4).

Recipe, people, seeds and learning rates are those of `experiments.pointing04`, whose runs at 100 % are used again:
run it first. The pictures of 20 % are among those of 40 %, and so on; every person gives the same share.
"""

from pathlib import Path

import matplotlib

from deepgllim.nn.config import load_recipe
from experiments import pointing04, protocol
from experiments.pointing04.__main__ import METHODS, SEEDS
from experiments.protocol import Job

matplotlib.use("Agg")
HERE = Path(__file__).parent
MAIN = Path(pointing04.__file__).parent
FRACTIONS = (0.2, 0.4, 0.6, 0.8)
COMPARED = ("least squares", "inverse regression, K = 1")


def main() -> None:
    """Train on the shares, judge, write the table and the plot."""
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
    protocol.run_all(jobs, protocol.run_job, arguments.output / "runs.csv", arguments)
    shares = protocol.run_all(jobs, protocol.judge, arguments.output / "results.csv", arguments)
    whole = protocol.read_table(MAIN / "results.csv").query("method in @COMPARED", local_dict={"COMPARED": COMPARED})
    protocol.plot_over(shares, whole, "test_mae", arguments.output / "training_size.png")
    every = protocol.join(shares, whole).sort_values(["fraction", "method"])
    table = protocol.mean_and_deviation(every, ["fraction", "method"], ["test_mae", "test_mae_pitch", "test_mae_yaw"])
    print(protocol.as_markdown(table))


if __name__ == "__main__":
    main()
