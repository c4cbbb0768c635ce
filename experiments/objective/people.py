"""Σ for people that the network was not fitted to: rules that set it after training, compared on held-out people.

Features of the training people fit their targets better than those of others, so the Σ of EM is too small. Each rule
changes Σ alone, from training and validation people; test people measure the likelihood, before and after all
covariances are multiplied by one factor, fitted to validation people.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from deepgllim.demo.trained import train_method
from deepgllim.gllim import Parameters, responsibilities
from deepgllim.gllim.covariances import shrink
from deepgllim.nn.evaluation import best_scale, collect_normalised, scaled
from deepgllim.nn.head import InverseRegressionHead
from experiments import protocol
from experiments.objective.cells import LEAST_SQUARES, Cell, load_material, recipe_of

HERE = Path(__file__).parent
SEEDS, COMPONENTS = (0, 1, 2), (1, 3)


class Part(NamedTuple):
    """Features (N, D) and targets (N, L) of some people, float64."""

    features: Tensor
    targets: Tensor


def residual_noise(parameters: Parameters, part: Part) -> Tensor:
    """Σ_n Σ_k r_nk e_nk e_nkᵀ / N with e_nk = x_n − A_k y_n − b_k: one full Σ for all components, (1, D, D)."""
    r = responsibilities(part.features, part.targets, parameters)
    predicted = torch.einsum("kdl,nl->nkd", parameters.A, part.targets) + parameters.b
    residual = part.features[:, None] - predicted
    return torch.einsum("nk,nkd,nke->de", r, residual, residual)[None] / len(part.features)


def with_count(count: int) -> Tensor:
    """A number of samples as `shrink` wants it, (1,)."""
    return torch.tensor([float(count)], dtype=torch.float64)


Rule = Callable[[Parameters, Part, Part, int], Tensor]
RULES: dict[str, Rule] = {
    "EM": lambda p, training, validation, people: p.Sigma,
    "EM, shrunk by 50 %": lambda p, training, validation, people: shrink(p.Sigma, 0.5, with_count(1)),
    "EM, OAS by pictures": lambda p, training, validation, people: shrink(
        p.Sigma, "oas", with_count(len(training.features))
    ),
    "EM, OAS by people": lambda p, training, validation, people: shrink(p.Sigma, "oas", with_count(people)),
    "validation people": lambda p, training, validation, people: shrink(
        residual_noise(p, validation), "oas", with_count(len(validation.features))
    ),
    "validation people, shrunk by 20 %": lambda p, training, validation, people: shrink(
        residual_noise(p, validation), 0.2, with_count(1)
    ),
    "mean of both": lambda p, training, validation, people: 0.5 * (p.Sigma + residual_noise(p, validation)),
}
"""(θ, training part, validation part, number of training people) → Σ."""


def compare(
    head: InverseRegressionHead, training: Part, validation: Part, test: Part, people: int
) -> list[dict[str, Any]]:
    """A row for each rule: the likelihood and the error on test people, the factor, the likelihood with it."""
    fitted, rows = head.mixture, []
    head.covariance_scale.fill_(1.0)
    for name, rule in RULES.items():
        head.mixture = fitted._replace(Sigma=rule(fitted, training, validation, people))
        factor = best_scale(head(validation.features), validation.targets)
        answer = head(test.features)
        rows.append(
            {
                "rule": name,
                "mae": float((answer.mean - test.targets).abs().mean()),
                "nll": -float(answer.log_prob(test.targets).mean()),
                "covariance_scale": factor,
                "nll_scaled": -float(scaled(answer, factor).log_prob(test.targets).mean()),
            }
        )
    head.mixture = fitted
    return rows


@torch.no_grad()
def run(data: str, components: int, seed: int, source: str, work: Path, quick: bool) -> list[dict[str, Any]]:
    """Train once, then compare the rules on the features of the best round."""
    cell = Cell(data, "tied full, shrunk", 32, components, 1.0, seed)
    material, recipe = load_material(data, seed, source, work, quick), recipe_of(cell, quick)
    model = material.trunk.model(recipe)
    with torch.enable_grad():
        train_method(LEAST_SQUARES, material.trunk.recipe(recipe), material.parts, None, model, material.non_heads)
    parts = [Part(collect_normalised(model, part).double(), part.targets.double()) for part in material.parts[:3]]
    assert isinstance(model.head, InverseRegressionHead)
    found = compare(model.head, parts[0], parts[1], parts[2], material.people)
    return [{"data": data, "components": components, "seed": seed, **row} for row in found]


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, a row for each data set and rule."""
    columns = ["mae", "nll", "covariance_scale", "nll_scaled"]
    return results.groupby(["data", "rule"], sort=False)[columns].mean().round(3).reset_index()


def main() -> None:
    """Train, compare, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", default="", help="pointing04:DIR, for the photographs; without it rendered heads alone"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: one training, few pictures")
    parser.add_argument("--work", type=Path, default=Path("runs/objective"), help="unpacked pictures")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the table")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for data in ["rendered", *(["photographs"] if arguments.data else [])]:
        for seed in SEEDS[: 1 if arguments.quick else None]:
            for components in COMPONENTS[: 1 if arguments.quick else None]:
                rows += run(data, components, seed, arguments.data, arguments.work, arguments.quick)
                protocol.write_rows(rows, arguments.output / "people.csv")
    print(protocol.as_markdown(summary(pd.DataFrame(rows))))


if __name__ == "__main__":
    main()
