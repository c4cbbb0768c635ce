"""Stepwise EM: one component is exact, several approach batch EM, and drifting data are followed."""

import pytest
import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError, EmptyComponentWarning
from deepgllim.gllim import MixtureSpec, Options, Parameters, Rows, fit_rows, joint_log_density, sample, stream
from deepgllim.gllim.scaling import model_scaling
from deepgllim.gllim.stream import Stream
from tests.gllim.strategies import close, fit, generator, make_parameters, near_and_far, normal

OPTIONS, PLAIN = Options(max_iter=30, tol=0), MixtureSpec()
L, D = 2, 4

Batch = tuple[Tensor, Tensor]


def truth(seed: int = 4, noise: str = "diagonal", tied: bool = False) -> Parameters:
    """Two components, apart in the targets."""
    p = make_parameters(seed, noise, tied, 2, L, D)
    return p._replace(c=torch.tensor([[-4.0, 0.0], [4.0, 0.0]]).double(), pi=torch.tensor([0.4, 0.6]).double())


def batches(p: Parameters, number: int, size: int = 100) -> list[Batch]:
    x, y = sample(p, number * size, generator(1))
    return list(zip(torch.split(x, size), torch.split(y, size), strict=True))


def follow(parts: list[Batch], K: int = 2, spec: MixtureSpec = PLAIN, forgetting: float = 0.7) -> Stream:
    state = stream.begin(Rows(*parts[0]), spec._replace(n_components=K), OPTIONS)
    for part in parts[1:]:
        state = stream.advance(state, Rows(*part, scaling=state.scaling), OPTIONS, forgetting)
    return state


def mean_log_likelihood(x: Tensor, y: Tensor, p: Parameters) -> float:
    return float(torch.logsumexp(joint_log_density(x, y, p), 1).mean())


@pytest.mark.parametrize("noise", ["isotropic", "diagonal", "full"])
def test_one_component_without_forgetting_is_the_batch_fit(noise: str) -> None:
    """η = 1/t makes the running averages plain averages; without latents r and u are 1, whatever the parameters."""
    parts = batches(truth(noise=noise), 5)
    found = follow(parts, 1, MixtureSpec(covariance_type=noise), forgetting=1.0)
    x, y = (torch.cat(values) for values in zip(*parts, strict=True))
    expected = fit(x, y, 1, covariance_type=noise).parameters
    # centred on the first batch instead of all: one or two digits of sums over 500 rows
    assert all(
        close(a, b, 1e-11) for a, b in zip(found.fitted.tensors.values(), expected.tensors.values(), strict=True)
    )
    assert (found.n_batches, found.n_seen) == (5, 500.0)
    assert float(found.statistics.s0.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "spec",
    [
        PLAIN,
        MixtureSpec(covariance_type="full", tied=True),
        MixtureSpec(covariance_type="isotropic", target_covariance="diagonal", equal_weights=True),
        MixtureSpec(target_covariance="isotropic", target_tied=True),
        MixtureSpec(n_latents=1),
        MixtureSpec(dof=6.0),
        MixtureSpec(covariance_type="isotropic", n_latents=1, dof="estimated"),
    ],
    ids=str,
)
def test_a_stream_approaches_the_fit_on_all_its_batches(spec: MixtureSpec) -> None:
    p = truth()
    p = p._replace(dof=None if spec.dof is None else torch.full((2,), 6.0).double())
    parts = batches(p, 30)
    x, y = (torch.cat(values) for values in zip(*parts, strict=True))
    whole = fit_rows(Rows(x, y), spec._replace(n_components=2), OPTIONS).parameters
    begun = stream.begin(Rows(*parts[0]), spec._replace(n_components=2), OPTIONS).fitted
    found = follow(parts, 2, spec, forgetting=1.0).fitted
    best, first, last = (mean_log_likelihood(x, y, q) for q in (whole, begun, found))
    # the fit has an error of (free parameters) / 2N ≈ 40 / 6000 nats per sample, the first batch 30 times that, and
    # a stream a few times that, because its first batches had worse parameters
    assert best - last < 0.03
    assert best - last < 0.3 * (best - first)


