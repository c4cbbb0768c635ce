"""The M-step: statistics to parameters, for every form, under floors and a prior."""

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
COLLINEAR = 1e-11  # an eigenvalue of M under this share of its largest is rounding: N sums of 1e-16 each


class Regularisation(NamedTuple):
    """What keeps the covariances from collapsing, in the units that EM runs in.

    A floor is a constraint, Σ ≥ floor; a prior is κ pseudo-samples that each bring the variance S to every covariance:
    Σ_k = (scatter_k + κ S) / (s0_k + κ), the mode under log p(Σ) = −½ κ (log |Σ| + tr(Σ⁻¹ S)), an inverse Wishart.

    Attributes:
        feature_floor: least noise variances, (D,).
        target_floor: least variances of the targets, (L,).
        prior_count: κ, pseudo-samples; 0 for no prior.
        feature_variance: S of Σ, (D,).
        target_variance: S of Γ, (L,).
        shrinkage: of Σ_k towards its mean variance, see `shrink`. No objective is maximised then, so EM may fall.
    """

    feature_floor: Tensor
    target_floor: Tensor
    prior_count: float
    feature_variance: Tensor
    target_variance: Tensor
    shrinkage: float | str = 0.0

    def log_prior(self, parameters: Parameters, target_tied: bool = False) -> float:
        """log p(Σ, Γ) up to a constant, 0 without a prior; what is tied counts once."""
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
    """The floors and the prior as shares of the data's variances."""
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
    """A share of each feature's variance; a constant feature takes the mean variance, or 1, for its own."""
    mean = variance.mean() if bool(variance.mean() > 0) else torch.ones_like(variance.mean())
    return share * torch.where(variance > 0, variance, mean)


def at_floor(parameters: Parameters, scaling: Scaling, covariance_floor: float) -> bool:
    """Whether a variance of Σ, in some direction, is within 1 % of its floor; constant features do not count."""
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
    """The maximiser of the expected log-likelihood, one formula for every form.

    [A_k b_k] = C_k M_k⁻¹;  Σ_k = (q_k − [A_k b_k] C_kᵀ) / s0_k, kept to its structure; tied: Σ_k s0_k Σ_k / N;
    c_k, Γ_k from the target block of M_k;  π_k = s0_k / N;  ν_k solves log(ν/2) − ψ(ν/2) + 1 + E[log u − u] = 0.

    Args:
        statistics: of all rows, every component with some weight.
        form: which mixture.
        regularisation: floors and prior; None for neither. A floor keeps EM monotone: it is a constraint.
        dof: ν of the last E-step, kept where the form fixes it; needed for Student noise only.

    Example:
        >>> import torch
        >>> from deepgllim.gllim.statistics import Rows, collect
        >>> y = torch.randn(50, 2); x = y @ torch.ones(2, 4) + 0.1 * torch.randn(50, 4)
        >>> s = collect(Rows(x, y), lambda block, first: torch.ones(len(block.targets), 1), 1, noise_structure("full"))
        >>> m_step(s, MixtureSpec(covariance_type="full")).A.shape
        torch.Size([1, 4, 2])
    """
    s0, M, C, q, excess, _ = statistics
    L, D = M.shape[-1] - 1 - spec.n_latents, C.shape[1]
    B = C @ torch.linalg.pinv(M, hermitian=True, rtol=COLLINEAR)  # (K, D, P); least-norm where collinear
    c, Gamma = _target_part(s0, M, L, spec, regularisation)
    return Parameters(
        pi=torch.full_like(s0, 1.0 / len(s0)) if spec.equal_weights else s0 / s0.sum(),
        c=c,
        Gamma=Gamma,
        A=B[:, :, :-1],
        b=B[:, :, -1],
        Sigma=_noise_part(s0, B, C, q, D, spec, regularisation),
        dof=solve_dof(excess / s0) if spec.dof == "estimated" else dof,
    )


def _noise_part(
    s0: Tensor, B: Tensor, C: Tensor, q: Tensor, D: int, spec: MixtureSpec, regularisation: Regularisation | None
) -> Tensor:
    structure = noise_structure(spec.covariance_type)
    explained, count = structure.explained(B, C), s0
    if spec.tied:
        explained, count = explained.sum(0, keepdim=True), s0.sum(0, keepdim=True)
    residual = q - explained
    if regularisation is None:
        return structure.spread(residual, count, D)
    if regularisation.prior_count > 0:
        residual = residual + regularisation.prior_count * structure.scatter(regularisation.feature_variance)
        count = count + regularisation.prior_count
    Sigma = shrink(structure.spread(residual, count, D), regularisation.shrinkage, count)
    return structure.floor(Sigma, regularisation.feature_floor)


def expected_statistics(parameters: Parameters) -> SufficientStatistics:
    """The statistics that a sample contributes on average under the model itself: `m_step` of them is θ again.

    s0_k = π_k;  M_k = π_k E[t tᵀ | k], t = [y; 1];  C_k = [A_k b_k] M_k;  q_k = π_k Σ_k + [A_k b_k] C_kᵀ.

    Args:
        parameters: θ of Gaussian noise and without latents, in the units that EM runs in.

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
    s0: Tensor, M: Tensor, L: int, spec: MixtureSpec, regularisation: Regularisation | None
) -> tuple[Tensor, Tensor]:
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
