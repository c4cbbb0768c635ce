"""The parameters of the mixture, and what a change of origin or unit does to them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Form(NamedTuple):
    """Which mixture: every variant of the model is a value of this tuple, and one M-step serves them all.

    Attributes:
        noise: structure of Σ: "isotropic", "diagonal" or "full".
        tied: one Σ for all components.
        target_covariance: structure of Γ: "full", "diagonal" or "isotropic".
        target_tied: one Γ for all components.
        equal_weights: π_k = 1/K.
        n_latents: Lw, the dimension of the part of the response that is never observed.
        dof: None for Gaussian noise; Student noise with these degrees of freedom, or "estimated" for each component.

    Example:
        >>> Form(noise="full", dof="estimated").n_parameters(n_components=2, n_features=3, n_targets=1)
        31
    """

    noise: str = "diagonal"
    tied: bool = False
    target_covariance: str = "full"
    target_tied: bool = False
    equal_weights: bool = False
    n_latents: int = 0
    dof: float | str | None = None

    def n_parameters(self, n_components: int, n_features: int, n_targets: int) -> int:
        """The free parameters: what BIC and AIC count.

        A_w is defined up to a rotation of the latents, which takes Lw (Lw − 1) / 2 of its numbers a component.
        """
        K, D, L, Lw = n_components, n_features, n_targets, self.n_latents
        noise = {"isotropic": 1, "diagonal": D, "full": D * (D + 1) // 2}[self.noise]
        target = {"isotropic": 1, "diagonal": L, "full": L * (L + 1) // 2}[self.target_covariance]
        slopes = D * (L + Lw) - Lw * (Lw - 1) // 2
        covariances = noise * (1 if self.tied else K) + target * (1 if self.target_tied else K)
        weights = 0 if self.equal_weights else K - 1
        return weights + covariances + K * (L + D + slopes) + (K if self.dof == "estimated" else 0)


class Parameters(NamedTuple):
    """z ~ Cat(π);  y | z=k ~ N(c_k, Γ_k);  w | z=k ~ N(0, I);  x | y, w, z=k ~ N(A_k [y; w] + b_k, Σ_k).

    With Student noise, u | z=k ~ Gamma(ν_k/2, ν_k/2) divides Γ, the latents' I and Σ alike.

    Attributes:
        pi: weights, (K,), positive, sum 1.
        c: means of the targets, (K, L), in the targets' units.
        Gamma: covariances of the targets, (K, L, L); of Student noise, scale matrices, as Σ is.
        A: slopes, (K, D, L + Lw), feature units per target unit; the last Lw columns belong to the latents.
        b: intercepts, (K, D).
        Sigma: noise of the features by structure: (K,) isotropic, (K, D) diagonal, (K, D, D) full.
            A tied Σ, one for all components, has a leading dimension of 1.
        dof: degrees of freedom ν of Student noise, (K,); None for Gaussian noise.

    Source: Deleforge, Forbes & Horaud, Statistics and Computing 2015; Perthame, Forbes & Deleforge, Journal of
    Multivariate Analysis 2018 (Student noise); letters as in docs/mathematics.md.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     pi=torch.ones(1), c=torch.zeros(1, 2), Gamma=torch.eye(2)[None],
        ...     A=torch.ones(1, 5, 2), b=torch.zeros(1, 5), Sigma=torch.ones(1, 5),
        ... )
        >>> p.n_components, p.n_features, p.n_targets, p.n_latents, p.noise
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
    def noise(self) -> str:
        """The structure of Σ: ``"isotropic"``, ``"diagonal"`` or ``"full"``."""
        return ("isotropic", "diagonal", "full")[self.Sigma.ndim - 1]

    @property
    def tied(self) -> bool:
        """Whether one Σ serves all components."""
        return self.Sigma.shape[0] < self.n_components

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Those that are there, by name: without `dof` for Gaussian noise."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def noise_variances(self) -> Tensor:
        """The diagonal of Σ_k of any structure, (K, D)."""
        Sigma = self.Sigma.diagonal(dim1=1, dim2=2) if self.Sigma.ndim == 3 else self.Sigma
        return (Sigma[:, None] if Sigma.ndim == 1 else Sigma).expand(self.n_components, self.n_features)

    @property
    def noise_matrices(self) -> Tensor:
        """Σ_k of any structure as matrices, (K, D, D)."""
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
        """The same parameters on another device or in another dtype."""
        return Parameters(*(value if value is None else value.to(*args) for value in self))  # type: ignore[call-overload, arg-type]

    def keep(self, components: Tensor) -> "Parameters":
        """Some components only, by a boolean mask (K,), their weights scaled to sum 1."""
        kept = Parameters(*(None if value is None else value[components] for value in self._replace(Sigma=self.b)))  # type: ignore[arg-type]
        Sigma = self.Sigma if self.tied else self.Sigma[components]
        return kept._replace(pi=kept.pi / kept.pi.sum(), Sigma=Sigma)

    def observe_latents(self) -> "Parameters":
        """The same model with w as targets: c = [c; 0], Γ = blockdiag(Γ, I)."""
        K, Lw = self.n_components, self.n_latents
        if Lw == 0:
            return self
        Gamma = self.Gamma.new_zeros(K, self.A.shape[2], self.A.shape[2])
        Gamma[:, : self.n_targets, : self.n_targets] = self.Gamma
        Gamma[:, self.n_targets :, self.n_targets :] = torch.eye(Lw, dtype=self.A.dtype, device=self.A.device)
        return self._replace(c=torch.cat([self.c, self.c.new_zeros(K, Lw)], 1), Gamma=Gamma)


