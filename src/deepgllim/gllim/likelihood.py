"""The joint log-density log p(x, y, z = k), by two matrix products over the features.

With t = [y; 1], B_k = [A_k b_k] and W_k = Σ_k⁻¹,

    (x − B_k t)ᵀ W_k (x − B_k t) = xᵀ W_k x − 2 (xᵀ W_k B_k) t + tᵀ (B_kᵀ W_k B_k) t,

so that the features enter only through x∘x·w_k and x·(W_k B_k); all other terms have size K × P × P, P = L + Lw + 1.
Latents: with e = x − B_k t over the observed columns, h = A_wᵀ W e and V = (I + A_wᵀ W A_w)⁻¹, their posterior is
N(V h, V), and the marginal distance eᵀ (Σ + A_w A_wᵀ)⁻¹ e = eᵀ W e − hᵀ V h (Woodbury, Lw × Lw).
Features and targets should be centred near 0, where the expansion loses no digits; EM and prediction centre them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.covariances import Noise, cholesky, noise_structure
from deepgllim.gllim.densities import family
from deepgllim.gllim.parameters import Centred, Parameters, TargetMixture, centre, with_intercept


class Expansion(NamedTuple):
    """The terms of the expanded quadratic, computed once for all blocks.

    Attributes:
        structure: name of the structure of Σ.
        precision: W, or a factor of it.
        WB: W_k [A_k b_k], (D, P, K), contiguous, so that it is the right factor of the matrix product.
        G: B_kᵀ W_k B_k, (K, P, P).
        log_determinant: log |Σ_k|, (K,) or (1,) if tied.
    """

    structure: str
    precision: Tensor
    WB: Tensor
    G: Tensor
    log_determinant: Tensor

    @property
    def noise(self) -> Noise:
        """The functions of the structure of Σ."""
        return noise_structure(self.structure)

    def to(self, dtype: torch.dtype) -> "Expansion":
        """Return the expansion with the factors of the two matrix products in another dtype."""
        return self._replace(precision=self.precision.to(dtype), WB=self.WB.to(dtype))


class Products(NamedTuple):
    """The two matrix products of a block of features.

    Attributes:
        square: the square of the features for the structure of Σ; the M-step uses it again.
        distance: xᵀ W_k x, (N, K) or (N, 1) if tied, in the dtype of the parameters.
        cross: xᵀ W_k [A_k b_k], (N, P, K), in the dtype of the parameters.
    """

    square: Tensor
    distance: Tensor
    cross: Tensor


class Targets(NamedTuple):
    """The terms of p(y | k): y ↦ ‖F_k (y − c_k)‖² with F_kᵀ F_k = Γ_k⁻¹.

    Attributes:
        factors: all F_k, concatenated, (L, L K).
        shift: F_k c_k, (L K,).
        log_determinant: log |Γ_k|, (K,).
    """

    factors: Tensor
    shift: Tensor
    log_determinant: Tensor

    def distance(self, targets: Tensor) -> Tensor:
        """Return the squared Mahalanobis distance of y (N, L) to each c_k, (N, K)."""
        white = torch.addmm(-self.shift, targets, self.factors)
        return white.square_().view(len(targets), -1, len(self.log_determinant)).sum(1)


class Latents(NamedTuple):
    """The terms of the posterior of the latents, p(w | x, y, k) = N(V_k h, V_k).

    Attributes:
        posterior_covariance: V, (K, Lw, Lw).
        log_determinant: log |Σ + A_w A_wᵀ| − log |Σ|, (K,).
    """

    posterior_covariance: Tensor
    log_determinant: Tensor


class Model(NamedTuple):
    """The parameters, prepared for the E-step."""

    parameters: Parameters
    expansion: Expansion
    targets: Targets
    latents: Latents | None

    def to(self, dtype: torch.dtype) -> "Model":
        """Return the model with the matrix products in another dtype."""
        return self._replace(expansion=self.expansion.to(dtype))


class Joint(NamedTuple):
    """The joint log-densities of a block, and the other terms of the statistics.

    Attributes:
        log_joint: log π_k p(x, y | k), (N, K).
        distance: δ, the sum of the two squared Mahalanobis distances, (N, K).
        t: t̃ = [y; E w; 1]: (N, P, 1), or (N, P, K) with latents.
    """

    log_joint: Tensor
    distance: Tensor
    t: Tensor


def expand(parameters: Parameters) -> Expansion:
    """Compute the terms of the expanded quadratic."""
    noise = noise_structure(parameters.covariance_type)
    precision = noise.precision(parameters.Sigma)
    B = parameters.coefficients
    WB = noise.weigh(precision, B)
    log_determinant = noise.log_determinant(precision, parameters.n_features)
    return Expansion(
        parameters.covariance_type, precision, WB.permute(1, 2, 0).contiguous(), B.mT @ WB, log_determinant
    )


def expand_targets(parameters: Parameters | TargetMixture) -> Targets:
    """Compute the whitening of the targets."""
    factor = cholesky(parameters.Gamma, "the target covariance")
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    F = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)  # (K, L, L)
    shift = torch.einsum("klm,km->lk", F, parameters.c)
    log_determinant = 2.0 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return Targets(F.permute(2, 1, 0).reshape(F.shape[-1], -1), shift.flatten(), log_determinant)


def expand_latents(expansion: Expansion, n_targets: int) -> Latents | None:
    """Compute the terms of the posterior of the latents; None without latents."""
    hidden = slice(n_targets, expansion.G.shape[-1] - 1)
    if hidden.start == hidden.stop:
        return None
    G = expansion.G[:, hidden, hidden]
    factor = cholesky(G + torch.eye(G.shape[-1], dtype=G.dtype, device=G.device), "the latents' posterior precision")
    return Latents(torch.cholesky_inverse(factor), 2.0 * factor.diagonal(dim1=1, dim2=2).log().sum(1))


def prepare(parameters: Parameters) -> Model:
    """Prepare the parameters for the E-step.

    Raises:
        NumericalError: if a covariance is singular.
    """
    expansion = expand(parameters)
    latents = expand_latents(expansion, parameters.n_targets)
    return Model(parameters, expansion, expand_targets(parameters), latents)


def multiply(features: Tensor, expansion: Expansion, square: Tensor | None = None) -> Products:
    """Return the two matrix products over a block of features (N, D); `square` is their square if it is known."""
    D, P, K = expansion.WB.shape
    square = expansion.noise.square(features, None) if square is None else square
    distance = expansion.noise.distance(expansion.precision, square)
    cross = (features @ expansion.WB.view(D, P * K)).view(-1, P, K)
    return Products(square, distance.to(expansion.G.dtype), cross.to(expansion.G.dtype))


def feature_distance(products: Products, targets: Tensor, model: Model) -> tuple[Tensor, Tensor]:
    """Return the squared distance of x to each regression, latents integrated out, (N, K), and t̃, (N, P, 1 or K)."""
    G, L, K = model.expansion.G, targets.shape[1], len(model.expansion.G)
    t = with_intercept(targets)  # (N, L + 1)
    cross = products.cross if model.latents is None else _observed(products.cross, L, 1)
    from_seen = G if model.latents is None else _observed(G, L, 2)
    G_seen = G if model.latents is None else _observed(from_seen, L, 1)
    tt = (t[:, :, None] * t[:, None, :]).flatten(1)
    distance = torch.addmm(products.distance.expand(-1, K), tt, G_seen.flatten(1).T)
    distance -= (cross * t[:, :, None]).sum(1).mul_(2.0)
    if model.latents is None:
        return distance, t[:, :, None]
    h = products.cross[:, L:-1] - torch.einsum("kwp,np->nwk", from_seen[:, L:-1], t)  # A_wᵀ W e
    mean = torch.einsum("kwv,nvk->nwk", model.latents.posterior_covariance, h)
    both = t[:, :, None].expand(-1, -1, K)
    return distance - (h * mean).sum(1), torch.cat([both[:, :L], mean, both[:, L:]], 1)


def _observed(values: Tensor, n_targets: int, axis: int) -> Tensor:
    """Return the entries of the targets and of the intercept along an axis of length P, without those of latents."""
    last = values.shape[axis] - 1
    return torch.cat([values.narrow(axis, 0, n_targets), values.narrow(axis, last, 1)], axis)


def join(products: Products, targets: Tensor, model: Model) -> Joint:
    """Return log π_k + log p(x, y | k) of a block, from its two products."""
    distance, t = feature_distance(products, targets, model)
    distance += model.targets.distance(targets)
    log_determinant = model.expansion.log_determinant + model.targets.log_determinant
    if model.latents is not None:
        log_determinant = log_determinant + model.latents.log_determinant
    dimensions = model.expansion.WB.shape[0] + targets.shape[1]
    dof = model.parameters.dof
    log_density = family(dof).log_density(distance, log_determinant, dimensions, dof)
    return Joint(log_density + model.parameters.pi.log(), distance, t)


def joint_log_density(features: Tensor, targets: Tensor, parameters: Parameters | Centred) -> Tensor:
    """Return log π_k + log p(x, y | k), (N, K), with latents integrated out; its log-sum-exp over k is log p(x, y).

    Args:
        features: x, (N, D).
        targets: y, (N, L).
        parameters: of the mixture, in the same units and dtype.

    Raises:
        NumericalError: if a covariance is singular.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1, 2),
        ... )
        >>> joint_log_density(torch.zeros(1, 2), torch.zeros(1, 1), p)
        tensor([[-2.7568]])
    """
    about = centre(parameters)
    model = prepare(about.parameters)
    products = multiply(features - about.feature_origin, model.expansion)
    return join(products, targets - about.target_origin, model).log_joint


def target_log_density(targets: Tensor, parameters: Parameters | TargetMixture) -> Tensor:
    """Return log p(y | k), (N, K)."""
    origin = parameters.pi @ parameters.c
    expanded = expand_targets(parameters._replace(c=parameters.c - origin))
    distance = expanded.distance(targets - origin)
    dof = parameters.dof if isinstance(parameters, Parameters) else None
    return family(dof).log_density(distance, expanded.log_determinant, targets.shape[1], dof)


def normalise(log_joint: Tensor) -> tuple[Tensor, Tensor]:
    """Return responsibilities r = p(z = k | x, y), (N, K), and log p(x, y), (N,), from the joint log-densities.

    The softmax sums to 1 for any densities; exp(log_joint − log p(x, y)) does not if they are very low.
    """
    return torch.softmax(log_joint, dim=1), torch.logsumexp(log_joint, dim=1)


def responsibilities(features: Tensor, targets: Tensor, parameters: Parameters | Centred) -> Tensor:
    """Return r_nk = p(z = k | x_n, y_n), (N, K), as in the E-step (paper eq. 5)."""
    return normalise(joint_log_density(features, targets, parameters))[0]


def target_responsibilities(targets: Tensor, parameters: Parameters | TargetMixture) -> Tensor:
    """Return p(z = k | y_n), (N, K), from the targets alone (paper eq. 2)."""
    return normalise(parameters.pi.log() + target_log_density(targets, parameters))[0]