def test_a_stream_follows_drifting_data() -> None:
    """Intercepts move at half time: the less is kept of the past, the nearer the end they are."""
    early, late = truth(), truth()._replace(b=truth().b + 2.0)
    parts = batches(early, 20) + batches(late, 20)
    x, y = (torch.cat(values) for values in zip(*parts[20:], strict=True))
    error = {
        forgetting: float((follow(parts, forgetting=forgetting).fitted.feature_mean - late.feature_mean).abs().max())
        for forgetting in (0.55, 0.7, 1.0)
    }
    assert error[0.55] < error[0.7] < error[1.0]
    # half of the past is still there with forgetting 1: the mean of both halves
    assert error[1.0] == pytest.approx(1.0, abs=0.3)
    # of a sample's standard error 3 / sqrt(100 / η) with η = 40^-0.55, and what Π (1 − η) leaves of the past
    assert error[0.55] < 0.5
    assert mean_log_likelihood(x, y, follow(parts, forgetting=0.55).fitted) > mean_log_likelihood(x, y, early) + 1.0


def test_weights_equal_repeated_samples() -> None:
    (x0, y0), (x1, y1) = batches(truth(), 2)
    begun = stream.begin(Rows(x0, y0), PLAIN._replace(n_components=2), OPTIONS)
    w = 1.0 + (torch.arange(100) % 2)
    twice = torch.cat([torch.arange(100), torch.arange(1, 100, 2)])
    weighted = stream.advance(begun, Rows(x1, y1, w, scaling=begun.scaling), OPTIONS)
    repeated = stream.advance(begun, Rows(x1[twice], y1[twice], scaling=begun.scaling), OPTIONS)
    assert weighted.n_seen == repeated.n_seen == 250.0
    # the same sums in another order
    pairs = zip(weighted.fitted.tensors.values(), repeated.fitted.tensors.values(), strict=True)
    assert all(close(a, b, 1e-12) for a, b in pairs)


def test_weights_of_the_first_batch_count() -> None:
    x, y = batches(truth(), 1)[0]
    w = torch.cat([torch.ones(60), torch.zeros(40)])
    weighted, less = (
        stream.begin(Rows(x, y, w), PLAIN._replace(n_components=2), OPTIONS),
        stream.begin(Rows(x[:60], y[:60]), PLAIN._replace(n_components=2), OPTIONS),
    )
    assert weighted.n_seen == 60.0
    assert close(weighted.fitted.A, less.fitted.A, 1e-9)  # thirty iterations of the same sums


def test_batches_may_be_small() -> None:
    """A batch may have fewer samples than a component needs, because the averages include earlier batches."""
    first, *rest = batches(truth(), 6)
    singles = [(x[None], y[None]) for part in rest[:1] for x, y in zip(*part, strict=True)][:50]
    found = follow([first, *singles], forgetting=1.0)
    assert (found.n_batches, found.n_seen) == (51, 150.0)
    assert all(bool(value.isfinite().all()) for value in found.fitted.tensors.values())


