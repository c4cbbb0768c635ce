"""Test the trunk of FaceMesh V2 against outputs of the published graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deepgllim.nn.backbones import Backbone, build_backbone
from deepgllim.nn.backbones.facemesh import Bottleneck, facemesh_stages, facemesh_weights
from deepgllim.pose.runtime import open_session

REFERENCE = Path(__file__).parents[2] / "reference" / "facemesh_v2.npz"


@pytest.fixture(scope="module")
def trunk() -> Backbone:
    return build_backbone("facemesh_v2", weights="faces").eval()


def reference_pixels() -> Tensor:
    """The pictures of `tools/make_reference.py`."""
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.integers(0, 256, (2, 3, 192, 192), dtype=np.uint8))


def test_the_features_equal_those_of_the_published_graph(trunk: Backbone) -> None:
    expected = np.load(REFERENCE)["features"]
    with torch.no_grad():
        features = trunk(reference_pixels()).numpy()
    assert features.shape == expected.shape == (2, 1152)
    np.testing.assert_allclose(features, expected, atol=1e-3)


def test_the_features_equal_those_of_the_reference_file(trunk: Backbone, facemesh_reference: Path) -> None:
    session = open_session(str(facemesh_reference))
    pixels = reference_pixels()[:1]
    with torch.no_grad():
        features = trunk(pixels).numpy()
    (expected,) = session.run(None, {session.get_inputs()[0].name: pixels.numpy().astype(np.float32) / 255})
    np.testing.assert_allclose(features, expected.reshape(1, -1), atol=1e-3)


@pytest.mark.parametrize("size", [64, 100, 192, 224, 256])
def test_any_size_gives_the_same_number_of_features(trunk: Backbone, size: int) -> None:
    with torch.no_grad():
        assert trunk(torch.zeros(1, 3, size, size, dtype=torch.uint8)).shape == (1, 1152)


@pytest.mark.parametrize("depth", range(7))
def test_every_stage_can_be_frozen_and_cached(trunk: Backbone, depth: int) -> None:
    pixels = reference_pixels()
    with torch.no_grad():
        assert torch.equal(trunk.finish(trunk.begin(pixels, depth), depth), trunk(pixels))


def test_the_output_of_the_fourth_stage_is_small(trunk: Backbone) -> None:
    with torch.no_grad():
        assert trunk.begin(reference_pixels(), 4).shape == (2, 128, 12, 12)


def test_a_block_that_halves_the_map_extends_its_shortcut_by_zeros() -> None:
    block = Bottleneck(2, 2, 4, halve=True)
    torch.nn.init.zeros_(block.expand.weight)
    assert block.expand.bias is not None
    torch.nn.init.zeros_(block.expand.bias)
    input = torch.arange(32.0).reshape(1, 2, 4, 4)
    output = block(input).detach()
    assert torch.equal(output[:, :2], torch.nn.functional.max_pool2d(input, 2))
    assert not output[:, 2:].any()


def test_the_weights_are_packaged_in_half_precision_with_their_licence() -> None:
    assert facemesh_weights().stat().st_size < 800_000
    licence = facemesh_weights().with_name("facemesh_v2.LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert sum(p.numel() for p in facemesh_stages().parameters()) == 352_464
