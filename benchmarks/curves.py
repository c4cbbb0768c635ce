"""Time and memory of an EM iteration over N, D, K and L, each varied alone, with fitted exponents.

An iteration multiplies N × D features by D × K(L + 2) numbers and back, so that its time should be proportional to N,
D, K and L + 2 where these are large. Seconds are those of the processor in one thread, the least of five iterations, on
which other work of the machine has little influence. Memory is the peak of the process in addition to the data (Linux,
glibc).

Example:
    python -m benchmarks.curves --output benchmarks/curves.json --plot docs/images/em_curves.png
"""

import argparse
import ctypes
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.em import Size, make_data
from deepgllim.gllim import Options, Rows, e_step, fit, m_step

BASE = Size(N=20_000, D=256, L=3, K=10)
VALUES = {
    "N": (10_000, 20_000, 40_000, 80_000),
    "D": (64, 128, 256, 512),
    "K": (5, 10, 20, 40),
    "L": (1, 3, 8, 18),
}
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
LABELS = {"N": "samples N", "D": "features D", "K": "components K", "L": "targets + 2"}


def measure(size: Size, repeats: int) -> dict[str, Any]:
    """Return the least processor seconds of an iteration, and the peak of memory in addition to the data."""
    features, targets, r = make_data(size)
    first = fit(features, targets, options=Options(max_iter=1), responsibilities=r).parameters
    seconds, before = [], restart_peak()
    rows = Rows(features, targets)
    parameters = rows.scaling.reduce(first)
    for _ in range(repeats):
        start = time.process_time()
        parameters = m_step(e_step(rows, parameters))
        seconds.append(time.process_time() - start)
    return {**size._asdict(), "seconds": min(seconds), "bytes": status("VmHWM") - before}


def status(name: str) -> int:
    """Return a number of bytes from the status of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def restart_peak() -> int:
    """Return free memory to the system, set the recorded peak to the present memory, and return this."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def positions(axis: str, runs: list[dict[str, Any]]) -> list[float]:
    """Return the values on the axis: L + 2 for L, which is the width of the products per component."""
    return [float(run[axis]) + (2 if axis == "L" else 0) for run in runs]


def exponent(x: list[float], y: list[float]) -> float:
    """Return the slope of log y over log x by least squares.

    Example:
        >>> round(exponent([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]), 6)
        2.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def curve(axis: str, values: tuple[int, ...], base: Size, repeats: int) -> dict[str, Any]:
    """Measure the values of one size, and fit the exponents of time and memory."""
    runs = [measure(base._replace(**{axis: value}), repeats) for value in values]
    x = positions(axis, runs)
    slopes = {f"slope_of_{name}": exponent(x, [max(run[name], 1e-9) for run in runs]) for name in ("seconds", "bytes")}
    return {**slopes, "runs": runs}


def plot(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Plot seconds and memory over each size, with the fitted lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, axes = plt.subplots(2, len(curves), figsize=(11, 5), layout="constrained", sharey="row", squeeze=False)
    for column, (axis, measured) in enumerate(curves.items()):
        x = np.array(positions(axis, measured["runs"]))
        for row, (name, scale) in enumerate((("seconds", 1.0), ("bytes", 2.0**20))):
            y = np.array([run[name] for run in measured["runs"]]) / scale
            slope, place = measured[f"slope_of_{name}"], axes[row, column]
            middle = np.exp(np.log(np.maximum(y, 1e-9)).mean() - slope * np.log(x).mean())
            place.loglog(x, middle * x**slope, color="0.6", lw=1)
            place.loglog(x, y, "o", color="C0" if row == 0 else "C1")
            place.set_title(f"slope {slope:.2f}", fontsize=10)
            place.set_xticks(x, [f"{value:,.0f}" for value in x])
            place.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
            place.yaxis.set_major_formatter(ScalarFormatter())
            place.yaxis.set_minor_formatter(NullFormatter())
            place.xaxis.set_minor_formatter(NullFormatter())
        axes[1, column].set_xlabel(LABELS[axis])
    axes[0, 0].set_ylabel("seconds of an iteration")
    axes[1, 0].set_ylabel("memory beside the data, MiB")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Print one JSON object, and write it and the plot to files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="iterations of a size (5)")
    parser.add_argument("--divide", type=int, default=1, help="divide N by this number, to test the script")
    parser.add_argument("--axes", nargs="+", choices=VALUES, default=list(VALUES), help="the sizes to vary (all)")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--plot", type=Path, help="PNG file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 2**16)  # larger blocks are returned as soon as they are freed
    base = BASE._replace(N=BASE.N // options.divide)
    values = VALUES | {"N": tuple(n // options.divide for n in VALUES["N"])}
    measure(base._replace(N=max(500, base.N // 10)), 1)  # loads the libraries
    curves = {axis: curve(axis, values[axis], base, options.repeats) for axis in options.axes}
    text = json.dumps({"torch": torch.__version__, "threads": 1, "noise": "diagonal", "curves": curves}, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")
    if options.plot:
        plot(curves, options.plot)


if __name__ == "__main__":
    main()