def test_a_component_without_samples_is_removed() -> None:
    p = truth()
    x, y = batches(p, 2)[0]
    nowhere = p._replace(c=torch.cat([p.c[:1], p.c[1:] + 1e4]))
    begun = stream.begin(Rows(x, y), PLAIN._replace(n_components=2), OPTIONS, start=nowhere)
    assert float(begun.statistics.s0[1]) == 0.0
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 2"):
        after = stream.advance(begun, Rows(x, y, scaling=begun.scaling), OPTIONS)
    assert after.fitted.n_components == after.statistics.s0.numel() == 1
    alone = stream.begin(Rows(x, y), PLAIN._replace(n_components=1), OPTIONS)
    alone = stream.advance(alone, Rows(x, y, scaling=alone.scaling), OPTIONS)
    assert close(after.fitted.A, alone.fitted.A, 1e-12)
    assert float(after.fitted.pi) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "spec",
    [MixtureSpec(covariance_type="full", tied=True), MixtureSpec(dof="estimated"), MixtureSpec(n_latents=1)],
    ids=str,
)
def test_components_are_removed_for_every_specification(spec: MixtureSpec) -> None:
    x, y = batches(truth(), 1)[0]
    p = fit_rows(Rows(x, y), spec._replace(n_components=2), OPTIONS).parameters
    begun = stream.begin(Rows(x, y), spec._replace(n_components=2), OPTIONS, start=p)
    s0 = torch.tensor([1.0, 0.0]).double()
    statistics = begun.statistics._replace(s0=s0)  # as after a long time without it
    far = (x[:30] + 0.1, p.c[:1] + 0.1 * normal(generator(0), 30, L))
    begun = begun._replace(
        statistics=statistics, parameters=begun.parameters._replace(pi=torch.tensor([1.0, 1e-300]).double())
    )
    with pytest.warns(EmptyComponentWarning, match="removed 1 of 2"):
        after = stream.advance(begun, Rows(*far, scaling=begun.scaling), OPTIONS)
    assert after.fitted.n_components == 1
    assert all(bool(value.isfinite().all()) for value in after.fitted.tensors.values())
    again = stream.advance(after, Rows(x, y, scaling=after.scaling), OPTIONS)
    assert again.n_batches == 3


def test_a_stream_begins_at_a_given_start() -> None:
    p, (x, y) = truth(), batches(truth(), 1)[0]
    begun = stream.begin(Rows(x, y), PLAIN._replace(n_components=5), OPTIONS, start=p)
    assert all(
        close(a, b, 1e-12) for a, b in zip(begun.fitted.tensors.values(), p.tensors.values(), strict=True)
    )  # there and back


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MixtureSpec(covariance_type="full"), "start has covariance_type 'diagonal' but covariance_type is 'full'"),
        (MixtureSpec(n_latents=1), "start has 0 latents but n_latents is 1"),
        (MixtureSpec(n_latents=-1), "n_latents is -1"),
        (MixtureSpec(covariance_type="round"), "'round'"),
        (MixtureSpec(dof=-1.0), "dof is -1.0"),
    ],
)
def test_a_start_with_another_structure_is_an_error(spec: MixtureSpec, message: str) -> None:
    x, y = batches(truth(), 1)[0]
    with pytest.raises(ConfigurationError, match=message):
        stream.begin(Rows(x, y), spec._replace(n_components=2), OPTIONS, start=truth())


def test_a_start_of_another_size_is_an_error() -> None:
    x, y = batches(truth(), 1)[0]
    with pytest.raises(DataError, match="start has 4 features and 2 targets, the data 3 and 2"):
        stream.begin(Rows(x[:, :3], y), PLAIN._replace(n_components=2), OPTIONS, start=truth())


@pytest.mark.parametrize("dof", [4.0, "estimated"])
def test_a_gaussian_start_becomes_a_student_stream(dof: float | str) -> None:
    parts = batches(truth()._replace(dof=torch.full((2,), 4.0).double()), 10)
    state = stream.begin(Rows(*parts[0]), MixtureSpec(2, dof=dof), OPTIONS, start=truth())
    for part in parts[1:]:
        state = stream.advance(state, Rows(*part, scaling=state.scaling), OPTIONS)
    assert state.fitted.dof is not None
    # 1000 samples of ν = 4: the estimate has an error below 1, from batch to batch somewhat more
    assert bool(((state.fitted.dof - 4.0).abs() < (1e-12 if dof == 4.0 else 2.5)).all())


