"""Compare rules that set Σ after the training, for people on whom the network was not trained.

The features of the training people fit their targets better than those of other people, so the Σ of EM is too small.
Each rule changes only the mixture, with training and validation people. The likelihood is measured on test people,
before and after all covariances are multiplied by one factor that is fitted to the validation people.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Options, Parameters, fit, responsibilities, shrink
from deepgllim.nn import InverseRegressionHead, best_scale, collect_normalised, scaled
from experiments import protocol
from experiments.demonstration import train_on
from experiments.objective.cells import Cell, load_material, recipe_of, split_data

HERE = Path(__file__).parent
SEEDS, COMPONENTS = (0, 1, 2), (1, 3)


class Part(NamedTuple):
    """Features (N, D) and targets (N, L) of a group of people, float64."""

    features: Tensor
    targets: Tensor


def residual_noise(parameters: Parameters, part: Part) -> Tensor:
    """Return Σ = 1/N Σ_nk r_nk e_nk e_nkᵀ, e_nk = x_n − A_k y_n − b_k, shared by all components, (1, D, D)."""
    r = responsibilities(part.features, part.targets, parameters)
    predicted = torch.einsum("kdl,nl->nkd", parameters.A, part.targets) + parameters.b
    residual = part.features[:, None] - predicted
    return torch.einsum("nk,nkd,nke->de", r, residual, residual)[None] / len(part.features)


def em_on_all(parameters: Parameters, training: Part, validation: Part) -> Parameters:
    """Run EM from θ on training and validation people, with Σ shrunk by 20 % as in the recipe."""
    x, y = (torch.cat(pair) for pair in zip(training, validation, strict=True))
    spec = MixtureSpec(covariance_type="full", tied=True)
    options = Options(max_iter=100, tol=1e-3, shrinkage=SHRINKAGE, covariance_floor=1e-4)
    return fit(x, y, spec, options, start=parameters).parameters


def noise_of(parameters: Parameters, part: Part, shrinkage: float | str) -> Parameters:
    """Return θ with the Σ of the residuals of the given part."""
    return shrunk(parameters._replace(Sigma=residual_noise(parameters, part)), shrinkage, len(part.features))


def shrunk(parameters: Parameters, shrinkage: float | str, count: int) -> Parameters:
    """Return θ with a Σ that is shrunk further."""
    return parameters._replace(Sigma=shrink(parameters.Sigma, shrinkage, torch.tensor([float(count)]).double()))


SHRINKAGE = 0.2
Rule = Callable[[Parameters, Part, Part, int], Parameters]
RULES: dict[str, Rule] = {
    "EM on training people": lambda p, training, validation, people: p,
    "the same, shrunk by 50 % more": lambda p, training, validation, people: shrunk(p, 0.5, 1),
    "the same, OAS by people": lambda p, training, validation, people: shrunk(p, "oas", people),
    "Σ of validation people, OAS": lambda p, training, validation, people: noise_of(p, validation, "oas"),
    "Σ of validation people, by 20 %": lambda p, training, validation, people: noise_of(p, validation, SHRINKAGE),
    "EM on all people": lambda p, training, validation, people: em_on_all(p, training, validation),
    "EM on all, Σ of validation people, by 20 %": lambda p, training, validation, people: noise_of(
        em_on_all(p, training, validation), validation, SHRINKAGE
    ),
    "EM on all, Σ of validation people, by 50 %": lambda p, training, validation, people: noise_of(
        em_on_all(p, training, validation), validation, 0.5
    ),
}
"""Functions of θ of the best round, the training part, the validation part and the number of people, by name."""


def compare(
    head: InverseRegressionHead, training: Part, validation: Part, test: Part, people: int
) -> list[dict[str, Any]]:
    """Return a row per rule: error and likelihood on test people, the fitted factor, and the likelihood with it."""
    fitted, rows = head.mixture, []
    head.covariance_scale.fill_(1.0)
    for name, rule in RULES.items():
        head.mixture = rule(fitted, training, validation, people)
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
    """Train one model, then compare the rules on the features of its best round."""
    cell = Cell(data, "tied full, shrunk", 32, components, 1.0, seed)
    material = load_material(data, seed, source, work, quick)
    with torch.enable_grad():
        model = train_on(material, cell.noise, recipe_of(cell, quick)).model
    parts = [Part(collect_normalised(model, part).double(), part.targets.double()) for part in material.parts[:3]]
    assert isinstance(model.head, InverseRegressionHead)
    learning, _ = split_data(data, source, work)
    found = compare(model.head, parts[0], parts[1], parts[2], len(set(map(str, learning.subjects))))
    return [{"data": data, "components": components, "seed": seed, **row} for row in found]


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return the means over seeds, with a row per data set and rule."""
    columns = ["mae", "nll", "covariance_scale", "nll_scaled"]
    return results.groupby(["data", "rule"], sort=False)[columns].mean().round(3).reset_index()


def main() -> None:
    """Train, compare the rules, and write the table."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", default="", help="pointing04:DIR for the photographs; without it only rendered heads are used"
    )
    parser.add_argument("--quick", action="store_true", help="smoke test: one training, few pictures")
    parser.add_argument("--work", type=Path, default=Path("runs/objective"), help="folder for the unpacked pictures")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the table")
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
