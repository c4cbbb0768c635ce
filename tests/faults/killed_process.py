"""`deepgllim train` with a small network in a process of `torchrun`, of which process 1 is killed in a network step.

Usage: killed_process.py STEP ARGUMENTS…, where STEP is the number of the step, or 0 for none.
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


def run(arguments: list[str], step: int = 0) -> int:
    """Run the command; return its exit code."""
    torch.set_num_threads(1)
    steps, descend = 0, training.descend

    def deadly(*args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == step and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        descend(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "descend", deadly)
        patch.setattr(runs, "build_model", build)
        patch.setattr(runs, "export_verified", quick_export)
        return main(arguments)


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], int(sys.argv[1])))
