"""Missing features.

At prediction a share of the features is lost (NaN). With missing="integrate" the answer is p(y | what is there),
exactly: intervals widen with what is lost, and go on holding 90 %. Filling the gaps with their conditional mean gives
the same errors, with their overall mean larger ones, and both leave the model as sure as if everything had been seen.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]


def make_data(n: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Features (n, 30), curves of the target (n,)."""
    y = rng.uniform(-1, 1, n)
    frequency, phase = np.linspace(0.5, 2, 30), np.linspace(0, 6, 30)
    return np.sin(y[:, None] * frequency + phase) + 0.7 * rng.normal(size=(n, 30)), y


def main(output: Path) -> dict[str, float]:
    """Predict with gaps in three ways, draw `missing_features.png`."""
    rng = np.random.default_rng(0)
    X, y = make_data(2000, rng)
    X_test, y_test = make_data(1000, rng)
    model = GLLiMRegressor(n_components=3, tied=True, random_state=0, max_iter=500).fit(X, y)

    shares = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9]
    names = {"integrate": "integrated out", "impute": "conditional mean", "error": "mean of the feature"}
    error: dict[str, list[float]] = {name: [] for name in names}
    width: dict[str, list[float]] = {name: [] for name in names}
    coverage: dict[str, list[float]] = {name: [] for name in names}
    for share in shares:
        gaps = np.where(rng.uniform(size=X_test.shape) < share, np.nan, X_test)
        for missing in names:
            features = np.where(np.isnan(gaps), X.mean(0), gaps) if missing == "error" else gaps
            model.set_params(missing=missing)
            answer = model.predict_frame(features, level=0.9)
            error[missing].append(float(np.sqrt(np.mean((answer["y"] - y_test) ** 2))))
            width[missing].append(float(np.mean(answer["y_upper"] - answer["y_lower"])))
            coverage[missing].append(float(np.mean((answer["y_lower"] <= y_test) & (y_test <= answer["y_upper"]))))

    numbers = {}
    print(f"{'80 % of the features missing':<30}{'RMSE':>8}{'width':>8}{'coverage':>10}")
    at = shares.index(0.8)
    for missing, name in names.items():
        print(f"{name:<30}{error[missing][at]:8.3f}{width[missing][at]:8.3f}{coverage[missing][at]:10.3f}")
        numbers[f"RMSE, {name}"] = error[missing][at]
        numbers[f"width, {name}"] = width[missing][at]
        numbers[f"coverage, {name}"] = coverage[missing][at]
    numbers["width, nothing missing"] = width["integrate"][0]
    numbers["coverage, nothing missing"] = coverage["integrate"][0]

    figure = Figure(figsize=(9, 4), layout="constrained")
    labels = ("RMSE", "mean width of 90 % intervals", "coverage of 90 % intervals")
    for axes, values, label in zip(figure.subplots(1, 3), (error, width, coverage), labels, strict=True):
        for colour, (missing, name) in zip(COLOURS, names.items(), strict=False):
            axes.plot(shares, values[missing], color=colour, marker="o", label=name)
        axes.set(xlabel="share of features missing", ylabel=label)
    axes.axhline(0.9, color="0.4", ls="--", lw=1, label="promised")
    axes.legend(frameon=False)
    figure.savefig(output / "missing_features.png")
    return numbers


if __name__ == "__main__":
    main(Path())
