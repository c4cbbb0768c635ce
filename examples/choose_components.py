"""How many components.

The data come from four local regressions. gllim.select fits every K, with one noise variance for all features or one
for each, and tabulates criteria: BIC is least where the data came from, at K = 4 and diagonal noise, and log p(y | x)
of unseen samples is highest there. The likelihood of the training samples rises on with K and chooses nothing.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from deepgllim.errors import EmptyComponentWarning
from deepgllim.evaluation import plot_responsibilities_2d, plot_selection
from deepgllim.gllim import Options, Parameters, responsibilities, sample, select


def truth() -> Parameters:
    """Four regressions of six features on two targets, each with its own region of targets."""
    g = torch.Generator().manual_seed(1)
    centres = torch.tensor([[-2.0, -2.0], [-2.0, 2.0], [2.0, -2.0], [2.0, 2.0]], dtype=torch.float64)
    return Parameters(
        pi=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64),
        c=centres,
        Gamma=torch.eye(2, dtype=torch.float64).expand(4, 2, 2),
        A=torch.randn(4, 6, 2, generator=g, dtype=torch.float64),
        b=torch.randn(4, 6, generator=g, dtype=torch.float64),
        Sigma=torch.linspace(0.2, 1.5, 6, dtype=torch.float64).expand(4, 6),
    )


def main(output: Path) -> dict[str, float]:
    """Fit sixteen forms, choose by BIC, draw `choose_components.png`."""
    X, y = sample(truth(), 1500, torch.Generator().manual_seed(0))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmptyComponentWarning)  # where K is too large, some lose their samples
        chosen = select(
            X,
            y,
            n_components=range(1, 9),
            covariance_type=("isotropic", "diagonal"),
            criterion="bic",
            held_out=0.2,
            options=Options(n_init=2, max_iter=500, tol=1e-3),
        )

    table = chosen.table
    columns = ["n_components", "covariance_type", "n_parameters", "log_likelihood", "bic", "held_out_conditional"]
    print(table[columns].head(6).round(2).to_string(index=False))
    best = chosen.best
    diagonal = table[table["covariance_type"] == "diagonal"].sort_values("n_components")
    numbers = {
        "K by BIC": float(best.n_components),
        "diagonal noise chosen": float(best.spec.covariance_type == "diagonal"),
        "K by the likelihood": float(diagonal["n_components"].iloc[int(np.argmax(diagonal["log_likelihood"]))]),
        "held-out log p(y | x), chosen": best.held_out_conditional,
        "held-out log p(y | x), K = 1": float(diagonal["held_out_conditional"].iloc[0]),
        "held-out log p(y | x), K = 8": float(diagonal["held_out_conditional"].iloc[-1]),
    }

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_selection(left, table, "bic").set_title("BIC, less is better")
    r = responsibilities(X, y, best.fit.parameters)
    plot_responsibilities_2d(right, y[:500], r[:500]).set_title("targets by component of the chosen fit")
    figure.savefig(output / "choose_components.png")
    return numbers


if __name__ == "__main__":
    main(Path())
