"""The specification of a mixture: which variant of the model is fitted."""

from typing import NamedTuple

from deepgllim.errors import ConfigurationError
from deepgllim.gllim.checks import require_integer
from deepgllim.gllim.covariances import noise_structure, target_structure
from deepgllim.gllim.densities import MAX_DOF, MIN_DOF


class MixtureSpec(NamedTuple):
    """The variant of the mixture: every variant is a value of this tuple, and one M-step fits them all.

    Attributes:
        n_components: K ≥ 1, the number of components. Given responsibilities or a given start determine K instead
            where this is 1.
        covariance_type: structure of the noise covariance Σ: "isotropic", "diagonal" or "full".
        tied: whether all components share one Σ.
        target_covariance: structure of the target covariance Γ: "full", "diagonal" or "isotropic".
        target_tied: whether all components share one Γ.
        equal_weights: whether π_k = 1/K for every component.
        n_latents: Lw ≥ 0, the number of latent variables that influence the features but are not among the targets.
        dof: degrees of freedom ν of Student noise, in [0.05, 10⁶], or "estimated" for each component; None for
            Gaussian noise.

    Example:
        >>> MixtureSpec(2, covariance_type="full", dof="estimated").n_parameters(n_features=3, n_targets=1)
        31
    """

    n_components: int = 1
    covariance_type: str = "diagonal"
    tied: bool = False
    target_covariance: str = "full"
    target_tied: bool = False
    equal_weights: bool = False
    n_latents: int = 0
    dof: float | str | None = None

    def n_parameters(self, n_features: int, n_targets: int) -> int:
        """Return the number of free parameters, as BIC and AIC count them.

        A_w is defined up to a rotation of the latents, which removes Lw (Lw − 1) / 2 parameters per component.
        """
        K, D, L, Lw = self.n_components, n_features, n_targets, self.n_latents
        noise = {"isotropic": 1, "diagonal": D, "full": D * (D + 1) // 2}[self.covariance_type]
        target = {"isotropic": 1, "diagonal": L, "full": L * (L + 1) // 2}[self.target_covariance]
        slopes = D * (L + Lw) - Lw * (Lw - 1) // 2
        covariances = noise * (1 if self.tied else K) + target * (1 if self.target_tied else K)
        weights = 0 if self.equal_weights else K - 1
        return weights + covariances + K * (L + D + slopes) + (K if self.dof == "estimated" else 0)


def check_spec(spec: MixtureSpec) -> None:
    """Raise an error if the specification is invalid.

    Raises:
        ConfigurationError: if a field is out of its range; the message gives the field, its value and the range.
    """
    require_integer("n_components", spec.n_components, 1)
    noise_structure(spec.covariance_type)
    target_structure(spec.target_covariance)
    require_integer("n_latents", spec.n_latents, 0)
    dof = spec.dof
    if dof is None or dof == "estimated":
        return
    if isinstance(dof, str) or not MIN_DOF <= dof <= MAX_DOF:
        raise ConfigurationError(
            f"dof is {dof!r}: use None for Gaussian noise, 'estimated', or degrees of freedom "
            f"between {MIN_DOF:g} and {MAX_DOF:g}"
        )
