"""Selection: criteria recomputed by hand, the true number of components found, a table in order."""

import math

import pytest
import torch
from torch import Tensor

from deepgllim.errors import ConfigurationError, DataError
from deepgllim.gllim import MixtureSpec, Options, invert, joint_log_density, predict, responsibilities, select
from deepgllim.gllim.rows import Rows
from deepgllim.gllim.selection import CRITERIA, Candidate, assignment_entropy, held_out_density
from tests.gllim.strategies import close, fit, generator, make_parameters, make_problem, normal

OPTIONS = Options(max_iter=30, tol=0)
SUMS = 1e-9  # of log-likelihoods over a few hundred rows, expanded about another origin


def clusters(N: int = 300) -> tuple[Tensor, Tensor]:
    """Three lines in three places, far from each other."""
    g = generator(0)
    z = torch.arange(N) % 3
    y = 10.0 * (z[:, None] - 1.0) + normal(g, N, 1)
    slopes = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]).double()[z]
    return slopes * y + 5.0 * torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, 1.0]])[z] + 0.3 * normal(g, N, 2), y


def log_likelihood(x: Tensor, y: Tensor, candidate: Candidate) -> Tensor:
    return torch.logsumexp(joint_log_density(x, y, candidate.fit.parameters), 1)


# counts of free parameters, by hand: K = 2, D = 3, L = 2; π 1, c 4, b 6, A 12 each


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (MixtureSpec(covariance_type="isotropic"), 23 + 2 + 6),
        (MixtureSpec(covariance_type="diagonal"), 23 + 6 + 6),
        (MixtureSpec(covariance_type="full"), 23 + 12 + 6),
        (MixtureSpec(covariance_type="full", tied=True), 23 + 6 + 6),
        (MixtureSpec(covariance_type="diagonal", target_covariance="diagonal"), 23 + 6 + 4),
        (MixtureSpec(covariance_type="diagonal", target_covariance="isotropic", target_tied=True), 23 + 6 + 1),
        (MixtureSpec(covariance_type="diagonal", equal_weights=True), 22 + 6 + 6),
        (MixtureSpec(covariance_type="isotropic", n_latents=1), 23 + 2 + 6 + 6),
        (MixtureSpec(covariance_type="isotropic", n_latents=2), 23 + 2 + 6 + 2 * (6 - 1)),
        (MixtureSpec(covariance_type="diagonal", dof=4.0), 23 + 6 + 6),
        (MixtureSpec(covariance_type="diagonal", dof="estimated"), 23 + 6 + 6 + 2),
    ],
)
def test_free_parameters_are_counted(spec: MixtureSpec, count: int) -> None:
    assert spec._replace(n_components=2).n_parameters(3, 2) == count


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, lambda K: (K - 1) + K * (2 + 3 + 8 + 4 + 4)),  # π; c, Γ, A, b, Σ
        ({"covariance_type": ["full"], "tied": [True]}, lambda K: (K - 1) + K * (2 + 3 + 8 + 4) + 10),
        ({"n_latents": [1]}, lambda K: (K - 1) + K * (2 + 3 + 12 + 4 + 4)),
        ({"dof": ["estimated"], "target_covariance": ["diagonal"]}, lambda K: (K - 1) + K * (2 + 2 + 8 + 4 + 4 + 1)),
    ],
)
def test_the_criteria_are_those_of_their_definitions(options: dict[str, list[object]], count: object) -> None:
    assert callable(count)
    problem = make_problem(0, "diagonal", False, K=2, L=2, D=4, N=150)
    x, y = problem.features, problem.targets
    fixed = OPTIONS._replace(max_iter=15)
    for candidate in select(x, y, n_components=[1, 2], options=fixed, **options).candidates:  # type: ignore[arg-type]
        value = float(log_likelihood(x, y, candidate).sum())
        size = count(candidate.fit.parameters.n_components)
        r = responsibilities(x, y, candidate.fit.parameters)
        entropy = -float((r * r.clamp(min=1e-300).log()).sum())
        assert candidate.n_parameters == size
        assert candidate.log_likelihood == pytest.approx(value, rel=SUMS)
        assert candidate.bic == pytest.approx(size * math.log(150) - 2 * value, rel=SUMS)
        assert candidate.aic == pytest.approx(2 * size - 2 * value, rel=SUMS)
        assert candidate.icl == pytest.approx(candidate.bic + 2 * entropy, rel=SUMS)
        assert candidate.icl >= candidate.bic
        assert math.isnan(candidate.held_out)
        assert candidate.seconds > 0


