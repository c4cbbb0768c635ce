"""p(x | y) against conditioning the joint model on the targets by (D + L) × (D + L) algebra."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from deepgllim.gllim import FeaturePredictive, Parameters, inverse, predict_features, sample
from tests.gllim.strategies import NOISES, close, generator, joint, make_parameters, normal

K, L, D = 3, 2, 4
STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]
FAMILIES = [None, 1.5, 7.0]  # Gaussian; Student whose own variance is infinite, and one with all moments

# Matrices of 8 × 8 with condition numbers under 10³, 1e-16 each.
ROUNDING = 1e-10


def parameters(noise: str, tied: bool, n_latents: int = 0, dof: float | None = None, seed: int = 0) -> Parameters:
    p = make_parameters(seed, noise, tied, K, L, D)
    A_w = normal(generator(seed + 1), K, D, n_latents)
    nu = None if dof is None else dof + torch.arange(K).double()
    return p._replace(A=torch.cat([p.A, A_w], 2), dof=nu)


def target_log_densities(y: Tensor, p: Parameters) -> Tensor:
    """log π_k + log p(y | k) by scipy, (N, K)."""
    columns = []
    for k in range(p.n_components):
        c, Gamma = p.c[k].numpy(), p.Gamma[k].numpy()
        if p.dof is None:
            density = stats.multivariate_normal.logpdf(y.numpy(), c, Gamma)
        else:
            density = stats.multivariate_t.logpdf(y.numpy(), c, Gamma, df=float(p.dof[k]))  # type: ignore[arg-type]
        columns.append(torch.as_tensor(density).reshape(-1) + p.pi[k].log())
    return torch.stack(columns, 1)


def brute_force(y: Tensor, p: Parameters) -> tuple[Tensor, Tensor]:
    """Mean (N, D) and covariance (N, D, D) of x | y from the blocks of the joint matrices."""
    whole = joint(p.observe_latents())
    keep = [*range(D + L)]  # [x; y] of [x; y; w]
    means, S = whole.means[:, keep], whole.covariances[:, keep][:, :, keep]
    gain = torch.linalg.solve(S[:, D:, D:], S[:, D:, :D]).mT  # (K, D, L)
    deviation = y[:, None] - means[:, D:]
    component = means[:, :D] + torch.einsum("kdl,nkl->nkd", gain, deviation)
    within = (S[:, :D, :D] - gain @ S[:, D:, :D]).expand(len(y), -1, -1, -1)
    if p.dof is not None:
        distance = torch.einsum("nkl,klm,nkm->nk", deviation, torch.linalg.inv(S[:, D:, D:]), deviation)
        within = within * ((p.dof + distance) / (p.dof + L - 2))[:, :, None, None]
    r = torch.softmax(target_log_densities(y, p), 1)
    mean = torch.einsum("nk,nkd->nd", r, component)
    second = within + component[..., :, None] * component[..., None, :]
    return mean, torch.einsum("nk,nkde->nde", r, second) - mean[:, :, None] * mean[:, None, :]


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
@pytest.mark.parametrize("n_latents", [0, 1, 2])
@pytest.mark.parametrize("dof", FAMILIES)
def test_the_moments_are_those_of_the_conditioned_joint(
    noise: str, tied: bool, n_latents: int, dof: float | None
) -> None:
    p, y = parameters(noise, tied, n_latents, dof), 2.0 * normal(generator(3), 9, L)
    mean, covariance = brute_force(y, p)
    answer = predict_features(y, p, covariance=True)
    assert answer.covariance is not None
    assert close(answer.mean, mean, ROUNDING)
    assert close(answer.covariance, covariance, ROUNDING)
    assert close(answer.variance, covariance.diagonal(dim1=1, dim2=2), ROUNDING)
    assert close(answer.covariance, answer.covariance.mT, ROUNDING)


def test_the_covariance_is_optional() -> None:
    p, y = parameters("full", False, 1), normal(generator(3), 5, L)
    plain, whole = predict_features(y, p), predict_features(y, p, covariance=True)
    assert plain.covariance is None
    assert torch.equal(plain.mean, whole.mean)
    assert torch.equal(plain.variance, whole.variance)


@pytest.mark.parametrize("dof", [None, 7.0])
@pytest.mark.parametrize("covariance", [False, True])
def test_blocks_of_rows_give_what_one_block_gives(
    monkeypatch: pytest.MonkeyPatch, dof: float | None, covariance: bool
) -> None:
    p, y = parameters("diagonal", False, 1, dof), normal(generator(3), 7, L)
    whole = predict_features(y, p, covariance)
    for elements in (1, 3 * K * D * (D if covariance else 1)):  # one row at once, three rows at once
        monkeypatch.setattr(inverse, "BLOCK_ELEMENTS", elements)
        parts = predict_features(y, p, covariance)
        for name in FeaturePredictive._fields:
            a, b = getattr(parts, name), getattr(whole, name)
            assert (a is None and b is None) or close(a, b, 1e-14)  # products of other shapes: the last digit


@pytest.mark.parametrize("dof", [None, 6.0])
def test_the_moments_are_those_of_samples_near_the_target(dof: float | None) -> None:
    """Of draws from the joint model, those whose target is near y."""
    p = parameters("diagonal", False, 1, dof)
    y = p.c[:1] + 0.1
    x, drawn = sample(p, 400_000, generator(5))
    near = x[((drawn - y).abs() < 0.1).all(1)]
    mean, variance = predict_features(y, p)[:2]
    error = near.std(0) / len(near) ** 0.5
    # five standard errors, and what a window of ± 0.1 adds: slopes of order one times its middle's shift, 0.01
    assert len(near) > 500
    assert bool(((near.mean(0) - mean[0]).abs() < 5 * error + 0.02).all())
    assert bool(((near.var(0) / variance[0]).log().abs() < 0.3).all())  # fourth moments of ν = 8 over 500 draws


def test_the_variance_of_too_heavy_tails_is_infinite() -> None:
    """For ν + L ≤ 2 the mean is finite and the variance is not."""
    p = make_parameters(0, "diagonal", False, 2, 1, D)
    p = p._replace(dof=torch.tensor([1.0, 0.5]).double())
    answer = predict_features(normal(generator(0), 3, 1), p)
    assert bool(answer.mean.isfinite().all())
    assert bool((answer.variance == torch.inf).all())


def test_targets_far_from_all_components_belong_to_one() -> None:
    p = parameters("diagonal", False)
    answer = predict_features(torch.full((1, L), 1e6).double(), p)
    assert bool(answer.mean.isfinite().all() & (answer.variance > 0).all())


def test_targets_are_converted_to_the_dtype_of_the_parameters() -> None:
    p, y = parameters("isotropic", True), normal(generator(3), 5, L)
    assert predict_features(y.float(), p).mean.dtype == torch.float64
    assert predict_features(y, p.to(torch.float32)).mean.dtype == torch.float32
