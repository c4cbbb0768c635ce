"""Outliers.

One training sample in ten has features that have nothing to do with its target. Under Gaussian noise they pull slopes
and variances; under Student noise, whose degrees of freedom are estimated, each sample has a precision of its own and
bad ones count little. Without outliers both give the same answer.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]
SLOPES = np.linspace(-1, 1, 20)


def make_data(n: int, share: float, rng: np.random.Generator) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Features (n, 20), lines over a target (n,); which samples are outliers, (n,)."""
    y = rng.normal(size=n)
    X = y[:, None] * SLOPES + 0.5 * rng.normal(size=(n, 20))
    bad = rng.uniform(size=n) < share
    X[bad] = 3 * rng.normal(size=(bad.sum(), 20)) + 3
    return X, y, bad


def main(output: Path) -> dict[str, float]:
    """Fit both forms to data with and without outliers, draw `outliers.png`."""
    X_test, y_test, _ = make_data(2000, 0.0, np.random.default_rng(1))
    forms: dict[str, Literal["estimated"] | None] = {"Gaussian": None, "Student": "estimated"}
    numbers, slopes = {}, {}
    for data, share in (("clean", 0.0), ("10 % outliers", 0.1)):
        X, y, bad = make_data(400, share, np.random.default_rng(0))
        for noise, dof in forms.items():
            model = GLLiMRegressor(dof=dof, max_iter=1000, random_state=0).fit(X, y)
            slopes[f"{noise}, {data}"] = model.parameters_.A[0, :, 0].numpy()
            numbers[f"RMSE, {noise}, {data}"] = float(np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2)))
            numbers[f"NLL, {noise}, {data}"] = float(-model.score_samples(X_test, y_test).mean())
            error = np.sqrt(np.mean((slopes[f"{noise}, {data}"] - SLOPES) ** 2))
            numbers[f"RMS error of slopes, {noise}, {data}"] = float(error)
    for name, value in numbers.items():
        print(f"{name:<47}{value:8.3f}")

    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(y[~bad], X[~bad, -1], s=6, color="0.6", label="samples")
    left.scatter(y[bad], X[bad, -1], s=14, color="black", marker="x", label="outliers")
    left.set(xlabel="target", ylabel="last feature", ylim=(-7, 16))
    ends = np.array([-3.0, 3.0])
    for colour, noise in zip(COLOURS[1::-1], forms, strict=True):
        fitted = slopes[f"{noise}, 10 % outliers"]
        left.plot(ends, X[~bad, -1].mean() + fitted[-1] * ends, color=colour, lw=2, label=f"slope, {noise}")
        right.scatter(SLOPES, fitted, color=colour, s=18, label=f"{noise}, 10 % outliers")
    right.plot([-1, 1], [-1, 1], color="0.4", ls="--", lw=1, label="exact")
    right.set(xlabel="true slope of each feature", ylabel="fitted slope", xticks=[-1, -0.5, 0, 0.5, 1])
    for axes in (left, right):
        axes.legend(frameon=False)
    figure.savefig(output / "outliers.png")
    return numbers


if __name__ == "__main__":
    main(Path())
