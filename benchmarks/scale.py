"""Time and memory of EM on a memory map, over the number of samples.

The features are in a float32 file that EM reads in blocks, once per iteration. Memory counts the anonymous pages of the
process; pages of the file in the cache of the system can be reclaimed.

Example:
    python benchmarks/scale.py --samples 100000 300000 1000000 --output benchmarks/scale
"""

import argparse
import json
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepgllim.gllim import MixtureSpec, Options, fit

L = 3


def write_features(path: Path, n: int, n_features: int, seed: int = 0) -> NDArray[np.float64]:
    """Write a raw float32 file (n, D) of x = f(y) + noise in blocks, and return the targets y (n, L)."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(n, L))
    slopes, bends = rng.normal(size=(2, L, n_features)).astype(np.float32)
    file = np.memmap(path, np.float32, "w+", shape=(n, n_features))
    for start in range(0, n, 10_000):
        y = targets[start : start + 10_000].astype(np.float32)
        noise = rng.standard_normal((len(y), n_features), np.float32)
        file[start : start + 10_000] = y @ slopes + np.sin(y) @ bends + noise
    file.flush()
    return targets


def own_bytes() -> int:
    """Return the anonymous memory of this process, without pages of files (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak:
    """Context that records the maximum of `own_bytes`, sampled every 5 ms."""

    def __enter__(self) -> "Peak":
        self.bytes, self._open = own_bytes(), True
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            self.bytes = max(self.bytes, own_bytes())
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()


def measure(path: Path, n: int, n_features: int, components: int, iterations: int, dtype: str) -> dict[str, Any]:
    """Return the seconds of a fit and its memory in addition to that of the process before it."""
    targets = write_features(path, n, n_features)
    features = np.memmap(path, np.float32, "r", shape=(n, n_features))
    start_bytes = own_bytes()
    start = time.perf_counter()
    with Peak() as peak:
        result = fit(
            features,
            targets,
            MixtureSpec(components),
            Options(init="kmeans", max_iter=iterations, tol=0),
            dtype=getattr(torch, dtype),
        )
    return {
        "samples": n,
        "features": n_features,
        "components": components,
        "iterations": len(result.log_likelihoods),
        "dtype": dtype,
        "seconds": time.perf_counter() - start,
        "process_bytes": peak.bytes,
        "fit_bytes": peak.bytes - start_bytes,
        "data_bytes": features.nbytes,
        "log_likelihood_per_sample": result.log_likelihoods[-1] / n,
    }


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Plot seconds and memory over the number of samples."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    n = np.array([result["samples"] for result in results], float)
    seconds = np.array([result["seconds"] for result in results])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.loglog(n, seconds, marker="o", label="fit, ten iterations")
    left.loglog(n, seconds[-1] * n / n[-1], ls="--", color="0.5", label="proportional to N")
    left.set(xlabel="samples N", ylabel="seconds")
    left.legend(frameon=False)
    right.plot(n, [result["process_bytes"] / 2**20 for result in results], marker="o", label="process with libraries")
    right.plot(n, [result["fit_bytes"] / 2**20 for result in results], marker="o", label="the fit")
    right.plot(n, [result["data_bytes"] / 2**20 for result in results], ls="--", color="0.5", label="the data")
    right.axhline(1024, color="0.7", lw=1)
    right.set(xlabel="samples N", ylabel="memory, MiB", yscale="log", xscale="log")
    right.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Print one JSON object; with --output, write it and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--components", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64", help="dtype of matrix products")
    parser.add_argument("--folder", type=Path, help="folder for the memory map; a temporary folder by default")
    parser.add_argument("--output", type=Path, help="path without suffix for .json and .png")
    options = parser.parse_args()
    fit(
        np.random.default_rng(0).normal(size=(99, 2)), np.arange(99.0)[:, None], MixtureSpec(2), Options(init="kmeans")
    )  # loads the libraries
    results = []
    with TemporaryDirectory(dir=options.folder) as folder:
        for n in options.samples:
            path = Path(folder) / "features.bin"
            results.append(measure(path, n, options.features, options.components, options.iterations, options.dtype))
            path.unlink()
    answer = {"torch": torch.__version__, "threads": torch.get_num_threads(), "runs": results}
    print(json.dumps(answer, indent=2))
    if options.output:
        options.output.with_suffix(".json").write_text(json.dumps(answer, indent=2) + "\n")
        plot(results, options.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
