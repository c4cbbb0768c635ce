"""`deepgllim train` with a small network, which is killed: process 1 of `torchrun`, or the only process.

Usage: killed_process.py PLACE NUMBER ARGUMENTS…, where PLACE is descend (a network step) or solve (the closed-form part
of a round), and NUMBER that of the call, or 0 for none.
"""

import os
import signal
import sys
from typing import Any

import pytest
import torch

from deepgllim import runs
from deepgllim.cli import main
from deepgllim.nn import training
from deepgllim.nn.config import Recipe
from deepgllim.nn.model import DeepRegression
from tests.nn.tiny import convolutions, model, quick_export


def build(options: Recipe, targets: tuple[str, ...]) -> DeepRegression:
    return model("inverse_regression", convolutions(), image_size=32, margin=1.4)


def run(arguments: list[str], place: str = "descend", number: int = 0) -> int:
    """Run the command; return its exit code."""
    torch.set_num_threads(1)
    calls, original = 0, getattr(training, place)

    def deadly(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and os.environ.get("RANK", "1") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, place, deadly)
        patch.setattr(runs, "build_model", build)
        patch.setattr(runs, "export_verified", quick_export)
        return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[3:], sys.argv[1], int(sys.argv[2])))
