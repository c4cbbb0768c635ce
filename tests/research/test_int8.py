"""Test the quantisation of the packaged model."""

from pathlib import Path

import numpy as np
import onnx

from deepgllim.pose import PoseNetwork, default_model
from research.int8.__main__ import Crops, quantised, seconds


def test_the_reader_gives_each_crop_once() -> None:
    crops = np.arange(2 * 12, dtype=np.uint8).reshape(2, 3, 2, 2)
    reader = Crops(crops)
    assert [int(item["pixels"][0, 0, 0, 0]) for item in iter(reader.get_next, None)] == [0, 12]
    assert reader.get_next() is None


def test_kept_stages_stay_in_float32_and_the_model_can_be_run(tmp_path: Path) -> None:
    size = PoseNetwork(default_model(), 1).spec.image_size
    crops = np.random.default_rng(0).integers(0, 255, (2, 3, size, size), dtype=np.uint8)
    kept = ("stages.0.", "stages.1.", "stages.2.", "stages.3.", "stages.4.")
    path = quantised(default_model(), crops, kept, tmp_path / "model.onnx")
    written = onnx.load(str(path))
    quantised_weights = {node.input[0] for node in written.graph.node if node.op_type == "DequantizeLinear"}
    assert any("stages.5." in name for name in quantised_weights)
    assert not any(part in name for name in quantised_weights for part in kept)
    networks = {"original": PoseNetwork(default_model(), 1), "quantised": PoseNetwork(path, 1)}
    means = [network(crops).means for network in networks.values()]
    assert np.isfinite(means[1]).all()
    assert not np.array_equal(means[0], means[1])
    assert all(value > 0 for value in seconds(networks, crops[0], repetitions=1).values())
