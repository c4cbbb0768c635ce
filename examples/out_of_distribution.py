"""Inputs unlike the training data.

The features lie near a bent curve in thirty dimensions. log p(x) tells inputs past the ends of the curve and blends of
two ordinary inputs, as in a double exposure, from ordinary ones. A distance from the mean finds the former as well, but
not the latter, which lie inside the bend. Past the ends the errors show why it matters.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]


def clean(y: Float) -> Float:
    """Features without noise, (n, 30), sines of the target (n,)."""
    return np.sin(y[:, None] * np.linspace(0.5, 2.5, 30) + np.linspace(0, 9, 30))


def main(output: Path) -> dict[str, float]:
    """Fit on targets in [−2, 2], judge other inputs, draw `out_of_distribution.png`."""
    rng = np.random.default_rng(0)
    y, y_test = rng.uniform(-2, 2, (2, 1500))
    y_other = (y_test + 2 + rng.uniform(1, 3, 1500)) % 4 - 2  # at least 1 from y_test
    y_past = rng.choice([-1, 1], 1500) * rng.uniform(2.2, 3.2, 1500)
    noise = rng.normal(0, 0.3, (4, 1500, 30))
    X = clean(y) + noise[0]
    inputs = {
        "like the training data": clean(y_test) + noise[1],
        "past the ends": clean(y_past) + noise[2],
        "blends of two": 0.5 * (clean(y_test) + clean(y_other)) + noise[3],
    }

    model = GLLiMRegressor(n_components=8, tied=True, random_state=0, max_iter=500).fit(X, y)

    gaussian = EmpiricalCovariance().fit(X)
    density = {name: model.log_density(x) for name, x in inputs.items()}
    distance = {name: gaussian.mahalanobis(x) for name, x in inputs.items()}
    known, *others = inputs
    numbers = {}
    for name in others:
        truth = np.repeat([0, 1], 1500)
        for measure, scores in (("-log p(x)", {n: -d for n, d in density.items()}), ("Mahalanobis distance", distance)):
            auroc = roc_auc_score(truth, np.concatenate([scores[known], scores[name]]))
            numbers[f"AUROC of {measure}, {name}"] = float(auroc)
    errors = {name: np.abs(model.predict(inputs[name]) - t) for name, t in ((known, y_test), ("past the ends", y_past))}
    numbers |= {f"RMSE, {name}": float(np.sqrt(np.mean(error**2))) for name, error in errors.items()}
    for name, value in numbers.items():
        print(f"{name:<46}{value:8.3f}")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = np.linspace(-150, density[known].max(), 50)
    for colour, (name, values) in zip(COLOURS, density.items(), strict=False):
        left.hist(np.clip(values, bins[0], None), bins.tolist(), color=colour, alpha=0.6, label=name)
    left.set(xlabel="log p(x), nats (less counts as the least)", ylabel="inputs")
    for colour, (name, error) in zip(COLOURS, errors.items(), strict=False):
        right.scatter(density[name][:250], error[:250], s=6, color=colour, label=name)
    right.set(xlabel="log p(x), nats", ylabel="absolute error of the prediction")
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(output / "out_of_distribution.png")
    return numbers


if __name__ == "__main__":
    main(Path())
