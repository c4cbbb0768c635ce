"""Compare regressors with predictive distributions on the same splits: mixture, ridge, forest, Gaussian process, gmr.

Each method is fitted to 70 % of the samples, by which features and targets are standardised, and predicts a
distribution for the other 30 %. The metrics are the RMSE in standard deviations of the targets, the mean −log p(y | x)
in nats (joint over the standardised targets; a constant Gaussian has 1.42 per target), the coverage of 90 % intervals,
and the processor seconds of the fit with its model selection. Nothing is tuned by hand:

    GLLiM, GLLiM Student    K from 1, 2, 3, 5, 8 by BIC; diagonal or, with 10 samples per feature, full noise
    GLLiM held out          both by log p(y | x) of a fifth of the samples, then fitted to all
    ridge                   penalty by leave-one-out; Gaussian with the covariance of cross-validated residuals
    forest                  200 trees; Gaussian with the spread of their predictions
    Gaussian process        RBF + white noise, by the marginal likelihood
    gmr                     full Gaussian mixture of features and targets, K by BIC, shrunk with fewer than 10 samples
                            per column; left out if not installed

Example:
    python benchmarks/regressors.py --output benchmarks/regressors.csv
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from deepgllim import GLLiMRegressor, MultivariateGaussianMixture, MultivariateStudentMixture
from deepgllim.gllim import Options, select

Float = NDArray[np.float64]
Mixture = MultivariateGaussianMixture | MultivariateStudentMixture
Model = Callable[[Float], Mixture]
COMPONENTS = (1, 2, 3, 5, 8)
LEAST_VARIANCE = 1e-6  # of a standardised target


# Data: features (n, D) and targets (n, L) of a seed.


def diabetes(seed: int) -> tuple[Float, Float]:
    """Return 442 patients with 10 features."""
    X, y = load_diabetes(return_X_y=True)
    return X, y[:, None]


def two_answers(seed: int) -> tuple[Float, Float]:
    """Return x = y + 0.3 sin(2πy) + noise, with one to three y for each x (Bishop 1994)."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(0, 1, (1000, 1))
    return y + 0.3 * np.sin(2 * np.pi * y) + 0.05 * rng.normal(size=y.shape), y


def growing_noise(seed: int) -> tuple[Float, Float]:
    """Return one feature, and a target whose noise grows with it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (1000, 1))
    return x, np.sin(4 * x) + (0.05 + 0.6 * x**2) * rng.normal(size=x.shape)


def irrelevant_features(seed: int) -> tuple[Float, Float]:
    """Return Friedman's first problem, with 5 relevant and 200 irrelevant features."""
    X, y = make_friedman1(600, n_features=205, noise=1.0, random_state=seed)
    return X, y[:, None]


