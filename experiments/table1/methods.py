"""The methods of table 1 with one interface: fit to training faces, calibrate on validation faces, predict.

A method is a function (training, validation, seed, settings, options) → predictor, and a predictor is a function
faces → `Predictions`, so a method has no access to test faces. A method that is searched has three candidates.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from deepgllim import GLLiMRegressor
from deepgllim.data import Manifest
from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.errors import ConvergenceWarning, EmptyComponentWarning, SingularCovarianceWarning
from deepgllim.nn import Predictions, best_scale, scaled, summarise_distribution
from experiments.table1.features import Array, features
from experiments.table1.networks import (
    CANDIDATES,
    VGG_CANDIDATES,
    VGG_CONDITIONAL,
    fine_tuned,
    fine_tuned_tail,
    inverse_regression,
    last_stages,
)
from experiments.table1.options import Options

LEVEL = 0.9
LEAST_SAMPLES = 8
"""Minimum number of faces per component; a smoke test has too few faces for 50 components."""

FIT_WARNINGS = (ConvergenceWarning, EmptyComponentWarning, SingularCovarianceWarning)
"""Warnings of fits of fifty components to fewer than two thousand faces."""

Settings = dict[str, Any]
Predictor = Callable[[Manifest], Predictions]


class Method(NamedTuple):
    """A row of the table.

    Attributes:
        fit: (training, validation, seed, settings, options) → predictor.
        candidates: settings by name, chosen by the validation people of the first fold and seed.
        features: features that it reads, a key of `features.FEATURES`; None for the mean or a network.
        vgg: whether it needs the weights file of VGG-16.
        trunk: whether it reads the output of the trunk of EfficientNet-Lite0.
    """

    fit: Callable[[Manifest, Manifest, int, Settings, Options], Predictor]
    candidates: dict[str, Settings]
    features: str | None = None
    vgg: bool = False
    trunk: bool = False


def constant_spread(point: Callable[[Manifest], Array], validation: Manifest) -> Predictor:
    """Return a predictor of Gaussians with the covariance of the validation errors, for a method of point estimates."""
    errors = validation.target_values - point(validation)
    covariance = errors.T @ errors / len(errors) + 1e-6 * np.eye(errors.shape[1])

    def predict(faces: Manifest) -> Predictions:
        mean = torch.from_numpy(point(faces))
        one = MultivariateGaussianMixture(torch.zeros(len(mean), 1), mean[:, None], torch.from_numpy(covariance)[None])
        return summarise_distribution(one, torch.from_numpy(faces.target_values), LEVEL)

    return predict


def mean_pose(training: Manifest, validation: Manifest, seed: int, settings: Settings, options: Options) -> Predictor:
    """Predict the mean of the training targets for all faces."""
    mean = training.target_values.mean(0)
    return constant_spread(lambda faces: np.tile(mean, (len(faces), 1)), validation)


def forward(
    make: Callable[..., BaseEstimator],
    kind: str,
    training: Manifest,
    validation: Manifest,
    seed: int,
    settings: Settings,
    options: Options,
) -> Predictor:
    """Fit a regression of standardised targets on standardised features."""
    scaled_targets = TransformedTargetRegressor(make(**settings), transformer=StandardScaler())
    model = make_pipeline(VarianceThreshold(1e-12), StandardScaler(), scaled_targets)
    model.fit(features(options, kind, training), training.target_values)
    return constant_spread(lambda faces: np.asarray(model.predict(features(options, kind, faces))), validation)


def inverse(
    kind: str, training: Manifest, validation: Manifest, seed: int, settings: Settings, options: Options
) -> Predictor:
    """Fit a mixture of inverse regressions, and scale its covariances by validation people as for the networks."""
    K = min(settings["n_components"], max(1, len(training) // LEAST_SAMPLES))
    model = GLLiMRegressor(covariance_type="diagonal", random_state=seed, **settings | {"n_components": K})
    scaler = make_pipeline(VarianceThreshold(1e-12), StandardScaler())
    with warnings.catch_warnings():
        for category in FIT_WARNINGS:
            warnings.simplefilter("ignore", category)
        model.fit(scaler.fit_transform(features(options, kind, training)), training.target_values)

    def distribution(faces: Manifest) -> MultivariateGaussianMixture:
        answer = model.predict_distribution(scaler.transform(features(options, kind, faces)))
        assert isinstance(answer, MultivariateGaussianMixture)
        return answer

    factor = best_scale(distribution(validation), torch.from_numpy(validation.target_values))

    def predict(faces: Manifest) -> Predictions:
        targets = torch.from_numpy(faces.target_values)
        return summarise_distribution(scaled(distribution(faces), factor), targets, LEVEL)

    return predict


def support_vectors(**settings: Any) -> BaseEstimator:
    """Return a support vector regression per target, with radial basis functions."""
    return MultiOutputRegressor(SVR(**settings))


SUPPORT = {f"C = {C}": {"C": C} for C in (1, 10, 100)}
RIDGE = {f"alpha = {alpha}": {"alpha": alpha} for alpha in (100, 1000, 10_000)}
FIFTY: dict[str, Settings] = {
    "own Sigma": {"n_components": 50},
    "tied Sigma": {"n_components": 50, "tied": True},
    "prior": {"n_components": 50, "prior_count": 10},
}
LATENT: dict[str, Settings] = {f"K = {K}": {"n_components": K, "n_latents": 4} for K in (10, 20, 50)}


def on_features(prefix: str, kind: str) -> dict[str, Method]:
    """Return the two regressions of the paper on fixed features."""
    return {
        f"{prefix}-SVR": Method(partial(forward, support_vectors, kind), SUPPORT, kind, kind == "vgg"),
        f"{prefix}-IR": Method(partial(inverse, kind), FIFTY, kind, kind == "vgg"),
    }


def on_networks(prefix: str, fit: Callable[..., Predictor], candidates: dict[str, Settings]) -> dict[str, Method]:
    """Return least squares and inverse regression with a fine-tuned network; the paper has β = 0."""
    vgg = prefix == "VGG-"
    rows = {f"{prefix}FCL-FT": {"objective.name": "least_squares"}}
    for beta in (0, 1):
        name = "" if beta == 0 else f", beta = {beta}"
        rows |= {f"{prefix}IR-FT, K = {K}{name}": inverse_regression(K, beta) for K in (1, 2)}
    own = {name: VGG_CONDITIONAL if vgg and "beta" in name else candidates for name in rows}
    return {name: Method(partial(fit, changes), own[name], vgg=vgg) for name, changes in rows.items()}


def on_last_stages() -> dict[str, Method]:
    """Return least squares and inverse regression with the last three stages fine-tuned, with one schedule."""
    rows: dict[str, Settings] = {"FCL-FT, 3 stages": {"objective.name": "least_squares"}}
    rows |= {f"IR-FT, 3 stages, K = {K}, beta = {beta}": inverse_regression(K, beta) for beta in (0, 1) for K in (1, 2)}
    return {name: Method(partial(last_stages, changes), {"only": {}}, trunk=True) for name, changes in rows.items()}


METHODS: dict[str, Method] = {
    "mean pose": Method(mean_pose, {"only": {}}),
    **on_features("HOG", "hog"),
    "HOG-IR, 4 latents": Method(partial(inverse, "hog"), LATENT, "hog"),
    **on_features("frozen", "backbone"),
    "frozen ridge": Method(partial(forward, Ridge, "backbone"), RIDGE, "backbone"),
    **on_features("VGG", "vgg"),
    "VGG ridge": Method(partial(forward, Ridge, "vgg"), RIDGE, "vgg", vgg=True),
    "FCL-FT, the text's": Method(partial(fine_tuned, {"objective.name": "least_squares"}), {"SGD": CANDIDATES["SGD"]}),
    "mixture density": Method(
        partial(fine_tuned, {"objective.name": "mixture_density", "objective.n_components": 2}), CANDIDATES
    ),
    **on_networks("", fine_tuned, CANDIDATES),
    **on_last_stages(),
    **on_networks("VGG-", fine_tuned_tail, VGG_CANDIDATES),
}
"""All methods by name; those of VGG-16 need its weights file."""


def rows_to_make(options: Options, chosen: list[str] | None) -> dict[str, Method]:
    """Return the chosen methods in the order of the table; those of VGG-16 only with its weights file.

    Raises:
        SystemExit: a name is not in the table.
    """
    unknown = sorted(set(chosen or ()) - set(METHODS))
    if unknown:
        raise SystemExit(f"unknown method {unknown[0]!r}: choose from {', '.join(METHODS)}")
    possible = {name: method for name, method in METHODS.items() if options.vgg or not method.vgg}
    return {name: method for name, method in possible.items() if not chosen or name in chosen}
