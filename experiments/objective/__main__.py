"""Train the grid β × K × number of features × structure of Σ, on rendered heads and photographs.

Each training fits the last stages of EfficientNet-Lite0 to the output of the frozen ones, which takes seconds. The
results determine only the default of `objective`. An interrupted run continues where it stopped.
"""

import argparse
from functools import partial
from pathlib import Path

from experiments import protocol
from experiments.objective.cells import FEATURES, Cell, cells, run_cell
from experiments.objective.summary import AXES, along, best

HERE = Path(__file__).parent


def main() -> None:
    """Train the cells that are not in the table yet, then print the tables."""
    parser = protocol.Parser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--data", default="", help="pointing04:DIR for the photographs; without it only rendered heads are used"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds to run")
    parser.add_argument("--features", type=int, nargs="+", default=list(FEATURES), help="numbers of features, D")
    parser.add_argument("--quick", action="store_true", help="smoke test: four cells, few pictures, one round")
    parser.add_argument("--jobs", type=int, default=1, help="parallel trainings, one thread each")
    parser.add_argument("--work", type=Path, default=Path("runs/objective"), help="folder for the unpacked pictures")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the table")
    arguments = parser.parse_args()
    sets = ["rendered", *(["photographs"] if arguments.data else [])]
    planned = [cell for seed in arguments.seeds for data in sets for cell in cells(data, seed, arguments.features)]
    planned = planned[:4] if arguments.quick else planned
    task = partial(run_cell, source=arguments.data, work=arguments.work, quick=arguments.quick)
    table = arguments.output / "results.csv"
    results = protocol.run_tasks(planned, task, table, arguments.jobs, Cell._asdict)
    for axis in AXES:
        print(protocol.as_markdown(along(results, axis)))
    print(protocol.as_markdown(best(results)))


if __name__ == "__main__":
    main()