def test_isotropic_targets_stay_isotropic_from_a_start() -> None:
    """Γ is isotropic in the data's units, whatever the spread of each target in the first batch."""
    p = truth()
    p = p._replace(Gamma=2.0 * torch.eye(L).double().expand(2, L, L))
    spec = MixtureSpec(target_covariance="isotropic")
    parts = batches(p, 3)
    state = stream.begin(Rows(*parts[0]), spec._replace(n_components=2), OPTIONS, start=p)
    for part in parts[1:]:
        state = stream.advance(state, Rows(*part, scaling=state.scaling), OPTIONS)
    Gamma = state.fitted.Gamma
    assert close(Gamma, Gamma[:, :1, :1] * torch.eye(L).double(), 1e-12)


def test_invalid_stream_arguments_are_an_error() -> None:
    x, y = batches(truth(), 1)[0]
    begun = stream.begin(Rows(x, y), PLAIN._replace(n_components=2), OPTIONS)
    for forgetting in (0.5, 1.1, float("nan")):
        with pytest.raises(ConfigurationError, match=r"forgetting is .*more than 0.5 and at most 1"):
            stream.advance(begun, Rows(x, y, scaling=begun.scaling), OPTIONS, forgetting)
    with pytest.raises(DataError, match="1 samples are fewer than 2 components"):
        stream.begin(Rows(x[:1], y[:1]), PLAIN._replace(n_components=2), OPTIONS)
    with pytest.raises(DataError, match="weights are 0"):
        stream.advance(begun, Rows(x, y, torch.zeros(100), scaling=begun.scaling), OPTIONS)


def test_advance_does_not_change_its_argument() -> None:
    (x0, y0), (x1, y1) = batches(truth(), 2)
    begun = stream.begin(Rows(x0, y0), PLAIN._replace(n_components=2), OPTIONS)
    before = begun.statistics.M.clone(), begun.parameters.A.clone()
    one, other = (stream.advance(begun, Rows(x1, y1, scaling=begun.scaling), OPTIONS) for _ in range(2))
    assert torch.equal(begun.statistics.M, before[0])
    assert torch.equal(begun.parameters.A, before[1])
    assert torch.equal(one.fitted.A, other.fitted.A)


def test_a_batch_with_another_scaling_is_an_error() -> None:
    x, y = batches(truth(), 1)[0]
    begun = stream.begin(Rows(x, y), PLAIN._replace(n_components=2), OPTIONS, start=truth())
    with pytest.raises(ConfigurationError, match=r"another scaling.*scaling=stream\.scaling"):
        stream.advance(begun, Rows(x, y), OPTIONS)


# following features that move, from given parameters


def test_a_stream_can_begin_from_parameters_alone() -> None:
    p = truth()
    p = p._replace(pi=p.pi / p.pi.sum())  # 1 in float64
    state = stream.begin_from(p, PLAIN, 100)
    assert all(close(a, b, 1e-12) for a, b in zip(state.fitted.tensors.values(), p.tensors.values(), strict=True))
    again = stream.maximise(state, Options(covariance_floor=0.0)).fitted
    assert all(close(a, b, 1e-10) for a, b in zip(again.tensors.values(), p.tensors.values(), strict=True))


@pytest.mark.parametrize("noise", ["isotropic", "diagonal", "full"])
def test_the_models_own_scaling_is_that_of_its_samples(noise: str) -> None:
    p = truth(noise=noise)
    x, y = sample(p, 200_000, generator(1))
    expected, found = Rows(x, y).scaling, model_scaling(p)
    for name in expected._fields:
        # a standard error of a few thousandths of each deviation
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), atol=0.05, rtol=0.02)


