"""Incomplete features against the marginal model of the present ones, and imputation against the conditional mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Parameters, Predictive, impute, invert, predict, predict_incomplete, sample
from deepgllim.gllim.likelihood import target_log_density
from deepgllim.gllim.missing import marginal
from tests.gllim.strategies import (
    NOISES,
    close,
    conditional,
    generator,
    parameter_sets,
    parameters_of,
    properties,
    seeds,
)

# Matrices up to 8 × 8 with condition numbers to 10⁴, quadratics to 10⁴; 1e-16 each.
ROUNDING = 1e-8
SPECS = [
    MixtureSpec(covariance_type=noise, tied=tied, n_latents=n_latents, dof=dof)
    for noise in NOISES
    for tied, n_latents, dof in ((False, 0, None), (True, 2, None), (False, 1, 4.0), (True, 0, "estimated"))
]
each_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda f: f"{f.covariance_type}-{f.tied}-{f.n_latents}-{f.dof}")


def gaps(p: Parameters, seed: int, share: float, N: int = 9) -> Tensor:
    """Samples with some features missing; the first row lacks all, the second none, and the last two the same."""
    g = generator(seed)
    x, _ = sample(p, N, g)
    missing = torch.rand(N, p.n_features, generator=g) < share
    missing[0], missing[1], missing[-1] = True, False, missing[-2]
    return torch.where(missing, torch.nan, x)


def row(answer: Predictive, n: int) -> list[Tensor]:
    """Return the prediction of one sample: log-weights, means, covariances, log-density, degrees of freedom."""
    per_sample = answer.covariances.ndim == 4
    covariances = answer.covariances[n] if per_sample else answer.covariances
    values = [answer.log_weights[n], answer.means[n], covariances, answer.log_density[n]]
    return values if answer.dof is None else [*values, answer.dof[n]]


def same_rows(answer: Predictive, n: int, other: Predictive, m: int = 0) -> bool:
    """A row of one answer and one of another, but for rounding of log-densities of order 10⁴."""
    return all(close(a, b, ROUNDING) for a, b in zip(row(answer, n), row(other, m), strict=True))


@given(parameter_sets(), seeds, st.floats(0.1, 0.9))
@properties
def test_the_prediction_is_that_of_the_marginal_model(p: Parameters, seed: int, share: float) -> None:
    x = gaps(p, seed, share)
    answer = predict_incomplete(x, p)
    D, L = p.n_features, p.n_targets
    for n, present in enumerate(~x.isnan()):
        if not present.any():  # log p(nothing) is 0, which has no digits: see below
            continue
        assert same_rows(answer, n, predict(x[n : n + 1, present], invert(marginal(p, present))))
        seen = present.nonzero().flatten().tolist()
        brute = conditional(x[n : n + 1, present], p, seen, [*range(D, D + L)])
        for value, expected in zip(row(answer, n), brute, strict=False):  # but for the degrees of freedom
            assert close(value, expected[0], ROUNDING)


@given(parameter_sets(), seeds)
@properties
def test_the_marginal_model_is_that_of_some_features(p: Parameters, seed: int) -> None:
    x, _ = sample(p, 5, generator(seed))
    present = torch.rand(p.n_features, generator=generator(seed)) < 0.7
    present[0] = True
    part = marginal(p, present)
    assert (part.covariance_type, part.n_features, part.n_latents) == (
        p.covariance_type,
        int(present.sum()),
        p.n_latents,
    )
    answer = predict(x[:, present], invert(part))
    log_density = conditional(x[:, present], p, present.nonzero().flatten().tolist(), [0])[3]
    assert close(answer.log_density, log_density, ROUNDING)


@each_spec
def test_complete_features_are_predicted_as_usual(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3)
    x, _ = sample(p, 6, generator(1))
    answer, expected = predict_incomplete(x, p), predict(x, invert(p))
    assert all(same_rows(answer, n, expected, n) for n in range(6))
    assert torch.equal(impute(x, p), x)


@each_spec
def test_without_features_the_prediction_is_the_target_mixture(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3)
    answer = predict_incomplete(torch.full((2, 4), torch.nan), p)
    assert close(answer.log_weights.exp(), p.pi.expand(2, -1), 1e-12)
    assert close(answer.means, p.c.expand(2, -1, -1), 1e-12)
    assert close(answer.covariances.expand(2, -1, -1, -1), p.Gamma.expand(2, -1, -1, -1), 1e-12)
    assert bool((answer.log_density.abs() < 1e-12).all())  # log 1
    if p.dof is not None:
        assert answer.dof is not None
        assert close(answer.dof, p.dof.expand(2, -1), 1e-12)
    assert close(impute(torch.full((2, 4), torch.nan), p), p.feature_mean.expand(2, -1), 1e-12)


@given(parameter_sets(), seeds, st.floats(0.1, 0.9))
@properties
def test_imputed_features_are_the_conditional_mean(p: Parameters, seed: int, share: float) -> None:
    x = gaps(p, seed, share)
    filled = impute(x, p)
    for n, present in enumerate(~x.isnan()):
        assert torch.equal(filled[n, present], x[n, present])
        if present.all():
            continue
        seen, unseen = (mask.nonzero().flatten().tolist() for mask in (present, ~present))
        log_weights, means, _, _ = conditional(x[n : n + 1, present], p, seen, unseen)
        expected = torch.einsum("nk,nkd->nd", log_weights.exp(), means)[0]
        assert close(filled[n, ~present], expected, 1e-7)  # weights are differences of log-densities


def test_missing_features_widen_the_prediction() -> None:
    p = parameters_of(MixtureSpec(covariance_type="full"), K=1)
    x, _ = sample(p, 1, generator(0))
    x = x.repeat(5, 1)
    for n in range(1, 5):
        x[n, :n] = torch.nan
    variances = predict_incomplete(x, p).covariances[:, 0].diagonal(dim1=1, dim2=2)
    assert bool((variances.diff(dim=0) > 0).all())


@each_spec
def test_float32_is_near_float64(spec: MixtureSpec) -> None:
    p = parameters_of(spec)
    x = gaps(p, 0, 0.4)
    low = predict_incomplete(x, p.to(torch.float32))
    assert low.means.dtype == impute(x, p.to(torch.float32)).dtype == torch.float32
    assert close(low.means.double(), predict_incomplete(x, p).means, 1e-3)  # 1e-7 times condition numbers of 10³


@each_spec
def test_empty_input_gives_empty_output(spec: MixtureSpec) -> None:
    p = parameters_of(spec)
    none = torch.zeros(0, 4).double()
    assert impute(none, p).shape == (0, 4)
    assert predict_incomplete(none, p).means.shape == (0, 2, 2)


def test_log_density_is_low_for_unlikely_features() -> None:
    """A row with one present feature, which is far from all components."""
    p = parameters_of(MixtureSpec())
    x = torch.tensor([[torch.nan, 0.0, torch.nan, torch.nan], [torch.nan, 1e3, torch.nan, torch.nan]]).double()
    near, far = predict_incomplete(x, p).log_density
    assert float(far) < float(near) - 100.0
    assert bool(torch.isfinite(target_log_density(predict_incomplete(x, p).mean, p)).all())
