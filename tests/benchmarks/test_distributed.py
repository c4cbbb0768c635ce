"""The benchmark of two processes prints what it says; its figures are not judged here."""

import json
import os
from collections.abc import Callable

import pytest

SMALL = ["--pictures", 8, "--rounds", 1]


def test_it_prints_one_json_object(run_benchmark: Callable[..., str]) -> None:
    tiny = ["--set", "data.image_size=32", "network.projection=4", "objective.n_components=1"]
    report = json.loads(run_benchmark("distributed", *SMALL, *tiny))
    assert "skipped" in report or {run["processes"] for run in report["runs"] if run["ratio"] > 0} == {2}
    assert report["target"] == 1.6


def test_it_says_why_it_is_skipped(run_benchmark: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert json.loads(run_benchmark("distributed", *SMALL))["skipped"] == "1 core: two processes need two"
