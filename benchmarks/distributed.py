"""Time a round of training in two processes and in one, each process with one thread, and print JSON.

The two processes are started once. Rounds in both of them alternate with rounds in the first alone, while the second
sleeps, so that other work on the machine affects both; the ratio is the median over pairs of neighbouring rounds. The
pictures are random, since the time does not depend on their content.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.training import pictures
from deepgllim.nn import FaceInputs, Recipe, Training, load_recipe, start_training
from deepgllim.nn.distributed import ALONE, Processes, launched, launched_processes
from deepgllim.nn.training import network_epochs, solve
from deepgllim.runs import build_model

TARGET = 1.6
"""Target for the ratio of the throughputs of two processes and of one, at least."""

OPTIONS: dict[str, Any] = {"network.frozen_depths": (0,), "schedule.epochs_per_round": 1, "data.image_size": 96}
ROOT = Path(__file__).parents[1]


def prepare(recipe: Recipe, inputs: FaceInputs, processes: Processes) -> Training:
    """Return a training before its first round."""
    return start_training(build_model(recipe, ("pitch", "yaw")), recipe, inputs, processes=processes)


def seconds(run: Training) -> float:
    """Return the time of one round: network epochs, features and EM."""
    began = time.perf_counter()
    network_epochs(run)
    solve(run)
    return time.perf_counter() - began


def measure(recipe: Recipe, n: int, rounds: int) -> dict[str, Any] | None:
    """Return the report in process 0, and None in process 1."""
    inputs = pictures(recipe, n)
    with launched_processes() as processes:
        shared = prepare(recipe, inputs, processes)
        alone = prepare(recipe, inputs, ALONE) if processes.rank == 0 else None
        times: dict[str, list[float]] = {"one": [], "two": []}
        for _ in range(rounds + 1):
            processes.wait()
            times["two"].append(seconds(shared))
            if alone is not None:
                times["one"].append(seconds(alone))
        if processes.rank > 0:
            return None
    one, two = times["one"][1:], times["two"][1:]  # the first round allocates memory
    return {
        "pictures_per_second_one_process": round(n / statistics.median(one), 2),
        "pictures_per_second_two_processes": round(n / statistics.median(two), 2),
        "ratio": round(statistics.median(a / b for a, b in zip(one, two, strict=True)), 3),
        "target": TARGET,
        "load": [round(value, 2) for value in os.getloadavg()],
        "torch": torch.__version__,
    }


def launch() -> int:
    """Start this module in two processes of one thread and return the first exit code that is not 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"TORCHELASTIC_RUN_ID": "benchmark", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **meeting}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.distributed", *sys.argv[1:]],
            env=environment | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    return next((code for code in [child.wait() for child in children] if code), 0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--recipe", default="inverse_regression", help="recipe to time")
    parser.add_argument("--pictures", type=int, default=256, help="training pictures")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds, without the first pair")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the recipe to change")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        print(json.dumps({"skipped": f"{cores} core: two processes need two", "target": TARGET}, indent=2))
        return 0
    if not launched():
        return launch()
    torch.set_num_threads(1)
    changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in arguments.set)}
    report = measure(load_recipe(arguments.recipe).override(OPTIONS | changes), arguments.pictures, arguments.rounds)
    if report is not None:
        print(json.dumps({"cores": cores, **report}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