def test_the_entropy_is_that_of_the_responsibilities() -> None:
    problem = make_problem(1, "full", False, K=3, L=2, D=3)
    x, y = problem.features, problem.targets
    p = make_parameters(1, "full", False, K=3, L=2, D=3)
    r = responsibilities(x, y, p)
    expected = -float((r * r.clamp(min=1e-300).log()).sum())
    assert assignment_entropy(Rows(x, y, block_rows=20), p) == pytest.approx(expected, rel=1e-8)
    # as float32 products have it: seven digits of log-densities of order 10
    assert assignment_entropy(Rows(x, y, dtype=torch.float32), p) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("dof", [None, 5.0])
@pytest.mark.parametrize("n_latents", [0, 1])
def test_held_out_densities_are_the_joint_and_the_conditional(dof: float | None, n_latents: int) -> None:
    p = make_parameters(0, "diagonal", False, K=3, L=2, D=4)
    A = torch.cat([p.A, normal(generator(1), 3, 4, n_latents)], 2)
    p = p._replace(A=A, dof=None if dof is None else torch.full((3,), dof).double())
    x, y = normal(generator(2), 40, 4), 3.0 + 2.0 * normal(generator(3), 40, 2)
    joint = torch.logsumexp(joint_log_density(x, y, p), 1)
    conditional = joint - predict(x, invert(p)).log_density
    assert held_out_density(x, y, p) == pytest.approx((float(joint.mean()), float(conditional.mean())), rel=SUMS)


def test_held_out_samples_are_not_used_in_the_fit() -> None:
    problem = make_problem(2, "diagonal", False, K=2, L=2, D=4, N=120)
    x, y = problem.features, problem.targets
    options = OPTIONS._replace(random_state=7)
    best = select(x, y, n_components=[2], criterion="held_out", held_out=0.3, options=options).best
    order = torch.randperm(120, generator=generator(7))  # drawn from the seed alone
    test, train = order[:36], order[36:].sort().values
    alone = fit(x[train], y[train], 2, random_state=7, max_iter=30, tol=0)
    assert best.fit.log_likelihoods == pytest.approx(alone.log_likelihoods, rel=1e-12)
    assert best.bic == pytest.approx(best.n_parameters * math.log(84) - 2 * best.log_likelihood, rel=1e-12)
    assert best.held_out == pytest.approx(float(log_likelihood(x[test], y[test], best).mean()), rel=SUMS)


@pytest.mark.parametrize("criterion", ["held_out", "held_out_conditional"])
def test_one_fifth_is_held_out_by_default(criterion: str) -> None:
    problem = make_problem(0, "diagonal", False, K=2, L=1, D=3, N=101)
    best = select(problem.features, problem.targets, n_components=[1], criterion=criterion).best
    # a K = 1 fit has one number of samples: its counts
    assert best.fit.trace[-1].counts == pytest.approx((80.0,))
    assert math.isfinite(best.held_out)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_number_of_clusters_is_found(criterion: str) -> None:
    x, y = clusters()
    found = select(x, y, n_components=[1, 2, 3, 4], criterion=criterion, options=OPTIONS)
    by_held_out = {c.n_components: c.held_out for c in found.candidates}
    if criterion.startswith("held_out"):  # a fourth component costs next to nothing on 60 samples
        assert found.best.n_components >= 3
        assert by_held_out[3] > max(by_held_out[1], by_held_out[2]) + 0.5
    else:
        assert found.best.n_components == 3


