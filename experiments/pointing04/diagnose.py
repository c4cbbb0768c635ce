"""Separate the error of the chosen models into its sources, and measure whether log p(x) detects faces.

`python -m experiments.pointing04.diagnose --data pointing04:DIR` reads the models that `experiments.pointing04` wrote
to `--work`. For each method it reports the errors on training people, on test people, and on test people after the
mean error of each person is subtracted, and the AUROC of log p(x) for faces and background of the same pictures.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from deepgllim.data import Manifest
from deepgllim.nn import Predictions, load_model
from deepgllim.runs import predict_manifest
from experiments import protocol

HERE = Path(__file__).parent


def without_bias(predicted: Predictions, people: np.ndarray) -> float:
    """Return the mean absolute error after the mean error of each person is subtracted."""
    error = predicted.mean - predicted.targets
    bias = np.stack([error[people == person].mean(0) for person in people])
    return float(np.abs(error - bias).mean())


def background(manifest: Manifest) -> Manifest:
    """Return boxes of the size of the faces in the upper corner that is farther from the face."""
    frame = manifest.frame.copy()
    width, height, left = frame.x1 - frame.x0, frame.y1 - frame.y0, (frame.x0 + frame.x1) / 2 > 192
    frame["x0"] = np.where(left, 0.0, 384.0 - width)
    frame["y0"] = 0.0
    frame["x1"], frame["y1"] = frame.x0 + width, height
    return Manifest(frame, manifest.targets)


def diagnose(work: Path, name: str, training: Manifest, test: Manifest) -> dict[str, Any]:
    """Return the errors and the AUROC of one model."""
    model = load_model(work / name / "model.safetensors")
    seen, faces, others = (predict_manifest(model, part) for part in (training, test, background(test)))
    truth = np.repeat([1, 0], [len(test), len(test)])
    density = np.concatenate([faces.log_density, others.log_density])
    return {
        "training people": np.abs(seen.mean - seen.targets).mean(),
        "test people": np.abs(faces.mean - faces.targets).mean(),
        "without each person's bias": without_bias(faces, test.subjects),
        "AUROC of log p(x)": np.nan if np.isnan(density).any() else roc_auc_score(truth, density),
    }


def main() -> None:
    """Diagnose each chosen model and print the means over seeds."""
    arguments = protocol.options(__doc__ or "", HERE)
    torch.set_num_threads(1)
    training = protocol.people(arguments.data, protocol.TRAINING_PEOPLE, arguments.quick)
    training = training.subset(np.arange(0, len(training), 4))
    test = protocol.people(arguments.data, protocol.TEST_PEOPLE, arguments.quick)
    rows = []
    for row in protocol.read_rows((arguments.output if arguments.quick else HERE) / "results.csv"):
        name = protocol.folder_name(row["method"], row["learning_rate"], row["fraction"], row["seed"])
        rows.append({"method": row["method"], **diagnose(arguments.work, name, training, test)})
    columns = [name for name in rows[0] if name != "method"]
    summary = protocol.mean_and_deviation(pd.DataFrame(rows), ["method"], columns)
    print(protocol.as_markdown(summary))
    protocol.write_rows(rows, arguments.output / "diagnosis.csv")


if __name__ == "__main__":
    main()
