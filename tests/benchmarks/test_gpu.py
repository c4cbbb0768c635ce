"""The benchmark of a GPU runs on the CPU with tiny sizes, and states why it measures nothing without a GPU."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


def test_a_quick_run_reports_every_part(run_benchmark: Callable[..., str], tmp_path: Path) -> None:
    printed = json.loads(run_benchmark("gpu", "--device", "cpu", "--quick", "--output", tmp_path / "gpu.json"))
    assert printed == json.loads((tmp_path / "gpu.json").read_text())
    assert set(printed["networks"]) == {"vgg16", "facemesh_v2", "efficientnet_lite0"}
    for runs in printed["networks"].values():
        assert [each["precision"] for each in runs] == ["float32", "bf16"]
        for part, names in (("training", {"loading", "forward", "backward", "em"}), ("prediction", {"network"})):
            for each in runs:
                shares = each[part]["shares"]
                assert names <= shares.keys()
                assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
                assert each[part]["pictures"] == 4  # 8 without the batch of the warm-up
    (em,) = printed["em"]
    assert [each["dtype"] for each in em["runs"]] == ["float64", "float32"]
    assert all(each["ratio_to_products"] > 0 for each in em["runs"])
    assert em["runs"][0]["relative_difference_of_log_likelihood"] == 0  # the same computation


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line_says_why(run_benchmark: Callable[..., str], tmp_path: Path) -> None:
    lines = run_benchmark("gpu", "--output", tmp_path / "gpu.json").splitlines()
    assert len(lines) == 1
    assert "finds no CUDA device" in lines[0]
    assert not (tmp_path / "gpu.json").exists()
