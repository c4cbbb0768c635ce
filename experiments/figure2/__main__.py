"""The paper's figure 2 and a table of three methods on its toy; no data needed, some seconds."""

import argparse
import math
from pathlib import Path

import pandas as pd

from experiments import protocol
from experiments.figure2.toy import QUICK, Size, compare

HERE = Path(__file__).parent


def main() -> None:
    """Train, draw, write the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: fewer samples and rounds")
    parser.add_argument("--seed", type=int, default=0, help="of the data, the network and the training")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of figure2.png and results.csv")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = compare(arguments.output / "figure2.png", QUICK if arguments.quick else Size(), arguments.seed)
    protocol.write_rows(rows, arguments.output / "results.csv")
    print(protocol.as_markdown(pd.DataFrame(rows).map(shown)))


def shown(value: float | str) -> str:
    """A cell of the table: three decimals; a dash for what least squares does not know."""
    if isinstance(value, str):
        return value
    return "–" if math.isnan(value) else f"{value:.3f}"


if __name__ == "__main__":
    main()
