"""The parameters of the mixture, absolute or about an origin."""

from typing import NamedTuple

import torch
from torch import Tensor


class Parameters(NamedTuple):
    """The parameters of the mixture.

    z ~ Cat(π);  y | z=k ~ N(c_k, Γ_k);  w | z=k ~ N(0, I);  x | y, w, z=k ~ N(A_k [y; w] + b_k, Σ_k).

    With Student noise, u | z=k ~ Gamma(ν_k/2, ν_k/2) divides Γ, the latents' I and Σ alike.

    Attributes:
        pi: weights, (K,), positive, with sum 1.
        c: means of the targets, (K, L), in their units.
        Gamma: covariances of the targets, (K, L, L); of Student noise, scale matrices, as Σ is.
        A: slopes, (K, D, L + Lw), in feature units per target unit; the last Lw columns belong to the latents.
        b: intercepts, (K, D).
        Sigma: noise covariances of the features: (K,) isotropic, (K, D) diagonal, (K, D, D) full. A tied Σ has a
            leading dimension of 1.
        dof: degrees of freedom ν of Student noise, (K,); None for Gaussian noise.

    Source: Deleforge, Forbes & Horaud, Statistics and Computing 2015; Perthame, Forbes & Deleforge, Journal of
    Multivariate Analysis 2018 (Student noise); letters as in docs/mathematics.md.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     pi=torch.ones(1), c=torch.zeros(1, 2), Gamma=torch.eye(2)[None],
        ...     A=torch.ones(1, 5, 2), b=torch.zeros(1, 5), Sigma=torch.ones(1, 5),
        ... )
        >>> p.n_components, p.n_features, p.n_targets, p.n_latents, p.covariance_type
        (1, 5, 2, 0, 'diagonal')
    """

    pi: Tensor
    c: Tensor
    Gamma: Tensor
    A: Tensor
    b: Tensor
    Sigma: Tensor
    dof: Tensor | None = None

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
        return self.c.shape[1]

    @property
    def n_latents(self) -> int:
        """Lw."""
        return self.A.shape[2] - self.c.shape[1]

    @property
    def covariance_type(self) -> str:
        """The structure of Σ: ``"isotropic"``, ``"diagonal"`` or ``"full"``."""
        return ("isotropic", "diagonal", "full")[self.Sigma.ndim - 1]

    @property
    def tied(self) -> bool:
        """Whether all components share one Σ."""
        return self.Sigma.shape[0] < self.n_components

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, without `dof` for Gaussian noise."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def noise_variances(self) -> Tensor:
        """The diagonal of Σ_k for any structure, (K, D)."""
        Sigma = self.Sigma.diagonal(dim1=1, dim2=2) if self.Sigma.ndim == 3 else self.Sigma
        return (Sigma[:, None] if Sigma.ndim == 1 else Sigma).expand(self.n_components, self.n_features)

    @property
    def noise_matrices(self) -> Tensor:
        """Σ_k as matrices for any structure, (K, D, D)."""
        if self.Sigma.ndim == 3:
            return self.Sigma.expand(self.n_components, -1, -1)
        return torch.diag_embed(self.noise_variances)

    @property
    def coefficients(self) -> Tensor:
        """[A b], (K, D, P): the regression on t̃ = [y; w; 1], P = L + Lw + 1."""
        return torch.cat([self.A, self.b.unsqueeze(-1)], dim=-1)

    @property
    def feature_mean(self) -> Tensor:
        """E[x] = Σ_k π_k (A_k [c_k; 0] + b_k), (D,)."""
        slopes = self.A[:, :, : self.n_targets]
        return torch.einsum("k,kd->d", self.pi, torch.einsum("kdl,kl->kd", slopes, self.c) + self.b)

    def to(self, *args: torch.device | torch.dtype) -> "Parameters":
        """Return the parameters on another device or in another dtype."""
        return Parameters(*(value if value is None else value.to(*args) for value in self))  # type: ignore[call-overload, arg-type]

    def keep(self, components: Tensor) -> "Parameters":
        """Return the components of a boolean mask (K,), with weights scaled to sum 1."""
        kept = Parameters(*(None if value is None else value[components] for value in self._replace(Sigma=self.b)))  # type: ignore[arg-type]
        Sigma = self.Sigma if self.tied else self.Sigma[components]
        return kept._replace(pi=kept.pi / kept.pi.sum(), Sigma=Sigma)

    def observe_latents(self) -> "Parameters":
        """Return the same model with w among the targets: c = [c; 0], Γ = blockdiag(Γ, I)."""
        K, Lw = self.n_components, self.n_latents
        if Lw == 0:
            return self
        Gamma = self.Gamma.new_zeros(K, self.A.shape[2], self.A.shape[2])
        Gamma[:, : self.n_targets, : self.n_targets] = self.Gamma
        Gamma[:, self.n_targets :, self.n_targets :] = torch.eye(Lw, dtype=self.A.dtype, device=self.A.device)
        return self._replace(c=torch.cat([self.c, self.c.new_zeros(K, Lw)], 1), Gamma=Gamma)


