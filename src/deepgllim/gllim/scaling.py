"""The scaling of the data under which EM runs: centred features, standardised targets."""

from typing import NamedTuple

import torch
from torch import Tensor

from deepgllim.gllim.parameters import Centred, Parameters, centre


class Scaling(NamedTuple):
    """x' = x − feature_mean;  y' = (y − target_mean) / target_scale.

    EM runs on x' and y', because raw second moments lose digits; `restore` transforms the parameters back. The features
    need no scale: diagonal and full covariances are equivariant under one, and an isotropic Σ would change its meaning.

    Attributes:
        feature_mean: (D,).
        feature_variance: (D,); not applied, but the reference of the covariance floor.
        target_mean: (L,).
        target_scale: (L,), standard deviations; 1 for a constant target.
    """

    feature_mean: Tensor
    feature_variance: Tensor
    target_mean: Tensor
    target_scale: Tensor

    def with_common_target_scale(self) -> "Scaling":
        """Return the scaling with one scale for all targets, under which an isotropic Γ stays isotropic."""
        common = self.target_scale.square().mean().sqrt().expand_as(self.target_scale)
        return self._replace(target_scale=common)

    def apply(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centred features and the standardised targets."""
        return features - self.feature_mean, self.standardise(targets)

    def standardise(self, targets: Tensor) -> Tensor:
        """Return (y − mean) / scale."""
        return (targets - self.target_mean) / self.target_scale

    def centred(self, parameters: Parameters) -> Centred:
        """Return the mixture of x and y about their means, given the parameters for x' and y'."""
        scale = self.target_scale
        A = parameters.A.clone()
        A[:, :, : len(scale)] /= scale
        Gamma = parameters.Gamma * scale * scale[:, None]
        own = parameters._replace(c=parameters.c * scale, Gamma=Gamma, A=A)
        return Centred(own, self.feature_mean, self.target_mean)

    def restore(self, parameters: Parameters) -> Parameters:
        """Return the parameters for x and y, given those for x' and y'."""
        return self.centred(parameters).absolute

    def reduce(self, parameters: Parameters | Centred) -> Parameters:
        """Return the parameters for x' and y', given those for x and y: the inverse of `restore` and `centred`."""
        p = centre(parameters).about(self.feature_mean, self.target_mean).parameters
        scale = self.target_scale
        A = p.A.clone()
        A[:, :, : len(scale)] *= scale
        return p._replace(c=p.c / scale, Gamma=p.Gamma / scale / scale[:, None], A=A)


def model_scaling(parameters: Parameters | Centred) -> Scaling:
    """Return the means and variances of features and targets under the model."""
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
