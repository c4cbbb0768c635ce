"""Parameters and changes of units, for every specification."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from deepgllim.gllim import MixtureSpec, Parameters, Rows, Scaling, joint_log_density, sample
from tests.gllim.strategies import (
    NOISES,
    TARGET_COVARIANCES,
    Problem,
    all_close,
    close,
    full_noise,
    generator,
    joint,
    make_parameters,
    moments,
    normal,
    parameter_sets,
    parameters_of,
    problems,
    properties,
    residual_noise,
    specs,
    uniform,
)

ROUNDING = 1e-12  # a few operations on values of order one; 1e-16 each


@given(parameter_sets())
@properties
def test_feature_mean_is_that_of_the_joint_model(p: Parameters) -> None:
    mean, _ = moments(joint(p))
    assert close(p.feature_mean, mean[: p.n_features], ROUNDING)


@given(specs)
@properties
def test_properties_describe_the_structure(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3, L=2, D=4)
    assert (p.covariance_type, p.tied, p.n_latents) == (spec.covariance_type, spec.tied, spec.n_latents)
    assert (p.n_components, p.n_features, p.n_targets) == (3, 4, 2)
    assert (p.dof is None) == (spec.dof is None)
    assert torch.equal(p.coefficients, torch.cat([p.A, p.b[:, :, None]], 2))
    assert torch.equal(p.noise_matrices, full_noise(p))
    assert torch.equal(p.noise_variances, full_noise(p).diagonal(dim1=1, dim2=2))
    low = p.to(torch.float32)
    assert low.tensors.keys() == p.tensors.keys()
    assert {value.dtype for value in low.tensors.values()} == {torch.float32}


@given(parameter_sets())
@properties
def test_reduce_undoes_restore(p: Parameters) -> None:
    g = generator(1)
    D, L = p.n_features, p.n_targets
    scaling = Scaling(*(uniform(g, size) + 0.5 for size in (D, D, L, L)))
    assert all_close(scaling.reduce(scaling.restore(p)), p, ROUNDING)


@given(problems())
@properties
def test_restored_parameters_are_the_same_density_in_the_data_units(problem: Problem) -> None:
    x, y = problem.features, 3.0 * problem.targets + 7.0
    scaling = Rows(x, y).scaling
    p = parameters_of(problem.spec, *problem.sizes)
    reduced = joint_log_density(*scaling.apply(x, y), p) - scaling.target_scale.log().sum()
    # quadratics of order 10⁴ at most, each term with a rounding of 1e-16
    assert close(joint_log_density(x, y, scaling.restore(p)), reduced, 1e-10)


@given(parameter_sets())
@properties
def test_observed_latents_are_targets_of_the_same_model(p: Parameters) -> None:
    whole = p.observe_latents()
    assert (whole.n_targets, whole.n_latents) == (p.n_targets + p.n_latents, 0)
    seen = slice(p.n_features + p.n_targets)
    assert close(joint(whole).means[:, seen], joint(p).means, ROUNDING)
    assert close(joint(whole).covariances[:, seen, seen], joint(p).covariances, ROUNDING)


@given(specs)
@properties
def test_keep_selects_components_by_mask(spec: MixtureSpec) -> None:
    p = parameters_of(spec, K=3)
    kept = p.keep(torch.tensor([True, False, True]))
    assert close(kept.pi, p.pi[[0, 2]] / (p.pi[0] + p.pi[2]), ROUNDING)
    for name, value in p._replace(Sigma=full_noise(p)).tensors.items():
        if name != "pi":
            assert torch.equal(kept._replace(Sigma=full_noise(kept)).tensors[name], value[[0, 2]]), name
    alone = p.keep(torch.tensor([False, True, False]))
    assert (alone.n_components, alone.covariance_type, float(alone.pi)) == (1, spec.covariance_type, 1.0)


@pytest.mark.parametrize(
    "spec", [MixtureSpec(), MixtureSpec(covariance_type="isotropic", n_latents=1, dof=5.0)], ids=["gaussian", "student"]
)
def test_to_moves_between_dtypes_without_a_change_of_distribution(spec: MixtureSpec) -> None:
    p = parameters_of(spec, seed=3)
    x, y = sample(p, 5, generator(0))
    low = joint_log_density(x.float(), y.float(), p.to(torch.float32))
    assert close(low.double(), joint_log_density(x, y, p), 1e-4)  # float32: 1e-7 a term, terms of order 100


def test_an_isotropic_target_covariance_keeps_its_meaning_under_a_common_scale() -> None:
    scaling = Scaling(*(torch.tensor(v).double() for v in ([0.0], [1.0], [0.0, 0.0], [3.0, 4.0])))
    assert scaling.with_common_target_scale().target_scale.tolist() == [12.5**0.5] * 2


# Free parameters: the rank of the map from all numbers that a form stores to the distribution that they stand for.


def distribution_of(numbers: Tensor, spec: MixtureSpec, K: int, L: int, D: int) -> Tensor:
    """π, the components' joint moments and ν, of unrestricted numbers."""
    left = numbers

    def take(*shape: int) -> Tensor:
        nonlocal left
        count = int(torch.tensor(shape).prod())
        taken, left = left[:count], left[count:]
        return taken.view(shape)

    def covariances(structure: str, tied: bool, Q: int) -> Tensor:
        number = 1 if tied else K
        matrices = {
            "isotropic": lambda: torch.eye(Q).double() * take(number, 1, 1).square(),
            "diagonal": lambda: torch.diag_embed(take(number, Q).square()),
            "full": lambda: (root := take(number, Q, Q)) @ root.mT,
        }[structure]()
        return matrices.expand(K, Q, Q)

    pi = torch.full((K,), 1.0 / K).double() if spec.equal_weights else torch.softmax(take(K), 0)
    Sigma = covariances(spec.covariance_type, spec.tied, D)
    Gamma = covariances(spec.target_covariance, spec.target_tied, L)
    p = Parameters(pi, take(K, L), Gamma, take(K, D, L + spec.n_latents), take(K, D), Sigma)
    dof = take(K) if spec.dof == "estimated" else torch.zeros(0)
    return torch.cat([value.flatten() for value in (p.pi, p.c, p.Gamma, p.A[:, :, :L], p.b, residual_noise(p), dof)])


