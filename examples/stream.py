"""Data that arrive in batches.

partial_fit makes one step of EM on each batch and keeps none of them. After forty batches the error is that of a fit to
all samples at once. Then the features change for good: the model follows the stream, while the old fit fails.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.base import clone

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]


def make_data(n: int, shift: float, rng: np.random.Generator) -> tuple[Float, Float]:
    """Features (n, 20), curves of the target (n,); `shift` moves them, as a sensor that drifts."""
    y = rng.uniform(-2, 2, n)
    X = np.sin(y[:, None] * np.linspace(0.5, 1.5, 20) + np.linspace(0, 6, 20) + shift)
    return X + 0.8 * rng.normal(size=(n, 20)), y


def main(output: Path) -> dict[str, float]:
    """Follow eighty batches, draw `stream.png`."""
    rng = np.random.default_rng(0)
    model = GLLiMRegressor(n_components=4, tied=True, random_state=0, max_iter=500)
    shifts = [0.0] * 40 + [0.5] * 40
    batches = [make_data(60, shift, rng) for shift in shifts]
    tests = {shift: make_data(2000, shift, rng) for shift in (0.0, 0.5)}

    def error(fitted: GLLiMRegressor, shift: float) -> float:
        X, y = tests[shift]
        return float(np.sqrt(np.mean((fitted.predict(X) - y) ** 2)))

    streaming, trace = clone(model), []
    for (X, y), shift in zip(batches, shifts, strict=True):
        streaming.partial_fit(X, y)
        trace.append(error(streaming, shift))

    first = clone(model).fit(*batches[0])
    everything = clone(model).fit(*map(np.concatenate, zip(*batches[:40], strict=True)))
    numbers = {
        "RMSE, stream after 1 batch": trace[0],
        "RMSE, stream after 40 batches": trace[39],
        "RMSE, fit to the first batch": error(first, 0.0),
        "RMSE, fit to 40 batches at once": error(everything, 0.0),
        "RMSE, stream after the change": trace[40],
        "RMSE, stream 40 batches later": trace[79],
        "RMSE, old fit after the change": error(everything, 0.5),
    }
    for name, value in numbers.items():
        print(f"{name:<34}{value:8.3f}")

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, 81), trace, color=COLOURS[0], marker="o", ms=3, label="partial_fit, each batch seen once")
    old = [error(everything, 0.0), error(everything, 0.5)]
    axes.hlines(old, [1, 41], [40, 80], color=COLOURS[1], label="fit to the first 40 batches at once")
    axes.axvline(40.5, color="0.7", ls=":", label="the features change")
    axes.set(xlabel="batches of 60 samples", ylabel="RMSE on unseen samples", ylim=(0, 0.65))
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(output / "stream.png")
    return numbers


if __name__ == "__main__":
    main(Path())
