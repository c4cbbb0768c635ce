"""Print table 3 of the paper: published errors, quoted, and ours. Nothing is trained.

Data and protocols differ between the rows; each row names its own.
"""

import argparse
from pathlib import Path

import pandas as pd

from experiments.protocol import as_markdown
from experiments.table3.ours import FIGURES, KEYS, our_rows

HERE = Path(__file__).parent
QUOTED = HERE / "quoted.csv"


def quoted_rows() -> pd.DataFrame:
    """Return the published errors, as text."""
    return pd.read_csv(QUOTED, dtype=str, keep_default_na=False)


def merge_rows(quoted: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Return quoted and measured rows in one table, grouped by data."""
    rows = [quoted.assign(figures="quoted"), ours.assign(figures="measured")]
    table = pd.concat([each for each in rows if len(each)], ignore_index=True)
    place = {name: number for number, name in enumerate(dict.fromkeys(table["data"]))}
    table = table.assign(place=table["data"].map(place)).sort_values("place", kind="stable")
    return table[["figures", *KEYS, *FIGURES, "remark", "source"]].fillna("")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=HERE.parents[1], help="parent of experiments and research")
    print(as_markdown(merge_rows(quoted_rows(), our_rows(parser.parse_args().root))))


if __name__ == "__main__":
    main()
