"""The model: its features, its sizes, and the number of features after the projection."""

import torch

from tests.nn.tiny import N_INPUTS, model


def test_features_are_projected_and_normalised() -> None:
    network, x = model().eval(), torch.randn(5, N_INPUTS, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        hidden = network.backbone(x)
        expected = network.normalisation(network.projection(hidden))
        assert torch.equal(network.features(x), expected)
        entered = network.backbone.begin(x, 2)
        assert torch.equal(network.features(entered, 2), expected)
    assert network.n_features == network.spec.projection == 4
    assert model(projection=None).n_features == 8


def test_resize_replaces_projection_normalisation_and_head() -> None:
    network = model()
    network.resize(2)
    assert network.spec.projection == network.n_features == network.normalisation.num_features == 2
    assert network(torch.randn(3, N_INPUTS)).mean.shape == (3, 2)
    network.resize(None)
    assert network.n_features == network.backbone.feature_size
