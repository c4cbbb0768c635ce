"""Time a round of training in several processes and in one, each process with one thread, and print JSON.

The processes are started once for each number of them. Rounds in all of them alternate with rounds in the first alone,
while the others sleep, so that other work on the machine affects both; ratios are medians over neighbouring rounds. In
a third kind of round each process trains a model of its own: the throughput of these rounds is what the cores, caches
and memory of the machine allow, without any exchange between the processes. The pictures are random, since the time
does not depend on their content.

Example:
    python -m benchmarks.distributed --processes 2 4 --output benchmarks/distributed.json
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
    """Return the report in process 0, and None in the others."""
    inputs = pictures(recipe, n)
    with launched_processes() as processes:
        shared, alone = (prepare(recipe, inputs, each) for each in (processes, ALONE))
        times: dict[str, list[float]] = {"one": [], "shared": [], "independent": []}
        for _ in range(rounds + 1):
            processes.wait()
            times["shared"].append(seconds(shared))
            processes.wait()
            times["independent"].append(seconds(alone))
            processes.wait()
            if processes.rank == 0:
                times["one"].append(seconds(alone))
        if processes.rank > 0:
            return None
        size = processes.size
    one, together, independent = (values[1:] for values in times.values())  # the first round allocates memory
    return {
        "processes": size,
        "pictures_per_second_one_process": round(n / statistics.median(one), 2),
        "pictures_per_second": round(n / statistics.median(together), 2),
        "ratio": round(statistics.median(a / b for a, b in zip(one, together, strict=True)), 3),
        "ratio_of_independent_trainings": round(
            statistics.median(size * a / b for a, b in zip(one, independent, strict=True)), 3
        ),
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def launch(processes: int, words: list[str]) -> dict[str, Any]:
    """Start this module in some processes of one thread and return the report of the first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"TORCHELASTIC_RUN_ID": "benchmark", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **meeting, "WORLD_SIZE": str(processes)}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.distributed", *words],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise SystemExit("a process has failed: its message is above")
    return dict(json.loads(outputs[0]))


def main() -> None:
    """Measure and print one JSON object, and write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="inverse_regression", help="recipe to time (inverse_regression)")
    parser.add_argument("--pictures", type=int, default=256, help="training pictures (256)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind, without the first (5)")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the recipe to change")
    parser.add_argument("--processes", type=int, nargs="+", default=[2], help="numbers of processes (2)")
    parser.add_argument("--output", type=Path, help="JSON file")
    arguments = parser.parse_args()
    if launched():
        torch.set_num_threads(1)
        changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in arguments.set)}
        recipe = load_recipe(arguments.recipe).override(OPTIONS | changes)
        report = measure(recipe, arguments.pictures, arguments.rounds)
        if report is not None:
            print(json.dumps(report))
        return
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {"cores": cores, "target": TARGET, "torch": torch.__version__}
    if cores < 2:
        result["skipped"] = f"{cores} core: two processes need two"
    else:
        result["runs"] = [launch(processes, sys.argv[1:]) for processes in arguments.processes]
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
