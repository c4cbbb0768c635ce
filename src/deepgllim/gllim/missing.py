"""Prediction from incomplete features: missing features (NaN) are integrated out, or imputed.

With isotropic or diagonal noise the features are independent given y and k, so a missing one has no term in the sums:
G_nk = Σ_{d present} W_kd B_kd B_kdᵀ is a matrix product of the mask with (D, K P P) numbers. With a full Σ, rows with
the same missing features share the marginal model of the other features.
"""

import torch
from torch import Tensor

from deepgllim.gllim.parameters import Centred, Parameters, centre, with_intercept
from deepgllim.gllim.prediction import Forward, Predictive, condition, invert, predict, predict_given


def predict_incomplete(features: Tensor, parameters: Parameters | Centred) -> Predictive:
    """Return p(y | x_present) and log p(x_present), exactly.

    Args:
        features: (N, D), NaN where missing. If all features of a row are missing, its result is p(y).
        parameters: with any covariance_type.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 2.0),
        ... )
        >>> predict_incomplete(torch.tensor([[1.0, torch.nan]]), p).mean
        tensor([[0.3333]])
    """
    about = centre(parameters)
    features = features.to(about.feature_origin.dtype)
    if len(features) == 0:
        return predict(features, invert(about))
    if about.parameters.covariance_type == "full":
        masks, rows = _patterns(features)
        parts = [
            predict(features[i][:, present], invert(_marginal(about, present)))
            for present, i in zip(masks, rows, strict=True)
        ]
        return _join(parts, rows)
    return _independent(features, about.parameters, invert(about))


def impute(features: Tensor, parameters: Parameters | Centred) -> Tensor:
    """Return the features, (N, D), with missing values replaced by E[x_missing | x_present].

    Predictions from imputed features have too small covariances; `predict_incomplete` is exact.

    Example:
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 2.0),
        ... )
        >>> impute(torch.tensor([[1.0, torch.nan]]), p)
        tensor([[1.0000, 0.3333]])
    """
    about = centre(parameters)
    origin = about.feature_origin
    features = features.to(origin.dtype)
    centred, whole = features - origin, about.parameters.observe_latents()
    if whole.covariance_type != "full":
        answer = _independent(centred, whole, invert(_at_zero(whole)))
        weighted = answer.log_weights.exp()[:, :, None] * with_intercept(answer.means)  # (N, K, P)
        mean = weighted.flatten(1) @ whole.coefficients.mT.flatten(0, 1)
        return torch.where(features.isnan(), mean + origin, features)
    result = features.clone()
    for present, i in zip(*_patterns(features), strict=True):
        gaps, mean = (~present).nonzero()[:, 0], _conditional_mean(centred[i][:, present], whole, present)
        result[i[:, None], gaps] = mean + origin[gaps]
    return result


def _at_zero(parameters: Parameters) -> Centred:
    """Return parameters of differences from a mean as those of a mixture about 0."""
    return Centred(parameters, torch.zeros_like(parameters.b[0]), torch.zeros_like(parameters.c[0]))


def _marginal(about: Centred, present: Tensor) -> Centred:
    return Centred(marginal(about.parameters, present), about.feature_origin[present], about.target_origin)


def marginal(parameters: Parameters, present: Tensor) -> Parameters:
    """Return the model of some of the features, given by a boolean mask (D,)."""
    Sigma = parameters.Sigma
    Sigma = {1: lambda: Sigma, 2: lambda: Sigma[:, present], 3: lambda: Sigma[:, present][:, :, present]}[Sigma.ndim]()
    return parameters._replace(A=parameters.A[:, present], b=parameters.b[:, present], Sigma=Sigma)


def _conditional_mean(x: Tensor, p: Parameters, present: Tensor) -> Tensor:
    """Return E[x_missing | x_present], (N, missing), for a full Σ: affine in y, plus a term of correlated noise."""
    seen, unseen = marginal(p, present), marginal(p, ~present)
    y = predict(x, invert(_at_zero(seen)))  # the latents are among the targets of p
    mean = torch.einsum("kdl,nkl->nkd", unseen.A, y.means) + unseen.b
    regression = torch.linalg.solve(seen.Sigma, p.Sigma[:, present][:, :, ~present]).mT  # Σ_mo Σ_oo⁻¹
    residual = x[:, None] - torch.einsum("kdl,nkl->nkd", seen.A, y.means) - seen.b
    return torch.einsum("nk,nkd->nd", y.log_weights.exp(), mean + (regression @ residual[..., None])[..., 0])


def _independent(features: Tensor, parameters: Parameters, forward: Forward) -> Predictive:
    """Return the predictive for independent noise; the parameters are about the origin of the forward regression."""
    present = ~features.isnan()
    mask = present.to(features.dtype)
    centred = torch.where(present, features - forward.origin, torch.zeros_like(features))
    whole = parameters.observe_latents()
    K, D = whole.n_components, whole.n_features
    B = whole.coefficients
    precision = forward.expansion.precision
    W = (precision if whole.covariance_type == "diagonal" else precision[:, None]).expand(K, D)
    outer = torch.einsum("kdp,kdq->dkpq", W[:, :, None] * B, B)
    G = (mask @ outer.flatten(1)).view(-1, K, *outer.shape[2:])  # (N, K, P, P)
    log_determinant = -(mask @ W.log().T)
    count = mask.sum(1, keepdim=True)
    posterior = condition(G, forward.prior_precision, forward.prior_log_determinant, log_determinant, count)
    return predict_given(centred, forward, posterior)


def _patterns(features: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the distinct masks of present features, (patterns, D), and the rows of each."""
    masks, which = torch.unique(~features.isnan(), dim=0, return_inverse=True)
    return masks, [(which == i).nonzero().flatten() for i in range(len(masks))]


def _join(parts: list[Predictive], rows: list[Tensor]) -> Predictive:
    """Return the predictives of groups of rows, concatenated in the order of the rows."""
    back = torch.argsort(torch.cat(rows))

    def stack(values: list[Tensor]) -> Tensor:
        return torch.cat(values)[back]

    covariances = [
        part.covariances.expand(*part.means.shape, -1) if part.covariances.ndim == 3 else part.covariances
        for part in parts
    ]
    dof = [part.dof for part in parts if part.dof is not None]
    return Predictive(
        stack([part.log_weights for part in parts]),
        stack([part.means for part in parts]),
        stack(covariances),
        stack([part.log_density for part in parts]),
        stack(dof) if dof else None,
    )
