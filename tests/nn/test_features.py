"""Features of all training inputs: principal axes, exact statistics."""

import pytest
import torch
from torch import nn

from deepgllim.nn.evaluation import collect_normalised
from deepgllim.nn.features import LARGE, adopt_statistics, initialise_projection, principal_axes
from deepgllim.nn.start import start_training
from deepgllim.nn.training import train
from tests.nn.tiny import model, recipe, vectors


def test_the_projection_starts_at_the_principal_axes() -> None:
    network, training = model(projection=4), vectors(100)
    start_training(network, recipe(), training)
    with torch.no_grad():
        hidden = network.backbone(training.values).double()
        projected = network.project(training.values).double()  # type: ignore[arg-type]
    centred = hidden - hidden.mean(0)
    expected = torch.linalg.svdvals(centred)[:4].square() / 100
    # not whitened; float32 weights and features of order one
    torch.testing.assert_close(projected.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-5, rtol=0)
    covariance = torch.cov(projected.T, correction=0)
    torch.testing.assert_close(covariance, expected.diag(), atol=1e-5, rtol=1e-4)
    assert (expected.diff() < 0).all()


@pytest.mark.parametrize(("n", "wanted", "kept"), [(5, 100, 4), (50, 100, 8), (50, 3, 3)])
def test_the_projection_has_no_more_features_than_there_are_directions(n: int, wanted: int, kept: int) -> None:
    network = model(projection=wanted)
    start_training(network, recipe(), vectors(n))
    assert network.n_features == network.spec.projection == kept
    assert network.head(collect_normalised(network, vectors(n))).mean.shape == (n, 2)


def test_directions_without_variance_are_left_out() -> None:
    network = model(projection=8)
    hidden = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(3, 8)
    projected = initialise_projection(network, hidden)
    assert projected.shape == (50, 3)
    assert network.spec.projection == 3


@pytest.mark.parametrize("n", [60, 400])
def test_the_leading_axes_of_many_features_are_those_of_their_covariance(n: int) -> None:
    """Variances that fall by a tenth from one axis to the next, as features' do; more directions than are wanted."""
    generator = torch.Generator().manual_seed(0)
    deviations = 0.9 ** torch.arange(100, dtype=torch.float64).div(2)
    draws = torch.randn(n, 100, generator=generator, dtype=torch.float64) * deviations
    directions = torch.linalg.qr(torch.randn(LARGE + 1, 100, generator=generator, dtype=torch.float64)).Q
    centred = draws - draws.mean(0)
    state = torch.random.get_rng_state()
    values, axes = principal_axes(centred @ directions.T, 20)
    assert torch.equal(state, torch.random.get_rng_state())
    exact = torch.linalg.svdvals(centred)[:20].square() / n
    torch.testing.assert_close(values[:20], exact, rtol=1e-4, atol=0)  # single precision
    projected = centred @ (directions.T @ axes[:, :20])
    torch.testing.assert_close(torch.cov(projected.T, correction=0), exact.diag(), rtol=1e-4, atol=1e-5)


def test_without_a_projection_the_backbones_features_are_normalised() -> None:
    network, training = model(projection=None), vectors()
    start_training(network, recipe(), training)
    assert network.n_features == 8
    assert isinstance(network.projection, nn.Identity)


def test_adopted_statistics_are_exact() -> None:
    network = model()
    projected = 50 * torch.randn(1000, 4, generator=torch.Generator().manual_seed(0)) + 30
    features = adopt_statistics(network, projected)
    # float32 with six digits, of a mean of 30 over a deviation of 50
    torch.testing.assert_close(features.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.var(0, correction=0), torch.ones(4), atol=1e-5, rtol=0)
    assert features.requires_grad is False


@pytest.mark.parametrize("affine", [False, True])
def test_after_a_round_the_statistics_are_those_of_all_inputs(affine: bool) -> None:
    """Running averages of batches lag behind the weights; they are replaced."""
    trained = train(model(affine_norm=affine), recipe(network__affine_norm=affine), vectors()).model
    projected = trained.project(vectors().values).detach()  # type: ignore[arg-type]
    assert trained.normalisation.running_mean is not None
    torch.testing.assert_close(trained.normalisation.running_mean, projected.mean(0), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(trained.normalisation.running_var, projected.var(0, correction=0), atol=1e-5, rtol=1e-5)


def test_the_axes_are_found_where_the_eigenvalue_solver_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    centred = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).double()
    centred -= centred.mean(0)
    values, axes = principal_axes(centred, 10)

    def fail(matrix: torch.Tensor) -> None:
        raise torch.linalg.LinAlgError("no convergence")  # type: ignore[attr-defined]

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    others, directions = principal_axes(centred, 10)
    torch.testing.assert_close(others[:10], values[:10])
    torch.testing.assert_close((directions[:, :10] * axes[:, :10]).sum(0).abs(), torch.ones(10, dtype=torch.float64))
