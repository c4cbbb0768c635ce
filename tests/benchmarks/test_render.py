"""The benchmark of rendering prints what it says; its figures are not judged here."""

import json
from collections.abc import Callable

import pytest

from deepgllim.errors import RenderError
from deepgllim.synthetic import Renderer


def test_it_prints_one_json_object(run_benchmark: Callable[..., str]) -> None:
    try:
        Renderer().close()
    except RenderError as error:
        pytest.skip(str(error))
    report = json.loads(run_benchmark("render", "--images", 12, "--processes", 1, "--warm-up", 0))
    assert report["processes"] == 1
    for size in ("128", "224"):
        assert report["sizes"][size]["pictures_per_second"] > 0
        assert set(report["sizes"][size]["milliseconds"]) == {"scene", "labels", "drawing", "capture", "jpeg"}
