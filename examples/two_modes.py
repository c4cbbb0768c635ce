"""Two answers to one question.

A robot's arm has two links; where its hand is does not tell its joints, since the elbow may point either way. Least
squares answers with the mean of both, a straight arm whose hand misses the place. The mixture's density has two modes,
and the hand of either is where it should be.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from deepgllim import GLLiMRegressor
from deepgllim.evaluation import COLOURS

Float = NDArray[np.float64]


def arm(joints: Float) -> Float:
    """Base, elbow and hand, (n, 3, 2), of an arm with links of length 1 by the angles of shoulder and elbow, (n, 2)."""
    first, second = joints[:, 0], joints[:, 0] + joints[:, 1]
    elbow = np.stack([np.cos(first), np.sin(first)], 1)
    return np.stack([np.zeros_like(elbow), elbow, elbow + np.stack([np.cos(second), np.sin(second)], 1)], 1)


def make_data(n: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Noisy places of the hand (n, 2), and joints (n, 2) in radians; the elbow bends to either side."""
    elbow = rng.choice([-1, 1], n) * rng.uniform(0.8, 2.0, n)
    joints = np.stack([rng.uniform(-0.8, 0.8, n) - elbow / 2, elbow], 1)
    return arm(joints)[:, 2] + 0.05 * rng.normal(size=(n, 2)), joints


def main(output: Path) -> dict[str, float]:
    """Fit, ask for modes, draw `two_modes.png`."""
    rng = np.random.default_rng(0)
    X, y = make_data(2000, rng)
    X_test, y_test = make_data(100, rng)

    model = GLLiMRegressor(n_components=16, covariance_type="full", random_state=0, max_iter=500, tol=1e-3).fit(X, y)

    forest = RandomForestRegressor(50, min_samples_leaf=5, random_state=0).fit(X, y)
    modes = np.stack([found[:2] for found in model.predict_modes(X_test)])  # the two highest of each, (n, 2, 2)
    other = y_test * [1, -1] + np.stack([y_test[:, 1], 0 * y_test[:, 1]], 1)  # the same hand, the other elbow

    def miss(joints: object) -> Float:
        return np.asarray(np.linalg.norm(arm(np.asarray(joints))[:, 2] - X_test, axis=1))

    def nearest(truth: Float) -> Float:
        return np.asarray(np.abs(modes - truth[:, None]).max(2).min(1))

    numbers = {
        "hand off by, mean": float(np.median(miss(model.predict(X_test)))),
        "hand off by, random forest": float(np.median(miss(forest.predict(X_test)))),
        "hand off by, first mode": float(np.median(miss(modes[:, 0]))),
        "hand off by, second mode": float(np.median(miss(modes[:, 1]))),
        "share with both answers within 0.2 rad": float(np.mean((nearest(y_test) < 0.2) & (nearest(other) < 0.2))),
    }
    for name, value in numbers.items():
        print(f"{name:<40}{value:8.3f}")

    one = 0
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    mean = model.predict(X_test[[one]])
    answers = {"mean": mean, "first mode": modes[[one], 0], "second mode": modes[[one], 1]}
    for colour, (name, joints) in zip(COLOURS, answers.items(), strict=False):
        left.plot(*arm(joints)[0].T, color=colour, marker="o", lw=2.5, label=f"arm at the {name}")
        right.plot(*joints[0], color=colour, marker="X", ms=10, mec="white", ls="", label=name)
    left.scatter(*X_test[one], s=150, marker="*", color="black", zorder=3, label="where the hand is")
    left.set(xlabel="horizontal", ylabel="vertical", aspect="equal", xlim=(-0.2, 2.2), ylim=(-0.9, 1.7))
    axes = np.linspace(-1.4, 1.6, 300), np.linspace(-2.4, 3.4, 300)
    points = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    density = model.predict_distribution(X_test[[one]]).log_prob(torch.from_numpy(points)).reshape(300, 300)
    levels = float(density.max()) - np.array([8, 5, 3, 1])
    right.contour(*axes, density, levels=levels, colors="0.5", linestyles="solid", linewidths=1)
    right.set(xlabel="shoulder, rad", ylabel="elbow, rad", title="p(joints | hand), in contours")
    for panel in (left, right):
        panel.legend(frameon=False)
    figure.savefig(output / "two_modes.png")
    return numbers


if __name__ == "__main__":
    main(Path())