def test_running_averages_do_not_depend_on_their_start() -> None:
    """After many windows the parameters are those of EM on the batch, whatever the start."""
    p, other = truth(), truth(seed=9)
    x, y = sample(p, 400, generator(1))
    state = stream.begin_from(other, PLAIN, 400)
    for _ in range(80):
        r = torch.softmax(joint_log_density(x, y, state.fitted), 1)
        state = stream.maximise(stream.observe(state, x, y, r, 0.3), Options(covariance_floor=0.0))
    expected = fit(x, y, start=state.fitted, covariance_floor=0.0, tol=0, max_iter=50).parameters
    # 0.7^80 of the start is left, so what 50 more iterations gain is what plain EM had left after 80
    assert mean_log_likelihood(x, y, state.fitted) == pytest.approx(mean_log_likelihood(x, y, expected), abs=1e-3)


def target_moments(p: Parameters) -> tuple[Tensor, Tensor]:
    mean = p.pi @ p.c
    second = torch.einsum("k,kij->ij", p.pi, p.Gamma + p.c[:, :, None] * p.c[:, None])
    return mean, second - torch.outer(mean, mean)


@pytest.mark.parametrize("tied", [False, True])
def test_reseeding_preserves_the_moments_of_the_targets(tied: bool) -> None:
    p = make_parameters(2, "full", tied, 3, L, D)
    empty = torch.tensor([False, True, False])
    found = stream.reseed(p, empty)
    kept = p.keep(~empty)
    assert float(found.pi.sum()) == pytest.approx(1.0)
    for value, expected in zip(target_moments(found), target_moments(kept), strict=True):
        torch.testing.assert_close(value, expected)
    assert bool((torch.linalg.eigvalsh(found.Gamma) > 0).all())
    assert torch.equal(found.Sigma[0], p.Sigma[0])


def test_an_empty_component_of_a_stream_is_reseeded() -> None:
    p = truth()
    x, y = sample(p, 300, generator(1))
    state = stream.begin_from(p, PLAIN, 300)
    only_first = torch.tensor([[1.0, 0.0]]).double().expand(300, 2)
    for _ in range(30):
        state = stream.observe(state, x, y, only_first, 0.5)
    state = stream.maximise(state, Options(min_count=5.0))
    assert float(state.fitted.pi.min()) > 0.1


def test_grow_adds_components() -> None:
    p = make_parameters(2, "diagonal", False, 2, L, D)
    found = stream.grow(p, 5)
    assert found.n_components == 5
    torch.testing.assert_close(target_moments(found)[1], target_moments(p)[1])
    assert stream.grow(p, 2) is p


@pytest.mark.parametrize("noise", ["isotropic", "diagonal", "full"])
@pytest.mark.parametrize("shift", [1e7, 2.0**37])
def test_a_stream_of_targets_far_from_zero_keeps_its_digits(noise: str, shift: float) -> None:
    p = truth(noise=noise)
    near, far, x, y = near_and_far(p, 1, -shift, shift, 200)
    r = torch.softmax(joint_log_density(x, y, near), 1)
    options, found = Options(covariance_floor=0.0), []
    for about, features, targets in ((near, x, y), (far, x - shift, y + shift)):
        state = stream.begin_from(about, PLAIN._replace(covariance_type=noise), 200)
        for _ in range(3):
            state = stream.maximise(stream.observe(state, features, targets, r, 0.3), options)
        found.append(joint_log_density(features, targets, state.centred))
    torch.testing.assert_close(found[1], found[0], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("K", [1, 2])
def test_the_largest_component_of_a_stream_is_never_reseeded(K: int) -> None:
    """Full covariances need as many samples as features; a small data set has fewer."""
    p = make_parameters(2, "full", False, K, L, D)
    x, y = sample(p, 30, generator(1))
    state = stream.begin_from(p, PLAIN._replace(covariance_type="full"), 30)
    state = stream.observe(state, x, y, torch.softmax(joint_log_density(x, y, p), 1), 0.5)
    found = stream.maximise(state, Options(min_count=100.0)).fitted
    assert found.n_components == K
    assert all(bool(torch.isfinite(value).all()) for value in found.tensors.values())
    assert float(found.pi.sum()) == pytest.approx(1.0)
