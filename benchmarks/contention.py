"""Time EM, training, prediction and rendering with and without one busy process per core, and write JSON.

Each case runs in its own process, with its own environment variables. Repetitions alternate between quiet, with the
busy processes stopped, and busy. The ratio is the median over pairs of neighbouring repetitions, so that other work on
the machine affects both. "Spinning" is the default way of waiting of the OpenMP runtime; it is used if GOMP_SPINCOUNT
is set, or if torch is imported before deepgllim.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import deepgllim  # sets OMP_WAIT_POLICY before the workloads load torch

TARGET = 2.5
"""Target for the ratio of busy to quiet seconds, at most."""

CASES = {
    "one thread": (1, {}),
    "two threads": (2, {}),
    "two threads, spinning": (2, {"GOMP_SPINCOUNT": "300000"}),
}
"""Number of threads, and other environment variables, by case."""

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Environment variables that are removed for the cases."""

Work = Callable[[], object]


class Size(NamedTuple):
    """Size of the workloads."""

    samples: int
    features: int
    components: int
    iterations: int
    training_pictures: int
    image_size: int
    faces: int
    photographs: int
    rendered: int


SIZES = {
    "full": Size(10_000, 500, 10, 6, 128, 64, 128, 8, 96),
    "small": Size(10_000, 500, 10, 1, 32, 32, 8, 1, 12),
    "tiny": Size(300, 20, 2, 1, 32, 32, 1, 1, 2),
}


def em(size: Size, threads: int) -> Work:
    """Return iterations of EM with diagonal Σ."""
    import torch

    from deepgllim.gllim import Options, Rows, e_step, fit, m_step

    g = torch.Generator().manual_seed(0)
    targets = torch.randn(size.samples, 3, generator=g, dtype=torch.float64)
    slopes = torch.randn(3, size.features, generator=g, dtype=torch.float64)
    noise = torch.randn(size.samples, size.features, generator=g, dtype=torch.float64)
    features = torch.sin(targets) @ slopes + noise
    r = torch.softmax(-torch.cdist(targets, targets[: size.components]).square(), 1)
    rows = Rows(features, targets)
    parameters = rows.scaling.reduce(fit(features, targets, options=Options(max_iter=1), responsibilities=r).parameters)

    def work() -> None:
        nonlocal parameters
        for _ in range(size.iterations):
            parameters = m_step(e_step(rows, parameters))

    return work


def training(size: Size, threads: int) -> Work:
    """Return a round of the recipe of the demonstration on random pictures: network epoch, features, EM."""
    import numpy as np
    import torch

    from deepgllim.nn import FaceInputs, load_recipe, start_training
    from deepgllim.nn.augmentation import context_size
    from deepgllim.nn.training import network_epochs, solve
    from deepgllim.runs import build_model

    small = {
        "data.image_size": size.image_size,
        "schedule.fixed_copies": 0,
        "network.projection": 4,
        "objective.n_components": 1,  # further components would lose their samples
        "objective.covariance_type": "diagonal",
    }
    recipe = load_recipe("demo_inverse_regression").override(small)
    generator, side = np.random.default_rng(0), context_size(size.image_size, recipe.augmentation)
    contexts = generator.integers(0, 256, (size.training_pictures, 3, side, side), dtype=np.uint8)
    targets = torch.from_numpy(generator.uniform(-60, 60, (size.training_pictures, 2)))
    inputs = FaceInputs(contexts, targets, ("pitch", "yaw"), size.image_size, recipe.augmentation)
    run = start_training(build_model(recipe, ("pitch", "yaw")), recipe, inputs)
    run.model.backbone.freeze(recipe.network.frozen_depths[-1])
    run.progress.round = 1

    def work() -> None:
        network_epochs(run)
        solve(run)

    return work


def prediction(size: Size, threads: int) -> Work:
    """Return the packaged network on crops, in batches of eight."""
    import numpy as np

    from deepgllim.pose import PoseNetwork, default_model

    network = PoseNetwork(default_model(), threads)
    side = network.spec.image_size
    crops = np.random.default_rng(0).integers(0, 256, (size.faces, 3, side, side), dtype=np.uint8)
    return lambda: [network(crops[start : start + 8]) for start in range(0, len(crops), 8)]


def detection(size: Size, threads: int) -> Work:
    """Return the detector on photographs of 640 × 480."""
    from PIL import Image

    from deepgllim.pose.detection import make_detector

    detector, photograph = make_detector(threads=threads), Image.effect_noise((640, 480), 60)
    return lambda: [detector.detect(photograph) for _ in range(size.photographs)]


