"""Train a reduced demonstration over seeds, threads, numbers of components and values of β.

The pictures are those of the package, so the experiment needs no data. An interrupted run continues where it stopped.
"""

import argparse
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

from experiments import protocol
from experiments.robustness.runs import Group, run_group, variants
from experiments.robustness.summary import summary

HERE = Path(__file__).parent
SEEDS, THREADS, COMPONENTS, BETAS = (0, 1, 2, 3, 4), (1, 2), (1, 3, 10), (1.0, 0.0)


def main() -> None:
    """Run each group in its own process, then write and print the tables."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smoke test: one seed, one thread, few pictures")
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS), help="values of β, in this order")
    parser.add_argument("--jobs", type=int, default=1, help="parallel groups")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/robustness"), help="folder for pictures and partial tables"
    )
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the tables")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    quick = arguments.quick
    groups = [Group(seed, threads) for seed in SEEDS for threads in THREADS][: 1 if quick else None]
    planned = variants(COMPONENTS[:2] if quick else COMPONENTS, tuple(arguments.betas))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        tables = [pool.submit(run_group, group, planned, arguments.work, quick) for group in groups]
        results = pd.concat([pd.read_csv(table.result()) for table in tables], ignore_index=True)
    protocol.write_rows(results.to_dict("records"), arguments.output / "results.csv")  # type: ignore[arg-type]
    print(protocol.as_markdown(summary(results)))


if __name__ == "__main__":
    main()
