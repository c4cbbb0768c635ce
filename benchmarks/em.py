"""Time one iteration of EM relative to its lower bound, two matrix products over the features.

An iteration multiplies the features (N, D) by a matrix (D, K(L + 2)) for the densities, and their transpose by a matrix
(N, K(L + 2)) for the statistics. Iterations and products are timed in turns in one process, so that other work affects
both, and the ratio of the medians is reported. On a shared machine set OMP_WAIT_POLICY=passive: spinning threads delay
the many short steps of EM far more than two long products. Memory is the peak of a new process minus its memory before
EM.

With --peer, the PyPI package xllim (see peers.py) runs the same iterations on the same data from the same start in its
own process. The log-likelihood of both results is computed by this package; it is equal if both did the same work.

Example:
    python benchmarks/em.py --sizes quick --repeats 5
    python benchmarks/em.py --peer python --iterations 3
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepgllim.gllim import Options, Parameters, Rows, e_step, fit, m_step


class Size(NamedTuple):
    """Numbers of samples, features, targets and components."""

    N: int
    D: int
    L: int
    K: int


SIZES = {
    "tiny": [Size(300, 20, 2, 2)],
    "quick": [Size(10_000, 500, 3, 10)],
    "full": [Size(10_000, 500, 3, 10), Size(15_000, 1_888, 3, 50)],
}


def make_data(size: Size) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, targets and initial r; features are made in blocks, so that no copy is part of the peak."""
    N, D, L, K = size
    g = torch.Generator().manual_seed(0)
    targets = torch.randn(N, L, generator=g, dtype=torch.float64)
    slopes = torch.randn(L, D, generator=g, dtype=torch.float64)
    features = torch.empty(N, D, dtype=torch.float64)
    for x, y in zip(torch.split(features, 256), torch.split(targets, 256), strict=True):
        x.normal_(generator=g).addmm_(torch.sin(y), slopes)
    centres = torch.randn(K, L, generator=g, dtype=torch.float64)
    return features, targets, torch.softmax(-torch.cdist(targets, centres).square(), 1)


def seconds_of_products(features: Tensor, left: Tensor, right: Tensor) -> float:
    """Return the seconds of features · right and leftᵀ · features."""
    start = time.perf_counter()
    _ = features @ right
    _ = left.T @ features
    return time.perf_counter() - start


def measure_time(size: Size, repeats: int) -> dict[str, float]:
    """Return the seconds of an EM iteration and of the products, measured in turns after one warm-up."""
    features, targets, r = make_data(size)
    width = size.K * (size.L + 2)
    right, left = (torch.randn(n, width, dtype=torch.float64) for n in (size.D, size.N))
    parameters = fit(features, targets, options=Options(max_iter=1), responsibilities=r).parameters
    rows = Rows(features, targets)
    parameters = rows.scaling.reduce(parameters)
    em, products = [], []
    for _ in range(repeats + 1):
        products.append(seconds_of_products(features, left, right))
        start = time.perf_counter()
        parameters = m_step(e_step(rows, parameters))
        em.append(time.perf_counter() - start)
    em_seconds, product_seconds = statistics.median(em[1:]), statistics.median(products[1:])
    return {
        "em_seconds": em_seconds,
        "products_seconds": product_seconds,
        "ratio": em_seconds / product_seconds,
    }


def peak_bytes() -> int:
    """Return the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_memory(size: Size) -> dict[str, float]:
    """Return the peak memory of two EM iterations without data and libraries, also relative to the features."""
    fit(torch.randn(99, 3), torch.randn(99, 1))  # the libraries load on first use
    features, targets, r = make_data(size)
    before = peak_bytes()
    fit(features, targets, options=Options(max_iter=2, tol=0), responsibilities=r)
    over = peak_bytes() - before
    return {"memory_over_data_bytes": over, "memory_over_data_share": over / features.nbytes}


def in_child(size: Size) -> dict[str, float]:
    """Run `measure_memory` in a new process, since the peak of a process never decreases."""
    command = [sys.executable, __file__, "--memory-of", *map(str, size)]
    answer: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def run_peer(python: str, size: Size, iterations: int, threads: int) -> dict[str, float]:
    """Run iterations of xllim and of this package from one start; return seconds, memory and log-likelihoods."""
    features, targets, r = make_data(size)
    start = fit(features, targets, options=Options(max_iter=1, covariance_floor=0), responsibilities=r).parameters
    rows = Rows(features, targets)
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "start.npz", Path(folder) / "end.npz"
        arrays = {name: value.numpy() for name, value in start.tensors.items()}
        np.savez(source, features=features.numpy(), targets=targets.numpy(), **arrays)  # type: ignore[arg-type]
        command = [python, str(Path(__file__).with_name("peers.py")), str(source), str(target)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([*command, "--iterations", str(iterations)], check=True, env=environment)
        with np.load(target) as file:
            theirs = {name: torch.from_numpy(file[name]) for name in start.tensors}
            peer_seconds, peer_bytes = float(file["seconds_per_iteration"]), int(file["memory_over_data_bytes"])
    ours, seconds = rows.scaling.reduce(start), []
    for _ in range(iterations):
        begin = time.perf_counter()
        ours = m_step(e_step(rows, ours))
        seconds.append(time.perf_counter() - begin)
    ends = [e_step(rows, p).log_likelihood for p in (ours, rows.scaling.reduce(Parameters(**theirs)))]
    return {
        "peer_iterations": iterations,
        "peer_seconds": peer_seconds,
        "times_faster": peer_seconds / statistics.median(seconds),
        "peer_memory_over_data_share": peer_bytes / features.nbytes,
        "log_likelihood": float(ends[0]),
        "peer_log_likelihood": float(ends[1]),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=SIZES, default="full", help="sizes of the data")
    parser.add_argument("--repeats", type=int, default=9, help="timed iterations")
    parser.add_argument("--threads", type=int, help="threads of torch; all cores by default")
    parser.add_argument("--peer", metavar="PYTHON", help="compare with xllim, installed for this interpreter")
    parser.add_argument("--iterations", type=int, default=3, help="iterations of the comparison")
    parser.add_argument("--memory-of", type=int, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(measure_memory(Size(*options.memory_of))))
        return
    sizes = SIZES[options.sizes]
    memory = [in_child(size) for size in sizes]  # first, while this process is small
    times = [measure_time(size, options.repeats) for size in sizes]
    peers: list[dict[str, float]] = [{} for _ in sizes]
    if options.peer:
        peers = [run_peer(options.peer, size, options.iterations, torch.get_num_threads()) for size in sizes]
    cases = [{**size._asdict(), **t, **m, **p} for size, t, m, p in zip(sizes, times, memory, peers, strict=True)]
    machine = {"torch": torch.__version__, "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    print(json.dumps({**machine, "noise": "diagonal", "cases": cases}, indent=2))


if __name__ == "__main__":
    main()