class Centred(NamedTuple):
    """The mixture of x − x̄ and y − ȳ for an origin (x̄, ȳ) near the data.

    If the origin is far from 0, c and b of the absolute values lose digits; those about the origin do not.

    Attributes:
        parameters: of the mixture of the differences.
        feature_origin: x̄, (D,).
        target_origin: ȳ, (L,).

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     torch.ones(1), torch.full((1, 1), 9.0), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1),
        ... )
        >>> about = centre(p)
        >>> about.feature_origin, about.target_origin, about.parameters.c, about.absolute.c
        (tensor([9., 9.]), tensor([9.]), tensor([[0.]]), tensor([[9.]]))
    """

    parameters: Parameters
    feature_origin: Tensor
    target_origin: Tensor

    @property
    def n_components(self) -> int:
        """K."""
        return self.parameters.n_components

    def about(self, feature_origin: Tensor, target_origin: Tensor) -> "Centred":
        """Return the same mixture about another origin: c + ȳ − ȳ', b + x̄ − x̄' + A (ȳ' − ȳ)."""
        p, moved = self.parameters, target_origin - self.target_origin
        slopes = p.A[:, :, : p.n_targets]
        b = p.b + (self.feature_origin - feature_origin) + slopes @ moved
        return Centred(p._replace(c=p.c - moved, b=b), feature_origin, target_origin)

    def to(self, *args: torch.device | torch.dtype) -> "Centred":
        """Return the same mixture on another device or in another dtype."""
        return Centred(self.parameters.to(*args), self.feature_origin.to(*args), self.target_origin.to(*args))  # type: ignore[call-overload]

    @property
    def absolute(self) -> Parameters:
        """The parameters of x and y themselves."""
        return self.about(torch.zeros_like(self.feature_origin), torch.zeros_like(self.target_origin)).parameters


def centre(parameters: Parameters | Centred) -> Centred:
    """Return the mixture about E[x] and E[y]; return a `Centred` unchanged."""
    if isinstance(parameters, Centred):
        return parameters
    absolute = Centred(parameters, torch.zeros_like(parameters.b[0]), torch.zeros_like(parameters.c[0]))
    return absolute.about(parameters.feature_mean, parameters.pi @ parameters.c)


class TargetMixture(NamedTuple):
    """y ~ Σ_k π_k N(c_k, Γ_k): the parameters of the marginal distribution of the targets.

    Attributes:
        pi: (K,).
        c: (K, L).
        Gamma: (K, L, L).
    """

    pi: Tensor
    c: Tensor
    Gamma: Tensor

    def to(self, device: torch.device) -> "TargetMixture":
        """Return the parameters on another device."""
        return TargetMixture(*(value.to(device) for value in self))


def with_intercept(targets: Tensor) -> Tensor:
    """Return t = [y; 1], (..., L + 1), of targets (..., L)."""
    return torch.cat([targets, torch.ones_like(targets[..., :1])], dim=-1)
