"""Shared by the tests of gllim: strategies for specifications and problems, random parameters, and the joint model."""

from typing import Any, NamedTuple

import torch
from hypothesis import settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from deepgllim import gllim
from deepgllim.gllim import Centred, Fit, MixtureSpec, Options, Parameters, invert, predict
from deepgllim.gllim.covariances import target_structure

NOISES = ("isotropic", "diagonal", "full")
TARGET_COVARIANCES = ("full", "diagonal", "isotropic")
SHIFTS = st.sampled_from([0.0, 2.0**10, -(2.0**25), 2.0**37])
GRID = 2.0**-14  # values of it and shifts up to 2^37 add without rounding
properties = settings(deadline=None, max_examples=30, derandomize=True, database=None)


def fit(features: Any, targets: Any, K: int | None = None, **settings: Any) -> Fit:
    """Call `gllim.fit` with the fields of its specification and options as keyword arguments."""
    if K is not None:
        settings["n_components"] = K
    spec = MixtureSpec(**{name: settings.pop(name) for name in MixtureSpec._fields if name in settings})
    options = Options(**{name: settings.pop(name) for name in Options._fields if name in settings})
    return gllim.fit(features, targets, spec, options, **settings)


class Problem(NamedTuple):
    """Data, initial responsibilities, and the specification to fit."""

    features: Tensor
    targets: Tensor
    r: Tensor
    spec: MixtureSpec

    @property
    def sizes(self) -> tuple[int, int, int]:
        """K, L, D."""
        return self.r.shape[1], self.targets.shape[1], self.features.shape[1]

    def __repr__(self) -> str:
        """Omit the data, which the seed determines."""
        return f"{self.spec}, K, L, D = {self.sizes}"


class Gaussians(NamedTuple):
    """A mixture of full Gaussians: weights (K,), means (K, Q), covariances (K, Q, Q); of Student noise, scales."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


def generator(seed: int) -> torch.Generator:
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Standard normal values, float64."""
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator, *shape: int) -> Tensor:
    """Values in [0, 1), float64."""
    return torch.rand(*shape, generator=g, dtype=torch.float64)


def make_problem(seed: int, noise: str, tied: bool, K: int, L: int, D: int, N: int = 90) -> Problem:
    """Features that are a nonlinear function of the targets, with noise of unequal size."""
    g = generator(seed)
    y = normal(g, N, L) @ normal(g, L, L) + normal(g, L)
    x = torch.sin(y @ normal(g, L, D)) + y @ normal(g, L, D) + (0.1 + torch.rand(D, generator=g)) * normal(g, N, D)
    return Problem(x, y, torch.softmax(2.0 * normal(g, N, K), 1), MixtureSpec(1, noise, tied))


def problem_of(spec: MixtureSpec, K: int = 2, L: int = 2, D: int = 4, N: int = 90, seed: int = 0) -> Problem:
    """Return a problem for a specification."""
    return make_problem(seed, spec.covariance_type, spec.tied, K, L, D, N)._replace(spec=spec)


def covariance(g: torch.Generator, K: int, D: int) -> Tensor:
    """K well-conditioned covariances, (K, D, D)."""
    root = normal(g, K, D, D)
    return root @ root.mT / D + 0.3 * torch.eye(D, dtype=torch.float64)


def make_parameters(seed: int, noise: str, tied: bool, K: int, L: int, D: int) -> Parameters:
    """Random parameters of order one."""
    g = generator(seed)
    full = covariance(g, 1 if tied else K, D)
    Sigma = {"full": full, "diagonal": full.diagonal(dim1=1, dim2=2), "isotropic": full[:, 0, 0]}[noise]
    return Parameters(
        torch.softmax(normal(g, K), 0),
        normal(g, K, L),
        covariance(g, K, L),
        normal(g, K, D, L),
        normal(g, K, D),
        Sigma.contiguous(),
    )


def parameters_of(spec: MixtureSpec, K: int = 2, L: int = 2, D: int = 4, seed: int = 0) -> Parameters:
    """Return random parameters of a specification, of order one; estimated degrees of freedom differ."""
    p = make_parameters(seed, spec.covariance_type, spec.tied, K, L, D)
    g = generator(seed + 1)
    Gamma = target_structure(spec.target_covariance)(p.Gamma)
    dof = None if spec.dof is None else 1.0 + 9.0 * uniform(g, K) if isinstance(spec.dof, str) else spec.dof
    return p._replace(
        pi=torch.full_like(p.pi, 1.0 / K) if spec.equal_weights else p.pi,
        Gamma=Gamma[:1].repeat(K, 1, 1) if spec.target_tied else Gamma,
        A=torch.cat([p.A, normal(g, K, D, spec.n_latents)], 2),
        dof=torch.full_like(p.pi, dof) if isinstance(dof, float) else dof,
    )


