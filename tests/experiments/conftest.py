"""Run the experiments' commands in this process."""

import importlib
import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def run_experiment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs `python -m experiments.NAME OPTIONS…` and returns what it prints."""

    def run(name: str, *options: object) -> str:
        monkeypatch.setattr(sys, "argv", [name, *map(str, options)])
        importlib.import_module(f"experiments.{name}.__main__").main()
        return capsys.readouterr().out

    return run
