"""Run EM of xllim 2.0.11 from given parameters, in a separate process.

xllim is a C++ library with Python bindings (pip install xllim==2.0.11, Linux x86-64, Python 3.11 or 3.12). Its y with D
rows are our features, and its x (or t) with L rows our targets, one sample per column; the parameters have our shapes,
with the names A, B and C for A, b and c. An iteration is an E-step followed by an M-step. Its own code uses one thread.
Threads of BLAS slow it down on a busy machine: set OMP_NUM_THREADS=1.

Example:
    python benchmarks/peers.py start.npz end.npz --iterations 6
"""

import argparse
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NAMES = {"pi": "Pi", "A": "A", "b": "B", "c": "C", "Gamma": "Gamma", "Sigma": "Sigma"}  # in the order of xllim's state
NEVER = -1e300  # increase of the likelihood in per cent below which EM stops


def run_xllim(
    features: Array, targets: Array, start: dict[str, Array], iterations: int
) -> tuple[dict[str, Array], float]:
    """Return the parameters after some iterations with diagonal Σ, full Γ and no floor, and the seconds.

    Args:
        features: (N, D).
        targets: (N, L).
        start: pi (K,), c (K, L), Gamma (K, L, L), A (K, D, L), b (K, D) and Sigma (K, D).
        iterations: number of iterations, ≥ 1.
    """
    try:
        import xllim  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError("this benchmark needs xllim: pip install xllim==2.0.11") from error
    if iterations < 1:
        raise ValueError(f"iterations = {iterations}: give 1 or more")
    K, D, L = start["A"].shape
    if L == 1:
        raise ValueError("xllim 2.0.11 stores A of one target transposed, and cannot train from it")
    N = len(features)
    expected = {"pi": (K,), "A": (K, D, L), "b": (K, D), "c": (K, L), "Gamma": (K, L, L), "Sigma": (K, D)}
    found = {name: start[name].shape for name in NAMES} | {"features": features.shape, "targets": targets.shape}
    if found != expected | {"features": (N, D), "targets": (N, L)}:  # xllim does not check, and may crash
        raise ValueError(f"shapes do not agree: {found}")

    # the state is copied from views, since setParamA and setParamGamma change the arrays of the caller
    kind: Any = type(xllim.GLLiMParameters(K, D, L, "full", "diag"))
    state = kind.__new__(kind)
    state.__setstate__(tuple(np.array(start[name], dtype=np.float64)[...] for name in NAMES))
    model = xllim.GLLiM(K, D, L, "full", "diag")
    model.setParams(state)

    x, y = (np.ascontiguousarray(rows, dtype=np.float64).T for rows in (targets, features))  # Fortran order: no copy
    begin = time.perf_counter()
    model.train(x, y, iterations, NEVER, 0.0, 0)  # rows, rows, iterations, threshold, floor, verbosity
    seconds = time.perf_counter() - begin
    get = {name: getattr(model, f"getParam{theirs}") for name, theirs in NAMES.items()}
    return {name: np.array(get[name](), order="C").reshape(expected[name]) for name in NAMES}, seconds


def status_bytes(key: str) -> int:
    """Return an entry of /proc/self/status in bytes: VmRSS is the resident memory, VmHWM its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def main() -> None:
    """Write the parameters, the seconds per iteration, and the peak memory without the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="NPZ: features, targets, pi, c, Gamma, A, b, Sigma")
    parser.add_argument("output", type=Path, help="NPZ: parameters, seconds_per_iteration, memory_over_data_bytes")
    parser.add_argument("--iterations", type=int, default=6, help="iterations of EM")
    options = parser.parse_args()
    with np.load(options.input) as file:
        features, targets = (np.ascontiguousarray(file[name], dtype=np.float64) for name in ("features", "targets"))
        start = {name: file[name] for name in NAMES}

    run_xllim(features[:99], targets[:99], start, 1)  # the libraries load on first use
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = status_bytes("VmRSS")
    parameters, seconds = run_xllim(features, targets, start, options.iterations)
    over = status_bytes("VmHWM") - before
    results: dict[str, Any] = {"seconds_per_iteration": seconds / options.iterations, "memory_over_data_bytes": over}
    np.savez(options.output, **(results | parameters))


if __name__ == "__main__":
    main()
