"""Lag and jitter of filters on a head that turns, nods and holds still; measurements simulated, or a model's of a
rendered person (`--model`)."""

import argparse
from pathlib import Path

import matplotlib
import pandas as pd

from experiments import protocol
from research.smoothing.methods import CHOSEN, METHODS
from research.smoothing.rendering import of_model, save_frames
from research.smoothing.report import OUTLIERS, every_constant, lag_at, plot, predicted, rendered, rows, simulated
from research.smoothing.sequence import Noise

matplotlib.use("Agg")
HERE = Path(__file__).parent
JITTERS = (0.25, 0.5, 1.0)


def main() -> None:
    """Simulate or render, judge every method at every constant, write the table and the plot."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one short sequence")
    parser.add_argument("--model", type=Path, help="a trained model, .safetensors: its predictions on rendered frames")
    parser.add_argument("--frames", type=Path, help="only render: write the frames and truth.csv below this folder")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the table and the plot")
    arguments = parser.parse_args()
    count, seconds = (1, 5.0) if arguments.quick else (4, 40.0 if arguments.model is None else 20.0)
    methods = list(CHOSEN.items()) if arguments.quick else every_constant()
    if arguments.frames is not None:
        for index, (_, times, frames) in enumerate(rendered(count, seconds)):
            save_frames(frames, times, arguments.frames / f"{index:02d}")
        return
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.model is not None:
        name, sequences = "rendered", predicted(count, seconds, of_model(arguments.model))
        table = rows(sequences, "model, rendered", methods)
    else:
        name, sequences = "results", simulated(count, seconds, Noise())
        table = rows(sequences, "simulated", methods)
        gross = simulated(count, seconds, Noise(outliers=OUTLIERS))
        table += rows(gross, "with outliers", CHOSEN.items())
    protocol.write_rows(table, arguments.output / f"{name}.csv")
    clean = [row for row in table if row["measurements"] != "with outliers"]
    plot(clean, sequences[0], arguments.output / f"{name}.png")
    print(protocol.as_markdown(pd.DataFrame(table).round(3).map(str)))
    for jitter in JITTERS:
        lags = {method: lag_at(clean, method, jitter) for method in METHODS}
        print(
            f"at {jitter:g}° a frame: " + ", ".join(f"{name} {lag:.0f} ms" for name, lag in lags.items() if lag == lag)
        )


if __name__ == "__main__":
    main()