class Centred(NamedTuple):
    """The mixture of x − x̄ and y − ȳ for an origin (x̄, ȳ) near the data.

    Where an origin is far from 0, c and b of the absolute values lose the digits that it takes; these do not.

    Attributes:
        parameters: of the differences.
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
        """The same mixture about another origin: c + ȳ − ȳ', b + x̄ − x̄' + A (ȳ' − ȳ)."""
        p, moved = self.parameters, target_origin - self.target_origin
        slopes = p.A[:, :, : p.n_targets]
        b = p.b + (self.feature_origin - feature_origin) + slopes @ moved
        return Centred(p._replace(c=p.c - moved, b=b), feature_origin, target_origin)

    def to(self, *args: torch.device | torch.dtype) -> "Centred":
        """The same mixture on another device or in another dtype."""
        return Centred(self.parameters.to(*args), self.feature_origin.to(*args), self.target_origin.to(*args))  # type: ignore[call-overload]

    @property
    def absolute(self) -> Parameters:
        """The parameters of x and y themselves."""
        return self.about(torch.zeros_like(self.feature_origin), torch.zeros_like(self.target_origin)).parameters


def centre(parameters: Parameters | Centred) -> Centred:
    """The mixture about E[x] and E[y]; one that is centred already stays as it is."""
    if isinstance(parameters, Centred):
        return parameters
    absolute = Centred(parameters, torch.zeros_like(parameters.b[0]), torch.zeros_like(parameters.c[0]))
    return absolute.about(parameters.feature_mean, parameters.pi @ parameters.c)


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

    def with_common_target_scale(self) -> "Scaling":
        """One scale for all targets, which an isotropic Γ needs to keep its meaning."""
        common = self.target_scale.square().mean().sqrt().expand_as(self.target_scale)
        return self._replace(target_scale=common)

    def apply(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The centred features and the standardised targets."""
        return features - self.feature_mean, self.standardise(targets)

    def standardise(self, targets: Tensor) -> Tensor:
        """(y − mean) / scale."""
        return (targets - self.target_mean) / self.target_scale

    def centred(self, parameters: Parameters) -> Centred:
        """The mixture of x and y about the means, given the parameters for x' and y'."""
        scale = self.target_scale
        A = parameters.A.clone()
        A[:, :, : len(scale)] /= scale
        Gamma = parameters.Gamma * scale * scale[:, None]
        own = parameters._replace(c=parameters.c * scale, Gamma=Gamma, A=A)
        return Centred(own, self.feature_mean, self.target_mean)

    def restore(self, parameters: Parameters) -> Parameters:
        """The parameters for x and y, given those for x' and y'."""
        return self.centred(parameters).absolute

    def reduce(self, parameters: Parameters | Centred) -> Parameters:
        """The parameters for x' and y', given those for x and y: the inverse of `restore`, and of `centred`."""
        p = centre(parameters).about(self.feature_mean, self.target_mean).parameters
        scale = self.target_scale
        A = p.A.clone()
        A[:, :, : len(scale)] *= scale
        return p._replace(c=p.c / scale, Gamma=p.Gamma / scale / scale[:, None], A=A)


def with_intercept(targets: Tensor) -> Tensor:
    """t = [y; 1], (..., L) to (..., L + 1)."""
    return torch.cat([targets, torch.ones_like(targets[..., :1])], dim=-1)


def model_scaling(parameters: Parameters | Centred) -> Scaling:
    """The means and variances of features and targets under the model itself."""
    about = centre(parameters)
    p = about.parameters
    pi, A, c = p.pi, p.A, p.c
    target_mean = pi @ c
    target_variance = pi @ (p.Gamma.diagonal(dim1=1, dim2=2) + (c - target_mean).square())
    means = torch.einsum("kdl,kl->kd", A, c) + p.b
    feature_mean = pi @ means
    explained = torch.einsum("kdl,klm,kdm->kd", A, p.Gamma, A)
    feature_variance = pi @ (p.noise_variances + explained + (means - feature_mean).square())
    scale = torch.where(target_variance > 0, target_variance.sqrt(), torch.ones_like(target_variance))
    return Scaling(about.feature_origin + feature_mean, feature_variance, about.target_origin + target_mean, scale)
