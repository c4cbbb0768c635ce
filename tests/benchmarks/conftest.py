"""Run the benchmarks' commands in this process, which has loaded the libraries."""

import importlib
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def run_benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs `python -m benchmarks.NAME OPTIONS…` and returns what it prints."""

    def run(name: str, *options: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        importlib.import_module(f"benchmarks.{name}").main()
        return capsys.readouterr().out

    return run
