"""Time an epoch of each objective, with the share of EM, and print JSON.

Rounds of the methods alternate, so that a drift of the speed of the machine affects all of them, and medians are
compared. The pictures are random, since the time does not depend on their content.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepgllim.nn import FaceInputs, Recipe, load_recipe, start_training
from deepgllim.nn.augmentation import context_size
from deepgllim.nn.training import network_epochs, solve
from deepgllim.runs import build_model

CONDITIONAL: dict[str, Any] = {"objective.beta": 1, "schedule.em": "stepwise", "objective.em_start": "targets"}
"""Options of the conditional likelihood with a mixture updated in each batch, the default of recipes."""

METHODS: dict[str, dict[str, Any]] = {
    "least_squares": {"objective.name": "least_squares"},
    "inverse_regression_K1_beta0": {"objective.n_components": 1},
    "inverse_regression_K5_beta0": {"objective.n_components": 5, "objective.em_start": "targets"},
    "inverse_regression_K1_beta1": CONDITIONAL | {"objective.n_components": 1},
    "inverse_regression_K3_beta1": CONDITIONAL | {"objective.n_components": 3, "objective.tied": True},
    "inverse_regression_K10_beta1": CONDITIONAL | {"objective.n_components": 10, "objective.tied": True},
}


def pictures(recipe: Recipe, n: int) -> FaceInputs:
    """Return random pictures with random poses."""
    generator = np.random.default_rng(0)
    side = context_size(recipe.data.image_size, recipe.augmentation)
    contexts = generator.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
    targets = torch.from_numpy(generator.uniform(-60, 60, (n, 2)))
    return FaceInputs(contexts, targets, ("pitch", "yaw"), recipe.data.image_size, recipe.augmentation)


class TimedTraining:
    """The training of one objective, which can be run round by round."""

    def __init__(self, recipe: Recipe, inputs: FaceInputs) -> None:
        torch.manual_seed(0)
        self.training = start_training(build_model(recipe, ("pitch", "yaw")), recipe, inputs)
        self.training.model.backbone.freeze(recipe.network.frozen_depths[-1])

    def round(self, round_: int) -> dict[str, float]:
        """Run a round and return the seconds of its parts."""
        self.training.progress.round = round_
        return network_epochs(self.training) | solve(self.training)


def measure(recipe: Recipe, n: int, rounds: int) -> dict[str, Any]:
    """Return the medians per epoch and their ratios to least squares, without the first round."""
    inputs = pictures(recipe, n)
    trainings = {name: TimedTraining(recipe.override(changes), inputs) for name, changes in METHODS.items()}
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in trainings}
    for round_ in range(rounds + 1):
        for name, training in trainings.items():
            seconds[name].append(training.round(round_))
    epochs = recipe.schedule.epochs_per_round
    report: dict[str, Any] = {}
    for name, rows in seconds.items():
        median = {
            part: statistics.median(row[f"seconds_{part}"] for row in rows[1:]) / epochs
            for part in ("network", "features", "em")
        }
        report[name] = {f"{part}_seconds_per_epoch": round(value, 4) for part, value in median.items()}
        report[name]["em_share"] = round(median["em"] / sum(median.values()), 5)
    for name in list(METHODS)[1:]:
        pairs = zip(seconds[name][1:], seconds["least_squares"][1:], strict=True)
        ratios = [_total(a) / _total(b) for a, b in pairs]
        report[name]["ratio_to_least_squares"] = round(statistics.median(ratios), 3)
        report[name]["ratio_if_least_squares_skipped_its_features"] = round(
            sum(report[name][f"{part}_seconds_per_epoch"] for part in ("network", "features", "em"))
            / report["least_squares"]["network_seconds_per_epoch"],
            3,
        )
    return report


def _total(row: dict[str, float]) -> float:
    return row["seconds_network"] + row["seconds_features"] + row["seconds_em"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--recipe", default=str(Path("experiments/pointing04/recipe.toml")), help="recipe to time")
    parser.add_argument("--pictures", type=int, default=512, help="training pictures")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, without the first one")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the recipe to change")
    arguments = parser.parse_args()
    changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in arguments.set)}
    recipe = load_recipe(arguments.recipe).override(changes)
    report = measure(recipe, arguments.pictures, arguments.rounds)
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(), **report}, indent=2))


if __name__ == "__main__":
    main()
