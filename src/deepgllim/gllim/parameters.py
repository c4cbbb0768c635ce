"""The parameters of the mixture, and what a change of origin or unit does to them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Parameters(NamedTuple):
    """z ~ Cat(π);  y | z=k ~ N(c_k, Γ_k);  x | y, z=k ~ N(A_k y + b_k, Σ_k).

    Attributes:
        pi: weights, (K,), positive, sum 1.
        c: means of the targets, (K, L), in the targets' units.
        Gamma: covariances of the targets, (K, L, L).
        A: slopes, (K, D, L), feature units per target unit.
        b: intercepts, (K, D).
        Sigma: noise of the features by structure: (K,) isotropic, (K, D) diagonal, (K, D, D) full.
            A tied Σ, one for all components, has a leading dimension of 1.

    Source: Deleforge, Forbes & Horaud, Statistics and Computing 2015; letters as in docs/notation.md.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     pi=torch.ones(1), c=torch.zeros(1, 2), Gamma=torch.eye(2)[None],
        ...     A=torch.ones(1, 5, 2), b=torch.zeros(1, 5), Sigma=torch.ones(1, 5),
        ... )
        >>> p.n_components, p.n_features, p.n_targets, p.noise
        (1, 5, 2, 'diagonal')
    """

    pi: Tensor
    c: Tensor
    Gamma: Tensor
    A: Tensor
    b: Tensor
    Sigma: Tensor

    @property
    def n_components(self) -> int:
        """K."""
        return self.A.shape[0]

    @property
    def n_features(self) -> int:
        """D."""
        return self.A.shape[1]

    @property
    def n_targets(self) -> int:
        """L."""
        return self.A.shape[2]

    @property
    def noise(self) -> str:
        """The structure of Σ: ``"isotropic"``, ``"diagonal"`` or ``"full"``."""
        return ("isotropic", "diagonal", "full")[self.Sigma.ndim - 1]

    @property
    def tied(self) -> bool:
        """Whether one Σ serves all components."""
        return self.Sigma.shape[0] < self.n_components

    @property
    def coefficients(self) -> Tensor:
        """[A b], (K, D, L + 1): the regression on [y; 1]."""
        return torch.cat([self.A, self.b.unsqueeze(-1)], dim=-1)

    @property
    def feature_mean(self) -> Tensor:
        """E[x] = Σ_k π_k (A_k c_k + b_k), (D,)."""
        return torch.einsum("k,kd->d", self.pi, torch.einsum("kdl,kl->kd", self.A, self.c) + self.b)

    def to(self, *args: torch.device | torch.dtype) -> "Parameters":
        """The same parameters on another device or in another dtype."""
        return Parameters(*(value.to(*args) for value in self))  # type: ignore[call-overload]


class TargetMixture(NamedTuple):
    """y ~ Σ_k π_k N(c_k, Γ_k): the part of the parameters that the targets alone tell.

    Attributes:
        pi: (K,).
        c: (K, L).
        Gamma: (K, L, L).
    """

    pi: Tensor
    c: Tensor
    Gamma: Tensor


class Scaling(NamedTuple):
    """x' = x − feature_mean;  y' = (y − target_mean) / target_scale.

    EM runs on x', y', since raw second moments cancel; `restore` folds the change back. Features need no scale: every
    noise structure is exact under it, and an isotropic Σ would change its meaning.

    Attributes:
        feature_mean: (D,).
        feature_variance: (D,); not applied, the reference of the variance floor.
        target_mean: (L,).
        target_scale: (L,), standard deviations, 1 for a constant target.
    """

    feature_mean: Tensor
    feature_variance: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def apply(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The centred features and the standardised targets."""
        return features - self.feature_mean, (targets - self.target_mean) / self.target_scale

    def restore(self, parameters: Parameters) -> Parameters:
        """The parameters for x and y, given those for x' and y'."""
        pi, c, Gamma, A, b, Sigma = parameters
        A = A / self.target_scale
        return Parameters(
            pi=pi,
            c=c * self.target_scale + self.target_mean,
            Gamma=Gamma * self.target_scale * self.target_scale[:, None],
            A=A,
            b=b + self.feature_mean - A @ self.target_mean,
            Sigma=Sigma,
        )

    def reduce(self, parameters: Parameters) -> Parameters:
        """The parameters for x' and y', given those for x and y: the inverse of `restore`."""
        pi, c, Gamma, A, b, Sigma = parameters
        return Parameters(
            pi=pi,
            c=(c - self.target_mean) / self.target_scale,
            Gamma=Gamma / self.target_scale / self.target_scale[:, None],
            A=A * self.target_scale,
            b=b - self.feature_mean + A @ self.target_mean,
            Sigma=Sigma,
        )


def with_intercept(targets: Tensor) -> Tensor:
    """t̃ = [y; 1], (N, L) to (N, L + 1)."""
    return torch.cat([targets, torch.ones_like(targets[:, :1])], dim=1)
