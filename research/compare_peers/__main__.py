"""Evaluate a head-pose system on labelled photographs: ONNX files, a table of predictions, or a model of this package.

The rows replace those of the same name, data and margin in `results.csv`, and all rows are printed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from deepgllim.errors import DeepGLLiMError
from deepgllim.geometry import CONVENTIONS
from experiments.protocol import as_markdown, write_rows
from research.compare_peers.measure import COLUMNS, Request, measure, merged
from research.compare_peers.presets import PRESETS

HERE = Path(__file__).parent


def arguments() -> Any:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", required=True, help="pointing04:DIR, or another source with pitch and yaw")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--onnx", type=Path, nargs="+", help="ONNX files; the poses of several are averaged")
    what.add_argument("--predictions", type=Path, help="CSV or Parquet: path and pitch, yaw, roll, or r00 to r22")
    what.add_argument("--model", type=Path, help="model.safetensors of this package")
    parser.add_argument("--preset", help=f"with --onnx: {', '.join(PRESETS)}")
    parser.add_argument("--convention", help=f"with --predictions: {', '.join(CONVENTIONS)}")
    parser.add_argument("--outputs", nargs="+", help="with --onnx: names of the outputs, in the order of the preset")
    parser.add_argument("--margin", type=float, help="side of the crop relative to the box; default: of the preset")
    parser.add_argument("--limit", type=int, help="number of pictures, evenly spaced; all by default")
    parser.add_argument("--name", help="name in the table; that of the preset or file by default")
    parser.add_argument("--source", default="", help="source of the system, for the table")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.csv")
    return parser.parse_args()


def main() -> None:
    """Evaluate one system, and write and print the table."""
    options = arguments()
    table = options.output / "results.csv"
    try:
        found = measure(Request(**{name: getattr(options, name) for name in Request._fields}))
    except DeepGLLiMError as error:
        sys.exit(f"error: {error}")
    write_rows(merged(table, found), table)
    shown = pd.read_csv(table).reindex(columns=list(COLUMNS)).rename(columns=COLUMNS).round(2)
    print(as_markdown(shown.astype(object).where(shown.notna(), "")))


if __name__ == "__main__":
    main()
