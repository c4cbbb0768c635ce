"""The multivariate Student t distribution, which torch does not have."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Gamma, constraints


class MultivariateStudentT(Distribution):
    """t_ν(y; m, S) ∝ (1 + δ(y) / ν)^(−(ν + L) / 2), the multivariate Student distribution.

    It is a Gaussian whose covariance S is divided by u ~ Gamma(ν/2, ν/2). The mean is NaN for ν ≤ 1; the variance is
    infinite for 1 < ν ≤ 2 and NaN for ν ≤ 1, as in `torch.distributions.StudentT`.

    Args:
        loc: m, (..., L).
        scale_tril: Cholesky factor of the scale matrix S, (..., L, L).
        df: ν, degrees of freedom, (...), > 0 and finite.
        validate_args: whether torch checks the arguments; None for the default of torch.

    Raises:
        ValueError: from torch, if an argument is out of its range and `validate_args` is on.

    Example:
        >>> import torch
        >>> t = MultivariateStudentT(torch.zeros(2), torch.eye(2), torch.tensor(4.0))
        >>> t.event_shape, t.variance
        (torch.Size([2]), tensor([2., 2.]))
        >>> t.log_prob(torch.zeros(2)).exp()  # 1 / 2π
        tensor(0.1592)
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
        "df": constraints.positive,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, scale_tril: Tensor, df: Tensor, validate_args: bool | None = None) -> None:
        L = loc.shape[-1]
        batch = torch.broadcast_shapes(loc.shape[:-1], scale_tril.shape[:-2], df.shape)  # type: ignore[no-untyped-call]
        self.loc, self.scale_tril, self.df = loc.expand(*batch, L), scale_tril.expand(*batch, L, L), df.expand(batch)
        super().__init__(batch, torch.Size([L]), validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "MultivariateStudentT":
        """Return the distribution expanded to a larger batch."""
        L = self.event_shape[0]
        return MultivariateStudentT(
            self.loc.expand(*batch_shape, L),
            self.scale_tril.expand(*batch_shape, L, L),
            self.df.expand(*batch_shape),
            validate_args=False,
        )

    @property
    def mean(self) -> Tensor:
        """m, (..., L); NaN for ν ≤ 1."""
        return torch.where(self.df.unsqueeze(-1) > 1, self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        """The diagonal of `covariance_matrix`, (..., L)."""
        return self.covariance_matrix.diagonal(dim1=-2, dim2=-1)

    @property
    def covariance_matrix(self) -> Tensor:
        """ν / (ν − 2) S, (..., L, L); NaN off the diagonal for ν ≤ 2, where E[y_l y_m] does not exist."""
        df, eye = self.df[..., None, None], torch.eye(self.event_shape[0], dtype=self.df.dtype, device=self.df.device)
        undefined = torch.where((df > 1) & (eye > 0), math.inf, math.nan).to(df)
        factor: Tensor = torch.where(df > 2, df / (df - 2), undefined)
        return factor * (self.scale_tril @ self.scale_tril.mT)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log t(y), (...), of values (..., L), in nats."""
        if self._validate_args:
            self._validate_sample(value)
        L, nu = self.event_shape[0], self.df.double()  # the constant is a small difference of large numbers
        constant = torch.lgamma(0.5 * (nu + L)) - torch.lgamma(0.5 * nu) - 0.5 * L * (math.pi * nu).log()
        log_factor = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return constant.to(self.df) - log_factor - 0.5 * (self.df + L) * torch.log1p(self._distance(value) / self.df)

    def expected_precision(self, value: Tensor) -> Tensor:
        """Return E[u | y] = (ν + L) / (ν + δ(y)), (...): 1 for a Gaussian, low for distant y."""
        return (self.df + self.event_shape[0]) / (self.df + self._distance(value))

    def _distance(self, value: Tensor) -> Tensor:
        deviation = (value - self.loc).unsqueeze(-1)
        standard: Tensor = torch.linalg.solve_triangular(self.scale_tril, deviation, upper=False)
        return standard.square().sum((-2, -1))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draw m + S^½ z / √u with z ~ N(0, I), (*sample_shape, ..., L)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        z = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        u = Gamma(0.5 * self.df, 0.5 * self.df, validate_args=False).rsample(torch.Size(sample_shape))
        return self.loc + torch.einsum("...lm,...m->...l", self.scale_tril, z) * u.rsqrt().unsqueeze(-1)
