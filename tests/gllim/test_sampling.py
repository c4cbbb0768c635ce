"""Samples against the moments of the model, and a fit on many of them against the model itself."""

import pytest
import torch
from hypothesis import given, settings

from deepgllim.gllim import MixtureSpec, Parameters, sample
from tests.gllim.strategies import (
    close,
    fit,
    generator,
    joint,
    make_parameters,
    moments,
    normal,
    parameter_sets,
    parameters_of,
    properties,
    specs,
    uniform,
)

N = 40_000


@given(parameter_sets(specs.map(lambda spec: spec if spec.dof is None else spec._replace(dof=9.0))))
@settings(properties, max_examples=20)
def test_samples_have_the_mean_and_covariance_of_the_model(p: Parameters) -> None:
    points = torch.cat(sample(p, N, generator(0)), 1)
    mean, covariance = moments(joint(p), p.dof)
    centred = points - mean
    # Six standard errors each, measured on the products themselves: one in 10⁹ by chance. Student noise of ν = 9 has
    # the eighth moments that their spread needs.
    assert bool((centred.mean(0).abs() <= 6.0 * centred.std(0) / N**0.5).all())
    products = centred[:, :, None] * centred[:, None, :]
    assert bool(((products.mean(0) - covariance).abs() <= 6.0 * products.std(0) / N**0.5).all())


@pytest.mark.parametrize("dof", [0.7, 3.0, 30.0])
def test_student_samples_share_one_scale(dof: float) -> None:
    """The squared distance of [x, y], over its dimensions, is F-distributed: heavier tails than Σ and Γ alone give."""
    from scipy import stats

    p = parameters_of(MixtureSpec(covariance_type="full", n_latents=2, dof=dof), K=1)
    points = torch.cat(sample(p, 4000, generator(1)), 1)
    _, means, scales = joint(p)
    deviation = points - means
    distance = torch.einsum("nq,qr,nr->n", deviation, torch.linalg.inv(scales[0]), deviation) / 6
    assert stats.kstest(distance.numpy(), stats.f(6, dof).cdf).pvalue > 1e-3


RECOVERED: dict[str, MixtureSpec] = {
    "diagonal": MixtureSpec(),
    "isotropic": MixtureSpec(covariance_type="isotropic", target_covariance="isotropic", equal_weights=True),
    "tied full": MixtureSpec(covariance_type="full", tied=True, target_covariance="diagonal"),
    "tied targets": MixtureSpec(target_tied=True),
    "latents": MixtureSpec(covariance_type="isotropic", n_latents=1),
    "two latents": MixtureSpec(n_latents=2),
    "student": MixtureSpec(dof=5.0),
    "estimated student": MixtureSpec(covariance_type="full", dof="estimated"),
    "student with latents": MixtureSpec(covariance_type="isotropic", tied=True, n_latents=1, dof="estimated"),
}


@pytest.mark.parametrize("spec", RECOVERED.values(), ids=RECOVERED)
def test_a_fit_on_samples_recovers_the_model(spec: MixtureSpec) -> None:
    L, D, N = 2, 6, 20_000
    truth = parameters_of(spec, K=2, L=L, D=D, seed=4)
    truth = truth._replace(
        pi=torch.full((2,), 0.5).double() if spec.equal_weights else torch.tensor([0.4, 0.6]).double(),
        c=torch.tensor([[-4.0, 0.0], [4.0, 0.0]]).double(),
        dof=None if truth.dof is None else torch.full((2,), 5.0).double(),
    )
    x, y = sample(truth, N, generator(1))
    result = fit(x, y, 2, max_iter=40, tol=1e-4, **spec._asdict())
    found = result.parameters
    order = found.c[:, 0].argsort()
    found = found._replace(**{name: value[order] for name, value in found.tensors.items() if len(value) == 2})
    (pi, means, S), (pi_found, means_found, S_found) = joint(truth), joint(found)
    # six standard errors of unrestricted estimates, which those of a structure are within; of Student noise with
    # ν = 5 in 8 dimensions, they are 1 + 2 / (ν + 8) times those, and for its scale up to twice
    count, heavy = N * pi[:, None], 1.0 if spec.dof is None else 2.0
    variance = S.diagonal(dim1=1, dim2=2)
    assert bool(((pi_found - pi).abs() < 6.0 * (pi * (1.0 - pi) / N).sqrt() + 1e-12).all())
    assert bool(((means_found - means).abs() < 6.0 * heavy * (variance / count).sqrt()).all())
    product = variance[:, :, None] * variance[:, None, :] + S.square()
    assert bool(((S_found - S).abs() < 6.0 * heavy * (product / count[:, :, None]).sqrt()).all())
    if found.dof is not None and truth.dof is not None:
        # its information is about 0.01 a sample at ν = 5 in many dimensions: 0.1 for the smaller component
        assert bool(((found.dof - truth.dof).abs() < 0.6).all())
    A_w, expected = found.A[:, :, L:], truth.A[:, :, L:]
    if spec.n_latents:  # up to a rotation; relative errors of sqrt(2 / N π) = 0.016, and of telling A_w from Σ
        assert close(A_w @ A_w.mT, expected @ expected.mT, 0.1)
        assert close(found.Sigma, truth.Sigma, 0.1)


def test_seeds_reproduce_and_differ() -> None:
    p = make_parameters(0, "full", True, K=3, L=2, D=3)
    for dof in (None, uniform(generator(0), 3) + 1.0):
        q = p._replace(A=torch.cat([p.A, normal(generator(1), 3, 3, 1)], 2), dof=dof)
        first, again, other = (sample(q, 10, generator(seed)) for seed in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0], other[0])
        assert sample(q.to(torch.float32), 3)[0].dtype == torch.float32
