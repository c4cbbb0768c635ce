"""Heads: equal to conditioning by brute force, and able to take any mixture from a file."""

import pytest
import torch
from torch import Tensor

from deepgllim.gllim import Parameters
from deepgllim.nn.head import InverseRegressionHead, LeastSquaresHead, MixtureDensityHead
from tests.gllim.strategies import NOISES, joint, log_densities, make_parameters, marginal

STRUCTURES = [(noise, tied) for noise in NOISES for tied in (False, True)]
D, L, K = 5, 2, 3


def head_of(parameters: Parameters) -> InverseRegressionHead:
    head = InverseRegressionHead(parameters.n_features, parameters.n_targets)
    head.mixture = parameters
    return head


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_the_distribution_is_the_conditioned_joint(noise: str, tied: bool) -> None:
    """log p(y | x) = log p(x, y) − log p(x), each by (D + L) × (D + L) matrices; and the mean, by their blocks."""
    parameters = make_parameters(3, noise, tied, K, L, D)
    x, y = normal(7, D), normal(7, L, seed=2)
    whole = joint(parameters)
    log_joint = log_densities(torch.cat([x, y], 1), whole).logsumexp(1)
    log_input = log_densities(x, marginal(whole, slice(0, D))).logsumexp(1)
    answer = head_of(parameters)(x)
    # float64 with covariances of condition under a hundred: ten digits remain
    torch.testing.assert_close(answer.log_prob(y), log_joint - log_input, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(answer.input_log_density, log_input, atol=1e-9, rtol=1e-9)

    S = whole.covariances
    gain = S[:, D:, :D] @ torch.linalg.inv(S[:, :D, :D])  # (K, L, D)
    means = parameters.c + torch.einsum("kld,nkd->nkl", gain, x[:, None] - whole.means[:, :D])
    weights = torch.softmax(log_densities(x, marginal(whole, slice(0, D))), 1)
    torch.testing.assert_close(answer.mean, torch.einsum("nk,nkl->nl", weights, means), atol=1e-9, rtol=1e-9)
    within = S[:, D:, D:] - gain @ S[:, :D, D:]
    torch.testing.assert_close(answer.covariances[0], within, atol=1e-9, rtol=1e-9)


def test_the_covariance_scale_scales_the_components_alone() -> None:
    head = head_of(make_parameters(0, "diagonal", False, K, L, D))
    x = normal(4, D)
    before = head(x)
    head.covariance_scale.fill_(2.5)
    after = head(x)
    torch.testing.assert_close(after.covariances, 2.5 * before.covariances)
    assert torch.equal(after.means, before.means)
    assert torch.equal(after.weights, before.weights)
    assert torch.equal(after.input_log_density, before.input_log_density)


def test_a_new_mixture_is_used_at_once() -> None:
    """The inverted mixture is kept between calls, and must not outlive the mixture it is of."""
    first, second = (make_parameters(seed, "diagonal", False, 1, L, D) for seed in (0, 1))
    head, x = head_of(first), normal(3, D)
    head(x)
    head.mixture = second
    assert torch.equal(head(x).mean, head_of(second)(x).mean)
    head.load_state_dict(head_of(first).state_dict())
    assert torch.equal(head(x).mean, head_of(first)(x).mean)


@pytest.mark.parametrize(("noise", "tied"), STRUCTURES)
def test_a_state_of_another_size_and_structure_loads(noise: str, tied: bool) -> None:
    saved = head_of(make_parameters(5, noise, tied, K, L, D))
    saved.covariance_scale.fill_(1.7)
    loaded = InverseRegressionHead(D, L)
    loaded.load_state_dict(saved.state_dict())
    x = normal(4, D)
    assert loaded.mixture.covariance_type == noise
    assert loaded.mixture.tied == tied
    assert torch.equal(loaded(x).mean, saved(x).mean)
    assert torch.equal(loaded(x).covariance_matrix, saved(x).covariance_matrix)


def test_a_state_without_a_parameter_is_refused() -> None:
    state = head_of(make_parameters(5, "full", False, K, L, D)).state_dict()
    del state["A"]
    with pytest.raises(RuntimeError, match=r"[Mm]issing key.*A"):
        InverseRegressionHead(D, L).load_state_dict(state)


def test_the_mixture_is_kept_in_float64_and_gets_no_gradient() -> None:
    parameters = make_parameters(0, "diagonal", False, 1, L, D).to(torch.float32)
    head = head_of(parameters)
    assert all(value.dtype == torch.float64 for value in head.mixture.tensors.values())
    assert list(head.parameters()) == []
    assert head(normal(2, D).float()).mean.dtype == torch.float64


def test_an_untrained_head_predicts_its_prior() -> None:
    answer = InverseRegressionHead(D, L)(normal(3, D))
    assert torch.equal(answer.mean, torch.zeros(3, L, dtype=torch.float64))
    torch.testing.assert_close(answer.covariance_matrix, torch.eye(L, dtype=torch.float64).expand(3, L, L))


# least squares


def least_squares() -> LeastSquaresHead:
    torch.manual_seed(0)
    head = LeastSquaresHead(D, L)
    torch.nn.init.normal_(head.linear.weight)
    torch.nn.init.normal_(head.linear.bias)
    head.target_mean.copy_(torch.tensor([10.0, -20.0]))
    head.target_scale.copy_(torch.tensor([30.0, 5.0]))
    head.covariance.copy_(torch.tensor([[4.0, 1.0], [1.0, 2.0]]))
    head.covariance_scale.fill_(1.5)
    return head


@torch.no_grad()
def test_least_squares_is_one_gaussian_about_its_line() -> None:
    head, x, y = least_squares(), normal(6, D).float(), normal(6, L, seed=2)
    line = (x @ head.linear.weight.T + head.linear.bias) * head.target_scale + head.target_mean
    expected = torch.distributions.MultivariateNormal(line.double(), 1.5 * head.covariance)
    answer = head(x)
    # the line in float32, at values of some tens: six digits
    torch.testing.assert_close(answer.mean, expected.mean, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(answer.log_prob(y), expected.log_prob(y), atol=1e-2, rtol=1e-5)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(answer.covariance_matrix, (1.5 * head.covariance).expand(6, L, L))
    assert answer.input_log_density is None


@torch.no_grad()
def test_point_undoes_standardise() -> None:
    head, x = least_squares(), normal(6, D).float()
    # values of some tens, over scales of five and more
    torch.testing.assert_close(head.standardise(head.point(x)), head.linear(x), atol=1e-4, rtol=1e-5)


def test_an_untrained_least_squares_head_predicts_the_mean() -> None:
    assert torch.equal(LeastSquaresHead(D, L)(normal(3, D).float()).mean, torch.zeros(3, L, dtype=torch.float64))


def drawn_density(components: int = 3) -> MixtureDensityHead:
    head = MixtureDensityHead(D, L, components)
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(5))
    torch.nn.init.normal_(head.linear.bias, generator=torch.Generator().manual_seed(6))
    return head


def test_a_mixture_densitys_factors_are_lower_with_a_positive_diagonal() -> None:
    factors = drawn_density().outputs(1e3 * normal(20, D).float()).factors
    assert torch.equal(factors, factors.tril())
    assert (factors.diagonal(dim1=-2, dim2=-1) >= MixtureDensityHead.LEAST_DEVIATION).all()


def test_a_mixture_density_scales_with_the_targets_units() -> None:
    """y → s y + t: means follow, covariances by s s', weights stay."""
    head, x = drawn_density(), normal(6, D).float()
    before = head(x)
    scale, shift = torch.tensor([2.0, 30.0]), torch.tensor([5.0, -7.0])
    head.target_scale, head.target_mean = scale, shift
    after = head(x)
    torch.testing.assert_close(after.means, before.means * scale + shift)
    torch.testing.assert_close(after.covariances, before.covariances * torch.outer(scale, scale))
    assert torch.equal(after.weights, before.weights)


def test_a_mixture_density_loads_another_number_of_components_and_keeps_its_tensors_for_the_same() -> None:
    """An optimiser holds the tensors of the layer: they are replaced only where their shape must change."""
    saved, loaded, x = drawn_density(3), MixtureDensityHead(D, L), normal(4, D).float()
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded(x).mean, saved(x).mean)
    weight = loaded.linear.weight
    loaded.load_state_dict(drawn_density(3).state_dict())
    assert loaded.linear.weight is weight
    with pytest.raises(RuntimeError, match="size mismatch"):
        MixtureDensityHead(D + 1, L).load_state_dict(saved.state_dict())
