"""The benchmark runs and prints what it promises; its times are no test."""

import json
from collections.abc import Callable

import pytest


def test_the_benchmark_prints_one_json_object(run_benchmark: Callable[..., str]) -> None:
    report = json.loads(run_benchmark("em", "--sizes", "tiny", "--repeats", 2, "--threads", 1))
    assert report["threads"] == 1
    (case,) = report["cases"]
    assert [case[letter] for letter in "NDLK"] == [300, 20, 2, 2]
    assert case["ratio"] == case["em_seconds"] / case["products_seconds"]
    assert case["memory_over_data_share"] * 300 * 20 * 8 == pytest.approx(case["memory_over_data_bytes"])