def rendering(size: Size, threads: int) -> Work:
    """Return the rendering of a set to a folder by as many new processes as threads."""
    from deepgllim.synthetic import SceneSampler, render_set

    def work() -> None:
        sampler = SceneSampler("uniform", identities=50, size=128, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            render_set(sampler, size.rendered, Path(folder) / "set", processes=threads)

    return work


WORKLOADS: dict[str, Callable[[Size, int], Work]] = {
    "em": em,
    "training": training,
    "prediction": prediction,
    "detection": detection,
    "rendering": rendering,
}


def serve(work: Work) -> None:
    """Run the workload once for each line read, and print its seconds."""
    for _ in iter(sys.stdin.readline, ""):
        began = time.perf_counter()
        work()
        print(time.perf_counter() - began, flush=True)


def environment(threads: int, changes: dict[str, str]) -> dict[str, str]:
    """Return the environment of the caller with the number of threads and the waiting policy of a case."""
    counted = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS")}
    return {name: value for name, value in os.environ.items() if name not in WAITING} | counted | changes


class Case:
    """A case in its own process."""

    def __init__(self, workload: str, sizes: str, threads: int, changes: dict[str, str]) -> None:
        command = [sys.executable, __file__, "--sizes", sizes, "--serve", workload, str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(threads, changes))
        self()

    def __call__(self) -> float:
        """Run the workload and return its seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a process of the benchmark ended early, status {self.process.wait()}")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


class Neighbours:
    """One busy Python process per core, initially stopped."""

    def __init__(self, stack: ExitStack) -> None:
        self.processes = []
        for _ in range(cores()):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
            process.send_signal(signal.SIGSTOP)
            self.processes.append(process)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Run the processes in this context."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            process.send_signal(number)
        time.sleep(0.2)  # until the scheduler has distributed them


def cores() -> int:
    """Return the number of cores that this process can use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_in_use(seconds: float = 0.5) -> float | None:
    """Return the number of cores busy with other work while this process sleeps; None without /proc."""
    if not Path("/proc/stat").exists():
        return None
    before = _busy_ticks()
    time.sleep(seconds)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def _busy_ticks() -> int:
    """Return the busy ticks of all cores since the start."""
    values = [int(each) for each in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    return sum(values) - values[3] - values[4]  # idle, waiting for a disk


def measure(workload: str, sizes: str, repetitions: int, chosen: list[str]) -> dict[str, Any]:
    """Return the medians of each case, measured in turns, and the number of cores in use by other work."""
    with ExitStack() as stack:
        neighbours = Neighbours(stack)
        cases = {name: Case(workload, sizes, *CASES[name]) for name in chosen}
        for case in cases.values():
            stack.callback(case.close)
        quiet: dict[str, list[float]] = {name: [] for name in cases}
        busy: dict[str, list[float]] = {name: [] for name in cases}
        others: list[float | None] = []
        for _ in range(repetitions):
            others.append(cores_in_use())
            for name, case in cases.items():
                quiet[name].append(case())
                with neighbours.busy():
                    busy[name].append(case())
    found = {name: summary(quiet[name], busy[name]) for name in cases}
    taken = [each for each in others if each is not None]
    return {"cores_taken_by_others": round(statistics.median(taken), 2) if taken else None, "cases": found}


def summary(quiet: list[float], busy: list[float]) -> dict[str, float]:
    """Return the median seconds, and the median ratio of neighbouring repetitions.

    Example:
        >>> summary([1.0, 1.0, 2.0], [2.0, 3.0, 8.0])
        {'quiet_seconds': 1.0, 'busy_seconds': 3.0, 'ratio': 3.0}
    """
    ratios = [b / q for q, b in zip(quiet, busy, strict=True)]
    values = {"quiet_seconds": quiet, "busy_seconds": busy, "ratio": ratios}
    return {name: float(f"{statistics.median(each):.3g}") for name, each in values.items()}


def main() -> None:
    """Measure, and write and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--sizes", choices=SIZES, default="full", help="size of the workloads")
    parser.add_argument("--repetitions", type=int, default=9, help="number of quiet and of busy repetitions")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"), help="file to write")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        workload, threads = options.serve
        serve(WORKLOADS[workload](SIZES[options.sizes], int(threads)))
        return
    machine = {
        "deepgllim": deepgllim.__version__,
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2),
        "sizes": options.sizes,
        "target": TARGET,
    }
    found = {name: measure(name, options.sizes, options.repetitions, options.cases) for name in options.workloads}
    report = json.dumps({**machine, "workloads": found}, indent=2)
    options.output.write_text(report + "\n", encoding="utf-8")
    print(report)


if __name__ == "__main__":
    main()
