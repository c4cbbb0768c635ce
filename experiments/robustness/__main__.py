"""Train a reduced demonstration over seeds, threads, components and both ends of the family of objectives.

The pictures are those of the package, so the experiment needs no data. A killed run goes on where it stopped.
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
    """Run every group in a process of its own, then write and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run: one seed, one thread, few pictures")
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS), help="values of β, in this order")
    parser.add_argument("--jobs", type=int, default=1, help="groups at a time")
    parser.add_argument("--work", type=Path, default=Path("runs/robustness"), help="pictures and unfinished tables")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the tables")
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