def fit_for(spec: MixtureSpec, D: int) -> MixtureSpec:
    """Return the specification with fewer latents than features."""
    return spec._replace(n_latents=min(spec.n_latents, D - 1))


structures = st.tuples(st.sampled_from(NOISES), st.booleans())
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5))  # K, L, D
seeds = st.integers(0, 10**6)
specs = st.builds(
    MixtureSpec,
    n_components=st.just(1),
    covariance_type=st.sampled_from(NOISES),
    tied=st.booleans(),
    target_covariance=st.sampled_from(TARGET_COVARIANCES),
    target_tied=st.booleans(),
    equal_weights=st.booleans(),
    n_latents=st.sampled_from([0, 1, 2]),
    dof=st.sampled_from([None, 4.0, "estimated"]),
)
plain_specs = specs.map(lambda spec: spec._replace(n_latents=0, dof=None))


@st.composite
def problems(draw: st.DrawFn, specs: st.SearchStrategy[MixtureSpec] = specs) -> Problem:
    """Draw problems of any specification and size."""
    K, L, D = draw(sizes)
    return problem_of(fit_for(draw(specs), D), K, L, D, seed=draw(seeds))


@st.composite
def parameter_sets(draw: st.DrawFn, specs: st.SearchStrategy[MixtureSpec] = specs) -> Parameters:
    """Draw parameters of any specification and size."""
    K, L, D = draw(sizes)
    return parameters_of(fit_for(draw(specs), D), K, L, D, seed=draw(seeds))


def full_noise(p: Parameters) -> Tensor:
    """Σ of any structure as (K, D, D)."""
    K, D = p.n_components, p.n_features
    eye = torch.eye(D, dtype=p.Sigma.dtype)
    full = {
        "isotropic": lambda: p.Sigma[:, None, None] * eye,
        "diagonal": lambda: torch.diag_embed(p.Sigma),
        "full": lambda: p.Sigma,
    }[p.covariance_type]()
    return full.expand(K, D, D)


def residual_noise(p: Parameters) -> Tensor:
    """Σ + A_w A_wᵀ, the covariance of x | y, k: (K, D, D)."""
    A_w = p.A[:, :, p.n_targets :]
    return full_noise(p) + A_w @ A_w.mT


def joint(p: Parameters) -> Gaussians:
    """p(x, y) as a mixture over [x; y], by (D + L) × (D + L) matrices."""
    A = p.A[:, :, : p.n_targets]
    AG = A @ p.Gamma
    top = torch.cat([residual_noise(p) + AG @ A.mT, AG], 2)
    bottom = torch.cat([AG.mT, p.Gamma], 2)
    means = torch.cat([(A @ p.c[:, :, None])[:, :, 0] + p.b, p.c], 1)
    return Gaussians(p.pi, means, torch.cat([top, bottom], 1))


def marginal(mixture: Gaussians, kept: slice | list[int]) -> Gaussians:
    """The mixture over some of its dimensions."""
    return Gaussians(mixture.weights, mixture.means[:, kept], mixture.covariances[:, kept][:, :, kept])


class Posterior(NamedTuple):
    """The expectations of the E-step, by D × D algebra.

    Attributes:
        r: (N, K).
        u: E[u], (N, K).
        log_u: E[log u], (N, K).
        w: E[w], (N, K, Lw).
        V: u Cov[w], (K, Lw, Lw).
        log_likelihood: log p(x, y), (N,).
    """

    r: Tensor
    u: Tensor
    log_u: Tensor
    w: Tensor
    V: Tensor
    log_likelihood: Tensor


def posterior(x: Tensor, y: Tensor, p: Parameters) -> Posterior:
    """p(z, u, w | x, y)."""
    log_joint = log_densities(torch.cat([x, y], 1), joint(p), p.dof)
    e = x[:, None] - torch.einsum("kdl,nl->nkd", p.A[:, :, : p.n_targets], y) - p.b
    A_w, precision = p.A[:, :, p.n_targets :], torch.linalg.inv(residual_noise(p))
    w = torch.einsum("kdw,kde,nke->nkw", A_w, precision, e)
    V = torch.eye(p.n_latents).double() - A_w.mT @ precision @ A_w
    u, log_u = torch.ones_like(log_joint), torch.zeros_like(log_joint)
    if p.dof is not None:
        deviation = y[:, None] - p.c
        distance = torch.einsum("nkl,klm,nkm->nk", deviation, torch.linalg.inv(p.Gamma), deviation)
        shape = 0.5 * (p.dof + p.n_features + p.n_targets)
        rate = 0.5 * (p.dof + distance + torch.einsum("nkd,kde,nke->nk", e, precision, e))
        u, log_u = shape / rate, torch.digamma(shape) - rate.log()
    return Posterior(torch.softmax(log_joint, 1), u, log_u, w, V, torch.logsumexp(log_joint, 1))


