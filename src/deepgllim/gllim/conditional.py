"""The joint and the marginal log-density of the same features, whose difference is the conditional log-likelihood.

log p(y, k | x) = log p(x, y, k) − log p(x),    p(x) = Σ_j π_j N(x; A_j c_j + b_j, Σ_j + A_j Γ_j A_jᵀ)
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from deepgllim.gllim.covariances import cholesky
from deepgllim.gllim.likelihood import Model, join, multiply, prepare, target_responsibilities
from deepgllim.gllim.parameters import Centred, Parameters, centre
from deepgllim.gllim.prediction import Forward, invert, predict
from deepgllim.gllim.scaling import model_scaling


class Densities(NamedTuple):
    """Log-densities of N samples under K components.

    Attributes:
        log_joint: log p(x, y, z = k), (N, K).
        log_marginal: log p(x), (N,).
    """

    log_joint: Tensor
    log_marginal: Tensor


class DensityModel(NamedTuple):
    """The parameters prepared for the densities, computed once for many batches.

    Attributes:
        about: θ about origins, which are subtracted from features and targets so that no digits are lost.
        joint: the expansion for log p(x, y, k).
        forward: the inverted mixture of x and y − ȳ, for log p(x).
        factors: Cholesky factors of the covariances of p(y | x, k) with the target noise, (K, L, L); None without it.
    """

    about: Centred
    joint: Model
    forward: Forward
    factors: Tensor | None = None

    @classmethod
    def of(cls, parameters: Parameters | Centred, target_noise: float = 0.0) -> "DensityModel":
        """Prepare the parameters.

        Args:
            parameters: θ of Gaussian noise.
            target_noise: τ ≥ 0, the variance of the error of y_l as a share of Var(y_l): the covariances of p(y | x, k)
                become Σ*_k + τ diag Var(y). 0 for the densities of the mixture itself.

        Raises:
            NumericalError: if a covariance is singular.

        Example:
            >>> import torch
            >>> p = Parameters(
            ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
            ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.ones(1, 2),
            ... )
            >>> DensityModel.of(p).densities(torch.zeros(1, 2), torch.zeros(1, 1))
            Densities(log_joint=tensor([[-2.7568]]), log_marginal=tensor([-2.3872]))
        """
        about = centre(parameters)
        forward = invert(about._replace(target_origin=torch.zeros_like(about.target_origin)))
        factors = None
        if target_noise > 0:
            error = target_noise * model_scaling(about).target_scale.square()
            factors = cholesky(forward.covariances + torch.diag(error), "the predictive covariance")
        return cls(about, prepare(about.parameters), forward, factors)

    @property
    def n_components(self) -> int:
        """K."""
        return self.about.n_components

    def target_responsibilities(self, targets: Tensor) -> Tensor:
        """Return p(z = k | y_n), (N, K), of targets (N, L)."""
        return target_responsibilities(targets - self.about.target_origin, self.about.parameters)

    def log_joint(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return log p(x, y, z = k), (N, K), differentiable with respect to the features (N, D)."""
        products = multiply(features - self.about.feature_origin, self.joint.expansion)
        return join(products, targets - self.about.target_origin, self.joint).log_joint

    def densities(self, features: Tensor, targets: Tensor) -> Densities:
        """Return both log-densities of features (N, D) and targets (N, L), differentiable with respect to the features.

        With target noise log p(x, y, k) = log p(x) + log p(k | x) + log N(y; m_k(x), Σ*_k + τ diag Var(y)).
        """
        predictive = predict(features, self.forward)
        log_marginal = predictive.log_density
        if self.factors is None:
            return Densities(self.log_joint(features, targets), log_marginal)
        components = MultivariateNormal(predictive.means, scale_tril=self.factors, validate_args=False)
        log_conditional = components.log_prob((targets - self.about.target_origin)[:, None])  # type: ignore[no-untyped-call]
        return Densities(log_marginal[:, None] + predictive.log_weights + log_conditional, log_marginal)