def curves(seed: int) -> tuple[Float, Float]:
    """Return fifty noisy features that are curves of three targets, as inverse regression assumes."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(-1, 1, (600, 3))
    fixed = np.random.default_rng(0)
    X = np.sin(y @ fixed.normal(size=(3, 50)) + fixed.uniform(0, 6, 50))
    return X + 0.5 * rng.normal(size=X.shape), y


DATA = {f.__name__: f for f in (diabetes, two_answers, growing_noise, irrelevant_features, curves)}


# Methods: features (n, D) and targets (n, L), both standardised, to a function from features to distributions.


def gllim(X: Float, y: Float, seed: int, dof: Literal["estimated"] | None = None) -> Model:
    """Select K and the structure of the noise by BIC."""
    noise = ("diagonal", "full") if len(X) >= 10 * X.shape[1] else ("diagonal",)
    return chosen(X, y, seed, dof, noise, "bic")


def student(X: Float, y: Float, seed: int) -> Model:
    """Select K and the structure of the noise by BIC, with Student noise."""
    return gllim(X, y, seed, "estimated")


def gllim_held_out(X: Float, y: Float, seed: int) -> Model:
    """Select K and the structure of the noise by log p(y | x) of a fifth of the samples, then fit to all."""
    return chosen(X, y, seed, None, ("diagonal", "full"), "held_out_conditional")


def chosen(
    X: Float, y: Float, seed: int, dof: Literal["estimated"] | None, noise: tuple[str, ...], criterion: str
) -> Model:
    """Select a model by a criterion."""
    options = Options(random_state=seed, max_iter=300, tol=1e-3)
    best = select(
        X, y, n_components=COMPONENTS, covariance_type=noise, dof=(dof,), criterion=criterion, options=options
    ).best
    model = GLLiMRegressor(covariance_type=best.spec.covariance_type, dof=dof, max_iter=300)
    return model.fit(X, y, start=best.fit.parameters).predict_distribution


def ridge(X: Float, y: Float, seed: int) -> Model:
    """Fit ridge regression, with the covariance of cross-validated residuals."""
    penalty = RidgeCV(np.logspace(-3, 4, 15)).fit(X, y).alpha_
    residual = y - cross_val_predict(Ridge(penalty), X, y, cv=5).reshape(y.shape)
    model, covariance = Ridge(penalty).fit(X, y), residual.T @ residual / len(y)

    def predict(x: Float) -> Mixture:
        mean = model.predict(x).reshape(len(x), -1)
        return gaussian(mean, np.broadcast_to(covariance, (len(x), *covariance.shape)))

    return predict


def forest(X: Float, y: Float, seed: int) -> Model:
    """Fit a random forest, with the mean and variance over its trees."""
    model = RandomForestRegressor(200, random_state=seed).fit(X, y if y.shape[1] > 1 else y[:, 0])

    def predict(x: Float) -> Mixture:
        trees = np.stack([tree.predict(x).reshape(len(x), -1) for tree in model.estimators_])
        return gaussian(trees.mean(0), diagonal(trees.var(0)))

    return predict


def gaussian_process(X: Float, y: Float, seed: int) -> Model:
    """Fit a Gaussian process with one length scale and one noise variance."""
    kernel = 1.0 * RBF(X.shape[1] ** 0.5) + WhiteKernel(0.5)
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed).fit(X, y)

    def predict(x: Float) -> Mixture:
        mean, std = model.predict(x, return_std=True)
        return gaussian(mean.reshape(len(x), -1), diagonal(std.reshape(len(x), -1) ** 2))

    return predict


def gmr(X: Float, y: Float, seed: int) -> Model:
    """Fit a Gaussian mixture of features and targets, conditioned on the features."""
    from gmr import GMM  # type: ignore[import-untyped, import-not-found, unused-ignore]

    joint = np.hstack([X, y])
    n, width = joint.shape
    best, least = None, np.inf
    for K in COMPONENTS:
        mixture = GMM(K, random_state=seed)
        try:
            mixture.from_samples(joint, init_params="kmeans++", oracle_approximating_shrinkage=n < 10 * width)
            likelihood = np.log(mixture.to_probability_density(joint)).sum()
            singular = np.linalg.eigvalsh(mixture.covariances).min() < LEAST_VARIANCE
        except np.linalg.LinAlgError:
            continue
        if singular:  # the likelihood of a collapsed component is unbounded
            continue
        bic = np.log(n) * (K * (1 + width + width * (width + 1) / 2) - 1) - 2 * likelihood
        if bic < least:
            best, least = mixture, bic
    if best is None:
        raise ArithmeticError("gmr: no number of components could be fitted")
    indices = np.arange(X.shape[1])

    def predict(x: Float) -> Mixture:
        answers = [best.condition(indices, row) for row in x]
        parts = (np.stack([getattr(answer, name) for answer in answers]) for name in ("priors", "means", "covariances"))
        weights, means, covariances = map(torch.from_numpy, parts)
        return MultivariateGaussianMixture(weights.clamp(min=1e-300).log(), means, covariances)

    return predict


METHODS: dict[str, Callable[[Float, Float, int], Model]] = {
    "GLLiM": gllim,
    "GLLiM Student": student,
    "GLLiM held out": gllim_held_out,
    "ridge": ridge,
    "forest": forest,
    "Gaussian process": gaussian_process,
    "gmr": gmr,
}


def gaussian(mean: Float, covariance: Float) -> Mixture:
    """Return N(mean_n, covariance_n) as a mixture of one component."""
    parts = (torch.from_numpy(np.array(values))[:, None] for values in (mean, covariance))
    return MultivariateGaussianMixture(torch.zeros(len(mean), 1).double(), *parts)


def diagonal(variance: Float) -> Float:
    """Return diagonal covariances (n, L, L) of variances (n, L)."""
    return np.maximum(variance, LEAST_VARIANCE)[:, :, None] * np.eye(variance.shape[1])


# Evaluation.


def measure(data: str, method: str, seed: int) -> dict[str, Any]:
    """Fit one method to one split and return its metrics."""
    X, y = DATA[data](seed)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=seed)
    features, targets = StandardScaler().fit(X), StandardScaler().fit(y)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # removed components, optimisers at their bounds
        predict = METHODS[method](features.transform(X), targets.transform(y), seed)
    seconds = time.process_time() - start
    answer = predict(features.transform(X_test))
    truth = torch.from_numpy(targets.transform(y_test))
    lower, upper = answer.interval(0.9)
    return {
        "data": data,
        "method": method,
        "seed": seed,
        "rmse": float((answer.mean - truth).square().mean().sqrt()),
        "nll": float(-answer.log_prob(truth).mean()),
        "coverage_90": float(((lower <= truth) & (truth <= upper)).double().mean()),
        "seconds": seconds,
    }


def markdown(rows: pd.DataFrame) -> str:
    """Return a table of mean ± standard deviation over seeds, a row per data set and method."""
    lines = ["| data | method | RMSE | NLL | coverage of 90 % | seconds |", "|---|---|---|---|---|---|"]
    for (data, method), group in rows.groupby(["data", "method"], sort=False):
        cells = [
            f"{group[name].mean():.{digits}f} ± {group[name].std(ddof=0):.{digits}f}"
            for name, digits in (("rmse", 3), ("nll", 2), ("coverage_90", 3))
        ]
        lines.append(f"| {data} | {method} | {' | '.join(cells)} | {group['seconds'].mean():.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Run all fits and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="CSV file for the rows of all runs")
    parser.add_argument("--seeds", type=int, default=3, help="number of splits")
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA), help="data sets")
    parser.add_argument("--quick", action="store_true", help="one seed of diabetes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sets, seeds = (["diabetes"], 1) if options.quick else (options.data, options.seeds)
    installed = importlib.util.find_spec("gmr") is not None
    methods = [method for method in METHODS if installed or method != "gmr"]
    with threadpool_limits(1):
        runs = [measure(data, method, seed) for data in sets for method in methods for seed in range(seeds)]
    rows = pd.DataFrame(runs)
    print(markdown(rows))
    if not installed:
        print("\ngmr is not installed, its rows are left out: pip install gmr==2.0.3")
    if options.output:
        rows.round(4).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