def log_densities(points: Tensor, mixture: Gaussians, dof: Tensor | None = None) -> Tensor:
    """log π_k + log p(point | component k), (N, K): Gaussian, or Student by scipy."""
    if dof is None:
        normals = torch.distributions.MultivariateNormal(mixture.means, mixture.covariances)
        answer: Tensor = normals.log_prob(points[:, None]) + mixture.weights.log()  # type: ignore[no-untyped-call]
        return answer
    return log_student(points[:, None], mixture.means, mixture.covariances, dof) + mixture.weights.log()


def log_student(points: Tensor, means: Tensor, scales: Tensor, dof: Tensor) -> Tensor:
    """Multivariate Student log-densities by scipy: points (..., Q), broadcast with means, scales and degrees."""
    shape = (points[..., 0] + means[..., 0] + scales[..., 0, 0] + dof).shape
    Q = points.shape[-1]
    cases = zip(
        points.expand(*shape, Q).reshape(-1, Q),
        means.expand(*shape, Q).reshape(-1, Q),
        scales.expand(*shape, Q, Q).reshape(-1, Q, Q),
        dof.expand(shape).reshape(-1),
        strict=True,
    )
    values = [
        float(stats.multivariate_t.logpdf(x.numpy(), m.numpy(), S.numpy(), df=float(nu)))  # type: ignore[arg-type]
        for x, m, S, nu in cases
    ]
    return torch.tensor(values, dtype=torch.float64).view(shape)


def conditional(
    points: Tensor, p: Parameters, given: list[int], wanted: list[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """p(wanted | given) of the joint [x; y] by its blocks: log-weights (N, K), means (N, K, ·), scales (N, K, ·, ·) and
    log p(given), (N,)."""
    whole = joint(p)
    S = whole.covariances
    gain = torch.linalg.solve(S[:, given][:, :, given], S[:, given][:, :, wanted]).mT
    deviation = points[:, None] - whole.means[:, given]
    means = whole.means[:, wanted] + torch.einsum("kqg,nkg->nkq", gain, deviation)
    scales = (S[:, wanted][:, :, wanted] - gain @ S[:, given][:, :, wanted]).expand(len(points), -1, -1, -1)
    if p.dof is not None:
        distance = torch.einsum("nkg,kgh,nkh->nk", deviation, torch.linalg.inv(S[:, given][:, :, given]), deviation)
        scales = scales * ((p.dof + distance) / (p.dof + len(given)))[:, :, None, None]
    log_joint = log_densities(points, marginal(whole, given), p.dof) if given else p.pi.log().expand(len(points), -1)
    return torch.log_softmax(log_joint, 1), means, scales, torch.logsumexp(log_joint, 1)


def moments(mixture: Gaussians, dof: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (Q,) and covariance (Q, Q) of the whole mixture."""
    mean = mixture.weights @ mixture.means
    within = mixture.covariances if dof is None else mixture.covariances * (dof / (dof - 2.0))[:, None, None]
    second = within + mixture.means[:, :, None] * mixture.means[:, None, :]
    return mean, torch.einsum("k,kqr->qr", mixture.weights, second) - torch.outer(mean, mean)


def close(actual: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Return whether tensors are equal up to a share of the maximum of the expected one."""
    assert actual.shape == expected.shape
    return bool((actual - expected).abs().max() <= tolerance * (expected.abs().max() + 1e-300))


def all_close(actual: Parameters, expected: Parameters, tolerance: float) -> bool:
    """All parameters close."""
    names = expected.tensors.keys()
    assert actual.tensors.keys() == names
    return all(close(actual.tensors[name], expected.tensors[name], tolerance) for name in names)


def all_finite(p: Parameters) -> bool:
    """No parameter is infinite or NaN."""
    return all(bool(value.isfinite().all()) for value in p.tensors.values())


def predicted(features: Tensor, parameters: Parameters) -> Tensor:
    """E[y | x], (N, L)."""
    return predict(features, invert(parameters)).mean


def on_grid(values: Tensor) -> Tensor:
    """Return rounded values, which a shift does not change."""
    return (values / GRID).round() * GRID


def near_and_far(
    p: Parameters, seed: int, far_x: float, far_y: float, n: int = 7
) -> tuple[Centred, Centred, Tensor, Tensor]:
    """The same mixture near and far, and points of it."""
    g = generator(seed)
    x, y = on_grid(normal(g, n, p.n_features)), on_grid(normal(g, n, p.n_targets))
    near = Centred(p, torch.zeros_like(x[0]), torch.zeros_like(y[0]))
    return near, near._replace(feature_origin=x[0] * 0 + far_x, target_origin=y[0] * 0 + far_y), x, y
