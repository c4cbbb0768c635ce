"""The density of feature maps in an exported graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from deepgllim.errors import ModelError
from deepgllim.nn.export.map_density import (
    add_map_density,
    map_statistics,
    write_with_map_density,
)
from deepgllim.nn.export.onnx_file import compact, export_onnx, folded
from deepgllim.nn.map_density import fit_map_density
from deepgllim.pose.network import PoseNetwork
from tests.nn.export.test_export import learned, network, pictures


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    return export_onnx(
        learned(network("inverse_regression"), n_components=2), tmp_path / "model.onnx", half_weights=False
    )


def pixels(n: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def first_map(proto: Any) -> str:
    name: str = next(node.output[0] for node in proto.graph.node if node.op_type == "Conv")
    return name


def test_the_graph_adds_the_density_of_its_maps(exported: Path, tmp_path: Path) -> None:
    proto, before = onnx.load(str(exported)), PoseNetwork(exported)
    size = before.spec.image_size
    maps = [first_map(proto)]
    density = fit_map_density(map_statistics(proto, maps, pixels(60, size)))
    write_with_map_density(exported, tmp_path / "with.onnx", density, maps)
    new = pixels(5, size, seed=3)
    old_answer, answer = before(new), PoseNetwork(tmp_path / "with.onnx")(new)
    assert old_answer.log_density is not None
    expected = old_answer.log_density + density(map_statistics(proto, maps, new)).numpy()
    assert answer.log_density is not None
    np.testing.assert_allclose(answer.log_density, expected, rtol=1e-4)
    np.testing.assert_array_equal(answer.mean, old_answer.mean)
    np.testing.assert_array_equal(answer.covariance, old_answer.covariance)


def test_refuses_what_it_cannot_add(exported: Path) -> None:
    proto = onnx.load(str(exported))
    maps = [first_map(proto)]
    density = fit_map_density(map_statistics(proto, maps, pixels(20, PoseNetwork(exported).spec.image_size)))
    with pytest.raises(ModelError, match="no value 'elsewhere': give names of maps"):
        add_map_density(proto, density, ["elsewhere"])
    add_map_density(proto, density, maps)
    with pytest.raises(ModelError, match="has a density of its maps already"):
        add_map_density(proto, density, maps)
    del proto.graph.output[:]
    with pytest.raises(ModelError, match="has no output log_density"):
        add_map_density(proto, density, maps)


def test_a_model_with_a_density_is_exported_with_it(tmp_path: Path) -> None:
    model = learned(network("inverse_regression"), n_components=2)
    model.set_map_density(fit_map_density(model.statistics(pictures(60), 0)), 0)
    for half in (False, True):
        path = export_onnx(model, tmp_path / "model.onnx", half_weights=half)
        answer = PoseNetwork(path)(pictures(7).numpy())
        with torch.no_grad():
            expected = (compact(model) if half else folded(model))(pictures(7))
        assert expected.input_log_density is not None
        assert answer.log_density is not None
        np.testing.assert_allclose(answer.log_density, expected.input_log_density.numpy(), rtol=1e-4)
        np.testing.assert_allclose(answer.mean, expected.mean.numpy(), rtol=1e-4, atol=1e-3)
