"""The density of early feature maps: its formula, and its nodes in an exported graph."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from deepgllim.errors import DataError, ModelError
from deepgllim.nn.export.map_density import (
    add_map_density,
    fit_map_density,
    map_statistics,
    pooled_statistics,
    write_with_map_density,
)
from deepgllim.nn.export.onnx_file import export_onnx
from deepgllim.pose.network import PoseNetwork
from tests.nn.export.test_export import learned, network


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


def test_log_prob_is_that_of_the_gaussian() -> None:
    rng = np.random.default_rng(0)
    statistics = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 3)) + [5.0, -2.0, 100.0]
    density = fit_map_density(statistics, ["a"])
    covariance = np.linalg.inv(density.whitening @ density.whitening.T)
    expected = multivariate_normal(density.mean, covariance).logpdf(statistics)
    np.testing.assert_allclose(density.log_prob(statistics), expected, rtol=1e-4)


def test_statistics_are_means_and_standard_deviations() -> None:
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=(4, 2, 5, 6)), rng.normal(size=(4, 3, 2, 2))]
    found = pooled_statistics(maps)
    assert found.shape == (4, 10)
    np.testing.assert_allclose(found[:, :2], maps[0].mean((2, 3)))
    np.testing.assert_allclose(found[:, 7:], maps[1].std((2, 3)))


def test_the_graph_adds_the_density_of_its_maps(exported: Path, tmp_path: Path) -> None:
    proto, before = onnx.load(str(exported)), PoseNetwork(exported)
    size = before.spec.image_size
    maps = [first_map(proto)]
    density = fit_map_density(map_statistics(proto, maps, pixels(60, size)), maps)
    write_with_map_density(exported, tmp_path / "with.onnx", density)
    new = pixels(5, size, seed=3)
    old_answer, answer = before(new), PoseNetwork(tmp_path / "with.onnx")(new)
    assert old_answer.log_density is not None
    expected = old_answer.log_density + density.log_prob(map_statistics(proto, maps, new))
    assert answer.log_density is not None
    np.testing.assert_allclose(answer.log_density, expected, rtol=1e-4)
    np.testing.assert_array_equal(answer.mean, old_answer.mean)
    np.testing.assert_array_equal(answer.covariance, old_answer.covariance)


def test_refuses_what_it_cannot_add(exported: Path) -> None:
    proto = onnx.load(str(exported))
    maps = [first_map(proto)]
    density = fit_map_density(map_statistics(proto, maps, pixels(20, PoseNetwork(exported).spec.image_size)), maps)
    with pytest.raises(ModelError, match="no value 'elsewhere': give names of maps"):
        add_map_density(proto, density._replace(maps=("elsewhere",)))
    add_map_density(proto, density)
    with pytest.raises(ModelError, match="has a density of its maps already"):
        add_map_density(proto, density)
    del proto.graph.output[:]
    with pytest.raises(ModelError, match="has no output log_density"):
        add_map_density(proto, density)


@pytest.mark.parametrize("statistics", [np.zeros((1, 3)), np.full((5, 3), np.nan)])
def test_refuses_statistics_of_no_density(statistics: NDArray[np.float64]) -> None:
    with pytest.raises(DataError, match="finite statistics are wanted"):
        fit_map_density(statistics, ["a"])
