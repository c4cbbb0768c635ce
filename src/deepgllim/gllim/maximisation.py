"""The M-step: from sufficient statistics to parameters, for every variant, under floors and a prior."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.errors import NumericalError
from deepgllim.gllim.covariances import FULL, floor_eigenvalues, noise_structure, shrink, target_structure
from deepgllim.gllim.densities import solve_dof
from deepgllim.gllim.parameters import Parameters, with_intercept
from deepgllim.gllim.scaling import Scaling
from deepgllim.gllim.spec import MixtureSpec
from deepgllim.gllim.statistics import SufficientStatistics

ZERO = 1e-13  # a variance below this share of the data's variance is zero up to rounding
COLLINEAR = 1e-11  # an eigenvalue of M below this share of the largest is rounding, of N sums with 1e-16 each


class Regularisation(NamedTuple):
    """The floors, the prior and the shrinkage of the covariances, in the units of EM.

    A floor is a constraint, Σ ≥ floor. The prior is κ pseudo-samples of variance S for every covariance:
    Σ_k = (scatter_k + κ S) / (s0_k + κ), the mode under log p(Σ) = −½ κ (log |Σ| + tr(Σ⁻¹ S)), an inverse Wishart.

    Attributes:
        feature_floor: minimum noise variances, (D,).
        target_floor: minimum variances of the targets, (L,).
        prior_count: κ, number of pseudo-samples; 0 for no prior.
        feature_variance: S of Σ, (D,).
        target_variance: S of Γ, (L,).
        shrinkage: of Σ_k towards its mean variance, see `shrink`. EM then maximises no objective, so it may decrease.
    """

    feature_floor: Tensor
    target_floor: Tensor
    prior_count: float
    feature_variance: Tensor
    target_variance: Tensor
    shrinkage: float | str = 0.0

    def log_prior(self, parameters: Parameters, target_tied: bool = False) -> float:
        """Return log p(Σ, Γ) up to a constant, 0 without a prior; a tied covariance counts once."""
        if self.prior_count == 0:
            return 0.0
        total = 0.0
        for Sigma, structure, variance in (
            (parameters.Sigma, noise_structure(parameters.covariance_type), self.feature_variance),
            (parameters.Gamma[:1] if target_tied else parameters.Gamma, FULL, self.target_variance),
        ):
            W = structure.precision(Sigma)
            penalty = structure.log_determinant(W, len(variance)) + structure.trace(W, variance)
            total -= 0.5 * self.prior_count * float(penalty.sum())
        return total


def regularise(
    scaling: Scaling,
    covariance_floor: float,
    prior_count: float,
    prior_variance: float,
    shrinkage: float | str = 0.0,
) -> Regularisation:
    """Return the floors and the prior, given as shares of the variances of the data."""
    one = torch.ones_like(scaling.target_scale)
    return Regularisation(
        relative_floor(scaling.feature_variance, covariance_floor),
        covariance_floor * one,
        prior_count,
        relative_floor(scaling.feature_variance, prior_variance),
        prior_variance * one,
        shrinkage,
    )


def relative_floor(variance: Tensor, share: float) -> Tensor:
    """Return a share of the variance of each feature, (D,); for a constant feature, of the mean variance, or of 1."""
    mean = variance.mean() if bool(variance.mean() > 0) else torch.ones_like(variance.mean())
    return share * torch.where(variance > 0, variance, mean)


def at_floor(parameters: Parameters, scaling: Scaling, covariance_floor: float) -> bool:
    """Return whether a variance of Σ, in any direction, is within 1 % of its floor; constant features do not count."""
    varying = scaling.feature_variance > 0
    if covariance_floor == 0 or not bool(varying.any()):
        return False
    floor = 1.01 * relative_floor(scaling.feature_variance, covariance_floor)[varying]
    Sigma = parameters.Sigma
    if Sigma.ndim == 1:
        return bool((Sigma <= floor.mean()).any())
    if Sigma.ndim == 2:
        return bool((Sigma[:, varying] <= floor).any())
    scale = floor.sqrt()
    scaled = Sigma[:, varying][:, :, varying] / scale / scale[:, None]
    return bool((torch.linalg.eigvalsh(scaled) <= 1.0).any())


def require_regular(parameters: Parameters, scaling: Scaling) -> None:
    """Raise an error if a variance is zero up to rounding: without a floor, the likelihood is then unbounded.

    Raises:
        NumericalError: if a covariance is singular; the message gives its component.
    """
    Sigma_floor = relative_floor(scaling.feature_variance, ZERO)
    Gamma_floor = torch.full_like(scaling.target_scale, ZERO)
    floor = noise_structure(parameters.covariance_type).floor
    for name, covariance, raised in (
        ("noise", parameters.Sigma, floor(parameters.Sigma, Sigma_floor)),
        ("target", parameters.Gamma, floor_eigenvalues(parameters.Gamma, Gamma_floor)),
    ):
        if bool((raised != covariance).any()):
            k = int((raised != covariance).nonzero()[0, 0])
            raise NumericalError(
                f"the {name} covariance of component {k} is singular: constant or collinear columns, too few samples, "
                "or features that the targets determine without error; use a covariance_floor above 0 or fewer "
                "components"
            )


def m_step(
    statistics: SufficientStatistics,
    spec: MixtureSpec = MixtureSpec(),  # noqa: B008 - an immutable tuple
    regularisation: Regularisation | None = None,
    dof: Tensor | None = None,
) -> Parameters:
    """Return the parameters that maximise the expected log-likelihood.

    [A_k b_k] = C_k M_k⁻¹;  Σ_k = (q_k − [A_k b_k] C_kᵀ) / s0_k, restricted to its structure; tied: Σ_k s0_k Σ_k / N;
    c_k, Γ_k from the target block of M_k;  π_k = s0_k / N;  ν_k solves log(ν/2) − ψ(ν/2) + 1 + E[log u − u] = 0.

    Args:
        statistics: of all rows; every component has a positive weight.
        spec: the variant of the mixture.
        regularisation: floors and prior; None for neither. EM stays monotone under a floor, which is a constraint.
        dof: ν of the last E-step, returned unless ν is estimated; None for Gaussian noise.

    Example:
        >>> import torch
        >>> from deepgllim.gllim.statistics import Rows, collect
        >>> y = torch.randn(50, 2); x = y @ torch.ones(2, 4) + 0.1 * torch.randn(50, 4)
        >>> s = collect(Rows(x, y), lambda block, first: torch.ones(len(block.targets), 1), 1, noise_structure("full"))
        >>> m_step(s, MixtureSpec(covariance_type="full")).A.shape
        torch.Size([1, 4, 2])
    """
    s0 = statistics.s0
    inverse = torch.linalg.pinv(statistics.M, hermitian=True, rtol=COLLINEAR)  # minimum norm if collinear
    B = statistics.C @ inverse  # (K, D, P)
    c, Gamma = _target_part(statistics, spec, regularisation)
    return Parameters(
        pi=torch.full_like(s0, 1.0 / len(s0)) if spec.equal_weights else s0 / s0.sum(),
        c=c,
        Gamma=Gamma,
        A=B[:, :, :-1],
        b=B[:, :, -1],
        Sigma=_noise_part(statistics, B, spec, regularisation),
        dof=solve_dof(statistics.excess / s0) if spec.dof == "estimated" else dof,
    )


def _noise_part(
    statistics: SufficientStatistics, B: Tensor, spec: MixtureSpec, regularisation: Regularisation | None
) -> Tensor:
    structure = noise_structure(spec.covariance_type)
    explained, count, D = structure.explained(B, statistics.C), statistics.s0, statistics.C.shape[1]
    if spec.tied:
        explained, count = explained.sum(0, keepdim=True), count.sum(0, keepdim=True)
    residual = statistics.q - explained
    if regularisation is None:
        return structure.spread(residual, count, D)
    if regularisation.prior_count > 0:
        residual = residual + regularisation.prior_count * structure.scatter(regularisation.feature_variance)
        count = count + regularisation.prior_count
    Sigma = shrink(structure.spread(residual, count, D), regularisation.shrinkage, count)
    return structure.floor(Sigma, regularisation.feature_floor)


def expected_statistics(parameters: Parameters) -> SufficientStatistics:
    """Return the expected statistics of one sample under the model; `m_step` of them returns θ.

    s0_k = π_k;  M_k = π_k E[t tᵀ | k], t = [y; 1];  C_k = [A_k b_k] M_k;  q_k = π_k Σ_k + [A_k b_k] C_kᵀ.

    Args:
        parameters: θ of Gaussian noise and without latents, in the units of EM.

    Example:
        >>> import torch
        >>> p = Parameters(
        ...     torch.ones(1), torch.zeros(1, 1), torch.ones(1, 1, 1),
        ...     torch.ones(1, 2, 1), torch.zeros(1, 2), torch.full((1, 2), 3.0),
        ... )
        >>> m_step(expected_statistics(p)).Sigma
        tensor([[3., 3.]])
    """
    pi, B, structure = parameters.pi, parameters.coefficients, noise_structure(parameters.covariance_type)
    t = with_intercept(parameters.c)
    M = t[:, :, None] * t[:, None]
    M[:, :-1, :-1] += parameters.Gamma
    M = pi[:, None, None] * M
    C = B @ M
    explained, count = structure.explained(B, C), pi
    if parameters.tied:
        explained, count = explained.sum(0, keepdim=True), pi.sum(0, keepdim=True)
    q = explained + structure.residual(parameters.Sigma, count, parameters.n_features)
    return SufficientStatistics(pi, M, C, q, -pi, torch.zeros_like(pi[0]))


def _target_part(
    statistics: SufficientStatistics, spec: MixtureSpec, regularisation: Regularisation | None
) -> tuple[Tensor, Tensor]:
    s0, M = statistics.s0, statistics.M
    L = M.shape[-1] - 1 - spec.n_latents
    c = M[:, :L, -1] / M[:, -1:, -1]
    scatter, count = M[:, :L, :L] - c[:, :, None] * M[:, None, :L, -1], s0
    if spec.target_tied:
        scatter, count = scatter.sum(0, keepdim=True), s0.sum(0, keepdim=True)
    if regularisation is not None and regularisation.prior_count > 0:
        scatter = scatter + regularisation.prior_count * torch.diag(regularisation.target_variance)
        count = count + regularisation.prior_count
    Gamma = target_structure(spec.target_covariance)(0.5 * (scatter + scatter.mT) / count[:, None, None])
    if regularisation is not None:
        Gamma = floor_eigenvalues(Gamma, regularisation.target_floor)
    return c, Gamma.expand(len(s0), L, L)
