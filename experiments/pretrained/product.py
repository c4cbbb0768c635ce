"""The end of the run: metrics of the folds on people left out, and export of the calibrated final model."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepgllim import __version__
from deepgllim.data import Manifest
from deepgllim.nn import export_onnx, load_model
from experiments.pretrained import unknown
from experiments.pretrained.fitting import WIDE, Plan
from experiments.pretrained.groups import errors_by_group
from experiments.pretrained.judging import (
    FoldPredictions,
    calibrated,
    coverage,
    densities,
    errors,
    read_predictions,
    roc,
)
from experiments.protocol import as_markdown, write_rows

PEOPLE_A_GROUP = 20
"""Number of rendered people per group of the calibration, so that there are as many groups as photographed people."""

NOTES: dict[str, Any] = {
    "name": "headpose",
    "data": "rendered heads (deepgllim.synthetic, set wide) and Pointing'04 (N. Gourier et al., 2004)",
    "backbone": "EfficientNet-Lite0, ImageNet weights (Apache-2.0)",
    "license": "Apache-2.0",
    "recipe": "experiments/pretrained",
}


def finish(arguments: argparse.Namespace, tests: list[Manifest], others: Manifest, plan: Plan) -> None:
    """Write results.csv, coverage.csv, roc.csv and groups.csv, and export the final model."""
    photographs = [read_predictions(arguments.work / f"fold{i}.npz") for i in range(len(tests))]
    rendered = [read_predictions(arguments.work / f"fold{i}_rendered.npz") for i in range(len(tests))]
    rows = [{"fold": i, "people": " ".join(sorted(set(f.subjects))), **errors(f)} for i, f in enumerate(photographs)]
    rows.append({"fold": "all", "people": "", **errors(FoldPredictions.joined(photographs))})
    rows.append({"fold": "rendered, other people", "people": "", **rendered_errors(rendered)})
    write_rows(rows, arguments.output / "results.csv")
    people = [joined_groups(*pair) for pair in zip(photographs, parts(rendered, len(tests)), strict=True)]
    tables = {
        "photographs": coverage(people, lambda subjects: ~np.char.startswith(subjects, "rendered")),
        "rendered": coverage(people, lambda subjects: np.char.startswith(subjects, "rendered")),
    }
    covered = pd.concat([table.assign(data=name) for name, table in tables.items()])
    covered.to_csv(arguments.output / "coverage.csv", index=False, float_format="%.4f")
    count = 6 if arguments.quick else 150
    curves = known_and_unknown(arguments.work, tests, (photographs, rendered), plan.recipe.data.image_size, count)
    curves.to_csv(arguments.output / "roc.csv", index=False, float_format="%.4f")
    groups = errors_by_group(rendered, others)
    groups.to_csv(arguments.output / "groups.csv", index=False, float_format="%.3f")
    for table in (pd.DataFrame(rows).round(2), covered.round(3), curves.round(3), groups.round(2)):
        print(as_markdown(table), end="\n\n")
    calibration = calibrated(FoldPredictions.joined(people)).to_json()
    model = load_model(arguments.work / "all" / WIDE)
    export_onnx(model, arguments.model, calibration=calibration, notes=NOTES | {"deepgllim": __version__})


def rendered_errors(folds: list[FoldPredictions]) -> dict[str, float]:
    """Return the mean errors over the models of the folds, which predict the same pictures."""
    return {name: float(np.mean([errors(fold)[name] for fold in folds])) for name in errors(folds[0])}


def parts(rendered: list[FoldPredictions], n: int) -> list[FoldPredictions]:
    """Return the predictions of each fold for another n-th of the rendered people, named by groups of people."""
    found = []
    for i, fold in enumerate(rendered):
        names = np.unique(fold.subjects)
        number = {name: j for j, name in enumerate(names)}
        index = np.array([number[name] for name in fold.subjects])
        mine = index % n == i
        groups = np.array([f"rendered {j // PEOPLE_A_GROUP}" for j in index])
        found.append(FoldPredictions(*(column[mine] for column in fold._replace(subjects=groups))))
    return found


def joined_groups(photographs: FoldPredictions, rendered: FoldPredictions) -> FoldPredictions:
    """Return the predictions of one fold for photographed and rendered people."""
    return FoldPredictions.joined([photographs, rendered])


def known_and_unknown(
    work: Path,
    tests: list[Manifest],
    heads: tuple[list[FoldPredictions], list[FoldPredictions]],
    size: int,
    count: int,
) -> pd.DataFrame:
    """Return the AUROC of log p(x) of each fold, for heads left out against other pictures.

    Args:
        work: folder of the trained models.
        tests: the photographs of each fold.
        heads: the predictions of each fold's model for its photographs and for rendered heads.
        size: side of the pictures, pixels.
        count: number of backs of heads and of pictures of noise; pictures of things are twice as many.
    """
    rows, (photographs, rendered) = [], heads
    for i, test in enumerate(tests):
        model, rng = load_model(work / f"fold{i}" / WIDE), np.random.default_rng(i)
        others: dict[str, NDArray[np.uint8]] = {
            "things": unknown.things(2 * count, size, rng),
            "surroundings": unknown.surroundings(test.subset(list(range(0, len(test), 3))), size, rng),
            "backs of heads": unknown.backs(count, size, rng),
            "noise": unknown.noise(count, size, rng),
        }
        scores = {name: densities(model, pictures) for name, pictures in others.items()}
        rows.append({"fold": str(i), "heads": "photographs", **roc(photographs[i].log_density, scores)})
        rows.append({"fold": str(i), "heads": "rendered", **roc(rendered[i].log_density, scores)})
    table = pd.DataFrame(rows)
    means = table.drop(columns="fold").groupby("heads", sort=False).mean().reset_index()
    return pd.concat([table, means.assign(fold="mean")])