# latents beside a full Σ add no distribution that it does not have
STRUCTURES = [(noise, n_latents) for noise in NOISES for n_latents in (0, 1, 2) if noise != "full" or n_latents == 0]


@pytest.mark.parametrize(("noise", "n_latents"), STRUCTURES)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("target_covariance", TARGET_COVARIANCES)
def test_free_parameters_are_counted(noise: str, n_latents: int, tied: bool, target_covariance: str) -> None:
    K, L, D = 2, 2, 6  # a diagonal Σ and two latents are identified from D = 5 on
    spec = MixtureSpec(K, noise, tied, target_covariance, not tied, tied, n_latents, "estimated" if tied else 4.0)
    numbers = normal(generator(1), 400)
    jacobian: Tensor = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
        lambda values: distribution_of(values, spec, K, L, D), numbers
    )
    assert spec.n_parameters(D, L) == int(torch.linalg.matrix_rank(jacobian, rtol=1e-10))


def test_the_weights_and_a_gaussian_family_have_no_hidden_parameters() -> None:
    base = MixtureSpec(3)
    assert base.n_parameters(4, 2) == 2 + 3 * (2 + 3 + 8 + 4 + 4)
    assert base._replace(equal_weights=True).n_parameters(4, 2) == base.n_parameters(4, 2) - 2
    assert base._replace(dof=4.0).n_parameters(4, 2) == base.n_parameters(4, 2)
    assert base._replace(dof="estimated").n_parameters(4, 2) == base.n_parameters(4, 2) + 3
    assert make_parameters(0, "diagonal", False, 1, 1, 1).n_latents == 0
