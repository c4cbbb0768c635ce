"""Measure face detectors on Pointing'04: recall by pose, false positives, agreement of boxes, processor time.

The constants of the maps to the annotated boxes are fitted and printed first; the README lists those of the package.
Settings that are in `results.csv` are not run again.
"""

from functools import partial
from pathlib import Path

from experiments.protocol import as_markdown, options, run_tasks
from research.detectors.fit import TARGETS, Target, fit
from research.detectors.measure import identity, run
from research.detectors.settings import settings

HERE = Path(__file__).parent
SHOWN = {
    "detector": "detector",
    "pictures": "pictures",
    "n": "number",
    "recall": "recall",
    "recall_inner": "inner poses",
    "false_positives": "false positives per picture",
    "iou": "median IoU",
    "ms": "ms",
}


def main() -> None:
    """Fit the maps, measure the settings, and write and print the tables."""
    arguments = options(__doc__ or "", HERE)
    maps = run_tasks(
        TARGETS,
        partial(fit, source=arguments.data, quick=arguments.quick),
        arguments.output / "maps.csv",
        arguments.jobs,
        Target._asdict,
    )
    print(as_markdown(maps.round(3)))
    table = arguments.output / "results.csv"
    rows = run_tasks(settings(arguments.quick), partial(run, source=arguments.data), table, arguments.jobs, identity)
    print(as_markdown(rows[list(SHOWN)].rename(columns=SHOWN).round(3)))


if __name__ == "__main__":
    main()
