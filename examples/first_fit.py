"""A first fit.

Forty noisy features are curves of one target. Four local regressions from the target to the features are fitted by EM
and turned round: each new sample gets a mean and an interval. The points follow the diagonal, and intervals of every
level hold about the share of true values that they promise. Sixteen regressions are more than a thousand samples bear:
they are too sure of themselves (choose_components.py finds the number).
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import plot_calibration, plot_predictions, plot_trace

Float = NDArray[np.float64]


def make_data(n: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Features (n, 40), sines of the target with a noise as large as they are, and targets (n,)."""
    y = rng.uniform(-2, 2, n)
    frequency, phase = np.linspace(0.3, 1.5, 40), np.linspace(0, 6, 40)
    return np.sin(y[:, None] * frequency + phase) + 0.7 * rng.normal(size=(n, 40)), y


def main(output: Path) -> dict[str, float]:
    """Fit, predict, draw `first_fit.png`."""
    rng = np.random.default_rng(0)
    X, y = make_data(1000, rng)
    X_test, y_test = make_data(500, rng)

    model = GLLiMRegressor(n_components=4, tied=True, random_state=0).fit(X, y)

    mean = model.predict(X_test)
    lower, upper = model.predict_interval(X_test, level=0.9)
    many = GLLiMRegressor(n_components=16, tied=True, random_state=0).fit(X, y)
    levels = np.arange(0.1, 0.91, 0.1)
    coverage: dict[str, list[float]] = {"K = 4": [], "K = 16": []}
    for fitted, shares in zip((model, many), coverage.values(), strict=True):
        for level in levels:
            low, high = fitted.predict_interval(X_test, level)
            shares.append(float(np.mean((low <= y_test) & (y_test <= high))))
    numbers = {
        "standard deviation of the target": float(y_test.std()),
        "RMSE": float(np.sqrt(np.mean((mean - y_test) ** 2))),
        "coverage of 90 % intervals": coverage["K = 4"][-1],
        "coverage with 16 components": coverage["K = 16"][-1],
        "iterations of EM": float(model.n_iter_),
    }
    for name, value in numbers.items():
        print(f"{name:<34}{value:8.3f}")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    plot_trace(left, model.log_likelihoods_).set_title("EM")
    some = slice(0, 60)
    plot_predictions(middle, y_test[some], mean[some], lower[some], upper[some]).set_title("90 % intervals")
    middle.legend(fontsize=8, frameon=False, loc="upper left")
    plot_calibration(right, levels, coverage).set_title("calibration")
    figure.savefig(output / "first_fit.png")
    return numbers


if __name__ == "__main__":
    main(Path())
