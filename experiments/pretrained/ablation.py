"""What each kind of faces in the second training is worth: short trainings of three seeds, equal in number of steps.

`python -m experiments.pretrained.ablation --work DIR --validation DIR` reads the folders that `python -m
experiments.pretrained` leaves. Each training has the same number of faces, in equal parts from its sources, and starts
from the model that was trained on rendered heads. Rows that `ablation.csv` has are not run again.
"""

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from deepgllim.data import Manifest
from deepgllim.geometry import NECK_ANGLES
from deepgllim.nn import DeepRegression, load_model, train
from experiments.pretrained.fitting import FINAL, HERE, fine_recipe, fit_final_mixture
from experiments.pretrained.judging import predict_faces
from experiments.pretrained.product import BOXES
from experiments.pretrained.stages import StageOutput, joined_output, read_output
from experiments.pretrained.validation import detected, labelled_sets, yaw_errors
from experiments.protocol import as_markdown

ARMS = {
    "rendered heads": ("rendered",),
    "rendered heads, turned portraits": ("rendered", "turned"),
    "rendered heads, photographs": ("rendered", "photographs"),
    "rendered heads, turned portraits, photographs": ("rendered", "turned", "photographs"),
}
"""Sources of the faces of each training."""

FACES = 9_000
SEEDS = (0, 1, 2)


def sample(sources: dict[str, StageOutput], names: tuple[str, ...], seed: int) -> StageOutput:
    """Return equal numbers of random faces of some sources; faces are repeated where a source has too few."""
    generator = np.random.default_rng(seed)
    parts = []
    for name in names:
        wanted, available = FACES // len(names), int(sources[name].faces.max()) + 1
        while wanted > 0:
            count = min(wanted, available)
            mask = np.zeros(available, dtype=bool)
            mask[generator.permutation(available)[:count]] = True
            parts.append(sources[name].of_faces(mask))
            wanted -= count
    return joined_output(parts)


def trained(start: DeepRegression, inputs: StageOutput, seed: int) -> DeepRegression:
    """Return a copy of a model after one epoch, with its final mixture."""
    options = fine_recipe().override({"schedule.epochs_per_round": 1, "schedule.seed": seed})
    depth = options.network.frozen_depths[-1]
    model = train(copy.deepcopy(start), options, inputs, warm_start=True, depth=depth).model
    fit_final_mixture(model, inputs, options)
    return model


def measures(model: DeepRegression, sets: dict[str, Manifest], heads: Manifest) -> dict[str, float]:
    """Return error and slope of yaw on each set, and the mean error on rendered heads of people left out."""
    found = predict_faces(model, heads, fine_recipe())
    return yaw_errors(model, sets, fine_recipe()) | {"rendered": float(np.abs(found.mean - found.targets).mean())}


def main() -> None:
    """Run the trainings that are missing, and print the means over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="work folder of `python -m experiments.pretrained`")
    parser.add_argument("--validation", type=Path, required=True, help="folder of the sets imm and drivface")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for ablation.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = load_model(given.work / "network" / FINAL)
    sources = {name: read_output(given.work / f"{name}_stages", fine_recipe()) for name in ARMS[max(ARMS, key=len)]}
    sets = {name: detected(faces, BOXES) for name, faces in labelled_sets(given.validation)}
    held_out = pd.read_csv(given.work / "held_out.csv")
    heads = Manifest(held_out.assign(path=[str(given.work / path) for path in held_out["path"]]).iloc[::4], NECK_ANGLES)
    table = given.output / "ablation.csv"
    rows: list[dict[Any, Any]] = pd.read_csv(table).to_dict("records") if table.is_file() else []
    for seed in SEEDS:
        for arm, names in ARMS.items():
            if any(row["faces"] == arm and row["seed"] == seed for row in rows):
                continue
            model = trained(start, sample(sources, names, seed), seed)
            rows.append({"faces": arm, "seed": seed} | measures(model, sets, heads))
            pd.DataFrame(rows).to_csv(table, index=False, float_format="%.3f")
    grouped = pd.DataFrame(rows).drop(columns="seed").groupby("faces", sort=False)
    print(as_markdown(grouped.mean().join(grouped.std(), rsuffix=" ±").round(2).reset_index()))


if __name__ == "__main__":
    main()