def test_the_table_has_the_best_first() -> None:
    x, y = clusters(150)
    found = select(
        x,
        y,
        n_components=[1, 3],
        covariance_type=["diagonal", "isotropic"],
        dof=[None, 4.0],
        held_out=0.2,
        options=OPTIONS,
    )
    table = found.table
    assert len(table) == len(found.candidates) == 8
    assert table["bic"].is_monotonic_increasing
    assert table["bic"][0] == found.best.bic
    assert table["n_components"][0] == found.best.n_components
    assert list(table.columns[:2]) == ["n_components", "covariance_type"]
    assert set(CRITERIA) | {"n_parameters", "log_likelihood", "seconds", "dof", "n_latents"} <= set(table.columns)
    assert table["held_out"].notna().all()
    reverse = found._replace(criterion="held_out").table
    assert reverse["held_out"].is_monotonic_decreasing


def test_arrays_and_seeds_are_accepted() -> None:
    x, y = clusters(90)
    first, again = (select(x.numpy(), y.numpy(), n_components=[3], criterion="held_out") for _ in range(2))
    assert first.best.held_out == again.best.held_out
    other = select(x, y, n_components=[3], criterion="held_out", options=Options(random_state=1))
    assert other.best.held_out != first.best.held_out
    low = select(x.float(), y.float(), n_components=[3], criterion="held_out")
    assert low.best.held_out == pytest.approx(first.best.held_out, rel=1e-4)  # float32 inputs, seven digits


def test_invalid_selections_are_an_error() -> None:
    x, y = clusters(30)
    with pytest.raises(ConfigurationError, match="unknown criterion 'mdl': use one of bic, aic"):
        select(x, y, criterion="mdl")
    for share in (-0.1, 1.0, math.nan):
        with pytest.raises(ConfigurationError, match=r"held_out is .*from 0 to below 1"):
            select(x, y, held_out=share)
    with pytest.raises(DataError, match="there is no candidate"):
        select(x, y, n_components=[])
    with pytest.raises(DataError, match="30 samples are fewer than 40 components"):
        select(x, y, n_components=[40])
    with pytest.raises(ConfigurationError, match="'round'"):
        select(x, y, covariance_type=["round"])
    with pytest.raises(DataError, match="0 samples"):
        select(x, y, held_out=0.99)


@pytest.mark.parametrize("n_targets", [20, 40])
def test_lengths_that_differ_are_an_error(n_targets: int) -> None:
    """Features and targets of different lengths are an error in both directions."""
    x, y = normal(generator(0), 30, 3), normal(generator(1), n_targets, 1)
    with pytest.raises(DataError, match="do not fit"):
        select(x, y, n_components=[1])


def test_equal_candidates_keep_the_first() -> None:
    x, y = clusters(60)
    found = select(x, y, n_components=[1], tied=[False, True])  # one component: tied or not is the same model
    assert found.candidates[0].bic == pytest.approx(found.candidates[1].bic, rel=1e-12)
    assert close(found.candidates[0].fit.parameters.A, found.candidates[1].fit.parameters.A, 1e-12)


def test_candidates_at_the_floor_are_not_selected() -> None:
    """Three full Σ of 150 features from 300 samples are singular: the likelihood measures the floor."""
    g = generator(0)
    y = normal(g, 300, 1)
    x = y @ normal(g, 1, 150) + normal(g, 300, 150)
    chosen = select(x, y, n_components=[1, 3], covariance_type=["diagonal", "full"], options=Options(max_iter=5, tol=0))
    floored = {(one.n_components, one.spec.covariance_type): one.at_floor for one in chosen.candidates}
    assert floored == {(1, "diagonal"): False, (3, "diagonal"): False, (1, "full"): False, (3, "full"): True}
    by_likelihood = min(chosen.candidates, key=lambda one: one.bic)
    assert by_likelihood.at_floor
    assert (chosen.best.n_components, chosen.best.spec.covariance_type) == (1, "diagonal")
    assert not bool(chosen.table["at_floor"].iloc[0])
    assert bool(chosen.table["at_floor"].iloc[-1])


def test_constant_features_are_not_at_the_floor() -> None:
    g = generator(1)
    y = normal(g, 80, 1)
    x = torch.cat([y + 0.5 * normal(g, 80, 1), torch.full((80, 1), 3.0).double()], 1)
    for noise in ("isotropic", "diagonal", "full"):
        (only,) = select(x, y, n_components=[1], covariance_type=[noise]).candidates
        assert not only.at_floor
