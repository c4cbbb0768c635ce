"""Intervals that follow the noise.

The noise of the target grows with the input. A mixture has a covariance for each component and weights that depend on
the input, so its intervals widen where the data are noisy. Intervals of constant width, from one residual variance,
hold about 90 % on average, but everything in the quiet part and far too little in the noisy one.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]


def noise(x: Float) -> Float:
    """The standard deviation of y at x."""
    return 0.05 + 0.6 * x**2


def make_data(n: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """One feature (n, 1), uniform on [0, 1], and targets (n,)."""
    x = rng.uniform(0, 1, n)
    return x[:, None], np.sin(4 * x) + noise(x) * rng.normal(size=n)


def main(output: Path) -> dict[str, float]:
    """Fit, predict, draw `heteroscedastic_noise.png`."""
    rng = np.random.default_rng(0)
    X, y = make_data(3000, rng)
    X_test, y_test = make_data(3000, rng)

    model = GLLiMRegressor(n_components=8, init="kmeans", random_state=0, max_iter=500).fit(X, y)

    lower, upper = model.predict_interval(X_test, level=0.9)
    inside = (lower <= y_test) & (y_test <= upper)
    one = norm(0, np.std(y - model.predict(X)))  # one residual variance for all inputs
    residual, width = y_test - model.predict(X_test), one.ppf(0.95)
    constant = np.abs(residual) <= width
    quiet, noisy = X_test[:, 0] < 1 / 3, X_test[:, 0] > 2 / 3
    numbers = {
        "coverage, quiet third": float(inside[quiet].mean()),
        "coverage, noisy third": float(inside[noisy].mean()),
        "constant width, quiet third": float(constant[quiet].mean()),
        "constant width, noisy third": float(constant[noisy].mean()),
        "NLL": float(-model.score_samples(X_test, y_test).mean()),
        "NLL, constant variance": float(-one.logpdf(residual).mean()),
    }
    for name, value in numbers.items():
        print(f"{name:<29}{value:8.3f}")

    grid = np.linspace(0, 1, 200)[:, None]
    mean, std = model.predict(grid, return_std=True)
    low, high = model.predict_interval(grid, level=0.9)
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(X[:400, 0], y[:400], s=4, color="0.6", label="data")
    left.plot(grid[:, 0], mean, color=COLOURS[0], label="mean")
    left.fill_between(grid[:, 0], low, high, color=COLOURS[0], alpha=0.2, lw=0, label="90 % interval")
    left.plot(grid[:, 0], mean + width, color=COLOURS[1], ls="--", lw=1, label="constant width")
    left.plot(grid[:, 0], mean - width, color=COLOURS[1], ls="--", lw=1)
    left.set(xlabel="x", ylabel="y")
    right.plot(grid[:, 0], noise(grid[:, 0]), color="0.4", ls="--", label="true")
    right.plot(grid[:, 0], std, color=COLOURS[0], label="predicted")
    right.set(xlabel="x", ylabel="standard deviation of y", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(output / "heteroscedastic_noise.png")
    return numbers


if __name__ == "__main__":
    main(Path())
