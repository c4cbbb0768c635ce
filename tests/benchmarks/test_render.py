"""The benchmark of rendering prints what it says; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepgllim.errors import RenderError
from deepgllim.synthetic import Renderer

ROOT = Path(__file__).parents[2]


def test_it_prints_one_json_object() -> None:
    try:
        Renderer().close()
    except RenderError as error:
        pytest.skip(str(error))
    command = [sys.executable, "benchmarks/render.py", "--images", "40", "--processes", "1", "--warm-up", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["processes"] == 1
    for size in ("128", "224"):
        assert report["sizes"][size]["pictures_per_second"] > 0
        assert set(report["sizes"][size]["milliseconds"]) == {"scene", "labels", "drawing", "capture", "jpeg"}
