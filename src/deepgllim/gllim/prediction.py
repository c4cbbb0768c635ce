"""Inversion in closed form: from p(x | y) to p(y | x) and p(x), with L × L matrices only (paper, below eq. 3).

Σ*_k = (Γ_k⁻¹ + A_kᵀ Σ_k⁻¹ A_k)⁻¹;  E[y | x, k] = Σ*_k (Γ_k⁻¹ c_k + A_kᵀ Σ_k⁻¹ (x − b_k));
p(x | k) = N(x; A_k c_k + b_k, Σ_k + A_k Γ_k A_kᵀ): computed by Woodbury's identity and the
determinant lemma, without a D × D covariance. Latents are targets with mean 0 and covariance I; their part of the
result is dropped. With Student noise, y | x, k has
ν_k + D degrees of freedom and the scale matrix (ν_k + δ_k(x)) / (ν_k + D) Σ*_k.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.covariances import cholesky
from deepgllim.gllim.densities import family
from deepgllim.gllim.likelihood import Expansion, expand, multiply
from deepgllim.gllim.parameters import Centred, Parameters, centre, with_intercept


class Posterior(NamedTuple):
    """The terms of p(y, w | x, k) that do not depend on the values of x: a batch of 1, or of N if features are missing.

    Attributes:
        G: B_kᵀ Σ_k⁻¹ B_k over the features that are present, (1 or N, K, P, P).
        covariances: Σ*_k, (1 or N, K, L + Lw, L + Lw).
        log_determinant: log |Γ*_k| of p(x | k), (1 or N, K).
        n_features: number of features that are present, (1 or N, 1).
    """

    G: Tensor
    covariances: Tensor
    log_determinant: Tensor
    n_features: Tensor


class Forward(NamedTuple):
    """The forward regression from features to targets: the parameters, prepared for prediction.

    Attributes:
        origin: x̄, (D,), subtracted from the features so that the expanded quadratic loses no digits.
        target_origin: ȳ, (L,), added to the predicted means.
        expansion: of the parameters about these origins, latents among the targets.
        prior_precision: Γ_k⁻¹, (K, L + Lw, L + Lw).
        prior_log_determinant: log |Γ_k|, (K,).
        t: [c_k − ȳ; 0; 1], (K, P).
        log_pi: (K,).
        dof: ν, (K,), or None.
        n_targets: L; the other columns are latents.
        posterior: with all features present.
    """

    origin: Tensor
    target_origin: Tensor
    expansion: Expansion
    prior_precision: Tensor
    prior_log_determinant: Tensor
    t: Tensor
    log_pi: Tensor
    dof: Tensor | None
    n_targets: int
    posterior: Posterior

    @property
    def covariances(self) -> Tensor:
        """Σ*_k of the targets, (K, L, L)."""
        return self.posterior.covariances[0, :, : self.n_targets, : self.n_targets]


class Predictive(NamedTuple):
    """p(y | x_n) = Σ_k w_nk N(y; m_nk, S_k), or its Student form, and log p(x_n).

    Attributes:
        log_weights: log w, (N, K).
        means: m, (N, K, L).
        covariances: S: (K, L, L), or (N, K, L, L) if it depends on x, which it does for missing features and Student
            noise (scale matrices).
        log_density: log p(x), (N,), low for inputs unlike the training data.
        dof: degrees of freedom, (N, K); None for Gaussian noise.
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    log_density: Tensor
    dof: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """E[y | x], (N, L) (paper eq. 4)."""
        weights = self.log_weights.exp()
        rows = torch.arange(len(weights), device=weights.device)
        origin = self.means[rows, weights.argmax(1)]  # so that no digits are lost
        return origin + torch.einsum("nk,nkl->nl", weights, self.means - origin[:, None])


def invert(parameters: Parameters | Centred) -> Forward:
    """Return the forward regression from features to targets.

    It is computed about the mean of the features and targets, so that no digits are lost far from zero.

    Raises:
        NumericalError: if a covariance is singular.
    """
    about = centre(parameters)
    whole = about.parameters.observe_latents()
    expansion = expand(whole)
    factor = cholesky(whole.Gamma, "the target covariance")
    precision, log_determinant = torch.cholesky_inverse(factor), 2.0 * _log_diagonal(factor)
    n_features = torch.full_like(expansion.log_determinant[:1], whole.n_features)[None]
    posterior = condition(expansion.G[None], precision, log_determinant, expansion.log_determinant[None], n_features)
    return Forward(
        about.feature_origin,
        about.target_origin,
        expansion,
        precision,
        log_determinant,
        with_intercept(whole.c),
        whole.pi.log(),
        whole.dof,
        about.parameters.n_targets,
        posterior,
    )


def condition(
    G: Tensor, prior_precision: Tensor, prior_log_determinant: Tensor, noise_log_determinant: Tensor, n_features: Tensor
) -> Posterior:
    """Return Σ* = (Γ⁻¹ + Aᵀ Σ⁻¹ A)⁻¹ and log |Γ*| = log |Σ| + log |Γ| − log |Σ*|, for each leading index of G."""
    Q = prior_precision.shape[-1]
    factor = cholesky(prior_precision + G[..., :Q, :Q], "the posterior precision")
    log_determinant = noise_log_determinant + prior_log_determinant + 2.0 * _log_diagonal(factor)
    return Posterior(G, torch.cholesky_inverse(factor), log_determinant, n_features)


def _log_diagonal(factor: Tensor) -> Tensor:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def predict(features: Tensor, forward: Forward) -> Predictive:
    """Return p(y | x) and log p(x) for features (N, D), in the dtype of the parameters.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 2.0),
        ... )
        >>> answer = predict(torch.tensor([[1.0, 1.0]]), invert(p))
        >>> answer.means, answer.covariances
        (tensor([[[0.5000]]]), tensor([[[0.5000]]]))
    """
    return predict_given(features.to(forward.origin.dtype) - forward.origin, forward, forward.posterior)


def predict_given(centred: Tensor, forward: Forward, posterior: Posterior) -> Predictive:
    """Return the predictive of centred features; missing ones are 0 there, and are not in the posterior."""
    Q, L, t, G = forward.prior_precision.shape[-1], forward.n_targets, forward.t, posterior.G
    _, distance, cross = multiply(centred, forward.expansion)
    cross = cross.mT  # (N, K, P)
    mean_residual = cross[..., :Q] - torch.einsum("nkqp,kp->nkq", G[..., :Q, :], t)  # A' W (x − A c − b)
    deviation = torch.einsum("nkqr,nkr->nkq", posterior.covariances.expand(len(cross), -1, -1, -1), mean_residual)
    quadratic = (
        distance
        - 2.0 * torch.einsum("nkp,kp->nk", cross, t)
        + torch.einsum("kp,nkpq,kq->nk", t, G, t)
        - (mean_residual * deviation).sum(-1)
    )
    D, dof = posterior.n_features, forward.dof
    log_joint = forward.log_pi + family(dof).log_density(quadratic, posterior.log_determinant, D, dof)
    covariances = posterior.covariances[..., :L, :L]
    if dof is not None:
        covariances = covariances * ((dof + quadratic) / (dof + D))[..., None, None]
    elif len(covariances) == 1:
        covariances = covariances[0]
    return Predictive(
        torch.log_softmax(log_joint, dim=1),
        forward.target_origin + (t[:, :L] + deviation[..., :L]),
        covariances,
        torch.logsumexp(log_joint, dim=1),
        None if dof is None else (dof + D).expand_as(quadratic),
    )
