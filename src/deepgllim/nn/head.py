"""Heads: modules that map features to a predictive distribution.

Inverse regression, and least squares and mixture density, with which it is compared.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepgllim.distributions import MultivariateGaussianMixture
from deepgllim.errors import ConfigurationError
from deepgllim.gllim import Forward, Parameters, invert, predict

TENSORS = tuple(name for name in Parameters._fields if name != "dof")


class InverseRegressionHead(nn.Module):
    """Head of inverse regression: p(y | x) = Σ_k w_k(x) N(y; A*_k x + b*_k, Σ*_k).

    This is the closed-form inverse of x | y, k ~ N(A_k y + b_k, Σ_k). The parameters are buffers, which EM sets through
    `mixture`; gradients do not change them. Predictions are computed in float64.

    Args:
        n_features: number of features, D.
        n_targets: number of targets, L.
        n_components: number of components, K, of the initial mixture; a mixture that is set later may have another.

    Source: paper, eqs. 1, 3 and 4.

    Example:
        >>> import torch
        >>> from deepgllim.gllim import fit
        >>> y = torch.randn(200, 2); x = torch.cat([y, y.square(), torch.randn(200, 1)], 1)
        >>> head = InverseRegressionHead(5, 2)
        >>> head.mixture = fit(x, y).parameters
        >>> answer = head(x[:3])
        >>> answer.mean.shape, answer.covariance_matrix.shape, answer.input_log_density.shape
        (torch.Size([3, 2]), torch.Size([3, 2, 2]), torch.Size([3]))
    """

    pi: Tensor
    c: Tensor
    Gamma: Tensor
    A: Tensor
    b: Tensor
    Sigma: Tensor
    covariance_scale: Tensor

    def __init__(self, n_features: int, n_targets: int, n_components: int = 1) -> None:
        super().__init__()
        K, D, L = n_components, n_features, n_targets
        eye = torch.eye(L, dtype=torch.float64)
        start = Parameters(
            pi=torch.full((K,), 1.0 / K, dtype=torch.float64),
            c=torch.zeros(K, L, dtype=torch.float64),
            Gamma=eye.repeat(K, 1, 1),
            A=torch.zeros(K, D, L, dtype=torch.float64),
            b=torch.zeros(K, D, dtype=torch.float64),
            Sigma=torch.ones(K, D, dtype=torch.float64),
        )
        for name in TENSORS:
            self.register_buffer(name, getattr(start, name))
        self.register_buffer("covariance_scale", torch.ones((), dtype=torch.float64))
        self._forward: Forward | None = None

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.pi)

    @property
    def mixture(self) -> Parameters:
        """Parameters of the inverse regression."""
        return Parameters(self.pi, self.c, self.Gamma, self.A, self.b, self.Sigma)

    @mixture.setter
    def mixture(self, parameters: Parameters) -> None:
        if parameters.dof is not None or parameters.n_latents:
            raise ConfigurationError("the mixture has latents or noise that is not Gaussian: fit one without them")
        for name in TENSORS:
            setattr(self, name, getattr(parameters, name).detach().to(self.pi))
        self._forward = None

    @property
    def forward_regression(self) -> Forward:
        """The inverse of the mixture, which is computed once for each setting of the parameters."""
        if self._forward is None or self._forward.origin.device != self.pi.device:
            self._forward = invert(self.mixture)
        return self._forward

    def forward(self, features: Tensor) -> MultivariateGaussianMixture:
        """Return p(y | x) for features (N, D); its `input_log_density` is log p(x)."""
        answer = predict(features, self.forward_regression)
        covariances = answer.covariances * self.covariance_scale
        return MultivariateGaussianMixture(answer.log_weights, answer.means, covariances, answer.log_density)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        """Accept the number of components and the structure of Σ in the state dictionary; D and L must agree."""
        fits = prefix + "A" in state_dict and state_dict[prefix + "A"].shape[1:] == self.A.shape[1:]
        for name in TENSORS:
            if fits and prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.pi.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._forward = None


class LeastSquaresHead(nn.Module):
    """Head of least squares: y | x ~ N(V x + v, S), with a constant covariance S of the residuals.

    The linear layer predicts standardised targets, so that the loss and its gradients do not depend on the units of the
    targets.

    Args:
        n_features: number of features, D.
        n_targets: number of targets, L.

    Example:
        >>> import torch
        >>> head = LeastSquaresHead(5, 2)
        >>> head(torch.randn(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    target_mean: Tensor
    target_scale: Tensor
    covariance: Tensor
    covariance_scale: Tensor

    def __init__(self, n_features: int, n_targets: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_targets)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("target_mean", torch.zeros(n_targets))
        self.register_buffer("target_scale", torch.ones(n_targets))
        self.register_buffer("covariance", torch.eye(n_targets, dtype=torch.float64))
        self.register_buffer("covariance_scale", torch.ones((), dtype=torch.float64))

    def standardise(self, targets: Tensor) -> Tensor:
        """Return (y − mean) / scale for targets (N, L)."""
        return (targets - self.target_mean) / self.target_scale

    def point(self, features: Tensor) -> Tensor:
        """Return V x + v in the units of the targets, (N, L)."""
        answer: Tensor = self.linear(features)
        return answer * self.target_scale + self.target_mean

    def forward(self, features: Tensor) -> MultivariateGaussianMixture:
        """Return p(y | x) for features (N, D), with one component and without log p(x)."""
        mean = self.point(features).to(self.covariance.dtype)
        log_weights = torch.zeros_like(mean[:, :1])
        covariance = self.covariance * self.covariance_scale
        return MultivariateGaussianMixture(log_weights, mean[:, None], covariance[None])


class MixtureOutputs(NamedTuple):
    """Parameters of the mixtures that a mixture density head predicts for standardised targets.

    Attributes:
        logits: unnormalised log weights of the components, (N, K).
        means: means of the components, (N, K, L).
        factors: lower Cholesky factors of the covariances, (N, K, L, L).
    """

    logits: Tensor
    means: Tensor
    factors: Tensor


class MixtureDensityHead(nn.Module):
    """Head of mixture density networks: p(y | x) = Σ_k w_k(x) N(y; m_k(x), C_k(x) C_k(x)ᵀ).

    One linear layer gives weights, means and Cholesky factors for standardised targets. The diagonal of a factor is a
    softplus of the output of the layer plus `LEAST_DEVIATION`.

    Args:
        n_features: number of features, D.
        n_targets: number of targets, L.
        n_components: number of components, K; `resize` and `load_state_dict` may change it.

    Source: C. M. Bishop, "Mixture density networks", 1994; with full covariances.

    Example:
        >>> import torch
        >>> head = MixtureDensityHead(5, 2, n_components=3)
        >>> answer = head(torch.randn(4, 5))
        >>> answer.mean.shape, answer.covariances.shape
        (torch.Size([4, 2]), torch.Size([4, 3, 2, 2]))
    """

    LEAST_DEVIATION = 1e-3

    target_mean: Tensor
    target_scale: Tensor
    covariance_scale: Tensor

    def __init__(self, n_features: int, n_targets: int, n_components: int = 1) -> None:
        super().__init__()
        self.n_features, self.n_targets = n_features, n_targets
        self.register_buffer("target_mean", torch.zeros(n_targets))
        self.register_buffer("target_scale", torch.ones(n_targets))
        self.register_buffer("covariance_scale", torch.ones((), dtype=torch.float64))
        self.resize(n_components)

    def resize(self, n_components: int) -> None:
        """Set K and reset the layer: equal weights, means of 0, equal covariances."""
        L = self.n_targets
        self.n_components = n_components
        n_outputs = n_components * (1 + L + L * (L + 1) // 2)
        self.linear = nn.Linear(self.n_features, n_outputs, device=self.target_mean.device)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def outputs(self, features: Tensor) -> MixtureOutputs:
        """Return logits, means and Cholesky factors for features (N, D)."""
        K, L = self.n_components, self.n_targets
        logits, means, entries = self.linear(features).split([K, K * L, K * L * (L + 1) // 2], dim=1)
        rows, columns = torch.tril_indices(L, L, device=entries.device)
        lower = entries.new_zeros(len(features), K, L, L)
        lower[..., rows, columns] = entries.unflatten(1, (K, -1))
        deviations = functional.softplus(lower.diagonal(dim1=-2, dim2=-1)) + self.LEAST_DEVIATION
        return MixtureOutputs(logits, means.unflatten(1, (K, L)), lower.tril(-1) + torch.diag_embed(deviations))

    def standardise(self, targets: Tensor) -> Tensor:
        """Return (y − mean) / scale for targets (N, L)."""
        return (targets - self.target_mean) / self.target_scale

    def forward(self, features: Tensor) -> MultivariateGaussianMixture:
        """Return p(y | x) for features (N, D), in the units of the targets and without log p(x)."""
        logits, means, factors = (part.to(self.covariance_scale.dtype) for part in self.outputs(features))
        scale = self.target_scale.to(means)
        factors = scale[:, None] * factors
        covariances = factors @ factors.mT * self.covariance_scale
        return MultivariateGaussianMixture(logits, means * scale + self.target_mean, covariances)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        """Accept the number of components in the state dictionary; D and L must agree."""
        per_component = self.linear.out_features // self.n_components
        weight = state_dict.get(prefix + "linear.weight")
        if weight is not None and len(weight) != self.linear.out_features and len(weight) % per_component == 0:
            self.resize(len(weight) // per_component)  # only then: an optimizer may refer to the tensors of the layer
        super()._load_from_state_dict(state_dict, prefix, *args)


Head = InverseRegressionHead | LeastSquaresHead | MixtureDensityHead

HEADS: dict[str, Callable[[int, int], Head]] = {
    "inverse_regression": InverseRegressionHead,
    "least_squares": LeastSquaresHead,
    "mixture_density": MixtureDensityHead,
}
"""The class of the head of each objective, which is called with D and L."""
