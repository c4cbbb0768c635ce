"""Make figure 2 of the paper and a table of three methods on its toy problem, in seconds, without data."""

import argparse
import math
from pathlib import Path

import pandas as pd

from experiments import protocol
from experiments.figure2.toy import QUICK, Size, compare

HERE = Path(__file__).parent


def main() -> None:
    """Train the methods, draw the figure, and write and print the table."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smoke test: fewer samples and rounds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the data, the network and the training")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for figure2.png and results.csv")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = compare(arguments.output / "figure2.png", QUICK if arguments.quick else Size(), arguments.seed)
    protocol.write_rows(rows, arguments.output / "results.csv")
    print(protocol.as_markdown(pd.DataFrame(rows).map(format_cell)))


def format_cell(value: float | str) -> str:
    """Return a cell of the table with three decimals, or a dash if the method has no such metric."""
    if isinstance(value, str):
        return value
    return "–" if math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    main()
