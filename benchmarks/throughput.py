"""Plot the throughput of training over processes and of scoring over actors, from the results of two benchmarks.

A line with the slope that is fitted up to the number of cores, on logarithmic axes, shows the growth: 1 is proportional
growth. Beyond the number of cores, processes share them.

Example:
    python -m benchmarks.distributed --processes 2 4 --output benchmarks/distributed.json
    python -m benchmarks.score --actors 1 2 4 --output benchmarks/score.json
    python -m benchmarks.throughput --plot docs/images/throughput.png
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.curves import exponent

FOLDER = Path(__file__).parent


class Growth(NamedTuple):
    """Throughput relative to one process, over the number of processes.

    Attributes:
        label: what is counted.
        ratios: throughput relative to one process, by number of processes.
        cores: number of cores of the machine.
    """

    label: str
    ratios: dict[int, float]
    cores: int

    def slope(self) -> float:
        """Return the exponent of the growth up to the number of cores."""
        x = [n for n in sorted(self.ratios) if n <= self.cores]
        return exponent([float(n) for n in x], [self.ratios[n] for n in x])


def training(report: dict[str, Any]) -> list[Growth]:
    """Return the growth of training, and that of independent trainings."""
    runs, cores = report["runs"], report["cores"]
    labels = {"ratio": "one training", "ratio_of_independent_trainings": "independent trainings"}
    return [
        Growth(label, {1: 1.0} | {run["processes"]: run[name] for run in runs}, cores) for name, label in labels.items()
    ]


def scoring(report: dict[str, Any]) -> list[Growth]:
    """Return the growth of scoring."""
    return [
        Growth("Ray", {int(n): ratio for n, ratio in report["actors_relative_to_one"].items()}, report["processors"])
    ]


def plot(panels: dict[str, list[Growth]], path: Path) -> None:
    """Plot each list of growths in a panel, over the number that its title names."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter

    figure, axes = plt.subplots(1, len(panels), figsize=(8, 3.4), layout="constrained", sharey=True, squeeze=False)
    for place, (title, growths) in zip(axes[0], panels.items(), strict=True):
        numbers = sorted({n for growth in growths for n in growth.ratios})
        ends = np.array([1, min(growths[0].cores, max(numbers))])
        place.loglog([1, max(numbers)], [1, max(numbers)], ":", color="0.6", label="proportional")
        for n, growth in enumerate(growths):
            place.loglog(numbers, [growth.ratios[i] for i in numbers], "o", color=f"C{n}")
            slope = growth.slope()
            place.loglog(ends, ends**slope, color=f"C{n}", label=f"{growth.label}, slope {slope:.2f}")
        place.axvline(growths[0].cores, color="0.8", lw=1, zorder=0)
        place.annotate("cores", (growths[0].cores, 0.9), color="0.5", ha="center", va="top", fontsize=9)
        for axis, ticks in ((place.xaxis, numbers), (place.yaxis, numbers)):
            axis.set_ticks(ticks, [str(n) for n in ticks])
            axis.set_minor_formatter(NullFormatter())
        place.set_ylim(0.8, 1.15 * max(numbers))
        place.set_xlabel(title)
        place.legend(fontsize=9, loc="upper left")
    axes[0, 0].set_ylabel("throughput relative to one")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Plot, and print the slopes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, default=FOLDER / "distributed.json", help="benchmarks.distributed")
    parser.add_argument("--scoring", type=Path, default=FOLDER / "score.json", help="benchmarks.score")
    parser.add_argument("--plot", type=Path, required=True, help="PNG file")
    options = parser.parse_args()
    panels = {
        "processes of a training": training(json.loads(options.training.read_text())),
        "actors of scoring": scoring(json.loads(options.scoring.read_text())),
    }
    plot(panels, options.plot)
    slopes = {title: {each.label: round(each.slope(), 3) for each in growths} for title, growths in panels.items()}
    print(json.dumps(slopes, indent=2))


if __name__ == "__main__":
    main()
