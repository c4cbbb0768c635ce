"""Compare inverse regression with K = 1, 2, 5 and least squares on Pointing'04: people 1-12 train, 13-15 test.

Inverse regression has beta = 0, as in the paper, or beta = 1. Network, pictures, augmentation, epochs and the search
for the learning rate are the same for all methods. The search uses the validation people of the first of three seeds
only. The test people are used once, after the search.
"""

from pathlib import Path
from typing import Any

from deepgllim.nn import load_recipe
from experiments import protocol
from experiments.protocol import Job
from experiments.steps import conditional

HERE = Path(__file__).parent
RATES = (2e-4, 5e-4, 1.2e-3)
SEEDS = (0, 1, 2)
METHODS: dict[str, dict[str, Any]] = {
    "least squares": {"objective.name": "least_squares"},
    "inverse regression, K = 1": {"objective.n_components": 1},
    "inverse regression, K = 2": {"objective.n_components": 2},
    "inverse regression, K = 5": {"objective.n_components": 5},
    **{f"inverse regression, K = {K}, beta = 1": conditional(K) for K in (1, 2, 5)},
}
COLUMNS = {
    "test_mae": "mean",
    "test_mae_pitch": "pitch",
    "test_mae_yaw": "yaw",
    "test_nll": "NLL",
    "test_coverage_90_pitch": "90 % coverage, pitch",
    "test_coverage_90_yaw": "yaw coverage",
    "test_width_90_yaw": "yaw width",
}


def main() -> None:
    """Search the learning rates, train with all seeds, evaluate, and write the tables."""
    arguments = protocol.options(__doc__ or "", HERE)
    rates, seeds = (RATES[:1], SEEDS[:1]) if arguments.quick else (RATES, SEEDS)
    recipe = load_recipe(str(HERE / "recipe.toml"))
    recipes = {method: recipe.override(changes) for method, changes in METHODS.items()}
    table = arguments.output / "runs.csv"
    search = [Job(method, recipes[method], rate, seeds[0]) for rate in rates for method in METHODS]
    best = protocol.best_rates(protocol.run_all(search, protocol.run_job, table, arguments))
    final = [Job(method, recipes[method], best[method], seed) for seed in seeds for method in METHODS]
    _, results = protocol.train_and_judge(final, arguments)
    summary = protocol.mean_and_deviation(results, ["method", "learning_rate"], list(COLUMNS))
    print(protocol.as_markdown(summary.rename(columns=COLUMNS)))


if __name__ == "__main__":
    main()
