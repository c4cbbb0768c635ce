"""Test the summary of the benchmark of scoring."""

from pathlib import Path

import pytest

from benchmarks.score import predict_all, summary, write_shards
from deepgllim.pose import HeadPose
from deepgllim.pose.scoring import find_shards

pytest.importorskip("ray", reason="needs Ray: pip install 'deepgllim[ray]'")


def test_ratios_are_those_within_rounds() -> None:
    slow = {"loop": (4.0, 3.0), "local": (5.0, 3.0), "ray_1": (5.0, 3.0), "ray_2": (2.5, 3.0)}
    fast = {name: (wall / 10, cpu) for name, (wall, cpu) in slow.items()}
    found = summary([slow, fast], pictures=30)
    assert found["local_relative_to_loop"] == 0.8
    assert found["actors_relative_to_one"] == {"1": 1.0, "2": 2.0}
    assert found["cpu_ms_per_picture"]["loop"] == 100


def test_the_loop_reads_the_archives(tmp_path: Path) -> None:
    size = write_shards(tmp_path, count=2, pictures=2)
    shards = list(find_shards(str(tmp_path / "in")))
    assert [shard.kind for shard in shards] == ["archive"] * 2
    assert size > 10_000
    predict_all(HeadPose(detector=None, threads=1), shards)
